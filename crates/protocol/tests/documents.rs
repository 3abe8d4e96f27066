//! What is made from the types and checked in is what the types say today.
#![cfg(feature = "json")]

use wasm_sandbox_protocol::json::{Request, reference, schema};

const SCHEMA: &str = include_str!("../../../docs/schema.json");
const REFERENCE: &str = include_str!("../../../docs/reference.md");

#[test]
fn the_schema_is_up_to_date() {
    let now = serde_json::to_string_pretty(&schema()).expect("plain data") + "\n";
    assert!(now == SCHEMA, "docs/schema.json is stale: run `make docs`");
}

#[test]
fn the_reference_is_up_to_date() {
    assert!(reference() == REFERENCE, "docs/reference.md is stale: run `make docs`");
}

#[test]
fn every_reference_in_the_schema_leads_somewhere() {
    fn look(value: &serde_json::Value, root: &serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                if let Some(path) = members.get("$ref").and_then(|path| path.as_str()) {
                    let pointer = path.strip_prefix('#').expect("a reference inside the document");
                    assert!(root.pointer(pointer).is_some(), "{path}");
                }
                members.values().for_each(|member| look(member, root));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| look(item, root)),
            _ => {}
        }
    }
    let schema = schema();
    look(&schema, &schema);
    for name in Request::TYPES {
        assert!(schema["requests"][name].is_object() && schema["answers"][name].is_object(), "{name}");
    }
}
