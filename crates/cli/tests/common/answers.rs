//! Answers, with exactly the fields the protocol names: one more, one less or one twice is an error.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::start_of;

/// What all answers have.
pub struct Head<'a> {
    pub kind: &'a str,
    pub id: &'a Value,
    pub success: bool,
}

/// An answer of one kind.
pub trait Answer: DeserializeOwned {
    /// The value of `success`.
    const SUCCESS: bool;

    fn head(&self) -> Head<'_>;

    /// Reads a line that must answer the request `id` of type `kind` in this way.
    fn read(line: &str, kind: &str, id: &Value) -> Self {
        let shown = start_of(line.as_bytes());
        let answer: Self = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}, in the answer to {id} of type {kind}: {shown}"));
        let head = answer.head();
        assert_eq!((head.kind, head.id, head.success), (kind, id, Self::SUCCESS), "{shown}");
        answer
    }
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident, success: $success:literal, { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[serde(rename = "type")]
            pub kind: String,
            pub id: Value,
            pub success: bool,
            #[serde(default, deserialize_with = "only_true")]
            pub restarted: bool,
            $($(#[$meta])* pub $field: $type,)*
        }

        impl Answer for $name {
            const SUCCESS: bool = $success;

            fn head(&self) -> Head<'_> {
                Head { kind: &self.kind, id: &self.id, success: self.success }
            }
        }
    };
}

mod files;
mod processes;

#[allow(unused_imports, reason = "each test program uses its own part of this")]
pub use files::*;
#[allow(unused_imports, reason = "each test program uses its own part of this")]
pub use processes::*;

answer!(
    /// To a command that ran.
    Shell, success: true, {
        stdout: String,
        stderr: String,
        exit_code: u8,
        #[serde(default, deserialize_with = "present")]
        signal: Option<String>,
        timed_out: bool,
        duration_ms: u64,
        #[serde(default, deserialize_with = "present")]
        cpu_time_ms: Option<u64>,
        instructions: u64,
        #[serde(default, deserialize_with = "only_base64")]
        stdout_encoding: Option<Encoding>,
        #[serde(default, deserialize_with = "only_base64")]
        stderr_encoding: Option<Encoding>,
        #[serde(default, deserialize_with = "only_true")]
        stdout_truncated: bool,
        #[serde(default, deserialize_with = "only_true")]
        stderr_truncated: bool,
        #[serde(default, deserialize_with = "only_true")]
        session_ended: bool,
        #[serde(default, deserialize_with = "not_zero")]
        stdout_truncated_bytes: u64,
        #[serde(default, deserialize_with = "not_zero")]
        stderr_truncated_bytes: u64,
        #[serde(default, deserialize_with = "present")]
        note: Option<String>,
    }
);

answer!(
    /// To a file that was written.
    Written, success: true, { size: u64 }
);

answer!(
    /// To a file that was read.
    Content, success: true, {
        content: String,
        encoding: Encoding,
        size: u64,
        #[serde(default, deserialize_with = "present")]
        file_size: Option<u64>,
    }
);

answer!(
    /// To a reset.
    ResetDone, success: true, { duration_ms: u64 }
);

answer!(
    /// To a question for the state.
    Status, success: true, {
        ready: bool,
        uptime_ms: u64,
        memory_used_bytes: u64,
        memory_limit_bytes: u64,
        disk_used_bytes: u64,
        disk_limit_bytes: u64,
        processes: u64,
        processes_limit: u64,
        cpu_time_ms: u64,
        open_processes: u64,
        open_sessions: u64,
        checkpoints: Vec<CheckpointInfo>,
        limits: Limits,
        instructions: u64,
        #[serde(default, deserialize_with = "present")]
        memory_hash: Option<String>,
        host_memory_bytes: u64,
        engine: String,
        image: String,
        kernel: String,
        restarts: u64,
        version: String,
    }
);

/// A checkpoint in a status.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointInfo {
    pub name: String,
    pub size: u64,
}

/// What there is at most.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub processes: u64,
    pub output_bytes: u64,
    pub open_processes: u64,
    pub line_bytes: u64,
    pub backlog_bytes: u64,
    pub unread_bytes: u64,
    pub time_limit_ms: u64,
    pub sandboxes: u64,
}

answer!(
    /// To a checkpoint.
    Checkpointed, success: true, { name: String, duration_ms: u64 }
);

answer!(
    /// To a return to a checkpoint.
    Restored, success: true, { name: String, duration_ms: u64 }
);

answer!(
    /// To a fork.
    Forked, success: true, { sandbox: String, duration_ms: u64 }
);

answer!(
    /// To the end of a fork.
    Closed, success: true, { sandbox: String }
);

answer!(
    /// To a machine that was written to a file.
    Saved, success: true, { path: String, size: u64, duration_ms: u64 }
);

answer!(
    /// To everything that was not carried out.
    Failure, success: false, {
        error: String,
        error_code: ErrorCode,
        #[serde(default, deserialize_with = "present")]
        stdout: Option<String>,
        #[serde(default, deserialize_with = "present")]
        stderr: Option<String>,
        #[serde(default, deserialize_with = "only_base64")]
        stdout_encoding: Option<Encoding>,
        #[serde(default, deserialize_with = "only_base64")]
        stderr_encoding: Option<Encoding>,
    }
);

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    Text,
    Base64,
}

/// The closed list of error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    InvalidJson,
    LineTooLong,
    UnknownType,
    InvalidRequest,
    InvalidBase64,
    InvalidMode,
    InvalidPath,
    NotUtf8,
    NotFound,
    NotExecutable,
    BadCwd,
    BadUser,
    IsADirectory,
    NotADirectory,
    AlreadyExists,
    PermissionDenied,
    NoSpace,
    TooLarge,
    UnknownSandbox,
    UnknownCheckpoint,
    HostIo,
    NotEmpty,
    InvalidPattern,
    Mismatch,
    Io,
    TimedOut,
    Cancelled,
    UnknownProcess,
    UnknownSession,
    Busy,
    StdinClosed,
    LimitReached,
    HostPathNotAllowed,
    MachineCrashed,
    Internal,
}

// Fields that say nothing are left out, never written as null, false, zero or "text".

pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn only_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    said(bool::deserialize(deserializer)?, false)
}

fn not_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    said(u64::deserialize(deserializer)?, 0)
}

fn only_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Encoding>, D::Error> {
    said(Encoding::deserialize(deserializer)?, Encoding::Text).map(Some)
}

fn said<T: PartialEq, E: serde::de::Error>(value: T, default: T) -> Result<T, E> {
    if value == default { Err(E::custom("a field that should be left out")) } else { Ok(value) }
}
