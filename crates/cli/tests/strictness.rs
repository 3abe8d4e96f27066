//! What is not exactly a request is refused, whatever it is made of.

mod common;

use common::schema::{is_allowed, is_output, request_fields, request_types};
use common::{Noise, Session, at_full_tests, shared};
use serde_json::{Map, Value, json};

/// Fields that all requests have.
const COMMON: [&str; 4] = ["type", "id", "sandbox", "async"];

/// Values of every kind.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(0.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("/nowhere/x"),
        json!("\0"),
        json!("SIGFOO"),
        json!("python"),
        json!("text"),
        json!("file"),
        json!("0644"),
        json!([]),
        json!(["/nowhere/x"]),
        json!([1]),
        json!({}),
        json!({"a": "b"}),
        json!({"a": 1}),
        json!({"cols": 1, "rows": 1}),
        json!("é\u{1e}😀".repeat(50)),
    ]
}

/// The smallest request of a type: harmless, and its required fields alone.
fn smallest(kind: &str) -> Map<String, Value> {
    let mut request = Map::new();
    for (name, required) in request_fields(kind) {
        let value = match name.as_str() {
            "type" => json!(kind),
            "id" => json!("id"),
            "command" => json!("true"),
            "signal" => json!("TERM"),
            "process_id" => json!("p0"),
            _ if !required => continue,
            _ => [json!("/nowhere/x")]
                .into_iter()
                .chain(values())
                .find(|value| is_allowed(kind, &name, value))
                .unwrap_or_else(|| panic!("{kind}, {name}")),
        };
        if required {
            request.insert(name, value);
        }
    }
    request
}

/// Sends a line that must be refused; why it was.
fn refusal(guest: &mut Session, request: &Value) -> String {
    guest.send_line(request);
    let line = guest.next_line().expect("an answer");
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["success"], false, "{request}: {line}");
    let code = answer["error_code"].as_str().expect("a code");
    assert!(code.starts_with("invalid_") || code == "unknown_type", "{request}: {line}");
    assert!(is_output(&answer), "{line}");
    answer["error"].as_str().expect("a sentence").to_owned()
}

#[test]
fn a_field_that_is_missing_misspelt_or_of_another_kind_is_named() {
    let mut guest = shared();
    for kind in request_types() {
        let smallest = smallest(&kind);
        for (name, required) in request_fields(&kind) {
            if required && !COMMON.contains(&name.as_str()) {
                let mut request = smallest.clone();
                request.remove(&name);
                let error = refusal(&mut guest, &request.into());
                assert!(error.contains(&format!("missing field `{name}`")), "{kind}: {error}");
            }
            if name.len() >= 4 {
                let mut request = smallest.clone();
                let value = request.remove(&name).unwrap_or(json!(1));
                request.insert(format!("{}{}", &name[..2], &name[1..]), value);
                let error = refusal(&mut guest, &request.into());
                let says = error.contains(&format!("did you mean `{name}`?")) || name == "type";
                assert!(says, "{kind}, {name}: {error}");
            }
            for value in
                values().into_iter().filter(|value| !is_allowed(&kind, &name, value) && name != "type")
            {
                let mut request = smallest.clone();
                request.insert(name.clone(), value);
                let request = Value::from(request);
                let error = refusal(&mut guest, &request);
                assert!(error.contains(&name), "{request}: {error}");
            }
        }
    }
    assert_eq!(guest.output("echo fine"), "fine\n");
}

#[test]
fn types_that_are_misspelt_are_guessed() {
    let mut guest = shared();
    for kind in request_types() {
        let misspelt = format!("{}{}", &kind[..2], &kind[1..]);
        let error = refusal(&mut guest, &json!({"type": misspelt, "id": 1}));
        assert!(error.contains(&format!("did you mean {kind:?}?")), "{misspelt}: {error}");
    }
    // Neither long names nor long values make long answers, or work.
    let long = "x".repeat(20 << 20);
    for request in [
        json!({"type": long, "id": 1}),
        json!({"type": "status", "id": 1, long.clone(): 1}),
        json!({"type": "run_code", "id": 1, "code": "", "language": long}),
        json!({"type": "read_file", "id": 1, "path": long}),
        json!({"type": "write_file", "id": 1, "path": "/a", "content": "", "mode": long}),
    ] {
        assert!(refusal(&mut guest, &request).len() < 10_000);
    }
}

