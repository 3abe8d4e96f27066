//! Conversations that all clients share: they happen as they are written, and every line fits the schema.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::schema::{is_output, is_request};
use common::{Session, wasm_sandbox};
use regex::Regex;
use serde_json::{Map, Value};

type Kept = BTreeMap<String, Value>;

fn special<'a>(pattern: &'a str, kind: &str) -> Option<&'a str> {
    pattern.strip_prefix('<')?.strip_prefix(kind)?.strip_suffix('>')
}

/// Whether `value` matches; what is kept comes to `kept`.
fn matches(pattern: &Value, value: &Value, kept: &mut Kept) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => objects_match(pattern, value, kept),
        (Value::Array(pattern), Value::Array(value)) => {
            let mut pairs = pattern.iter().zip(value);
            pattern.len() == value.len() && pairs.all(|(pattern, value)| matches(pattern, value, kept))
        }
        (Value::String(pattern), value) => match pattern.as_str() {
            "<number>" => value.is_number(),
            "<string>" => value.is_string(),
            "<boolean>" => value.is_boolean(),
            "<any>" => true,
            text => {
                if let Some(name) = special(text, "keep ") {
                    kept.insert(name.to_owned(), value.clone());
                    true
                } else if let Some(name) = special(text, "kept ") {
                    kept.get(name) == Some(value)
                } else if let Some(pattern) = special(text, "/").and_then(|text| text.strip_suffix('/')) {
                    let pattern = Regex::new(pattern).expect("a pattern");
                    value.as_str().is_some_and(|value| pattern.is_match(value))
                } else {
                    value == text
                }
            }
        },
        (Value::Number(pattern), Value::Number(value)) => pattern.as_f64() == value.as_f64(),
        (pattern, value) => pattern == value,
    }
}

fn objects_match(pattern: &Map<String, Value>, value: &Map<String, Value>, kept: &mut Kept) -> bool {
    let more = pattern.get("<more>") == Some(&Value::Bool(true));
    let wanted: Vec<_> = pattern.iter().filter(|(name, _)| *name != "<more>").collect();
    (more || wanted.len() == value.len())
        && wanted
            .into_iter()
            .all(|(name, pattern)| value.get(name).is_some_and(|value| matches(pattern, value, kept)))
}

/// A request with what was kept in it.
fn filled_in(request: &Value, kept: &Kept) -> Value {
    match request {
        Value::String(text) => match special(text, "kept ") {
            Some(name) => kept.get(name).unwrap_or_else(|| panic!("{name} was not kept")).clone(),
            None => request.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled_in(item, kept)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled_in(value, kept)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn receive(session: &mut Session, place: &str) -> Value {
    let line =
        session.next_line().unwrap_or_else(|| panic!("{place}: the output ended; {}", session.stderr()));
    let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{place}: {error}: {line}"));
    assert!(is_output(&value), "{place}: does not fit the schema: {line}");
    value
}

fn play(path: &PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    common::prepare();
    let mut session = Session::start_from(wasm_sandbox().current_dir(directory.path()));
    let text = std::fs::read_to_string(path).expect("a file");
    let mut kept = Kept::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), number + 1);
        let step: Map<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
        let (what, value) = step.iter().next().expect("one member");
        assert_eq!(step.len(), 1, "{place}");
        match what.as_str() {
            "comment" => {}
            "send" => {
                let request = filled_in(value, &kept);
                let fits = is_request(&request);
                session.send_line(&request);
                // What does not fit the schema must be refused, which a transcript says next.
                if !fits {
                    assert!(
                        text.contains("\"invalid_request\"")
                            || text.contains("\"unknown_type\"")
                            || text.contains("\"invalid_"),
                        "{place}: does not fit the schema"
                    );
                }
            }
            "receive" => {
                let found = receive(&mut session, &place);
                assert!(matches(value, &found, &mut kept), "{place}: {found}");
            }
            "receive_in_any_order" => {
                let mut left = value.as_array().expect("patterns").clone();
                while !left.is_empty() {
                    let found = receive(&mut session, &place);
                    let index = left.iter().position(|pattern| matches(pattern, &found, &mut kept.clone()));
                    let pattern =
                        left.remove(index.unwrap_or_else(|| panic!("{place}: nothing matches {found}")));
                    assert!(matches(&pattern, &found, &mut kept));
                }
            }
            other => panic!("{place}: {other:?} is no step"),
        }
    }
    let end = session.close();
    assert!(end.status.success(), "{}: {}", path.display(), end.stderr);
}

#[test]
fn every_transcript_happens_as_it_is_written() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/transcripts");
    let files = std::fs::read_dir(directory).expect("tests/transcripts is there");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert!(!files.is_empty(), "there are no transcripts");
    let played = files.iter().map(|path| (path, std::panic::catch_unwind(|| play(path))));
    let failed: Vec<_> = played.filter(|(_, result)| result.is_err()).map(|(path, _)| path).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
