//! Answers about processes.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::request::Language;
use super::super::{Encoding, ProcessEvent};
use super::{is_false, is_text, is_zero};

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
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
    /// Whether it was killed because its time was over, or its instructions were used up.
    pub timed_out: bool,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// CPU time in milliseconds, of it and the children it waited for; absent for commands in a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time_ms: Option<u64>,
    /// Guest instructions that the machine executed from the request to its end: those of the command, of the kernel, and
    /// of whatever else ran meanwhile. The engine `wx86` counts exactly, `v86` about. Absent in `process_wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// How `stdout` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stdout_encoding: Encoding,
    /// How `stderr` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stderr_encoding: Encoding,
    /// Whether the middle of `stdout` was left out, because there was too much; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub stdout_truncated: bool,
    /// Whether the middle of `stderr` was left out, because there was too much; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub stderr_truncated: bool,
    /// Bytes left out of the middle of `stdout`; absent if none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stdout_truncated_bytes: u64,
    /// Bytes left out of the middle of `stderr`; absent if none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stderr_truncated_bytes: u64,
    /// The `session` it ran in has ended, with its directory, variables and functions; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub session_ended: bool,
    /// What a reader should know about this result, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A process runs in the background.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessStarted {
    /// What it is called in requests.
    pub process_id: String,
    /// Its process identifier in the guest.
    pub pid: u32,
}

/// What code did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RunCodeResult {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error, a traceback included.
    pub stderr: String,
    /// Python: the value of the last expression as `repr` gives it; absent if there is none, or it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Python: what was raised; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<CodeException>,
    /// The exit code of the last command in bash; in Python 0, or 1 if something was raised.
    pub exit_code: i32,
    /// Whether its time was over.
    pub timed_out: bool,
    /// Run time in milliseconds.
    pub duration_ms: u64,
    /// Guest instructions that the machine executed from the request to its end; see `shell`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// How `stdout` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stdout_encoding: Encoding,
    /// How `stderr` is written, if not as text.
    #[serde(skip_serializing_if = "is_text")]
    pub stderr_encoding: Encoding,
    /// Whether the middle of `stdout` was left out; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub stdout_truncated: bool,
    /// Whether the middle of `stderr` was left out; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub stderr_truncated: bool,
    /// The interpreter has ended, with its state; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub session_ended: bool,
    /// What a reader should know about this result, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What code raised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
pub struct CodeException {
    /// Its class, such as `"ZeroDivisionError"`.
    pub name: String,
    /// What it says.
    pub message: String,
    /// Where it came from, as the interpreter prints it.
    pub traceback: String,
}

/// The processes started by requests.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Processes {
    /// In the order in which they were started.
    pub processes: Vec<ProcessInfo>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessInfo {
    /// What it is called in requests.
    pub process_id: String,
    /// Its process identifier in the guest; absent while it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The command or program with its arguments, shortened to 1000 bytes.
    pub command: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it was started with `background`.
    pub background: bool,
    /// Milliseconds since it was started.
    pub age_ms: u64,
    /// Its exit code, if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Name of the signal that ended it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessState {
    /// The process.
    pub process_id: String,
    /// Whether it runs still: the wait was over before it had ended.
    pub running: bool,
    /// How it ended, with its output; absent if it runs.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub result: Option<ShellResult>,
}

/// What a process wrote.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessOutput {
    /// The process.
    pub process_id: String,
    /// Its events after the one asked for, in order.
    pub events: Vec<ProcessEvent>,
    /// What to ask for next: the `seq` of the last event given, or what was asked for if there was none.
    pub last_seq: u64,
    /// Events before the first one given are gone, because there was too much output; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub gap: bool,
    /// Whether it runs still, or has events that were not given.
    pub more: bool,
}

/// The process takes it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessWritten {
    /// Bytes written.
    pub size: u64,
}

/// Something listens.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PortOpen {
    /// The port.
    pub port: u16,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The pattern was found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LogFound {
    /// The process.
    pub process_id: String,
    /// The line that matches, without its newline; bytes that are not UTF-8 are replaced.
    pub line: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The shells and interpreters that are kept.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Sessions {
    /// In the order of their names.
    pub sessions: Vec<SessionInfo>,
}

/// A shell or interpreter that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionInfo {
    /// Its name.
    pub session: String,
    /// For an interpreter of `run_code`: its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Its process identifier in the guest; absent while it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether it is at work.
    pub busy: bool,
}
