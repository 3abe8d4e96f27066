//! The JSON lines: requests in, answers out.
//!
//! A request is one JSON object on one line; `type` selects what is done, `id` comes back in the
//! answer. Every line gets exactly one answer, in order:
//!
//! ```json
//! {"type":"shell","id":"1","command":"echo hi"}
//! {"type":"shell","id":"1","success":true,"stdout":"hi\n","stderr":"","exit_code":0,"timed_out":false,"duration_ms":3}
//! ```
//!
//! A failure carries what went wrong as a sentence and as a code from a closed list:
//!
//! ```json
//! {"type":"read_file","id":"2","success":false,"error":"…","error_code":"not_found"}
//! ```

mod content;
mod error_code;
mod id;
mod parse;
mod request;
mod response;

pub use content::{Encoding, FileMode};
pub use error_code::ErrorCode;
pub use id::RequestId;
pub use parse::{ParsedLine, RequestError, parse_line};
pub use request::{
    Checkpoint, Close, Fork, ReadFile, Request, Reset, Restore, Save, Shell, Status, WriteFile,
};
pub use response::{
    Checkpointed, Closed, Failure, FileContent, FileWritten, Forked, Outcome, ResetDone, Response, Restored,
    Saved, ShellResult, StatusReport,
};
