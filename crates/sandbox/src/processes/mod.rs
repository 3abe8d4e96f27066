//! The processes that requests start: in the foreground, in the background, and those of sessions.

mod event_log;
mod limits;
mod record;
mod requests;
mod start;
mod stdin;
mod waiters;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{self, AgentToHost, HostToAgent, OperationId};
use wasm_sandbox_protocol::json::{
    AddressedProcessEvent, ErrorCode, EventBody, Failure, ProcessStarted, RequestId,
};

pub(crate) use event_log::{Change, EventLog, tell};
pub(crate) use record::{Record, join, output_notes};
pub(crate) use start::Start;
use waiters::{Goal, Waiter};

use crate::channel::Channel;
use crate::client::{Answers, LOOK_FOR_ROOM, Ticket};
use crate::operation::{GRACE, agent_failure};
use crate::output::Output;
use crate::sessions::SessionKey;
use crate::time;

/// Requests for processes that can be open at a time, running or ended in the background.
pub(crate) const OPEN_PROCESSES: usize = 256;
/// Of those, how many that have ended are kept.
const ENDED_KEPT: usize = 64;
/// Consumed output is reported back in portions of at least this many bytes.
const CREDIT_PORTION: u32 = 64 << 10;

/// What methods here use of the worker.
pub(crate) struct Context<'a> {
    pub(crate) channel: &'a mut Channel,
    pub(crate) answers: &'a mut Answers,
}

/// A process with those who wait for it.
struct Process {
    record: Record,
    /// Who is answered when it ends, or when it has started if it is a background process.
    ticket: Option<Ticket>,
    /// Who gets its events.
    stream: Option<Ticket>,
    /// For the process of a session: who must have room for more of its output.
    gate: Option<Ticket>,
    waiters: Vec<Waiter>,
    /// By then the agent must have ended it, or is taken for dead.
    deadline: Option<Instant>,
    cancelled: bool,
}

/// What a session should know about its process.
pub(crate) enum SessionNews {
    Started { pid: u32 },
    Output { stream: agent::Stream, data: Vec<u8> },
    Ended { failure: Option<Failure>, exit_code: i32 },
}

/// All processes.
#[derive(Default)]
pub(crate) struct Processes {
    table: BTreeMap<u64, Process>,
    by_op: BTreeMap<OperationId, u64>,
    last_number: u64,
}

impl Processes {
    /// Starts a program for a request, or answers why not.
    pub(crate) fn start(&mut self, mut start: Start, op: OperationId, ticket: Ticket, context: &mut Context) {
        match self.try_start(&mut start, op, None, context.channel) {
            Ok(process) => {
                process.record.instructions_end =
                    start.options.max_instructions.map(|most| ticket.started_at.saturating_add(most));
                process.stream = start.options.stream.then(|| ticket.clone());
                process.ticket = Some(ticket);
                process.deadline = (!start.options.background)
                    .then(|| start.time_limit_ms())
                    .flatten()
                    .map(|limit| time::now() + Duration::from_millis(limit) + GRACE);
            }
            Err(failure) => context.answers.push((ticket, failure.into())),
        }
    }

    /// Starts the program of a session; its number.
    pub(crate) fn start_session(
        &mut self,
        mut start: Start,
        op: OperationId,
        key: SessionKey,
        channel: &mut Channel,
    ) -> Result<u64, Failure> {
        Ok(self.try_start(&mut start, op, Some(key), channel)?.record.number)
    }

