//! Lines that are no requests: each gets exactly one answer, in its turn, and nothing else happens.

mod common;

use std::io::Read;

use common::{Answer, ErrorCode, Failure, Session, Written, sha256, shared};
use serde_json::{Value, json};

/// Sends lines and expects one refusal each; a request behind them shows that there is no answer too many.
fn refusals(guest: &mut Session, lines: &[Vec<u8>]) -> Vec<Failure> {
    for line in lines {
        guest.send_raw([line, &b"\n"[..]].concat());
    }
    let id = guest.send(json!({"type": "shell", "command": "echo fine"}));
    let failures = lines.iter().map(|_| guest.next_line().expect("an answer")).map(|line| {
        let failure: Failure = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(!failure.success && !failure.restarted, "{line}");
        assert_eq!((&failure.stdout, &failure.stderr), (&None, &None), "{line}");
        assert!(failure.error.len() > 10, "{line}");
        failure
    });
    let failures = failures.collect();
    let answer: common::Shell = guest.next_answer("shell", &id);
    assert_eq!((answer.stdout.as_str(), answer.exit_code), ("fine\n", 0));
    failures
}

/// One line and what the answer to it must be.
struct Case {
    line: Vec<u8>,
    kind: &'static str,
    id: Value,
    code: ErrorCode,
    words: &'static str,
}

fn case(
    line: impl Into<Vec<u8>>,
    kind: &'static str,
    id: Value,
    code: ErrorCode,
    words: &'static str,
) -> Case {
    Case { line: line.into(), kind, id, code, words }
}

fn check(cases: &[Case]) {
    let lines: Vec<_> = cases.iter().map(|case| case.line.clone()).collect();
    let failures = refusals(&mut shared(), &lines);
    for (Case { line, kind, id, code, words }, failure) in cases.iter().zip(&failures) {
        let line = common::start_of(line);
        let found = (failure.head().kind, failure.head().id, failure.error_code);
        assert_eq!(found, (*kind, id, *code), "{line}: {}", failure.error);
        assert!(failure.error.contains(words), "{line}: {:?} should contain {words:?}", failure.error);
        assert!(!failure.error.contains(char::is_control), "{line}: {:?}", failure.error);
    }
}

