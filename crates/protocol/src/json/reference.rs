//! The reference for people, in Markdown, made from the schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::schema::{COMMON_FIELDS, schema};

const HEAD: &str = "# Reference

Every message with every field. This page is made by `make docs` from the types in `crates/protocol/src/json`; how messages
work together is told in [protocol.md](protocol.md), and [schema.json](schema.json) says the same for programs.

Every request has `type` and `id`, and may have `sandbox` (the machine it is for; the first one if absent) and `async` (true: do
not wait for the requests before it, nor let those behind it wait). Every answer has `type` and `id` of its request and
`success`; if that is false, `error` and `error_code`. More fields may be added to answers in later versions.
";

/// The reference: all requests with their answers, events, error codes and the types in them.
pub fn reference() -> String {
    let schema = schema();
    let types = Types(schema["$defs"].as_object().cloned().unwrap_or_default());
    let mut page = String::from(HEAD);
    page += "\n## Requests\n";
    let requests = schema["requests"].as_object().cloned().unwrap_or_default();
    for name in super::Request::TYPES {
        let mut body = requests[*name].clone();
        if let Some(properties) = body["properties"].as_object_mut() {
            properties.retain(|name, _| !COMMON_FIELDS.contains(&name.as_str()));
        }
        heading(&mut page, 3, &format!("`{name}`"), &body);
        types.table(&mut page, &body, "field");
        let answers = schema["answers"][*name]["anyOf"].as_array().cloned().unwrap_or_default();
        for answer in answers {
            let answer = types.resolve(&answer);
            let _ = writeln!(page, "\nAnswer: {}", text(&answer));
            types.table(&mut page, &answer, "field of the answer");
        }
    }
    page +=
        "\n## Events\n\nLines with `\"type\":\"event\"`, the `id` of the request that caused them, and:\n";
    for name in ["AddressedProcessEvent", "WatchEvent"] {
        types.section(&mut page, name);
    }
    page += "\n## Failures\n";
    types.section(&mut page, "Failure");
    page += "\n## Types\n";
    let used_above = ["AddressedProcessEvent", "WatchEvent", "Failure", "EventBody"];
    let mut names: Vec<&String> =
        types.0.keys().filter(|name| !used_above.contains(&name.as_str())).collect();
    let bodies =
        |value: &Value| value["$ref"].as_str().map(|path| path.trim_start_matches(PREFIX).to_owned());
    let answers = schema["answers"].as_object().into_iter().flat_map(Map::values);
    let shown: Vec<String> = answers
        .flat_map(|answer| answer["anyOf"].as_array().into_iter().flatten().filter_map(bodies))
        .collect();
    names.retain(|name| !shown.contains(name));
    for name in names {
        types.section(&mut page, name);
    }
    page
}

const PREFIX: &str = "#/$defs/";

struct Types(Map<String, Value>);

impl Types {
    fn resolve(&self, value: &Value) -> Value {
        let name = value["$ref"].as_str().map(|path| path.trim_start_matches(PREFIX));
        name.and_then(|name| self.0.get(name)).cloned().unwrap_or_else(|| value.clone())
    }

    fn section(&self, page: &mut String, name: &str) {
        let Some(schema) = self.0.get(name) else { return };
        heading(page, 3, name, schema);
        self.table(page, schema, "field");
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            let names: Vec<String> = match (variant["const"].as_str(), variant["enum"].as_array()) {
                (Some(name), _) => vec![format!("`\"{name}\"`")],
                (None, Some(names)) => names.iter().map(|name| format!("`{name}`")).collect(),
                (None, None) => vec![],
            };
            if names.is_empty() {
                let tag = variant["properties"]["event"]["const"].as_str().unwrap_or_default();
                let _ = writeln!(page, "\n`\"event\":\"{tag}\"`: {}", text(variant));
                let inner = self.resolve(variant);
                self.table(page, &inner, "field");
            } else {
                let _ = writeln!(page, "* {}: {}", names.join(", "), text(variant));
            }
        }
    }

    fn table(&self, page: &mut String, schema: &Value, title: &str) {
        let inner = schema["$ref"].as_str().map(|_| self.resolve(schema));
        let mut properties: Map<String, Value> = Map::new();
        for part in [Some(schema), inner.as_ref()].into_iter().flatten() {
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        }
        if properties.is_empty() {
            return;
        }
        let required: Vec<&str> = [Some(schema), inner.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|part| part["required"].as_array().into_iter().flatten().filter_map(Value::as_str))
            .collect();
        let _ = writeln!(page, "\n| {title} | type | | meaning |\n|---|---|---|---|");
        let mut rows: Vec<(&String, &Value)> = properties.iter().collect();
        rows.sort_by_key(|(name, _)| (!required.contains(&name.as_str()), *name));
        for (name, property) in rows {
            let need = if required.contains(&name.as_str()) { "always" } else { "" };
            let _ = writeln!(page, "| `{name}` | {} | {need} | {} |", self.kind(property), text(property));
        }
    }

    /// What kind of value it is, in words.
    fn kind(&self, schema: &Value) -> String {
        if let Some(path) = schema["$ref"].as_str() {
            let name = path.trim_start_matches(PREFIX);
            return format!("[{name}](#{})", name.to_lowercase());
        }
        if let Some(value) = schema.get("const") {
            return format!("`{value}`");
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        }
        if let Some(options) = schema["anyOf"].as_array() {
            let kinds =
                options.iter().filter(|option| option["type"] != "null").map(|option| self.kind(option));
            return kinds.collect::<Vec<_>>().join(" or ");
        }
        let names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            _ => vec!["any"],
        };
        match names.as_slice() {
            ["array"] => format!("array of {}", self.kind(&schema["items"])),
            ["object"] if schema["additionalProperties"].is_object() => {
                format!("object of {}", self.kind(&schema["additionalProperties"]))
            }
            names => names.join(" or "),
        }
    }
}

fn heading(page: &mut String, level: usize, name: &str, schema: &Value) {
    let _ = writeln!(page, "\n{} {name}\n\n{}", "#".repeat(level), text(schema));
}

/// The description on one line.
fn text(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
