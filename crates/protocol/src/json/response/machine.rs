//! Answers about the machine as a whole.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::RequestId;

/// Who the program is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HelloReport {
    /// This program's version.
    pub version: String,
    /// The version of this protocol. It is raised when something that worked works differently; new requests and fields
    /// come without.
    pub protocol_version: u32,
    /// The CPU engine.
    pub engine: String,
    /// The image.
    pub image: String,
    /// The processor that the guest sees.
    pub arch: String,
    /// Every request there is.
    pub requests: Vec<String>,
    /// What else can be relied on: names that are documented in the protocol's reference.
    pub capabilities: Vec<String>,
    /// What there is at most.
    pub limits: Limits,
}

/// What there is at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Limits {
    /// Memory of the guest (`--memory-limit`), in bytes.
    pub memory_bytes: u64,
    /// Space for files written since the start (`--disk-limit`), in bytes; it is guest memory.
    pub disk_bytes: u64,
    /// Processes and threads of the sandbox (`--process-limit`).
    pub processes: u64,
    /// Bytes kept of an output stream, at most.
    pub output_bytes: u64,
    /// Requests for processes that can be open at a time in one sandbox: those that run, and those that ended in
    /// the background.
    pub open_processes: u64,
    /// Bytes of a line.
    pub line_bytes: u64,
    /// Bytes of lines that wait for their answers; then no more are read.
    pub backlog_bytes: u64,
    /// Bytes of answers and events that nobody has read; then what causes events is stopped until somebody does.
    pub unread_bytes: u64,
    /// Largest `time_limit_ms`, in milliseconds.
    pub time_limit_ms: u64,
    /// Machines at a time.
    pub sandboxes: u64,
}

/// How the machine is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
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
    /// Processes and threads started by requests, with their descendants.
    pub processes: u64,
    /// The most of them there may be; absent if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes_limit: Option<u64>,
    /// CPU time used by them since the machine was booted, in milliseconds.
    pub cpu_time_ms: u64,
    /// Guest instructions executed by this machine. The engine `wx86` counts exactly, `v86` about.
    pub instructions: u64,
    /// The SHA-256 sum of the guest's memory in hexadecimal digits, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_hash: Option<String>,
    /// Memory of the host that this program occupies, in bytes.
    pub host_memory_bytes: u64,
    /// Requests for processes that are open; see `process_list`.
    pub open_processes: u64,
    /// Shells and interpreters that are kept; see `session_list`.
    pub open_sessions: u64,
    /// The checkpoints there are.
    pub checkpoints: Vec<CheckpointInfo>,
    /// What there is at most.
    pub limits: Limits,
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

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CheckpointInfo {
    /// Its name.
    pub name: String,
    /// Memory of the machine that it stands for, in bytes. What it shares with the initial state takes no room of its own.
    pub size: u64,
}

/// The machine is in its initial state.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ResetDone {
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine's state is kept.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Checkpointed {
    /// The checkpoint's name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine is as it was at the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Restored {
    /// The checkpoint's name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// There is a second machine.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Forked {
    /// What it is called in the field `sandbox` of later requests.
    pub sandbox: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The machine is gone.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Closed {
    /// What it was called.
    pub sandbox: String,
}

/// The machine's state is in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Saved {
    /// Path on the host, as it was given.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Whether something was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cancelled {
    /// The id that was looked for.
    pub target: RequestId,
    /// Whether a request with that id was waiting or under way. It may have been answered already.
    pub cancelled: bool,
}
