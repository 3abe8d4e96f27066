//! What the host knows of a process: all of it can go into a snapshot.

use serde::{Deserialize, Serialize};
use wasm_sandbox_protocol::agent::{EndedBy, ExitStatus, Exited, OperationId, Stream};
use wasm_sandbox_protocol::json::{Encoding, Failure, ProcessInfo, ShellResult, signal_name};

use super::event_log::{Change, EventLog};
use super::stdin::Stdin;
use crate::output::{EncodedOutput, Output};
use crate::sessions::SessionKey;

/// A process that a request started.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) op: u32,
    /// What `process_list` shows.
    pub(crate) command: String,
    pub(crate) background: bool,
    /// Milliseconds since 1970.
    pub(crate) started_ms: u64,
    pub(crate) pid: Option<u32>,
    /// Whether output is wanted in base64.
    pub(crate) base64: bool,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) log: EventLog,
    pub(crate) stdin: Stdin,
    /// Bytes of output that the agent was not yet told are consumed.
    pub(crate) uncredited: u32,
    pub(crate) ended: Option<Ended>,
    /// It is killed when the machine has executed so many instructions.
    pub(crate) instructions_end: Option<u64>,
    /// It was killed for that.
    pub(crate) out_of_instructions: bool,
    /// The session whose shell or interpreter this is.
    pub(crate) session: Option<SessionKey>,
}

/// How a process ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<String>,
    pub(crate) timed_out: bool,
    cpu_limit: bool,
    instruction_limit: bool,
    out_of_memory: bool,
    duration_ms: u64,
    cpu_time_ms: u64,
}

impl Ended {
    /// `out_of_instructions`: the host has asked for its end, as its instructions were used up.
    pub(crate) fn new(exited: &Exited, out_of_instructions: bool) -> Self {
        let instruction_limit = out_of_instructions && exited.ended_by == EndedBy::Cancelled;
        let (exit_code, signal) = match exited.status {
            ExitStatus::Code(code) => (i32::from(code), None),
            ExitStatus::Signal(number) => (128 + i32::from(number), Some(signal_name(number))),
        };
        Self {
            exit_code,
            signal,
            timed_out: instruction_limit
                || matches!(exited.ended_by, EndedBy::TimeLimit | EndedBy::CpuTimeLimit),
            instruction_limit,
            cpu_limit: exited.ended_by == EndedBy::CpuTimeLimit,
            out_of_memory: exited.ended_by == EndedBy::OutOfMemory,
            duration_ms: exited.duration_us / 1000,
            cpu_time_ms: (exited.usage.user_us + exited.usage.system_us) / 1000,
        }
    }
}

impl Record {
    /// What it is called in requests.
    pub(crate) fn id(&self) -> String {
        format!("p{}", self.number)
    }

    pub(crate) fn op(&self) -> OperationId {
        OperationId(self.op)
    }

    pub(crate) fn encoding(&self) -> Encoding {
        if self.base64 { Encoding::Base64 } else { Encoding::Text }
    }

    pub(crate) fn output(&mut self, stream: Stream) -> &mut Output {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// The event of its end.
    pub(crate) fn exit_change(ended: &Ended) -> Change {
        Change::Exited {
            exit_code: ended.exit_code,
            signal: ended.signal.clone(),
            timed_out: ended.timed_out,
        }
    }

    pub(crate) fn info(&self) -> ProcessInfo {
        ProcessInfo {
            process_id: self.id(),
            pid: self.pid,
            command: self.command.clone(),
            running: self.ended.is_none(),
            background: self.background,
            age_ms: now_ms().saturating_sub(self.started_ms),
            exit_code: self.ended.as_ref().map(|ended| ended.exit_code),
            signal: self.ended.as_ref().and_then(|ended| ended.signal.clone()),
        }
    }

    /// How it ended, with its output; `None` while it runs.
    pub(crate) fn result(&self) -> Option<ShellResult> {
        let ended = self.ended.as_ref()?;
        let asked = self.encoding();
        let (stdout, stderr) = (self.stdout.encode(asked), self.stderr.encode(asked));
        let mut notes = output_notes(&stdout, &stderr, asked);
        if ended.out_of_memory {
            notes.insert(0, "the guest ran out of memory: raise --memory-limit".to_owned());
        }
        if ended.cpu_limit {
            notes.insert(0, "its CPU time was over".to_owned());
        }
        if ended.instruction_limit {
            notes.insert(0, "its instructions were used up".to_owned());
        }
        Some(ShellResult {
            exit_code: ended.exit_code,
            signal: ended.signal.clone(),
            timed_out: ended.timed_out,
            duration_ms: ended.duration_ms,
            cpu_time_ms: Some(ended.cpu_time_ms),
            instructions: None,
            stdout_encoding: stdout.encoding,
            stderr_encoding: stderr.encoding,
            stdout_truncated: stdout.truncated_bytes > 0,
            stderr_truncated: stderr.truncated_bytes > 0,
            stdout_truncated_bytes: stdout.truncated_bytes,
            stderr_truncated_bytes: stderr.truncated_bytes,
            stdout: stdout.text,
            stderr: stderr.text,
            session_ended: false,
            note: join(notes),
        })
    }

    /// `failure` with what was written so far.
    pub(crate) fn with_output(&self, failure: Failure) -> Failure {
        let (stdout, stderr) = (self.stdout.encode(self.encoding()), self.stderr.encode(self.encoding()));
        Failure {
            stdout: Some(stdout.text),
            stderr: Some(stderr.text),
            stdout_encoding: stdout.encoding,
            stderr_encoding: stderr.encoding,
            ..failure
        }
    }
}

/// What a reader should know about output that is not all there, or not as asked for.
pub(crate) fn output_notes(stdout: &EncodedOutput, stderr: &EncodedOutput, asked: Encoding) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, output) in [("stdout", stdout), ("stderr", stderr)] {
        if output.truncated_bytes > 0 {
            notes.push(format!(
                "{name} is cut: {} bytes are missing in its middle; redirect it to a file to get all of it",
                output.truncated_bytes
            ));
        }
        if output.encoding != asked {
            notes.push(format!(
                "{name} is not UTF-8 and therefore in base64; ask for \"encoding\":\"base64\" to get all output so"
            ));
        }
    }
    notes
}

/// Notes as one sentence.
pub(crate) fn join(notes: Vec<String>) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    wasm_sandbox_machine::wall_clock().as_millis() as u64
}
