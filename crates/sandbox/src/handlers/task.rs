//! What requests about names and trees have in common: one frame to the agent, and replies that come in one of two ways
//! (see [`Files`]).

use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{
    self, AgentToHost, Bytes, Decoder, EndedBy, Exited, FileReply, FileRequest, Files, HostToAgent,
    INITIAL_WINDOW, MAX_DATA, OperationId, Stream, Summary,
};
use wasm_sandbox_protocol::json::{DEFAULT_TIME_LIMIT_MS, ErrorCode, Failure, Outcome};

use crate::channel::Channel;
use crate::operation::{GRACE, Operation, Step, agent_failure};
use crate::time;

/// The most bytes of replies that are kept in memory for one answer.
pub(super) const LARGEST_ANSWER: u64 = 512 << 20;
/// Consumed replies are reported back in portions of at least this many bytes.
const CREDIT_PORTION: u32 = 64 << 10;
/// Between two looks at a thread that reads or writes files of the host.
const PAUSE: Duration = Duration::from_millis(2);
/// What a process of the agent says about itself is only for logs.
const LONGEST_COMPLAINT: usize = 1000;

/// What a task sends to the agent after its request.
pub(super) enum Input {
    /// This, of at most as many bytes as there is room for.
    Piece(Vec<u8>),
    /// Nothing for now.
    Later,
    /// Nothing more.
    End,
}

/// One kind of request.
pub(super) trait Task: Send {
    /// What the agent is to do.
    fn request(&self) -> FileRequest<'_>;

    /// How long that may take.
    fn time_limit_ms(&self) -> u64 {
        DEFAULT_TIME_LIMIT_MS
    }

    /// The most bytes of replies there may be.
    fn most_bytes(&self) -> u64 {
        LARGEST_ANSWER
    }

    /// Takes a reply that is not the last. A failure ends the request.
    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        let _ = reply;
        Ok(())
    }

    /// Whether more replies must wait.
    fn is_blocked(&mut self) -> bool {
        false
    }

    /// What follows the request.
    fn input(&mut self, room: usize) -> Result<Input, Failure> {
        let _ = room;
        Ok(Input::End)
    }

    /// The agent is done. `None` if something is still to be done here.
    fn outcome(&mut self, summary: Summary) -> Option<Outcome>;

    /// The agent could not do it.
    fn on_failure(&mut self, failure: Failure) -> Outcome {
        Outcome::Failure(failure)
    }
}

/// A task under way.
pub(super) struct TaskOperation<T> {
    task: T,
    op: OperationId,
    decoder: Decoder,
    /// The last reply.
    last: Option<Result<Summary, Failure>>,
    /// The agent will send no more frames.
    ended: bool,
    has_input: bool,
    /// Bytes that the agent takes.
    window: usize,
    received: u64,
    uncredited: u32,
    due: Option<Instant>,
    complaint: Vec<u8>,
}

impl<T: Task> TaskOperation<T> {
    pub(super) fn new(task: T) -> Self {
        Self {
            task,
            op: OperationId::default(),
            decoder: Decoder::new(),
            last: None,
            ended: false,
            has_input: false,
            window: INITIAL_WINDOW as usize,
            received: 0,
            uncredited: 0,
            due: None,
            complaint: Vec::new(),
        }
    }

    /// Stops the agent, and fails.
    fn give_up(&mut self, failure: Failure, channel: &mut Channel) -> Step {
        if !self.ended {
            channel.send(&HostToAgent::Cancel { op: self.op });
        }
        Step::failed(failure)
    }

    /// Does what can be done without another frame.
    fn go_on(&mut self, channel: &mut Channel) -> Step {
        self.due = None;
        if self.ended {
            return self.conclude();
        }
        if let Err(failure) = self.send_input(channel) {
            return self.give_up(failure, channel);
        }
        if self.uncredited >= CREDIT_PORTION {
            if self.task.is_blocked() {
                self.due = Some(time::now() + PAUSE);
            } else {
                channel
                    .send(&HostToAgent::Credit { op: self.op, bytes: std::mem::take(&mut self.uncredited) });
            }
        }
        Step::Pending
    }

    fn send_input(&mut self, channel: &mut Channel) -> Result<(), Failure> {
        while self.has_input && self.window > 0 {
            match self.task.input(self.window)? {
                Input::Piece(piece) => {
                    self.window -= piece.len().min(self.window);
                    channel.send(&HostToAgent::Stdin { op: self.op, data: Bytes::from(piece) });
                }
                Input::Later => {
                    self.due = Some(time::now() + PAUSE);
                    break;
                }
                Input::End => {
                    self.has_input = false;
                    channel.send(&HostToAgent::CloseStdin { op: self.op });
                }
            }
        }
        Ok(())
    }

    /// The answer, when all is known.
    fn conclude(&mut self) -> Step {
        match self.last.clone() {
            Some(Ok(summary)) => match self.task.outcome(summary) {
                Some(outcome) => Step::Done(outcome),
                None => {
                    self.due = Some(time::now() + PAUSE);
                    Step::Pending
                }
            },
            Some(Err(failure)) => Step::Done(self.task.on_failure(failure)),
            None => Step::failed(Failure::new(ErrorCode::Internal, "the agent gave no answer")),
        }
    }

