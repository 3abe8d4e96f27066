//! `watch` and `unwatch`: changes of files, as events.
//!
//! # How the worker uses it
//!
//! * `watch` goes to [`Watches::start`] under a new operation, `unwatch` to [`Watches::end`].
//! * Frames of operations that [`Watches::has`] go to [`Watches::on_frame`].
//! * [`Watches::tick`] is called as the one of processes is: it says when it wants to be called again, and sends events
//!   that had to wait until the answer to `watch` was given, or until the client had room.
//! * A `cancel` goes to [`Watches::cancel`]: it stops a watch that has not begun yet.
//! * When the machine is replaced (a reset, a restore, a crash), [`Watches::abandon`] ends all of them.
//! * A snapshot keeps [`Watches::operations`], and whatever goes on from it cancels these: watches belong to whoever asked
//!   for them, and are not there after a restore or in a fork.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{
    self, AgentToHost, ChangeKind, Decoder, EndedBy, FileReply, FileRequest, Files, HostToAgent, OperationId,
    Stream,
};
use wasm_sandbox_protocol::json::{
    Done, ErrorCode, EventBody, Failure, FileChange, Outcome, RequestId, Unwatch, Watch as WatchRequest,
    WatchEvent, Watching,
};

use crate::channel::Channel;
use crate::client::{Answers, LOOK_FOR_ROOM, Ticket};
use crate::operation::agent_failure;
use crate::time;

/// Watches that can be there at a time; each is a process of the guest.
const MOST_WATCHES: usize = 64;
/// How long a watch may take to begin; a tree of many directories takes its time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where a watch is in its life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The agent has not said that it watches.
    Starting { deadline: Instant },
    /// It is to be answered, and no event may come before the answer.
    Answering,
    /// Events flow.
    Running,
}

/// One watch.
struct Watch {
    number: u64,
    /// As it was asked for.
    path: String,
    ticket: Ticket,
    phase: Phase,
    decoder: Decoder,
    seq: u64,
    /// Bytes for which the agent gets no credit before they are told. This bounds what waits here.
    uncredited: u32,
}

/// All watches.
#[derive(Default)]
pub(crate) struct Watches {
    table: BTreeMap<OperationId, Watch>,
    last_number: u64,
}

impl Watches {
    /// Begins to watch; `ticket` is answered when the agent does.
    pub(crate) fn start(
        &mut self,
        request: &WatchRequest,
        op: OperationId,
        ticket: Ticket,
        channel: &mut Channel,
        answers: &mut Answers,
    ) {
        if self.table.len() >= MOST_WATCHES {
            let message = format!("there are {MOST_WATCHES} watches already: end one with `unwatch`");
            answers.push((ticket, Failure::new(ErrorCode::LimitReached, message).into()));
            return;
        }
        self.last_number += 1;
        let path = request.path.clone();
        let request = FileRequest::Watch { path: request.path.as_str().into(), recursive: request.recursive };
        channel.send(&HostToAgent::Files(Files { op, time_limit_ms: None, request }));
        let phase = Phase::Starting { deadline: time::now() + START_LIMIT };
        let number = self.last_number;
        let decoder = Decoder::new();
        self.table.insert(op, Watch { number, path, ticket, phase, decoder, seq: 0, uncredited: 0 });
    }