    fn try_start(
        &mut self,
        start: &mut Start,
        op: OperationId,
        session: Option<SessionKey>,
        channel: &mut Channel,
    ) -> Result<&mut Process, Failure> {
        if self.running() >= OPEN_PROCESSES {
            let message = format!("{OPEN_PROCESSES} requests for processes are open already: end some");
            return Err(Failure::new(ErrorCode::LimitReached, message));
        }
        let limit = start.output_limit();
        let stdin = start.send(op, channel)?;
        self.last_number += 1;
        let number = self.last_number;
        let kept = if start.options.background { limit } else { 0 };
        let mut record = Record {
            number,
            op: op.0,
            command: std::mem::take(&mut start.command),
            background: start.options.background,
            started_ms: record::now_ms(),
            pid: None,
            base64: start.options.encoding == wasm_sandbox_protocol::json::Encoding::Base64,
            stdout: Output::with_limit(limit),
            stderr: Output::with_limit(limit),
            log: EventLog::with_limit(kept),
            stdin,
            uncredited: 0,
            ended: None,
            instructions_end: None,
            out_of_instructions: false,
            session,
        };
        record.stdin.send(op, channel);
        self.by_op.insert(op, number);
        let process = Process {
            record,
            ticket: None,
            stream: None,
            gate: None,
            waiters: Vec::new(),
            deadline: None,
            cancelled: false,
        };
        Ok(self.table.entry(number).or_insert(process))
    }

    /// How many run, those of sessions included.
    fn running(&self) -> usize {
        self.by_op.len()
    }

    /// How many are open, those of sessions not counted.
    pub(crate) fn open(&self) -> usize {
        self.table.values().filter(|process| process.record.session.is_none()).count()
    }