#[test]
fn lines_that_are_no_json_object() {
    use ErrorCode::InvalidJson;
    let no_json = |line: &[u8], words| case(line, "error", Value::Null, InvalidJson, words);
    check(&[
        no_json(b"", "empty"),
        no_json(b"  \t\r", "empty"),
        no_json(b"hello", "not valid JSON"),
        no_json(b"{", "not valid JSON"),
        no_json(b"{}}", "not valid JSON"),
        no_json(br#"{"type":"status","id":"1"} {"type":"status","id":"2"}"#, "not valid JSON"),
        no_json(br#"{"type":"status","id":"1",}"#, "not valid JSON"),
        no_json(br#"{'type':'status','id':'1'}"#, "not valid JSON"),
        no_json(br#"{"type":"status","id":"1"#, "not valid JSON"),
        no_json(br#"{"type":"status","id":"\ud800"}"#, "not valid JSON"),
        no_json(br#"{"type":"status","id":"\x41"}"#, "not valid JSON"),
        no_json(br#"{"type":"status","id":1e999}"#, "not valid JSON"),
        no_json(b"{\"type\":\"shell\",\"id\":\"1\",\"command\":\"a\tb\"}", "not valid JSON"),
        no_json(b"\0\0\0", "not valid JSON"),
        no_json(b"[]", "no object"),
        no_json(b"null", "no object"),
        no_json(b"true", "no object"),
        no_json(b"42", "no object"),
        no_json(br#""status""#, "no object"),
        no_json(br#"[{"type":"status","id":"1"}]"#, "no object"),
    ]);
}

#[test]
fn lines_that_are_not_utf8() {
    let lines: [&[u8]; 4] = [
        b"\xFF\xFE",
        b"{\"type\":\"write_file\",\"id\":\"1\",\"path\":\"/tmp/a\",\"content\":\"caf\xE9\"}",
        b"{\"type\":\"status\",\"id\":\"\xED\xA0\x80\"}",
        b"\x1F\x8B\x08\0binary",
    ];
    check(&lines.map(|line| case(line, "error", Value::Null, ErrorCode::InvalidJson, "base64")));
}

#[test]
fn objects_without_a_usable_type_or_id() {
    use ErrorCode::{InvalidRequest, UnknownType};
    let one = || json!("1");
    check(&[
        case("{}", "error", Value::Null, InvalidRequest, "`type` is missing"),
        case(r#"{"id":"1"}"#, "error", one(), InvalidRequest, "`type` is missing"),
        case(r#"{"id":"1","command":"ls"}"#, "error", one(), InvalidRequest, "shell"),
        case(r#"{"type":null,"id":"1"}"#, "error", one(), InvalidRequest, "`type` must be"),
        case(r#"{"type":["status"],"id":"1"}"#, "error", one(), InvalidRequest, "`type` must be"),
        case(r#"{"type":"explode","id":"1"}"#, "explode", one(), UnknownType, "write_file"),
        case(r#"{"type":"","id":"1"}"#, "", one(), UnknownType, "unknown"),
        case(r#"{"type":"Shell","id":"1","command":"ls"}"#, "Shell", one(), UnknownType, "shell"),
        case(r#"{"type":"status"}"#, "status", Value::Null, InvalidRequest, "`id` is missing"),
        case(r#"{"type":"status","id":null}"#, "status", Value::Null, InvalidRequest, "`id` must be"),
        case(r#"{"type":"status","id":true}"#, "status", Value::Null, InvalidRequest, "`id` must be"),
        case(r#"{"type":"status","id":["1"]}"#, "status", Value::Null, InvalidRequest, "`id` must be"),
        case(r#"{"type":"status","id":{"a":1}}"#, "status", Value::Null, InvalidRequest, "`id` must be"),
    ]);
}

#[test]
fn fields_that_are_missing_unknown_or_of_the_wrong_type() {
    let cases = [
        ("shell", r#""#, "missing field `command`"),
        ("shell", r#","command":1"#, "expected a string"),
        ("shell", r#","command":null"#, "expected a string"),
        ("shell", r#","command":["ls"]"#, "expected a string"),
        ("shell", r#","command":"ls","commnad":"ls""#, "unknown field `commnad`"),
        ("shell", r#","command":"ls","Command":"ls""#, "unknown field `Command`"),
        ("shell", r#","command":"ls","path":"/""#, "unknown field `path`"),
        ("shell", r#","command":"a\u0000b""#, "NUL"),
        ("shell", r#","command":"ls","time_limit_ms":0"#, "from 1 to"),
        ("shell", r#","command":"ls","time_limit_ms":-1"#, "-1"),
        ("shell", r#","command":"ls","time_limit_ms":1.5"#, "1.5"),
        ("shell", r#","command":"ls","time_limit_ms":"500""#, "500"),
        ("shell", r#","command":"ls","time_limit_ms":86400001"#, "86400000"),
        ("shell", r#","command":"ls","time_limit_ms":99999999999999999999"#, "1e+20"),
        ("shell", r#","command":"ls","env":[]"#, "expected a map"),
        ("shell", r#","command":"ls","env":{"A":1}"#, "expected a string"),
        ("shell", r#","command":"ls","env":{"A=B":"1"}"#, "A=B"),
        ("shell", r#","command":"ls","env":{"":"1"}"#, "empty"),
        ("shell", r#","command":"ls","env":{"A":"\u0000"}"#, "NUL"),
        ("shell", r#","command":"ls","stdin":7"#, "expected a string"),
        ("shell", r#","command":"ls","encoding":"hex""#, "hex"),
        ("shell", r#","command":"ls","cwd":1"#, "expected a string"),
        ("write_file", r#","content":"""#, "missing field `path`"),
        ("write_file", r#","path":"/tmp/never""#, "missing field `content`"),
        ("write_file", r#","path":"/tmp/never","content":{}"#, "expected a string"),
        ("write_file", r#","path":"/tmp/never","content":"","encoding":"utf-8""#, "utf-8"),
        ("write_file", r#","path":"/tmp/never","content":"","mode":420"#, "expected a string"),
        ("write_file", r#","path":"/tmp/never","content":"","appendix":true"#, "unknown field `appendix`"),
        ("read_file", r#""#, "missing field `path`"),
        ("read_file", r#","path":"/etc/passwd","encoding":1"#, "expected a string"),
        ("read_file", r#","path":"/etc/passwd","mode":"0644""#, "unknown field `mode`"),
        ("read_file", r#","path":"/etc/passwd","encoding":{"base64":null}"#, "expected a string"),
        ("reset", r#","hard":true"#, "unknown field `hard`"),
        ("status", r#","verbose":true"#, "unknown field `verbose`"),
    ];
    check(&cases.map(|(kind, fields, words)| {
        let line = format!(r#"{{"type":"{kind}","id":7{fields}}}"#);
        case(line, kind, json!(7), ErrorCode::InvalidRequest, words)
    }));
}

#[test]
fn modes_that_are_not_octal() {
    let modes = [
        "",
        "9",
        "8",
        "rwxr-xr-x",
        "0x1ff",
        "10000",
        "77777",
        "-1",
        "+644",
        " 644",
        "0644 ",
        "644.0",
        "٦٤٤",
        "000644",
    ];
    let cases = modes.map(|mode| {
        let request =
            json!({"type": "write_file", "id": "m", "path": "/tmp/never", "content": "", "mode": mode});
        case(request.to_string(), "write_file", json!("m"), ErrorCode::InvalidMode, "octal")
    });
    check(&cases);
    assert_eq!(shared().output("ls -A /tmp"), "");
}

#[test]
fn paths_that_lead_nowhere() {
    let (too_long, longest) = (format!("/{}", "d/".repeat(2048)), format!("/{}x", "d/".repeat(2047)));
    assert_eq!((too_long.len(), longest.len()), (4097, 4096));
    let paths = [
        ("", "empty"),
        ("relative", "not absolute"),
        ("./relative", "not absolute"),
        ("~/file", "not absolute"),
        (" /tmp", "not absolute"),
        ("/tmp/a\0b", "NUL"),
        ("\0", "NUL"),
        (too_long.as_str(), "4097"),
        (longest.as_str(), "4096"),
    ];
    let cases = paths.iter().flat_map(|&(path, words)| {
        [
            json!({"type": "write_file", "path": path, "content": "x"}),
            json!({"type": "read_file", "path": path}),
            json!({"type": "shell", "command": "true", "cwd": path}),
        ]
        .map(|mut request| {
            request["id"] = json!("p");
            let kind = ["write_file", "read_file", "shell"].into_iter().find(|kind| request["type"] == *kind);
            case(request.to_string(), kind.unwrap(), json!("p"), ErrorCode::InvalidPath, words)
        })
    });
    check(&cases.collect::<Vec<_>>());

    let just_short_enough = &too_long[..4095];
    shared().refusal(ErrorCode::NotFound, json!({"type": "read_file", "path": just_short_enough}));
}

#[test]
fn depth_bombs_and_other_monsters() {
    let nested = |open: &str| format!(r#"{{"type":"status","id":"1","x":{}"#, open.repeat(2_000_000));
    let balanced =
        format!(r#"{{"type":"status","id":"1","x":{}{}}}"#, "[".repeat(500_000), "]".repeat(500_000));
    let no_json = |line: String| case(line, "error", Value::Null, ErrorCode::InvalidJson, "not valid JSON");
    let many_keys: String = (0..300_000).map(|n| format!(r#","k{n}":{n}"#)).collect();
    check(&[
        no_json(nested("[")),
        no_json(nested(r#"{"a":"#)),
        no_json(balanced),
        no_json("9".repeat(3_000_000)),
        no_json(format!(r#"{{"type":"status","id":"{}"#, "a".repeat(3_000_000))),
        case(
            format!(r#"{{"type":"status","id":"1"{many_keys}}}"#),
            "status",
            json!("1"),
            ErrorCode::InvalidRequest,
            "unknown field",
        ),
    ]);
}

#[test]
fn unusual_but_valid_lines_are_served() {
    let mut guest = shared();
    let lines = [
        "  {\"command\" : \"echo ok\" ,\t\"id\":\"x\", \"type\" : \"shell\"}  ",
        r#"{"\u0074ype":"shell","id":"x","command":"\u0065cho ok"}"#,
        "{\"type\":\"shell\",\"id\":\"x\",\"command\":\"echo ok\"}\r",
        r#"{"type":"shell","id":"x","command":"echo ok","cwd":null,"stdin":null}"#,
    ];
    for line in lines {
        guest.send_raw(format!("{line}\n"));
        let answer: common::Shell = guest.next_answer("shell", &json!("x"));
        assert_eq!((answer.stdout.as_str(), answer.exit_code), ("ok\n", 0), "{line}");
    }
}

#[test]
fn a_line_of_many_megabytes_is_a_line() {
    let content = "many megabytes ".repeat(800_000);
    let mut guest = shared();
    let answer: Written =
        guest.request(json!({"type": "write_file", "path": "/tmp/large", "content": content}));
    assert_eq!(answer.size, 12_000_000);
    assert_eq!(
        guest.output("sha256sum </tmp/large; rm /tmp/large"),
        format!("{}  -\n", sha256(content.as_bytes()))
    );
}

#[test]
fn a_line_too_long_is_skipped_in_bounded_memory() {
    const MIB: u64 = 1 << 20;
    let mut guest = shared();
    guest.output("true");
    let before = guest.host_memory("VmHWM");
    let request = br#"{"type":"write_file","id":"1","path":"/tmp/huge","content":""#;
    guest.send_stream(request.chain(std::io::repeat(b'x').take(900 * MIB)).chain(&b"\"}\n"[..]));
    let failure: Failure = guest.next_answer("error", &Value::Null);
    assert_eq!(failure.error_code, ErrorCode::LineTooLong);
    assert!(failure.error.contains("268435456"), "{}", failure.error);
    assert_eq!(guest.output("ls -A /tmp"), "");
    let grown = guest.host_memory("VmHWM") - before;
    assert!(grown < 300 * MIB, "memory grew by {} MiB", grown / MIB);
}

#[test]
fn a_thousand_bad_lines_get_a_thousand_answers_in_order() {
    let mut guest = shared();
    let lines: Vec<Vec<u8>> = (0..1000)
        .map(|n| match n % 4 {
            0 => format!(r#"{{"type":"fly","id":{n}}}"#).into_bytes(),
            1 => format!(r#"{{"type":"shell","id":{n}}}"#).into_bytes(),
            2 => format!(r#"{{"type":"read_file","id":{n},"path":"{n}"}}"#).into_bytes(),
            _ => format!("\u{FE}{n}").into_bytes(),
        })
        .collect();
    let failures = refusals(&mut guest, &lines);
    let expected = (0..1000).map(|n| match n % 4 {
        0 => ("fly", json!(n), ErrorCode::UnknownType),
        1 => ("shell", json!(n), ErrorCode::InvalidRequest),
        2 => ("read_file", json!(n), ErrorCode::InvalidPath),
        _ => ("error", Value::Null, ErrorCode::InvalidJson),
    });
    for (failure, expected) in failures.iter().zip(expected) {
        assert_eq!((failure.kind.as_str(), failure.id.clone(), failure.error_code), expected);
    }
}
