//! The thread that owns the machine: it takes requests, lets the guest run, and answers.
//!
//! Requests that reach a worker are carried out side by side; who wants them in order gives them one after the other, as
//! [`crate::Fleet`] does.

mod lifecycle;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use wasm_sandbox_machine::{ClockSource, MachineSnapshot, Progress};
use wasm_sandbox_protocol::agent::{AgentToHost, HostToAgent, OperationId};
use wasm_sandbox_protocol::json::{ErrorCode, Failure, Outcome, Request, RequestId};

use crate::client::{Answers, Ticket};
use crate::config::SandboxConfig;
use crate::guest::{Guest, GuestError};
use crate::operation::{Operation, Step, agent_failure, operation_of};
use crate::processes::{Context, Processes, cancelled};
use crate::sessions::Sessions;
use crate::time;
use crate::watches::Watches;

/// Something for the worker to do.
pub(crate) enum Job {
    /// A request, or what is wrong with it.
    Request { ticket: Ticket, request: Box<Result<Request, Failure>> },
    /// Gives the machine's present state away.
    Snapshot(Sender<Result<MachineSnapshot, Failure>>),
    /// Has the code of what comes next lie together in memory.
    RenewCode,
    /// Translates the code that was executed so often.
    TranslateCode(u32),
    /// Stops the requests with this id.
    Cancel(RequestId),
    /// Stops everything; the worker ends.
    Stop,
}

/// A request under way that the agent carries out, other than a process.
struct Current {
    ticket: Ticket,
    operation: Box<dyn Operation>,
    last_sign: Instant,
}

/// The machine, or why there is none.
enum State {
    /// Powered on; boots or is ready.
    Up(Box<Guest>),
    /// Could not be brought up.
    Down(Failure),
}

pub(crate) struct Worker {
    config: SandboxConfig,
    jobs: Receiver<Job>,
    /// What waits until the machine has booted.
    waiting: VecDeque<Job>,
    state: State,
    operations: BTreeMap<OperationId, Current>,
    processes: Processes,
    sessions: Sessions,
    watches: Watches,
    answers: Answers,
    checkpoints: BTreeMap<String, MachineSnapshot>,
    /// A reset that waits for the fresh machine to be ready.
    resetting: Option<(Ticket, Instant)>,
    /// The machine was replaced without being asked; the next answer says so.
    restarted: bool,
    restarts: u64,
    failed_boots: u32,
    disconnected: bool,
}

impl Worker {
    /// A worker for a machine that was just powered on, or goes on from a snapshot that had `host_state` beside it.
    pub(crate) fn new(
        config: SandboxConfig,
        jobs: Receiver<Job>,
        guest: Guest,
        host_state: Option<Vec<u8>>,
    ) -> Self {
        let seed = config.sources.seed;
        let mut worker = Self {
            config,
            jobs,
            waiting: VecDeque::new(),
            state: State::Up(Box::new(guest)),
            operations: BTreeMap::new(),
            processes: Processes::default(),
            sessions: Sessions::restore(Vec::new(), seed),
            watches: Watches::default(),
            answers: Vec::new(),
            checkpoints: BTreeMap::new(),
            resetting: None,
            restarted: false,
            restarts: 0,
            failed_boots: 0,
            disconnected: false,
        };
        worker.take_over(host_state);
        worker
    }

    /// Works until the last handle is gone and everything is answered.
    pub(crate) fn run(mut self) {
        loop {
            self.follow_time();
            self.receive_jobs();
            self.start_jobs();
            self.give_answers();
            if self.disconnected && self.is_idle() {
                break;
            }
            let progress = match self.run_guest() {
                Ok(progress) => progress,
                Err(error) => {
                    self.guest_is_gone(error);
                    continue;
                }
            };
            let due = self.tick();
            self.give_answers();
            if let Progress::Idle(wait) = progress
                && !self.has_more_to_do()
            {
                self.sleep(wait, due);
            }
        }
    }

    /// Whether the machine's time follows its instructions.
    fn is_virtual(&self) -> bool {
        self.config.sources.clock == ClockSource::Instructions
    }

    /// Tells this thread the machine's time, where that is what counts.
    fn follow_time(&mut self) {
        let is_virtual = self.is_virtual();
        if let State::Up(guest) = &mut self.state {
            time::follow(is_virtual.then(|| guest.now()));
        }
    }

    /// Whether the machine is left alone although it could run: where time follows instructions, it passes only while
    /// somebody waits for an answer. Otherwise it would depend on the host when a request comes.
    fn stands_still(&self) -> bool {
        self.is_virtual()
            && self.is_idle()
            && matches!(&self.state, State::Up(guest) if guest.ready().is_some())
    }