    /// Whether somebody waits for an answer about one.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.table.values().any(|process| process.ticket.is_some() || !process.waiters.is_empty())
    }

    /// Whether `op` is a process.
    pub(crate) fn has(&self, op: OperationId) -> bool {
        self.by_op.contains_key(&op)
    }

    /// Takes a frame about a process; what its session should know of it.
    pub(crate) fn on_frame(
        &mut self,
        op: OperationId,
        frame: AgentToHost<'_>,
        context: &mut Context,
    ) -> Option<(SessionKey, SessionNews)> {
        let number = *self.by_op.get(&op)?;
        let process = self.table.get_mut(&number)?;
        let session = process.record.session.clone();
        let news = match frame {
            AgentToHost::Started { pid, .. } => {
                process.started(pid, context);
                Some(SessionNews::Started { pid })
            }
            AgentToHost::Output { stream, data, .. } => {
                process.record.uncredited =
                    process.record.uncredited.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                if session.is_none() {
                    process.output(stream, &data);
                }
                process.give_credit(context.channel);
                Some(SessionNews::Output { stream, data: data.into_vec() })
            }
            AgentToHost::Credit { bytes, .. } => {
                process.record.stdin.add_credit(bytes);
                process.record.stdin.send(op, context.channel);
                None
            }
            AgentToHost::Exited(exited) => {
                let ended = record::Ended::new(&exited, process.record.out_of_instructions);
                let exit_code = ended.exit_code;
                process.ended(ended, context);
                self.by_op.remove(&op);
                Some(SessionNews::Ended { failure: None, exit_code })
            }
            AgentToHost::Failed(failure) => {
                let failure = agent_failure(failure);
                if let Some(ticket) = process.ticket.take() {
                    context.answers.push((ticket, failure.clone().into()));
                }
                for waiter in process.waiters.drain(..) {
                    context.answers.push((waiter.ticket, failure.clone().into()));
                }
                self.by_op.remove(&op);
                self.table.remove(&number);
                return Some((session?, SessionNews::Ended { failure: Some(failure), exit_code: 126 }));
            }
            _ => None,
        };
        if let Some(process) = self.table.get_mut(&number) {
            process.poll(time::now(), context.answers);
        }
        if matches!(news, Some(SessionNews::Ended { .. })) {
            self.forget_ended(number);
        }
        Some((session?, news?))
    }

    /// Foreground processes are forgotten when they have ended, background ones when there are many.
    fn forget_ended(&mut self, number: u64) {
        if self.table.get(&number).is_some_and(|process| !process.record.background) {
            self.table.remove(&number);
        }
        let ended: Vec<u64> = self
            .table
            .iter()
            .filter(|(_, process)| process.record.ended.is_some())
            .map(|(number, _)| *number)
            .collect();
        for number in ended.iter().take(ended.len().saturating_sub(ENDED_KEPT)) {
            self.table.remove(number);
        }
    }

    /// Answers what is due, and ends what has used up its `instructions`, which the machine has executed so far; when to
    /// call again.
    pub(crate) fn tick(&mut self, now: Instant, instructions: u64, context: &mut Context) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut at = |moment: Instant| next = Some(next.map_or(moment, |next| next.min(moment)));
        for process in self.table.values_mut() {
            process.count_instructions(now, instructions, context.channel);
            process.poll(now, context.answers);
            process.waiters.iter().filter_map(|waiter| waiter.deadline).for_each(&mut at);
            process.deadline.filter(|_| process.record.ended.is_none()).into_iter().for_each(&mut at);
            if process.record.uncredited >= CREDIT_PORTION {
                process.give_credit(context.channel);
                if process.record.uncredited >= CREDIT_PORTION {
                    at(now + LOOK_FOR_ROOM);
                    // Its end comes behind its output, so it is not late as long as nobody takes that.
                    process.deadline = process.deadline.map(|deadline| deadline.max(now + GRACE));
                }
            }
        }
        next
    }

    /// Stops what the request `target` started, and its waits.
    pub(crate) fn cancel(&mut self, target: &RequestId, context: &mut Context) {
        for process in self.table.values_mut() {
            process.cancel_waiters(target, context.answers);
            if process.ticket.as_ref().is_some_and(|ticket| ticket.id.as_ref() == Some(target)) {
                process.cancelled = true;
                context.channel.send(&HostToAgent::Cancel { op: process.record.op() });
            }
        }
    }

    /// Stops the process of a session.
    pub(crate) fn kill(&self, number: u64, channel: &mut Channel) {
        if let Some(process) = self.table.get(&number) {
            channel.send(&HostToAgent::Cancel { op: process.record.op() });
        }
    }

    /// Interrupts the process of a session.
    pub(crate) fn interrupt(&self, number: u64, channel: &mut Channel) {
        const SIGINT: u8 = 2;
        if let Some(process) = self.table.get(&number) {
            let op = process.record.op();
            channel.send(&HostToAgent::Signal { op, signal: SIGINT, whole_group: true });
        }
    }

    /// Writes to the process of a session.
    pub(crate) fn write(&mut self, number: u64, data: &[u8], channel: &mut Channel) {
        if let Some(process) = self.table.get_mut(&number) {
            let op = process.record.op();
            process.record.stdin.give(data);
            process.record.stdin.send(op, channel);
        }
    }

    /// Whether the process of a session is stopped until there is room for its output.
    pub(crate) fn is_held_back(&self, number: u64) -> bool {
        self.table.get(&number).is_some_and(|process| process.record.uncredited >= CREDIT_PORTION)
    }

    /// Says who must have room for more output of a session's process.
    pub(crate) fn gate(&mut self, number: u64, ticket: Option<Ticket>) {
        if let Some(process) = self.table.get_mut(&number) {
            process.gate = ticket;
        }
    }

    /// The process identifier of a session's process.
    pub(crate) fn pid(&self, number: u64) -> Option<u32> {
        self.table.get(&number)?.record.pid
    }

    /// The machine is gone or replaced: everybody who waits hears why.
    pub(crate) fn abandon(&mut self, failure: &Failure, answers: &mut Answers) {
        self.by_op.clear();
        for (_, mut process) in std::mem::take(&mut self.table) {
            process.tell(Change::Lost);
            if let Some(ticket) = process.ticket {
                answers.push((ticket, process.record.with_output(failure.clone()).into()));
            }
            for waiter in process.waiters {
                answers.push((waiter.ticket, failure.clone().into()));
            }
        }
    }

    /// What a snapshot keeps: background processes and those of sessions.
    pub(crate) fn records(&self) -> Vec<Record> {
        let kept = |process: &&Process| process.record.background || process.record.session.is_some();
        self.table.values().filter(kept).map(|process| process.record.clone()).collect()
    }

    /// Operations of processes that a snapshot does not keep.
    pub(crate) fn foreground_ops(&self) -> Vec<u32> {
        self.table
            .values()
            .map(|process| &process.record)
            .filter(|record| !record.background && record.session.is_none() && record.ended.is_none())
            .map(|record| record.op)
            .collect()
    }

    /// The number of the latest process, for snapshots.
    pub(crate) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The processes of a snapshot.
    pub(crate) fn restore(records: Vec<Record>, last_number: u64) -> Self {
        let mut processes = Self { last_number, ..Self::default() };
        for record in records {
            if record.ended.is_none() {
                processes.by_op.insert(record.op(), record.number);
            }
            let process = Process {
                record,
                ticket: None,
                stream: None,
                gate: None,
                waiters: Vec::new(),
                deadline: None,
                cancelled: false,
            };
            processes.table.insert(process.record.number, process);
        }
        processes
    }
}

