//! Answers.

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

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The fields of an answer that depend on the request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// To `shell`.
    Shell(ShellResult),
    /// To `write_file`.
    FileWritten(FileWritten),
    /// To `read_file`.
    FileContent(FileContent),
    /// To `reset`.
    ResetDone(ResetDone),
    /// To `status`.
    Status(Box<StatusReport>),
    /// To `checkpoint`.
    Checkpointed(Checkpointed),
    /// To `restore`.
    Restored(Restored),
    /// To `fork`.
    Forked(Forked),
    /// To `close`.
    Closed(Closed),
    /// To `save`.
    Saved(Saved),
    /// To anything that failed.
    Failure(Failure),
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShellResult {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit code, from 0 to 255; 128 + *n* if signal *n* ended it, as shells say it.
    pub exit_code: i32,
    /// Name of the signal that ended it, such as `"SIGKILL"`; absent if it exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// How `stdout` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stdout_encoding: Encoding,
    /// How `stderr` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stderr_encoding: Encoding,
    /// Bytes left out of the middle of `stdout`, because there were too many; absent if none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stdout_truncated_bytes: u64,
    /// Bytes left out of the middle of `stderr`, because there were too many; absent if none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stderr_truncated_bytes: u64,
    /// What a reader should know about this result, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

fn is_text(encoding: &Encoding) -> bool {
    *encoding == Encoding::Text
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A file was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileWritten {
    /// Its size in bytes.
    pub size: u64,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileContent {
    /// Its bytes, in `encoding`.
    pub content: String,
    /// How `content` is written.
    pub encoding: Encoding,
    /// Its size in bytes.
    pub size: u64,
}

/// The machine is in its initial state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResetDone {
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine's state is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkpointed {
    /// The checkpoint's name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine is as it was at the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restored {
    /// The checkpoint's name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// There is a second machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forked {
    /// What it is called in the field `sandbox` of later requests.
    pub sandbox: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine is gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Closed {
    /// What it was called.
    pub sandbox: String,
}

/// The machine's state is in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saved {
    /// Path on the host, as it was given.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// How the machine is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusReport {
    /// Whether the machine takes requests.
    pub ready: bool,
    /// Milliseconds since this machine was started.
    pub uptime_ms: u64,
    /// Guest memory in use, in bytes, without caches that can be dropped.
    pub memory_used_bytes: u64,
    /// Guest memory there is (`--memory-limit`), in bytes.
    pub memory_limit_bytes: u64,
    /// Space used by files written since the start, in bytes.
    pub disk_used_bytes: u64,
    /// Space for such files, in bytes.
    pub disk_limit_bytes: u64,
    /// Processes in the guest, without kernel threads.
    pub processes: u64,
    /// Guest instructions executed by this machine.
    pub instructions: u64,
    /// Memory of the host that this program occupies, in bytes.
    pub host_memory_bytes: u64,
    /// The CPU engine.
    pub engine: String,
    /// The image.
    pub image: String,
    /// The kernel's release.
    pub kernel: String,
    /// How often a machine of this sandbox went down and was started afresh.
    pub restarts: u64,
    /// This program's version.
    pub version: String,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// A sentence that says what went wrong and what to do.
    pub error: String,
    /// What kind of failure it is.
    pub error_code: ErrorCode,
    /// What a command wrote to standard output before the machine went down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// What a command wrote to standard error before the machine went down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// How `stdout` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stdout_encoding: Encoding,
    /// How `stderr` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stderr_encoding: Encoding,
}

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
