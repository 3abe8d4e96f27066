//! From a line to a request.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::content::INVALID_MODE;
use super::schema::COMMON_FIELDS;
use super::{ErrorCode, Failure, Request, RequestId, check};

/// A line that was understood as far as possible.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedLine {
    /// Its `type`, if it has one.
    pub kind: Option<String>,
    /// Its `id`, if it has one that is a string or a number.
    pub id: Option<RequestId>,
    /// The sandbox it is for; without it, the first one.
    pub sandbox: Option<String>,
    /// Whether it need not wait for the requests before it, nor those behind it for its answer.
    pub concurrent: bool,
    /// The request, or what is wrong with it.
    pub request: Result<Request, RequestError>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}")]
pub struct RequestError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// What is wrong and what to do, in a sentence.
    pub message: String,
}

impl RequestError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::new(error.code, error.message)
    }
}

/// Understands one line (without its newline). It never fails as a whole: what can be read of `type`
/// and `id` is kept for the answer.
pub fn parse_line(line: &[u8]) -> ParsedLine {
    match parse_object(line) {
        Ok(object) => parse_request(object),
        Err(error) => {
            ParsedLine { kind: None, id: None, sandbox: None, concurrent: false, request: Err(error) }
        }
    }
}

fn parse_object(line: &[u8]) -> Result<Map<String, Value>, RequestError> {
    let invalid = |message: String| RequestError::new(ErrorCode::InvalidJson, message);
    let text = std::str::from_utf8(line).map_err(|error| {
        invalid(format!(
            "the line is not UTF-8 (byte {}): send JSON in UTF-8, and other bytes in base64 with \
             \"encoding\":\"base64\"",
            error.valid_up_to()
        ))
    })?;
    if text.trim().is_empty() {
        return Err(invalid("the line is empty: send one JSON object a line".into()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("the line is JSON but no object: send {\"type\":…,\"id\":…,…}".into())),
        Err(error) => Err(invalid(format!("the line is not valid JSON: {error}"))),
    }
}

fn parse_request(mut object: Map<String, Value>) -> ParsedLine {
    let id_value = object.remove("id");
    let kind_value = object.remove("type");
    let sandbox_value = object.remove("sandbox");
    let async_value = object.remove("async");
    let kind = kind_value.as_ref().and_then(Value::as_str).map(str::to_owned);
    let id = match id_value {
        Some(Value::String(text)) => Ok(RequestId::Text(text)),
        Some(Value::Number(number)) => Ok(RequestId::Number(number)),
        Some(_) => Err(invalid_request("`id` must be a string or a number")),
        None => Err(invalid_request("`id` is missing: give the request a string or a number to answer to")),
    };
    let (id, id_error) = split(id.map(Some));
    let sandbox = match sandbox_value {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(_) => Err(invalid_request("`sandbox` must be a string: the name that `fork` gave")),
    };
    let (sandbox, sandbox_error) = split(sandbox);
    let concurrent = match async_value {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(invalid_request("`async` must be true or false")),
    };
    let (concurrent, async_error) = split(concurrent);
    let types = Request::TYPES.join(", ");
    let request = match (&kind, kind_value, id_error.or(sandbox_error).or(async_error)) {
        (_, None, _) => Err(invalid_request(format!("`type` is missing: it must be one of {types}"))),
        (None, Some(_), _) => Err(invalid_request(format!("`type` must be a string, one of {types}"))),
        (Some(_), _, Some(error)) => Err(error),
        (Some(kind), _, None) => typed_request(kind, object),
    };
    let request = request.map_err(|error| RequestError { message: shorten(error.message), ..error });
    ParsedLine { kind, id, sandbox, concurrent: concurrent.unwrap_or(false), request }
}

/// What is wrong may quote what was sent, which may be long.
fn shorten(mut message: String) -> String {
    const LONGEST: usize = 4000;
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    message
}

/// What was read, and what was wrong.
fn split<T>(result: Result<Option<T>, RequestError>) -> (Option<T>, Option<RequestError>) {
    match result {
        Ok(value) => (value, None),
        Err(error) => (None, Some(error)),
    }
}

pub(super) fn invalid_request(message: impl Into<String>) -> RequestError {
    RequestError::new(ErrorCode::InvalidRequest, message)
}

fn typed_request(kind: &str, object: Map<String, Value>) -> Result<Request, RequestError> {
    let Some(request) = Request::from_fields(kind, object) else {
        let nearest = nearest(kind, Request::TYPES);
        let hint = nearest.map(|name| format!("did you mean {name:?}? ")).unwrap_or_default();
        let types = Request::TYPES.join(", ");
        let message = format!("the type {kind:?} is unknown: {hint}it must be one of {types}");
        return Err(RequestError::new(ErrorCode::UnknownType, message));
    };
    let request = request?;
    check::check(&request)?;
    Ok(request)
}

/// Reads the fields of a request of type `kind` other than those that all requests have.
pub(super) fn fields<T: DeserializeOwned>(kind: &str, object: Map<String, Value>) -> Result<T, RequestError> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        if let Some(message) = message.strip_prefix(INVALID_MODE) {
            return RequestError::new(ErrorCode::InvalidMode, message);
        }
        let hint = unknown_field_hint(&message).unwrap_or_default();
        // Errors about the object as a whole have no path.
        let place = if path == "." { String::new() } else { format!("`{path}`: ") };
        invalid_request(format!("in a request of type {kind:?}: {place}{message}{hint}"))
    })
}