impl Process {
    fn started(&mut self, pid: u32, context: &mut Context) {
        self.record.pid = Some(pid);
        self.tell(Change::Started { pid });
        if self.record.background
            && let Some(ticket) = self.ticket.take()
        {
            context.answers.push((ticket, ProcessStarted { process_id: self.record.id(), pid }.into()));
        }
    }

    fn output(&mut self, stream: agent::Stream, data: &[u8]) {
        self.record.output(stream).push(data);
        for waiter in &mut self.waiters {
            if let Goal::Line { search } = &mut waiter.goal {
                search.look_at(stream, data);
            }
        }
        if (self.record.background || self.stream.is_some())
            && let Some((seq, change)) = self.record.log.push_output(stream, data)
        {
            self.send_event(seq, &change);
        }
    }

    fn ended(&mut self, ended: record::Ended, context: &mut Context) {
        for stream in [agent::Stream::Stdout, agent::Stream::Stderr] {
            if let Some((seq, change)) = self.record.log.flush(stream) {
                self.send_event(seq, &change);
            }
        }
        self.tell(Record::exit_change(&ended));
        self.record.ended = Some(ended);
        self.stream = None;
        let Some(ticket) = self.ticket.take() else { return };
        let outcome = match self.record.result() {
            Some(result) if !self.cancelled => result.into(),
            _ => self.record.with_output(cancelled()).into(),
        };
        context.answers.push((ticket, outcome));
    }

    fn tell(&mut self, change: Change) {
        let seq = self.record.log.push(change.clone());
        self.send_event(seq, &change);
    }

    fn send_event(&self, seq: u64, change: &Change) {
        if let Some(stream) = &self.stream {
            let event = tell(seq, change, self.record.encoding());
            let process_id = Some(self.record.id());
            stream.event(EventBody::Process(AddressedProcessEvent { process_id, event }));
        }
    }

    /// Nobody waits any more who is called `target`. What is written to standard input and was not sent is taken back.
    fn cancel_waiters(&mut self, target: &RequestId, answers: &mut Answers) {
        let (stopped, kept): (Vec<Waiter>, Vec<Waiter>) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.ticket.id.as_ref() == Some(target));
        self.waiters = kept;
        // From the last one, so that what others wait for stays true.
        for waiter in stopped.into_iter().rev() {
            if let Goal::Written { until: end, size } = waiter.goal {
                let taken = self.record.stdin.take_back(end, size);
                for other in &mut self.waiters {
                    if let Goal::Written { until, .. } = &mut other.goal
                        && *until > end
                    {
                        *until -= taken;
                    }
                }
            }
            answers.push((waiter.ticket, cancelled().into()));
        }
    }

    /// Lets the agent send more, if whoever gets the output has room for it.
    fn give_credit(&mut self, channel: &mut Channel) {
        let has_room =
            [&self.stream, &self.gate].into_iter().flatten().all(|ticket| ticket.client.has_room());
        if self.record.uncredited >= CREDIT_PORTION && has_room {
            let bytes = std::mem::take(&mut self.record.uncredited);
            channel.send(&HostToAgent::Credit { op: self.record.op(), bytes });
        }
    }

    fn poll(&mut self, now: Instant, answers: &mut Answers) {
        let record = &self.record;
        self.waiters.retain_mut(|waiter| match waiter.poll(record, now) {
            Some(outcome) => {
                answers.push((waiter.ticket.clone(), outcome));
                false
            }
            None => true,
        });
    }
}

/// Why a request that was stopped has no result.
pub(crate) fn cancelled() -> Failure {
    Failure::new(ErrorCode::Cancelled, "it was stopped by `cancel`")
}
