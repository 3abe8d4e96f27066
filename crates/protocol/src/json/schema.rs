//! The JSON Schema of every message, and the reference for people made from it.

use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::request::for_each_schema;
use super::{ErrorCode, EventBody, Failure};

/// JSON Schema (draft 2020-12) of all messages: `requests` and `answers` by the value of `type`, the answer
/// to what `failed`, and `event`.
pub fn schema() -> Value {
    let mut requests = Map::new();
    let mut answers = Map::new();
    let settings = |contract| {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.contract = contract;
            settings.meta_schema = None;
        })
    };
    let mut reading: SchemaGenerator = settings(Contract::Deserialize).into_generator();
    let mut writing: SchemaGenerator = settings(Contract::Serialize).into_generator();
    for_each_schema(&mut reading, |name, request, _| {
        requests.insert(name.into(), request_schema(name, &request.to_value()));
    });
    for_each_schema(&mut writing, |name, _, bodies| {
        let bodies: Vec<Value> = bodies.into_iter().map(|body| body.to_value()).collect();
        answers.insert(name.into(), answer_schema(Some(name), true, bodies));
    });
    let failed = answer_schema(None, false, vec![writing.subschema_for::<Failure>().to_value()]);
    let event = json!({
        "title": "event",
        "type": "object",
        "properties": { "type": { "const": "event" }, "id": id_or_null() },
        "required": ["type", "id"],
        "allOf": [writing.subschema_for::<EventBody>().to_value()],
    });
    let _ = writing.subschema_for::<ErrorCode>();
    let mut definitions = reading.take_definitions(true);
    let mut written = writing.take_definitions(true);
    // Requests and answers of the same type have the same name only if they are the same.
    definitions.append(&mut written);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wasm-sandbox: lines on standard input and output",
        "requests": requests,
        "answers": answers,
        "failed": failed,
        "event": event,
        "$defs": definitions,
    })
}

fn id_or_null() -> Value {
    json!({ "type": ["string", "number", "null"], "description": "The id of the request." })
}

/// The fields that every request has.
pub(super) const COMMON_FIELDS: [&str; 4] = ["type", "id", "sandbox", "async"];

/// The fields that all requests have, and those of its own, `body`; nothing else is taken.
fn request_schema(name: &str, body: &Value) -> Value {
    let mut request = json!({
        "title": name,
        "description": body["description"],
        "type": "object",
        "properties": {
            "type": { "const": name },
            "id": { "type": ["string", "number"], "description": "Comes back in the answer; need not be unique." },
            "sandbox": { "type": "string", "description": "The machine it is for; the first one if absent." },
            "async": {
                "type": "boolean",
                "description": "Do not wait for the requests before it, nor let those behind it wait.",
            },
        },
        "required": ["type", "id"],
        "additionalProperties": false,
    });
    if let (Some(all), Some(own)) = (request["properties"].as_object_mut(), body["properties"].as_object()) {
        all.extend(own.clone());
    }
    if let (Some(all), Some(own)) = (request["required"].as_array_mut(), body["required"].as_array()) {
        all.extend(own.clone());
    }
    request
}

/// The fields that all answers have, and those of its own. More may be added in later versions.
fn answer_schema(name: Option<&str>, success: bool, bodies: Vec<Value>) -> Value {
    let kind = name.map_or_else(
        || json!({ "type": "string", "description": "That of the request; `error` if it has none that can be read." }),
        |name| json!({ "const": name }),
    );
    json!({
        "title": name.unwrap_or("failed"),
        "type": "object",
        "properties": {
            "type": kind,
            "id": id_or_null(),
            "success": { "const": success },
            "restarted": {
                "const": true,
                "description": "The machine went down since the last answer and was started afresh.",
            },
        },
        "required": ["type", "id", "success"],
        "anyOf": bodies,
    })
}
