//! `shell`.

use std::time::Duration;

use wasm_sandbox_protocol::agent::{
    AgentToHost, Bytes, EndedBy, Exec, ExitStatus, HostToAgent, MAX_DATA, OperationId, Stdin, Stream,
};
use wasm_sandbox_protocol::json::{Encoding, ErrorCode, Failure, Outcome, Shell, ShellResult};

use crate::channel::Channel;
use crate::operation::{GRACE, Operation, Step};
use crate::output::{self, EncodedOutput, Output};
use crate::signals;
use crate::upload::Upload;

/// The shell that runs commands.
const SHELL: &str = "/bin/bash";
/// Consumed output is reported back in portions of at least this many bytes.
const CREDIT_PORTION: u32 = 64 << 10;
/// Linux takes arguments of up to 128 KiB each (MAX_ARG_STRLEN).
const LONGEST_COMMAND: usize = (128 << 10) - 1;
/// All of environment and arguments must fit into one frame and into the guest's limits.
const LARGEST_ENVIRONMENT: usize = 512 << 10;

/// A command that runs.
pub(crate) struct ShellOperation {
    request: Shell,
    op: OperationId,
    stdin: Option<Upload>,
    stdout: Output,
    stderr: Output,
    uncredited: u32,
}

impl ShellOperation {
    pub(crate) fn new(request: Shell) -> Self {
        Self {
            request,
            op: OperationId::default(),
            stdin: None,
            stdout: Output::with_limit(output::DEFAULT_LIMIT),
            stderr: Output::with_limit(output::DEFAULT_LIMIT),
            uncredited: 0,
        }
    }

    fn take_stdin(&mut self) -> Stdin<'static> {
        match self.request.stdin.take() {
            None => Stdin::Null,
            Some(text) if text.len() <= MAX_DATA / 2 => Stdin::Inline(text.into()),
            Some(text) => {
                self.stdin = Some(Upload::new(text.into_bytes()));
                Stdin::Stream
            }
        }
    }

    fn send_stdin(&mut self, channel: &mut Channel) {
        let op = self.op;
        let Some(upload) = &mut self.stdin else { return };
        while let Some(data) = upload.next_piece() {
            channel.send(&HostToAgent::Stdin { op, data: Bytes::from(data) });
        }
        if upload.is_finished() {
            self.stdin = None;
            channel.send(&HostToAgent::CloseStdin { op });
        }
    }

    fn take_output(&mut self) -> (EncodedOutput, EncodedOutput) {
        let take = |output: &mut Output| std::mem::replace(output, Output::with_limit(0));
        let encoding = self.request.encoding;
        (take(&mut self.stdout).encode(encoding), take(&mut self.stderr).encode(encoding))
    }
}

impl Operation for ShellOperation {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        self.op = op;
        let environment: usize =
            self.request.env.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        if self.request.command.len() > LONGEST_COMMAND || environment > LARGEST_ENVIRONMENT {
            return Step::failed(Failure::new(
                ErrorCode::TooLarge,
                format!(
                    "Linux takes commands of at most {LONGEST_COMMAND} bytes and this program environments of \
                     at most {LARGEST_ENVIRONMENT}: write a script with `write_file` and run that"
                ),
            ));
        }
        let stdin = self.take_stdin();
        let request = &self.request;
        channel.send(&HostToAgent::Exec(Exec {
            op,
            argv: vec![SHELL.into(), "-c".into(), request.command.as_str().into()],
            env: request
                .env
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            cwd: request.cwd.as_deref().map(Bytes::from),
            stdin,
            time_limit_ms: Some(u32::try_from(request.time_limit_ms).unwrap_or(u32::MAX)),
            output_delay_ms: OUTPUT_DELAY_MS,
            ..Exec::default()
        }));
        self.send_stdin(channel);
        Step::Pending
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step {
        match frame {
            AgentToHost::Output { op, stream, data } => {
                match stream {
                    Stream::Stdout => self.stdout.push(&data),
                    Stream::Stderr => self.stderr.push(&data),
                }
                self.uncredited += u32::try_from(data.len()).unwrap_or(u32::MAX);
                if self.uncredited >= CREDIT_PORTION {
                    channel.send(&HostToAgent::Credit { op, bytes: std::mem::take(&mut self.uncredited) });
                }
                Step::Pending
            }
            AgentToHost::Credit { bytes, .. } => {
                if let Some(upload) = &mut self.stdin {
                    upload.add_credit(bytes);
                }
                self.send_stdin(channel);
                Step::Pending
            }
            AgentToHost::Exited(exited) => {
                let (stdout, stderr) = self.take_output();
                let (exit_code, signal) = match exited.status {
                    ExitStatus::Code(code) => (i32::from(code), None),
                    ExitStatus::Signal(number) => (128 + i32::from(number), Some(signals::name(number))),
                };
                let note = note(exited.ended_by, &stdout, &stderr, self.request.encoding);
                Step::Done(Outcome::Shell(ShellResult {
                    exit_code,
                    signal,
                    timed_out: exited.ended_by == EndedBy::TimeLimit,
                    duration_ms: exited.duration_us / 1000,
                    stdout: stdout.text,
                    stderr: stderr.text,
                    stdout_encoding: stdout.encoding,
                    stderr_encoding: stderr.encoding,
                    stdout_truncated_bytes: stdout.truncated_bytes,
                    stderr_truncated_bytes: stderr.truncated_bytes,
                    note,
                }))
            }
            _ => Step::Pending,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.request.time_limit_ms) + GRACE
    }

    fn on_crash(mut self: Box<Self>, message: String) -> Failure {
        let (stdout, stderr) = self.take_output();
        Failure {
            stdout: Some(stdout.text),
            stderr: Some(stderr.text),
            stdout_encoding: stdout.encoding,
            stderr_encoding: stderr.encoding,
            ..Failure::new(ErrorCode::MachineCrashed, message)
        }
    }
}

/// Output may wait this long for more of it: fewer frames, and nobody looks at it before the end.
const OUTPUT_DELAY_MS: u16 = 50;

fn note(
    ended_by: EndedBy,
    stdout: &EncodedOutput,
    stderr: &EncodedOutput,
    asked: Encoding,
) -> Option<String> {
    let mut notes = Vec::new();
    if ended_by == EndedBy::OutOfMemory {
        notes.push("the guest ran out of memory: raise --memory-limit".to_owned());
    }
    for (name, output) in [("stdout", stdout), ("stderr", stderr)] {
        if output.truncated_bytes > 0 {
            notes.push(format!(
                "{name} is cut: {} bytes are missing in its middle; redirect it to a file to get all of it",
                output.truncated_bytes
            ));
        }
        if output.encoding != asked {
            notes.push(format!(
                "{name} is not UTF-8 and therefore in base64; ask for \"encoding\":\"base64\" to get all \
                 output so"
            ));
        }
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