/// For serde's message about an unknown field, which lists those there are: the one that was probably meant.
fn unknown_field_hint(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.chain(COMMON_FIELDS).collect();
    nearest(unknown, &known).map(|name| format!(" (did you mean `{name}`?)"))
}

/// What `word` was probably meant to be.
fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const LIKE_ENOUGH: f64 = 0.7;
    const LONGEST: usize = 100;
    if word.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let word = plain(word);
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &plain(candidate)), *candidate))
        .filter(|(likeness, _)| *likeness > LIKE_ENOUGH)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::{Encoding, FileMode};

    fn failure(line: &str) -> (Option<RequestId>, ErrorCode, String) {
        let parsed = parse_line(line.as_bytes());
        let error = parsed.request.expect_err(line);
        (parsed.id, error.code, error.message)
    }

    #[test]
    fn a_shell_request_has_defaults() {
        let parsed = parse_line(br#"{"type":"shell","id":"7","command":"ls"}"#);
        let Ok(Request::Shell(shell)) = parsed.request else { panic!("{parsed:?}") };
        assert_eq!((shell.command.as_str(), shell.time_limit_ms), ("ls", None));
        assert_eq!((shell.cwd, shell.stdin, shell.env.len()), (None, None, 0));
        assert_eq!(parsed.id, Some("7".into()));
    }

    #[test]
    fn ids_may_be_numbers_and_come_back_unchanged() {
        let parsed = parse_line(br#"{"type":"status","id":12345678901234567890}"#);
        assert_eq!(parsed.id, Some(12_345_678_901_234_567_890.into()));
        assert!(parsed.request.is_ok());
    }

    #[test]
    fn a_file_mode_is_read() {
        let parsed = parse_line(
            br#"{"type":"write_file","id":"1","path":"/a","content":"","mode":"0755","encoding":"base64"}"#,
        );
        let Ok(Request::WriteFile(write)) = parsed.request else { panic!("{parsed:?}") };
        assert_eq!((write.mode, write.encoding), (Some(FileMode(0o755)), Encoding::Base64));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_id_is_kept() {
        use ErrorCode::*;
        let cases = [
            ("", None, InvalidJson, "empty"),
            ("   ", None, InvalidJson, "empty"),
            ("{", None, InvalidJson, "not valid JSON"),
            ("[1]", None, InvalidJson, "no object"),
            (r#"{"type":"shell","id":"1"} x"#, None, InvalidJson, "not valid JSON"),
            (r#"{"id":"1"}"#, Some("1"), InvalidRequest, "`type` is missing"),
            (r#"{"type":3,"id":"1"}"#, Some("1"), InvalidRequest, "must be a string"),
            (r#"{"type":"status"}"#, None, InvalidRequest, "`id` is missing"),
            (r#"{"type":"status","id":[]}"#, None, InvalidRequest, "string or a number"),
            (r#"{"type":"fly","id":"1"}"#, Some("1"), UnknownType, "\"fly\""),
            (r#"{"type":"shell","id":"1"}"#, Some("1"), InvalidRequest, "missing field `command`"),
            (
                r#"{"type":"shell","id":"1","command":"","x":1}"#,
                Some("1"),
                InvalidRequest,
                "unknown field `x`",
            ),
            (r#"{"type":"shell","id":"1","command":1}"#, Some("1"), InvalidRequest, "expected a string"),
            (
                r#"{"type":"shell","id":"1","command":"","time_limit_ms":0}"#,
                Some("1"),
                InvalidRequest,
                "from 1 to",
            ),
            (r#"{"type":"shell","id":"1","command":"","cwd":"tmp"}"#, Some("1"), InvalidPath, "not absolute"),
            (r#"{"type":"shell","id":"1","command":"","env":{"a=b":""}}"#, Some("1"), InvalidRequest, "a=b"),
            (
                r#"{"type":"shell","id":"1","command":"","timeLimitMs":1}"#,
                Some("1"),
                InvalidRequest,
                "did you mean `time_limit_ms`?",
            ),
            (r#"{"type":"exce","id":"1"}"#, Some("1"), UnknownType, "did you mean \"exec\"?"),
            (r#"{"type":"status","id":"1","async":1}"#, Some("1"), InvalidRequest, "`async`"),
            (r#"{"type":"exec","id":"1","argv":[]}"#, Some("1"), InvalidRequest, "`argv`"),
            (
                r#"{"type":"exec","id":"1","argv":["a"],"pty":{"cols":0,"rows":1}}"#,
                Some("1"),
                InvalidRequest,
                "`pty`",
            ),
            (
                r#"{"type":"exec","id":"1","argv":["a"],"pty":{"cols":1,"rows":1,"x":1}}"#,
                Some("1"),
                InvalidRequest,
                "unknown field `x`",
            ),
            (
                r#"{"type":"process_signal","id":"1","process_id":"p","signal":"SIGFOO"}"#,
                Some("1"),
                InvalidRequest,
                "SIGFOO",
            ),
            (r#"{"type":"upload","id":"1","path":"/a"}"#, Some("1"), InvalidRequest, "`content`"),
            (r#"{"type":"status","id":"1","sandbox":1}"#, Some("1"), InvalidRequest, "`sandbox`"),
            (r#"{"type":"checkpoint","id":"1","name":""}"#, Some("1"), InvalidRequest, "`name`"),
            (r#"{"type":"read_file","id":"1","path":""}"#, Some("1"), InvalidPath, "empty"),
            (r#"{"type":"read_file","id":"1","path":"/\u0000"}"#, Some("1"), InvalidPath, "NUL"),
            (
                r#"{"type":"read_file","id":"1","path":"/","encoding":"hex"}"#,
                Some("1"),
                InvalidRequest,
                "hex",
            ),
            (
                r#"{"type":"write_file","id":"1","path":"/a","content":"","mode":"9"}"#,
                Some("1"),
                InvalidMode,
                "octal",
            ),
        ];
        for (line, id, code, words) in cases {
            let (found_id, found_code, message) = failure(line);
            assert_eq!((found_id, found_code), (id.map(RequestId::from), code), "{line}: {message}");
            assert!(message.contains(words), "{line}: {message}");
            assert!(!message.contains('\u{1}'), "{line}: {message:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let line = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(failure(&line).1, ErrorCode::InvalidJson);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line: Vec<u8>) {
            parse_line(&line);
        }

        #[test]
        fn no_json_object_makes_it_panic(
            kind in "(shell|write_file|read_file|reset|status|x)?",
            field in "(command|path|content|cwd|mode|env|id|time_limit_ms)",
            value in "(null|true|-1|1e999|\"\"|\"/\\\\u0000\"|\\{\\}|\\[\\])",
        ) {
            parse_line(format!("{{\"type\":\"{kind}\",\"id\":1,\"{field}\":{value}}}").as_bytes());
        }
    }
}
