//! A command or piece of code that a session is at work on.

use std::time::{Duration, Instant};

use serde::Deserialize;
use wasm_sandbox_protocol::agent::Stream;
use wasm_sandbox_protocol::json::{
    AddressedProcessEvent, CodeException, Encoding, ErrorCode, EventBody, Failure, Outcome, RunCodeResult,
    ShellResult,
};

use super::scanner::Scanner;
use crate::client::Ticket;
use crate::output::Output;
use crate::processes::{Change, EventLog, cancelled, join, output_notes, tell};
use crate::time;

/// What is asked for, whether in a shell or an interpreter.
pub(super) struct Wanted {
    pub(super) code: String,
    pub(super) is_code: bool,
    pub(super) encoding: Encoding,
    pub(super) output_limit: usize,
    pub(super) time_limit: Duration,
    pub(super) stream: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Asked to stop.
    Interrupted,
    /// Killed, with its session.
    Killed,
}

/// A command under way.
pub(super) struct Command {
    ticket: Ticket,
    wanted: Wanted,
    outputs: [Output; 2],
    log: EventLog,
    /// What stood in the marks.
    payloads: [Option<Vec<u8>>; 2],
    started: Instant,
    pub(super) phase: Phase,
    pub(super) deadline: Instant,
    timed_out: bool,
    cancelled: bool,
    /// Why it comes to nothing.
    failure: Option<Failure>,
}

/// What the interpreter says about a piece of code.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    exit_code: i32,
    result: Option<String>,
    exception: Option<CodeException>,
}

/// How a session ended under a command.
pub(super) struct SessionEnd {
    pub(super) exit_code: i32,
    pub(super) failure: Option<Failure>,
}

impl Command {
    pub(super) fn new(ticket: Ticket, wanted: Wanted) -> Self {
        let now = time::now();
        Self {
            ticket,
            outputs: [Output::with_limit(wanted.output_limit), Output::with_limit(wanted.output_limit)],
            log: EventLog::with_limit(0),
            payloads: [None, None],
            started: now,
            phase: Phase::Running,
            deadline: now + wanted.time_limit,
            timed_out: false,
            cancelled: false,
            failure: None,
            wanted,
        }
    }

    pub(super) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Its session's process runs.
    pub(super) fn session_runs(&mut self, pid: u32) {
        let change = Change::Started { pid };
        let seq = self.log.push(change.clone());
        self.send_event(seq, &change);
    }

    /// Takes output from `scanner`, up to the mark.
    pub(super) fn output(&mut self, stream: Stream, scanner: &mut Scanner, data: &[u8]) {
        if self.payloads[stream as usize].is_some() {
            // The command is done on this stream; what follows waits for the next.
            return scanner.keep(data);
        }
        let (output, payload) = scanner.feed(data);
        self.outputs[stream as usize].push(&output);
        if let Some((seq, change)) = self.log.push_output(stream, &output) {
            self.send_event(seq, &change);
        }
        if payload.is_some() {
            if let Some((seq, change)) = self.log.flush(stream) {
                self.send_event(seq, &change);
            }
            self.payloads[stream as usize] = payload;
        }
    }

    fn send_event(&self, seq: u64, change: &Change) {
        if self.wanted.stream {
            let event = tell(seq, change, self.wanted.encoding);
            self.ticket.event(EventBody::Process(AddressedProcessEvent { process_id: None, event }));
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.payloads.iter().all(Option::is_some)
    }

    /// Its time is over.
    pub(super) fn time_is_over(&mut self) {
        self.timed_out = true;
    }

    /// Nobody wants it any more.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// The answer: it is done, or its session has ended.
    pub(super) fn finish(mut self, end: Option<SessionEnd>) -> (Ticket, Outcome) {
        if let Some(failure) = end.as_ref().and_then(|end| end.failure.clone()) {
            // The session could not even be started.
            return (self.ticket, failure.into());
        }
        let asked = self.wanted.encoding;
        let report = self.report();
        let exit_code = end.as_ref().map_or(report.exit_code, |end| end.exit_code);
        let change = Change::Exited { exit_code, signal: None, timed_out: self.timed_out };
        let seq = self.log.push(change.clone());
        self.send_event(seq, &change);
        let [stdout, stderr] = [&self.outputs[0], &self.outputs[1]].map(|output| output.encode(asked));
        if let Some(failure) = self.failure.take().or_else(|| self.cancelled.then(cancelled)) {
            let failure = Failure {
                stdout: Some(stdout.text),
                stderr: Some(stderr.text),
                stdout_encoding: stdout.encoding,
                stderr_encoding: stderr.encoding,
                ..failure
            };
            return (self.ticket, failure.into());
        }
        let session_ended = end.is_some();
        let mut notes = output_notes(&stdout, &stderr, asked);
        if session_ended {
            notes.push(
                "the session has ended: the next request starts a new one, in the initial state".to_owned(),
            );
        }
        let duration_ms = time::since(self.started).as_millis() as u64;
        let outcome = if self.wanted.is_code {
            RunCodeResult {
                result: report.result,
                exception: report.exception,
                exit_code,
                timed_out: self.timed_out,
                duration_ms,
                instructions: None,
                stdout_encoding: stdout.encoding,
                stderr_encoding: stderr.encoding,
                stdout_truncated: stdout.truncated_bytes > 0,
                stderr_truncated: stderr.truncated_bytes > 0,
                session_ended,
                note: join(notes),
                stdout: stdout.text,
                stderr: stderr.text,
            }
            .into()
        } else {
            ShellResult {
                exit_code,
                signal: None,
                timed_out: self.timed_out,
                duration_ms,
                cpu_time_ms: None,
                instructions: None,
                stdout_encoding: stdout.encoding,
                stderr_encoding: stderr.encoding,
                stdout_truncated: stdout.truncated_bytes > 0,
                stderr_truncated: stderr.truncated_bytes > 0,
                stdout_truncated_bytes: stdout.truncated_bytes,
                stderr_truncated_bytes: stderr.truncated_bytes,
                session_ended,
                note: join(notes),
                stdout: stdout.text,
                stderr: stderr.text,
            }
            .into()
        };
        (self.ticket, outcome)
    }

    /// The answer when it could not be given to the session.
    pub(super) fn refuse(self, failure: Failure) -> (Ticket, Outcome) {
        (self.ticket, failure.into())
    }

    /// The answer when the machine is gone or replaced.
    pub(super) fn abandon(self, failure: &Failure) -> (Ticket, Outcome) {
        let mut this = self;
        this.failure = Some(failure.clone());
        this.finish(None)
    }

    fn report(&self) -> Report {
        let payload = self.payloads[Stream::Stdout as usize].as_deref().unwrap_or_default();
        let text = std::str::from_utf8(payload).unwrap_or_default();
        match text.parse::<i32>() {
            Ok(exit_code) => Report { exit_code, ..Report::default() },
            Err(_) => serde_json::from_str(text).unwrap_or_default(),
        }
    }
}

/// The session is at work.
pub(super) fn busy(name: &str) -> Failure {
    let message = format!(
        "the session {name:?} is at work on another request: wait for its answer, or use another name"
    );
    Failure::new(ErrorCode::Busy, message)
}
