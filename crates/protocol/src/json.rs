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

mod check;
mod content;
mod error_code;
mod event;
mod id;
mod parse;
mod reference;
mod request;
mod response;
mod schema;
mod signal;

pub use content::{Encoding, FileMode};
pub use error_code::ErrorCode;
pub use event::*;
pub use id::RequestId;
pub use parse::{ParsedLine, RequestError, parse_line};
pub use reference::reference;
pub use request::*;
pub use response::*;
pub use schema::schema;
pub use signal::{signal_name, signal_number};

/// The version of this protocol; see [`HelloReport::protocol_version`].
pub const PROTOCOL_VERSION: u32 = 1;
