//! Answers.

mod files;
mod machine;
mod processes;

pub use files::{
    Copied, DirectoryListing, DirectoryMade, Downloaded, Entry, FileContent, FileReplacements, FileWritten,
    Found, Match, PathExists, PathInfo, Removed, Replaced, Uploaded, Watching,
};
pub use machine::{
    Cancelled, CheckpointInfo, Checkpointed, Closed, Forked, HelloReport, Limits, ResetDone, Restored, Saved,
    StatusReport,
};
pub use processes::{
    CodeException, LogFound, PortOpen, ProcessInfo, ProcessOutput, ProcessStarted, ProcessState,
    ProcessWritten, Processes, RunCodeResult, SessionInfo, Sessions, ShellResult,
};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Encoding, ErrorCode, RequestId};

/// The one answer to one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// The request's `type`; `"error"` if the line has none that can be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request's `id`; null if the line has none that can be read.
    pub id: Option<RequestId>,
    /// Whether the request was carried out. A command that ran is a success, whatever its exit code.
    pub success: bool,
    /// The machine went down since the last answer and has been started afresh: files, processes
    /// and state are the initial ones. Absent otherwise.
    #[serde(skip_serializing_if = "is_false")]
    pub restarted: bool,
    /// What was asked for, or why not.
    #[serde(flatten)]
    pub outcome: Outcome,
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

pub(super) fn is_text(encoding: &Encoding) -> bool {
    *encoding == Encoding::Text
}

pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Makes the enum of what answers carry.
macro_rules! outcomes {
    ($($variant:ident),* $(,)?) => {
        /// The fields of an answer that depend on the request.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs, reason = "each is named after the type that it holds")]
        pub enum Outcome {
            $($variant($variant),)*
            Status(Box<StatusReport>),
            Hello(Box<HelloReport>),
        }

        $(
            impl From<$variant> for Outcome {
                fn from(answer: $variant) -> Self {
                    Self::$variant(answer)
                }
            }

            impl TryFrom<Outcome> for $variant {
                type Error = Outcome;

                /// The answer, if it is one of this type.
                fn try_from(outcome: Outcome) -> Result<Self, Outcome> {
                    match outcome {
                        Outcome::$variant(answer) => Ok(answer),
                        other => Err(other),
                    }
                }
            }
        )*
    };
}

outcomes!(
    Done,
    Failure,
    ShellResult,
    ProcessStarted,
    RunCodeResult,
    Processes,
    ProcessState,
    ProcessOutput,
    ProcessWritten,
    PortOpen,
    LogFound,
    Sessions,
    Cancelled,
    FileContent,
    FileWritten,
    DirectoryListing,
    PathInfo,
    PathExists,
    DirectoryMade,
    Removed,
    Copied,
    Found,
    Replaced,
    Watching,
    Uploaded,
    Downloaded,
    ResetDone,
    Checkpointed,
    Restored,
    Forked,
    Closed,
    Saved,
);

impl TryFrom<Outcome> for StatusReport {
    type Error = Outcome;

    fn try_from(outcome: Outcome) -> Result<Self, Outcome> {
        match outcome {
            Outcome::Status(report) => Ok(*report),
            other => Err(other),
        }
    }
}

impl TryFrom<Outcome> for HelloReport {
    type Error = Outcome;

    fn try_from(outcome: Outcome) -> Result<Self, Outcome> {
        match outcome {
            Outcome::Hello(report) => Ok(*report),
            other => Err(other),
        }
    }
}

/// It was done, and there is nothing more to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Done {}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Failure {
    /// A sentence that says what went wrong and what to do.
    pub error: String,
    /// What kind of failure it is.
    pub error_code: ErrorCode,
    /// What a command wrote to standard output before it was cancelled or the machine went down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// What a command wrote to standard error before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// How `stdout` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stdout_encoding: Encoding,
    /// How `stderr` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stderr_encoding: Encoding,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.error)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure without output.
    pub fn new(error_code: ErrorCode, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            error_code,
            stdout: None,
            stderr: None,
            stdout_encoding: Encoding::Text,
            stderr_encoding: Encoding::Text,
        }
    }
}

impl Response {
    /// An answer to a request of `kind` with `id`; `success` follows from `outcome`.
    pub fn new(kind: impl Into<String>, id: Option<RequestId>, outcome: Outcome) -> Self {
        let success = !matches!(outcome, Outcome::Failure(_));
        Self { kind: kind.into(), id, success, restarted: false, outcome }
    }
}