    /// Whether the guest's latest frames led to something that cannot wait until it wakes up.
    fn has_more_to_do(&self) -> bool {
        match &self.state {
            State::Up(_) if self.stands_still() => false,
            State::Up(guest) => {
                guest.channel.has_outgoing() || (guest.ready().is_some() && !self.waiting.is_empty())
            }
            State::Down(_) => !self.waiting.is_empty(),
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.operations.is_empty()
            && !self.processes.is_waited_for()
            && !self.sessions.is_waited_for()
            && !self.watches.is_waited_for()
            && self.resetting.is_none()
    }

    fn receive_jobs(&mut self) {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.receive(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.disconnected = true;
                    break;
                }
            }
        }
    }

    fn receive(&mut self, job: Job) {
        match job {
            Job::Cancel(target) => self.cancel(&target),
            Job::Stop => self.stop(),
            job => self.waiting.push_back(job),
        }
    }

    /// Sleeps until something can happen: the guest's next timer, something of the host that is due, a new request.
    fn sleep(&mut self, wait: Option<Duration>, due: Option<Instant>) {
        let now = time::now();
        let due = due.map(|due| due.saturating_duration_since(now));
        let patience = self
            .operations
            .values()
            .map(|current| current.operation.patience().saturating_sub(time::since(current.last_sign)));
        let wait = patience.chain(wait).chain(due).min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        if wait.is_zero() {
            return;
        }
        let still = self.stands_still();
        if self.is_virtual() && !still && wait < LONGEST_SLEEP {
            // Nothing happens before.
            if let State::Up(guest) = &mut self.state {
                guest.skip(wait);
            }
            return;
        }
        if self.disconnected {
            std::thread::sleep(wait);
            return;
        }
        match self.jobs.recv_timeout(wait) {
            Ok(job) => self.receive(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.disconnected = true,
        }
    }

    /// Starts what waits, as far as the machine is ready for it.
    fn start_jobs(&mut self) {
        while let Some(job) = self.waiting.front() {
            let ready = match &self.state {
                State::Up(guest) => guest.ready().is_some() && self.resetting.is_none(),
                State::Down(_) => true,
            };
            let may_start = ready || !requests::needs_guest(job) && self.resetting.is_none();
            if !may_start {
                break;
            }
            if let Some(job) = self.waiting.pop_front() {
                self.start(job);
            }
        }
    }

    /// Runs the guest for a slice and carries its frames to those they belong to.
    fn run_guest(&mut self) -> Result<Progress, GuestError> {
        if self.stands_still() {
            return Ok(Progress::Idle(None));
        }
        let State::Up(guest) = &mut self.state else { return Ok(Progress::Idle(None)) };
        let progress = guest.run()?;
        self.follow_time();
        self.recycle_if_due()?;
        while let State::Up(guest) = &mut self.state {
            let Some(frame) = guest.next_frame()? else { break };
            self.dispatch(frame);
        }
        self.finish_reset();
        let now = time::now();
        let silent = self
            .operations
            .values()
            .find(|current| time::since(current.last_sign) > current.operation.patience());
        if let Some(current) = silent {
            let patience = current.operation.patience();
            return Err(GuestError::Crashed(format!(
                "the guest's agent did not answer within {} ms",
                patience.as_millis()
            )));
        }
        if self.processes.is_overdue(now) || self.sessions.is_overdue(now) {
            return Err(GuestError::Crashed(
                "the guest's agent did not answer: it did not end a process in time".into(),
            ));
        }
        Ok(progress)
    }

    fn recycle_if_due(&mut self) -> Result<(), GuestError> {
        if !matches!(&self.state, State::Up(guest) if guest.wants_recycling()) {
            return Ok(());
        }
        let placeholder = State::Down(Failure::new(ErrorCode::Internal, "the machine is being moved"));
        if let State::Up(guest) = std::mem::replace(&mut self.state, placeholder) {
            self.state = State::Up(Box::new(guest.recycle_if_due()?));
        }
        Ok(())
    }

    fn dispatch(&mut self, frame: AgentToHost<'static>) {
        let State::Up(guest) = &mut self.state else { return };
        let Self { operations, processes, sessions, watches, answers, .. } = self;
        Routes { operations, processes, sessions, watches, answers }.dispatch(guest, frame);
    }

    /// Does what is due; when to call again.
    fn tick(&mut self) -> Option<Instant> {
        let State::Up(guest) = &mut self.state else { return None };
        let (now, instructions) = (time::now(), guest.instructions());
        let mut context = Context { channel: &mut guest.channel, answers: &mut self.answers };
        let mut due = Vec::new();
        for (op, current) in &self.operations {
            due.extend(current.operation.due().map(|moment| (moment, *op)));
        }
        for (_, op) in due.iter().filter(|(moment, _)| *moment <= now) {
            let Some(mut current) = self.operations.remove(op) else { continue };
            match current.operation.on_due(context.channel) {
                Step::Pending => {
                    current.last_sign = now;
                    self.operations.insert(*op, current);
                }
                Step::Done(outcome) => context.answers.push((current.ticket, outcome)),
            }
        }
        // Some may be due again.
        let operations = self.operations.values().filter_map(|current| current.operation.due());
        let watches = self.watches.tick(now, context.channel, context.answers);
        let processes = self.processes.tick(now, instructions, &mut context);
        let sessions = self.sessions.tick(now, &self.processes, &mut guest.channel);
        operations.chain(processes).chain(sessions).chain(watches).min()
    }

    /// Stops the requests with the id `target`.
    fn cancel(&mut self, target: &RequestId) {
        let answers = &mut self.answers;
        self.waiting.retain(|job| match job {
            Job::Request { ticket, .. } if ticket.id.as_ref() == Some(target) => {
                answers.push((ticket.clone(), cancelled().into()));
                false
            }
            _ => true,
        });
        let State::Up(guest) = &mut self.state else { return };
        let channel = &mut guest.channel;
        self.operations.retain(|op, current| {
            let keep = current.ticket.id.as_ref() != Some(target);
            if !keep {
                channel.send(&HostToAgent::Cancel { op: *op });
                answers.push((current.ticket.clone(), cancelled().into()));
            }
            keep
        });
        self.watches.cancel(target, channel, answers);
        self.processes.cancel(target, &mut Context { channel, answers });
        self.sessions.cancel(target, &self.processes, channel);
    }

    fn stop(&mut self) {
        let failure = Failure::new(ErrorCode::Cancelled, "it was stopped by `close`");
        for job in std::mem::take(&mut self.waiting) {
            if let Job::Request { ticket, .. } = job {
                self.answers.push((ticket, failure.clone().into()));
            }
        }
        if let Some((ticket, _)) = self.resetting.take() {
            self.answers.push((ticket, failure.clone().into()));
        }
        self.abandon(&failure);
        self.disconnected = true;
    }

    /// Instructions that the machine has executed.
    fn instructions(&self) -> u64 {
        match &self.state {
            State::Up(guest) => guest.instructions(),
            State::Down(_) => 0,
        }
    }

    fn give_answers(&mut self) {
        let instructions = self.instructions();
        for (ticket, mut outcome) in std::mem::take(&mut self.answers) {
            let spent = instructions.checked_sub(ticket.started_at);
            match &mut outcome {
                Outcome::ShellResult(result) => result.instructions = spent,
                Outcome::RunCodeResult(result) => result.instructions = spent,
                _ => {}
            }
            let crashed = matches!(&outcome, Outcome::Failure(failure) if failure.error_code == ErrorCode::MachineCrashed);
            // The answer that reports the crash is not the one that reports the restart.
            let restarted = !crashed && std::mem::take(&mut self.restarted);
            ticket.answer(outcome, restarted);
        }
    }
}