    fn on_reply(&mut self, reply: FileReply<'_>) -> Result<(), Failure> {
        match reply {
            _ if self.last.is_some() => Ok(()),
            FileReply::Done(summary) => {
                self.last = Some(Ok(summary));
                Ok(())
            }
            FileReply::Failed { code, message } => {
                self.last = Some(Err(agent_failure(agent::Failure { op: self.op, code, message })));
                Ok(())
            }
            reply => self.task.on_reply(reply),
        }
    }

    /// Replies from a process of the agent.
    fn on_output(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.received += data.len() as u64;
        if self.received > self.task.most_bytes() {
            let message = format!("there is more than {} bytes of it", self.task.most_bytes());
            return Err(Failure::new(ErrorCode::TooLarge, message));
        }
        self.decoder.feed(data);
        let mut decoder = std::mem::take(&mut self.decoder);
        let taken = loop {
            match decoder.next_frame::<FileReply<'_>>() {
                Ok(Some(reply)) => {
                    if let Err(failure) = self.on_reply(reply) {
                        break Err(failure);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    let message = format!("the guest's agent garbles its replies ({error})");
                    break Err(Failure::new(ErrorCode::Io, message));
                }
            }
        };
        self.decoder = decoder;
        taken
    }

    fn on_exit(&mut self, exited: &Exited) {
        self.ended = true;
        if !self.complaint.is_empty() {
            tracing::warn!(target: "agent", "{}", String::from_utf8_lossy(&self.complaint));
        }
        if self.last.is_some() {
            return;
        }
        let failure = match exited.ended_by {
            EndedBy::TimeLimit | EndedBy::CpuTimeLimit => {
                let limit = self.task.time_limit_ms();
                Failure::new(ErrorCode::TimedOut, format!("it took longer than {limit} ms and was stopped"))
            }
            EndedBy::Cancelled => Failure::new(ErrorCode::Cancelled, "it was stopped"),
            EndedBy::OutOfMemory => Failure::new(
                ErrorCode::LimitReached,
                "the guest ran out of memory: raise --memory-limit, or ask for less at a time",
            ),
            EndedBy::Itself => {
                let message = format!("something in the guest ended it ({:?})", exited.status);
                Failure::new(ErrorCode::Io, message)
            }
        };
        self.last = Some(Err(failure));
    }
}

impl<T: Task> Operation for TaskOperation<T> {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        self.op = op;
        let time_limit_ms = u32::try_from(self.task.time_limit_ms()).unwrap_or(u32::MAX);
        let request = self.task.request();
        self.has_input = matches!(request, FileRequest::Unpack { .. });
        if let FileRequest::Replace(replace) = &request {
            let paths: usize = replace.paths.iter().map(|path| path.len() + 8).sum();
            if paths + replace.old.len() + replace.new.len() > MAX_DATA {
                let message = format!("`paths`, `old` and `new` have together more than {MAX_DATA} bytes");
                return Step::failed(Failure::new(ErrorCode::TooLarge, message));
            }
        }
        if let FileRequest::Find(find) = &request {
            let patterns = [&find.name, &find.content].into_iter().flatten().map(String::len).sum::<usize>();
            if patterns > LONGEST_PATTERN {
                let message = format!("`name` and `content` have together more than {LONGEST_PATTERN} bytes");
                return Step::failed(Failure::new(ErrorCode::InvalidPattern, message));
            }
        }
        channel.send(&HostToAgent::Files(Files { op, time_limit_ms: Some(time_limit_ms), request }));
        self.go_on(channel)
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step {
        let taken = match frame {
            AgentToHost::FileReply { reply, .. } => {
                let is_last = matches!(reply, FileReply::Done(_));
                self.ended |= is_last;
                self.on_reply(reply)
            }
            AgentToHost::Output { stream: Stream::Stdout, data, .. } => {
                self.uncredited =
                    self.uncredited.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                self.on_output(&data)
            }
            AgentToHost::Output { stream: Stream::Stderr, data, .. } => {
                self.uncredited =
                    self.uncredited.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                let room = LONGEST_COMPLAINT.saturating_sub(self.complaint.len());
                self.complaint.extend_from_slice(&data[..data.len().min(room)]);
                Ok(())
            }
            AgentToHost::Credit { bytes, .. } => {
                self.window = self.window.saturating_add(bytes as usize);
                Ok(())
            }
            AgentToHost::Exited(exited) => {
                self.on_exit(&exited);
                Ok(())
            }
            _ => Ok(()),
        };
        match taken {
            Ok(()) => self.go_on(channel),
            Err(failure) => self.give_up(failure, channel),
        }
    }

    fn on_failure(&mut self, failure: Failure, channel: &mut Channel) -> Step {
        let _ = channel;
        Step::Done(self.task.on_failure(failure))
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn on_due(&mut self, channel: &mut Channel) -> Step {
        self.go_on(channel)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.task.time_limit_ms()) + GRACE
    }
}

/// Longer ones are nobody's, and take long to compile.
const LONGEST_PATTERN: usize = 16 << 10;