    /// Ends a watch; no event of it comes after the answer.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub(crate) fn end(&mut self, request: &Unwatch, channel: &mut Channel) -> Result<Outcome, Failure> {
        let found = self.table.iter().find(|(_, watch)| watch.id() == request.watch_id).map(|(op, _)| *op);
        let op = found.ok_or_else(|| {
            let message = format!(
                "there is no watch {:?}: it was ended, or ended with what it watched, or with the machine",
                request.watch_id
            );
            Failure::new(ErrorCode::NotFound, message)
        })?;
        self.table.remove(&op);
        channel.send(&HostToAgent::Cancel { op });
        Ok(Done {}.into())
    }

    /// Whether an operation is a watch.
    pub(crate) fn has(&self, op: OperationId) -> bool {
        self.table.contains_key(&op)
    }

    /// The operations of all watches.
    pub(crate) fn operations(&self) -> Vec<u32> {
        self.table.keys().map(|op| op.0).collect()
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.table.values().any(|watch| watch.phase != Phase::Running)
    }

    /// Takes a frame of a watch.
    pub(crate) fn on_frame(
        &mut self,
        op: OperationId,
        frame: AgentToHost<'_>,
        channel: &mut Channel,
        answers: &mut Answers,
    ) {
        let Some(watch) = self.table.get_mut(&op) else { return };
        match frame {
            AgentToHost::Output { stream: Stream::Stdout, data, .. } => {
                watch.uncredited =
                    watch.uncredited.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                watch.decoder.feed(&data);
                if let Err(failure) = watch.go_on(op, channel, answers) {
                    self.remove(op, failure, answers);
                    channel.send(&HostToAgent::Cancel { op });
                }
            }
            AgentToHost::Output { op, data, .. } => {
                let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
                channel.send(&HostToAgent::Credit { op, bytes });
            }
            AgentToHost::Failed(failure) => self.remove(op, agent_failure(failure), answers),
            AgentToHost::Exited(exited) => {
                let why = match exited.ended_by {
                    EndedBy::OutOfMemory => "the guest ran out of memory",
                    _ => "something in the guest ended the watch",
                };
                self.remove(op, Failure::new(ErrorCode::Io, why), answers);
            }
            _ => {}
        }
    }

    /// Sends what had to wait; when to call it again.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        channel: &mut Channel,
        answers: &mut Answers,
    ) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        let mut gone = Vec::new();
        for (op, watch) in &mut self.table {
            let next = match watch.phase {
                Phase::Starting { deadline } if deadline <= now => {
                    let message = format!("the watch did not begin within {} s", START_LIMIT.as_secs());
                    gone.push((*op, Failure::new(ErrorCode::TimedOut, message)));
                    continue;
                }
                Phase::Starting { deadline } => Some(deadline),
                // The answer is given between this call and the next.
                Phase::Answering => {
                    watch.phase = Phase::Running;
                    Some(now)
                }
                Phase::Running if watch.uncredited > 0 => match watch.go_on(*op, channel, answers) {
                    Ok(()) => (watch.uncredited > 0).then(|| now + LOOK_FOR_ROOM),
                    Err(failure) => {
                        gone.push((*op, failure));
                        continue;
                    }
                },
                Phase::Running => None,
            };
            due = due.into_iter().chain(next).min();
        }
        for (op, failure) in gone {
            self.remove(op, failure, answers);
            channel.send(&HostToAgent::Cancel { op });
        }
        due
    }

    /// Stops watches with the request's id that have not begun.
    pub(crate) fn cancel(&mut self, target: &RequestId, channel: &mut Channel, answers: &mut Answers) {
        let found: Vec<OperationId> = self
            .table
            .iter()
            .filter(|(_, watch)| {
                matches!(watch.phase, Phase::Starting { .. }) && watch.ticket.id.as_ref() == Some(target)
            })
            .map(|(op, _)| *op)
            .collect();
        for op in found {
            self.remove(op, Failure::new(ErrorCode::Cancelled, "it was stopped by `cancel`"), answers);
            channel.send(&HostToAgent::Cancel { op });
        }
    }

    /// The machine is gone, and all watches with it.
    pub(crate) fn abandon(&mut self, failure: &Failure, answers: &mut Answers) {
        for op in self.table.keys().copied().collect::<Vec<_>>() {
            self.remove(op, failure.clone(), answers);
        }
    }

    /// Forgets a watch; whoever still waits for its beginning gets `failure`, the others a last event.
    fn remove(&mut self, op: OperationId, failure: Failure, answers: &mut Answers) {
        let Some(watch) = self.table.remove(&op) else { return };
        if matches!(watch.phase, Phase::Starting { .. }) {
            answers.push((watch.ticket, failure.into()));
            return;
        }
        watch.ticket.event(EventBody::Watch(WatchEvent {
            watch_id: watch.id(),
            seq: watch.seq + 1,
            event: FileChange::Ended,
            path: watch.path,
            directory: false,
            new_path: None,
        }));
    }
}

impl Watch {
    fn id(&self) -> String {
        format!("w{}", self.number)
    }

    /// Tells what can be told now.
    fn go_on(
        &mut self,
        op: OperationId,
        channel: &mut Channel,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let mut decoder = std::mem::take(&mut self.decoder);
        let told = self.tell(&mut decoder, answers);
        self.decoder = decoder;
        if told? {
            channel.send(&HostToAgent::Credit { op, bytes: std::mem::take(&mut self.uncredited) });
        }
        Ok(())
    }

    /// Whether everything was told.
    fn tell(&mut self, decoder: &mut Decoder, answers: &mut Answers) -> Result<bool, Failure> {
        loop {
            if self.phase == Phase::Answering
                || (self.phase == Phase::Running && !self.ticket.client.has_room())
            {
                return Ok(false);
            }
            match decoder.next_frame::<FileReply<'_>>() {
                Ok(None) => return Ok(true),
                Ok(Some(FileReply::WatchStarted)) if self.phase != Phase::Running => {
                    let answer = Watching { watch_id: self.id() };
                    answers.push((self.ticket.clone(), answer.into()));
                    self.phase = Phase::Answering;
                }
                Ok(Some(FileReply::Change(change))) if self.phase == Phase::Running => {
                    self.seq += 1;
                    let event = event(self.id(), self.seq, &change);
                    self.ticket.event(EventBody::Watch(event));
                }
                Ok(Some(FileReply::Failed { code, message })) => {
                    return Err(agent_failure(agent::Failure { op: OperationId::default(), code, message }));
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    let message = format!("the guest's agent garbles its replies ({error})");
                    return Err(Failure::new(ErrorCode::Io, message));
                }
            }
        }
    }
}

fn event(watch_id: String, seq: u64, change: &agent::Change<'_>) -> WatchEvent {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    WatchEvent {
        watch_id,
        seq,
        event: match change.kind {
            ChangeKind::Created => FileChange::Created,
            ChangeKind::Modified => FileChange::Modified,
            ChangeKind::Attributes => FileChange::Attributes,
            ChangeKind::Deleted => FileChange::Deleted,
            ChangeKind::Renamed => FileChange::Renamed,
            ChangeKind::Overflow => FileChange::Overflow,
        },
        path: text(&change.path),
        directory: change.directory,
        new_path: change.new_path.as_ref().map(|path| text(path)),
    }
}