/// Where frames go.
struct Routes<'a> {
    operations: &'a mut BTreeMap<OperationId, Current>,
    processes: &'a mut Processes,
    sessions: &'a mut Sessions,
    watches: &'a mut Watches,
    answers: &'a mut Answers,
}

impl Routes<'_> {
    fn dispatch(&mut self, guest: &mut Guest, frame: AgentToHost<'static>) {
        let Some(op) = operation_of(&frame) else { return };
        let channel = &mut guest.channel;
        if self.processes.has(op) {
            let mut context = Context { channel, answers: self.answers };
            if let Some((key, news)) = self.processes.on_frame(op, frame, &mut context) {
                self.sessions.on_news(&key, news, self.answers);
            }
        } else if self.sessions.has(op) {
            let mut context = Context { channel, answers: self.answers };
            self.sessions.on_frame(op, frame, self.processes, &mut context);
        } else if self.watches.has(op) {
            self.watches.on_frame(op, frame, channel, self.answers);
        } else if let Some(mut current) = self.operations.remove(&op) {
            let step = match frame {
                AgentToHost::Failed(failure) => current.operation.on_failure(agent_failure(failure), channel),
                frame => current.operation.on_frame(frame, channel),
            };
            match step {
                Step::Pending => {
                    current.last_sign = time::now();
                    self.operations.insert(op, current);
                }
                Step::Done(outcome) => self.answers.push((current.ticket, outcome)),
            }
        } else {
            give_back_credit(&frame, guest);
        }
    }
}

/// Upper bound of every sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Output that nobody waits for any more must not stop its writer.
fn give_back_credit(frame: &AgentToHost<'_>, guest: &mut Guest) {
    if let AgentToHost::Output { op, data, .. } | AgentToHost::FileData { op, data } = frame {
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        guest.channel.send(&HostToAgent::Credit { op: *op, bytes });
    }
}
