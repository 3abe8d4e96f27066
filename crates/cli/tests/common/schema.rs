//! The part of JSON Schema that `docs/schema.json` uses. A keyword that is not known here fails the test.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON")
});

/// Every type of request.
pub fn request_types() -> Vec<String> {
    SCHEMA["requests"].as_object().expect("an object").keys().cloned().collect()
}

/// The names of the fields of a request and whether they must be there.
pub fn request_fields(kind: &str) -> Vec<(String, bool)> {
    let schema = &SCHEMA["requests"][kind];
    let required = schema["required"].as_array().expect("an array");
    let names = schema["properties"].as_object().expect("an object").keys();
    names.map(|name| (name.clone(), required.contains(&Value::from(name.as_str())))).collect()
}

/// A value that the field of a request may have.
pub fn is_allowed(kind: &str, field: &str, value: &Value) -> bool {
    fits(value, &SCHEMA["requests"][kind]["properties"][field])
}

/// Whether a line that is sent is a request.
pub fn is_request(line: &Value) -> bool {
    line["type"]
        .as_str()
        .and_then(|kind| SCHEMA["requests"].get(kind))
        .is_some_and(|schema| fits(line, schema))
}

/// Whether a line that is received is an answer or an event.
pub fn is_output(line: &Value) -> bool {
    let schema = match line["type"].as_str() {
        Some("event") => Some(&SCHEMA["event"]),
        _ if line["success"] == false => Some(&SCHEMA["failed"]),
        Some(kind) => SCHEMA["answers"].get(kind),
        None => None,
    };
    schema.is_some_and(|schema| fits(line, schema))
}

fn fits(value: &Value, schema: &Value) -> bool {
    let rules = match schema {
        Value::Bool(any) => return *any,
        Value::Object(rules) => rules,
        _ => panic!("{schema} is no schema"),
    };
    let list = |rule: &Value| rule.as_array().expect("an array").clone();
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "title" | "description" | "format" | "default" | "$schema" => true,
        "$ref" => {
            let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/")).expect("a definition");
            fits(value, SCHEMA["$defs"].get(name).unwrap_or_else(|| panic!("there is no {name}")))
        }
        "type" => match rule {
            Value::Array(types) => types.iter().any(|name| has_type(value, name)),
            name => has_type(value, name),
        },
        "const" => value == rule,
        "enum" => list(rule).contains(value),
        "anyOf" => list(rule).iter().any(|schema| fits(value, schema)),
        "oneOf" => list(rule).iter().filter(|schema| fits(value, schema)).count() == 1,
        "allOf" => list(rule).iter().all(|schema| fits(value, schema)),
        "minimum" => value.as_f64().is_none_or(|number| rule.as_f64().is_some_and(|least| number >= least)),
        "maximum" => value.as_f64().is_none_or(|number| rule.as_f64().is_some_and(|most| number <= most)),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().expect("a string")).expect("a pattern");
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(item, rule))),
        "required" => value.as_object().is_none_or(|object| {
            list(rule).iter().all(|name| object.contains_key(name.as_str().expect("a name")))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| rule.get(name).is_none_or(|schema| fits(value, schema)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let named = |name: &str| rules.get("properties").is_some_and(|known| known.get(name).is_some());
            object.iter().all(|(name, value)| named(name) || fits(value, rule))
        }),
        _ => panic!("the keyword {keyword:?} is not known to this test"),
    })
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type's name") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type {other:?} is not known to this test"),
    }
}