/// One choice out of many.
fn one<'a, T>(noise: &mut Noise, choices: &'a [T]) -> &'a T {
    let number = noise.next().expect("endless");
    &choices[(number % choices.len() as u64) as usize]
}

/// A line that looks like a request and has at least one fault; whether its `id` can be read.
fn faulty(noise: &mut Noise, kinds: &[String], values: &[Value], number: usize) -> (Vec<u8>, bool) {
    let kind = one(noise, kinds);
    let mut request = smallest(kind);
    request.insert("id".into(), json!(number));
    for (name, _) in request_fields(kind) {
        if !COMMON.contains(&name.as_str()) && noise.next().expect("endless").is_multiple_of(3) {
            request.insert(name, one(noise, values).clone());
        }
    }
    if noise.next().expect("endless").is_multiple_of(8) {
        request.insert("async".into(), json!(true));
    }
    let mut has_id = true;
    match noise.next().expect("endless") % 8 {
        0 => drop(request.insert("sandbox".into(), json!("nowhere"))),
        1 => drop(request.insert("sandbox".into(), json!(["main"]))),
        2 => drop(request.insert("async".into(), json!("yes"))),
        3 => drop(request.insert("type".into(), json!(format!("{kind}_")))),
        4 => drop(request.insert(format!("field_{number}"), one(noise, values).clone())),
        5 => {
            has_id = false;
            match one(noise, &[Value::Null, json!([1]), json!({}), json!(true)]) {
                Value::Null => drop(request.remove("id")),
                other => drop(request.insert("id".into(), other.clone())),
            }
        }
        6 => {
            // Cut anywhere before its end.
            let line = Value::from(request).to_string().into_bytes();
            let end = noise.next().expect("endless") as usize % line.len();
            return (line[..end].to_vec(), false);
        }
        _ => {
            let mut line = Value::from(request).to_string().into_bytes();
            let place = noise.next().expect("endless") as usize % line.len();
            line.insert(place, *one(noise, b"\x00\x01\x1F\xFF\xC0"));
            return (line, false);
        }
    }
    (Value::from(request).to_string().into_bytes(), has_id)
}

#[test]
fn faulty_lines_of_all_kinds_get_one_answer_each() {
    let count = at_full_tests(100_000, 1_000_000);
    let (kinds, values) = (request_types(), values());
    let mut session = Session::start();
    let mut noise = Noise(4);
    for start in (0..count).step_by(10_000) {
        let mut lines = Vec::new();
        let mut expected = Vec::new();
        for number in 0..10_000 {
            let (line, has_id) = faulty(&mut noise, &kinds, &values, number);
            lines.extend(line);
            lines.push(b'\n');
            expected.push(has_id);
        }
        let mut without_id = expected.iter().filter(|has_id| !**has_id).count();
        session.send_raw(lines);
        for _ in 0..10_000 {
            let line = session.next_line().expect("an answer");
            let answer: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(answer["success"], false, "{line}");
            assert!(answer["error"].as_str().is_some_and(|error| error.len() > 10), "{line}");
            match answer["id"].as_u64() {
                Some(number) => assert!(std::mem::take(&mut expected[number as usize]), "twice: {line}"),
                None => without_id = without_id.checked_sub(1).expect("an answer with its id"),
            }
        }
        assert!(without_id == 0 && !expected.contains(&true), "{start}");
    }
    assert_eq!(session.output("echo fine"), "fine\n");
    assert_eq!(session.status().restarts, 0);
    assert!(session.close().status.success());
}
