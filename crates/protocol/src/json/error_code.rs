//! The closed list of error codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of failure an answer reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The line is not one JSON object in UTF-8.
    InvalidJson,
    /// The line is longer than the program takes.
    LineTooLong,
    /// `type` is not one of the requests there are.
    UnknownType,
    /// A field is missing, unknown, of the wrong type or out of range.
    InvalidRequest,
    /// A string is not base64 (RFC 4648, with padding).
    InvalidBase64,
    /// `mode` is not an octal number from 0 to 7777.
    InvalidMode,
    /// A path is empty, not absolute, too long, or has a NUL.
    InvalidPath,
    /// The file is not UTF-8 text: ask for `"encoding":"base64"`.
    NotUtf8,
    /// No such file, directory, program or user.
    NotFound,
    /// The file exists but may not be executed, or is no program.
    NotExecutable,
    /// `cwd` is not a directory one can change to.
    BadCwd,
    /// `user` is not a user of the guest.
    BadUser,
    /// A directory stands where a file is needed.
    IsADirectory,
    /// A file stands where a directory is needed.
    NotADirectory,
    /// It exists already.
    AlreadyExists,
    /// The guest's permissions forbid it.
    PermissionDenied,
    /// The guest's disk (which is in its memory) is full.
    NoSpace,
    /// Something is larger than this program or the guest takes.
    TooLarge,
    /// There is no sandbox of that name: `fork` makes one.
    UnknownSandbox,
    /// There is no checkpoint of that name: `checkpoint` makes one.
    UnknownCheckpoint,
    /// A file of the host cannot be read or written, or the host has no room for another machine.
    HostIo,
    /// A directory is not empty: `recursive` removes it with everything in it.
    NotEmpty,
    /// A pattern or regular expression cannot be understood.
    InvalidPattern,
    /// The text to be replaced is not there, or not as often as was expected. Nothing was changed.
    Mismatch,
    /// Another error of the guest's operating system.
    Io,
    /// It took longer than was to be waited. (A command that runs too long is no failure: its answer says
    /// `"timed_out":true`.)
    TimedOut,
    /// It was stopped, by `cancel`, `reset`, `restore` or `close`.
    Cancelled,
    /// There is no process of that name: it was never there, or was forgotten.
    UnknownProcess,
    /// There is no session of that name.
    UnknownSession,
    /// The session is at work on another request.
    Busy,
    /// The process's standard input is not open.
    StdinClosed,
    /// One of the limits that `status` reports is reached.
    LimitReached,
    /// That path of the host was not allowed on the command line.
    HostPathNotAllowed,
    /// The machine went down while it carried the request out; it starts afresh.
    MachineCrashed,
    /// The program itself could not do its part (the host is out of memory or disk, for instance).
    Internal,
}
