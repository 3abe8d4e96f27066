//! Answers about processes and sessions, and events.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Encoding, Head, not_zero, only_base64, only_true, present};

answer!(
    /// To a process in the background.
    Started, success: true, { process_id: String, pid: u32 }
);

answer!(
    /// To a list of processes.
    Processes, success: true, { processes: Vec<ProcessInfo> }
);

/// A process in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessInfo {
    pub process_id: String,
    #[serde(default, deserialize_with = "present")]
    pub pid: Option<u32>,
    pub command: String,
    pub running: bool,
    pub background: bool,
    pub age_ms: u64,
    #[serde(default, deserialize_with = "present")]
    pub exit_code: Option<u8>,
    #[serde(default, deserialize_with = "present")]
    pub signal: Option<String>,
}

answer!(
    /// To a wait for a process.
    Waited, success: true, {
        process_id: String,
        running: bool,
        #[serde(default, deserialize_with = "present")]
        stdout: Option<String>,
        #[serde(default, deserialize_with = "present")]
        stderr: Option<String>,
        #[serde(default, deserialize_with = "present")]
        exit_code: Option<u8>,
        #[serde(default, deserialize_with = "present")]
        signal: Option<String>,
        #[serde(default, deserialize_with = "present")]
        timed_out: Option<bool>,
        #[serde(default, deserialize_with = "present")]
        duration_ms: Option<u64>,
        #[serde(default, deserialize_with = "present")]
        cpu_time_ms: Option<u64>,
        #[serde(default, deserialize_with = "only_base64")]
        stdout_encoding: Option<Encoding>,
        #[serde(default, deserialize_with = "only_base64")]
        stderr_encoding: Option<Encoding>,
        #[serde(default, deserialize_with = "only_true")]
        stdout_truncated: bool,
        #[serde(default, deserialize_with = "only_true")]
        stderr_truncated: bool,
        #[serde(default, deserialize_with = "not_zero")]
        stdout_truncated_bytes: u64,
        #[serde(default, deserialize_with = "not_zero")]
        stderr_truncated_bytes: u64,
        #[serde(default, deserialize_with = "present")]
        note: Option<String>,
    }
);

answer!(
    /// To a look at the events of a process.
    Events, success: true, {
        process_id: String,
        events: Vec<LoggedEvent>,
        last_seq: u64,
        #[serde(default, deserialize_with = "only_true")]
        gap: bool,
        more: bool,
    }
);

/// An event in such an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedEvent {
    pub event: String,
    pub seq: u64,
    #[serde(default, deserialize_with = "present")]
    pub pid: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    pub data: Option<String>,
    #[serde(default, deserialize_with = "only_base64")]
    pub encoding: Option<Encoding>,
    #[serde(default, deserialize_with = "present")]
    pub exit_code: Option<u8>,
    #[serde(default, deserialize_with = "present")]
    pub signal: Option<String>,
    #[serde(default, deserialize_with = "only_true")]
    pub timed_out: bool,
}

/// An event of a process, as a line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Value,
    #[serde(default, deserialize_with = "present")]
    pub process_id: Option<String>,
    pub event: String,
    pub seq: u64,
    #[serde(default, deserialize_with = "present")]
    pub pid: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    pub data: Option<String>,
    #[serde(default, deserialize_with = "only_base64")]
    pub encoding: Option<Encoding>,
    #[serde(default, deserialize_with = "present")]
    pub exit_code: Option<u8>,
    #[serde(default, deserialize_with = "present")]
    pub signal: Option<String>,
    #[serde(default, deserialize_with = "only_true")]
    pub timed_out: bool,
}

answer!(
    /// To input for a process.
    Fed, success: true, { size: u64 }
);

answer!(
    /// To a wait for a line.
    LogFound, success: true, { process_id: String, line: String, duration_ms: u64 }
);

answer!(
    /// To a wait for a port.
    PortOpen, success: true, { port: u16, duration_ms: u64 }
);

answer!(
    /// To a list of sessions.
    Sessions, success: true, { sessions: Vec<SessionInfo> }
);

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionInfo {
    pub session: String,
    #[serde(default, deserialize_with = "present")]
    pub language: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub pid: Option<u32>,
    pub busy: bool,
}

answer!(
    /// To code.
    Ran, success: true, {
        stdout: String,
        stderr: String,
        exit_code: u8,
        timed_out: bool,
        duration_ms: u64,
        instructions: u64,
        #[serde(default, deserialize_with = "present")]
        result: Option<String>,
        #[serde(default, deserialize_with = "present")]
        exception: Option<Exception>,
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
        #[serde(default, deserialize_with = "present")]
        note: Option<String>,
    }
);

/// What code raised.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    pub name: String,
    pub message: String,
    pub traceback: String,
}

answer!(
    /// To a request to stop another.
    Cancelled, success: true, { target: Value, cancelled: bool }
);
