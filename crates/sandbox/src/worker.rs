//! The thread that owns the machine: it takes requests in order, lets the guest run, and answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use wasm_sandbox_machine::{MachineSnapshot, Progress};
use wasm_sandbox_protocol::agent::{AgentToHost, HostToAgent, OperationId};
use wasm_sandbox_protocol::json::{
    ErrorCode, Failure, Outcome, Request, RequestId, ResetDone, Response, Restored,
};

use crate::config::SandboxConfig;
use crate::guest::{Guest, GuestError, crash_message};
use crate::handlers::{HostStatus, ReadFileOperation, ShellOperation, StatusOperation, WriteFileOperation};
use crate::operation::{Operation, Step, agent_failure, operation_of};
use crate::snapshots;

/// Where the answer to a request goes.
pub(crate) type Reply = Box<dyn FnOnce(Response) + Send>;

/// One request for the worker. Requests that were not understood come along, so that their answers
/// keep the order.
pub(crate) struct Job {
    pub(crate) kind: String,
    pub(crate) id: Option<RequestId>,
    pub(crate) task: Result<Task, Failure>,
    pub(crate) reply: Reply,
}

/// What a worker does.
pub(crate) enum Task {
    /// A request of the JSON API.
    Request(Request),
    /// Gives the machine's present state away.
    Snapshot(Sender<Result<MachineSnapshot, Failure>>),
}

/// After so many boots in a row that failed, the machine is not tried again until it is asked for.
const BOOT_ATTEMPTS: u32 = 3;

/// A request under way.
struct Current {
    kind: String,
    id: Option<RequestId>,
    reply: Reply,
    op: OperationId,
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
    queue: VecDeque<Job>,
    state: State,
    current: Option<Current>,
    checkpoints: BTreeMap<String, MachineSnapshot>,
    /// A reset that waits for the fresh machine to be ready.
    resetting: Option<(Job, Instant)>,
    /// The machine was replaced without being asked; the next answer says so.
    restarted: bool,
    restarts: u64,
    failed_boots: u32,
    disconnected: bool,
}

impl Worker {
    /// A worker for a machine that was just powered on.
    pub(crate) fn new(config: SandboxConfig, jobs: Receiver<Job>, guest: Guest) -> Self {
        Self {
            config,
            jobs,
            queue: VecDeque::new(),
            state: State::Up(Box::new(guest)),
            current: None,
            checkpoints: BTreeMap::new(),
            resetting: None,
            restarted: false,
            restarts: 0,
            failed_boots: 0,
            disconnected: false,
        }
    }

    /// Works until the last handle is gone and everything is answered.
    pub(crate) fn run(mut self) {
        loop {
            self.receive_jobs();
            self.start_jobs();
            if self.disconnected && self.is_idle() {
                break;
            }
            let wait = match self.run_guest() {
                Ok(Progress::Idle(wait)) if !self.has_more_to_do() => wait,
                Ok(_) => continue,
                Err(error) => {
                    self.guest_is_gone(error);
                    continue;
                }
            };
            self.sleep(wait);
        }
    }

    /// Whether the guest's latest frames led to something that cannot wait until it wakes up.
    fn has_more_to_do(&self) -> bool {
        let for_guest = matches!(&self.state, State::Up(guest) if guest.channel.has_outgoing());
        let next_job = self.current.is_none() && self.resetting.is_none() && !self.queue.is_empty();
        for_guest || (next_job && !matches!(&self.state, State::Up(guest) if guest.ready().is_none()))
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none() && self.resetting.is_none()
    }

    fn receive_jobs(&mut self) {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.queue.push_back(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.disconnected = true;
                    break;
                }
            }
        }
    }

    /// Sleeps until something can happen: the guest's next timer, an agent that is silent for too
    /// long, a new request.
    fn sleep(&mut self, wait: Option<Duration>) {
        let patience = self
            .current
            .as_ref()
            .map(|current| current.operation.patience().saturating_sub(current.last_sign.elapsed()));
        let wait = match (wait, patience) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => LONGEST_SLEEP,
        };
        if self.disconnected {
            std::thread::sleep(wait.min(LONGEST_SLEEP));
            return;
        }
        match self.jobs.recv_timeout(wait.min(LONGEST_SLEEP)) {
            Ok(job) => self.queue.push_back(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.disconnected = true,
        }
    }

    /// Starts requests until one has to wait for the guest.
    fn start_jobs(&mut self) {
        while self.current.is_none() && self.resetting.is_none() {
            let ready = matches!(&self.state, State::Up(guest) if guest.ready().is_some());
            let needs_guest = self.queue.front().is_some_and(|job| job.task.is_ok());
            let is_reset = self
                .queue
                .front()
                .is_some_and(|job| matches!(job.task, Ok(Task::Request(Request::Reset(_)))));
            let may_start = ready || !needs_guest || is_reset || matches!(self.state, State::Down(_));
            let Some(job) = self.queue.pop_front_if(|_| may_start) else { break };
            self.start(job);
        }
    }

    fn start(&mut self, job: Job) {
        let Job { kind, id, task, reply } = job;
        let request = match task {
            Ok(Task::Request(Request::Reset(reset))) => {
                let task = Ok(Task::Request(Request::Reset(reset)));
                self.resetting = Some((Job { kind, id, task, reply }, Instant::now()));
                self.failed_boots = 0;
                self.replace_guest(None);
                return;
            }
            Ok(task) => task,
            Err(failure) => return self.answer(kind, id, Outcome::Failure(failure), reply),
        };
        let State::Up(guest) = &mut self.state else {
            let State::Down(failure) = &self.state else { return };
            let failure = failure.clone();
            if let Task::Snapshot(target) = request {
                let _ = target.send(Err(failure));
                return;
            }
            return self.answer(kind, id, Outcome::Failure(failure), reply);
        };
        let request = match request {
            Task::Request(request) => request,
            Task::Snapshot(target) => {
                // Nobody waits for the reply of a snapshot; who asked waits for the snapshot.
                let _ = target.send(self.take_snapshot());
                return;
            }
        };
        let operation: Result<Box<dyn Operation>, Outcome> = match request {
            Request::Shell(shell) => Ok(Box::new(ShellOperation::new(shell))),
            Request::WriteFile(write) => WriteFileOperation::new(write)
                .map(|operation| Box::new(operation) as _)
                .map_err(Outcome::Failure),
            Request::ReadFile(read) => Ok(Box::new(ReadFileOperation::new(read))),
            Request::Status(_) => {
                let host = host_status(&self.config, guest, self.restarts);
                Ok(Box::new(StatusOperation::new(host)))
            }
            Request::Checkpoint(checkpoint) => {
                let started = Instant::now();
                let taken = self.take_snapshot();
                Err(snapshots::checkpoint(taken, started, &mut self.checkpoints, checkpoint))
            }
            Request::Restore(restore) => Err(self.restore_checkpoint(&restore.name)),
            Request::Save(save) => {
                let started = Instant::now();
                let taken = self.take_snapshot();
                Err(snapshots::save(taken, started, self.config.identity, save))
            }
            // The fleet does these; a sandbox of its own has no others beside it.
            Request::Fork(_) | Request::Close(_) | Request::Reset(_) => Err(Outcome::Failure(Failure::new(
                ErrorCode::InvalidRequest,
                "this sandbox stands alone: use a `Fleet` to fork and close sandboxes",
            ))),
        };
        let mut operation = match operation {
            Ok(operation) => operation,
            Err(outcome) => return self.answer(kind, id, outcome, reply),
        };
        let State::Up(guest) = &mut self.state else { return };
        let op = guest.next_operation();
        match operation.start(op, &mut guest.channel) {
            Step::Pending => {
                self.current = Some(Current { kind, id, reply, op, operation, last_sign: Instant::now() });
            }
            Step::Done(outcome) => self.answer(kind, id, outcome, reply),
        }
    }

    /// The guest's present state. A guest that went down meanwhile is replaced.
    fn take_snapshot(&mut self) -> Result<MachineSnapshot, Failure> {
        let guest = match &mut self.state {
            State::Up(guest) => guest,
            State::Down(failure) => return Err(failure.clone()),
        };
        guest.snapshot().map_err(|error| match error {
            GuestError::Crashed(reason) => {
                let failure = Failure::new(ErrorCode::MachineCrashed, crash_message(&reason));
                self.guest_is_gone(GuestError::Crashed(reason));
                failure
            }
            GuestError::Unusable(error) => Failure::new(
                ErrorCode::HostIo,
                format!("the host has no room for the machine's state: {error}"),
            ),
        })
    }

    fn restore_checkpoint(&mut self, name: &str) -> Outcome {
        let started = Instant::now();
        let Some(snapshot) = self.checkpoints.get(name).cloned() else {
            let message = format!("there is no checkpoint {name:?}: make it with `checkpoint` first");
            return Outcome::Failure(Failure::new(ErrorCode::UnknownCheckpoint, message));
        };
        self.replace_guest(Some(snapshot));
        match &self.state {
            State::Up(_) => Outcome::Restored(Restored {
                name: name.to_owned(),
                duration_ms: started.elapsed().as_millis() as u64,
            }),
            State::Down(failure) => Outcome::Failure(failure.clone()),
        }
    }

    /// Runs the guest for a slice and carries its frames to the request under way.
    fn run_guest(&mut self) -> Result<Progress, GuestError> {
        let State::Up(guest) = &mut self.state else { return Ok(Progress::Idle(None)) };
        let progress = guest.run()?;
        self.recycle_if_due()?;
        while let State::Up(guest) = &mut self.state {
            let Some(frame) = guest.next_frame()? else { break };
            self.dispatch(frame);
        }
        self.finish_reset();
        if let Some(current) = &self.current {
            let patience = current.operation.patience();
            if current.last_sign.elapsed() > patience {
                return Err(GuestError::Crashed(format!(
                    "the guest's agent did not answer within {} ms",
                    patience.as_millis()
                )));
            }
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
        let Some(mut current) = self.current.take_if(|current| operation_of(&frame) == Some(current.op))
        else {
            return give_back_credit(&frame, guest);
        };
        let step = match frame {
            AgentToHost::Failed(failure) => Step::failed(agent_failure(failure)),
            frame => current.operation.on_frame(frame, &mut guest.channel),
        };
        match step {
            Step::Pending => {
                current.last_sign = Instant::now();
                self.current = Some(current);
            }
            Step::Done(outcome) => self.answer(current.kind, current.id, outcome, current.reply),
        }
    }

    fn finish_reset(&mut self) {
        let ready = matches!(&self.state, State::Up(guest) if guest.ready().is_some());
        if !ready {
            return;
        }
        self.failed_boots = 0;
        if let Some((job, since)) = self.resetting.take() {
            // Whoever asks for the initial state need not hear that he has it.
            self.restarted = false;
            let duration_ms = since.elapsed().as_millis() as u64;
            self.answer(job.kind, job.id, Outcome::ResetDone(ResetDone { duration_ms }), job.reply);
        }
    }

    fn guest_is_gone(&mut self, error: GuestError) {
        let (message, usable) = match error {
            GuestError::Crashed(reason) => (crash_message(&reason), true),
            GuestError::Unusable(error) => (error.to_string(), false),
        };
        tracing::warn!("{message}");
        let was_ready = matches!(&self.state, State::Up(guest) if guest.ready().is_some());
        if let Some(current) = self.current.take() {
            let failure = current.operation.on_crash(message.clone());
            self.answer(current.kind, current.id, Outcome::Failure(failure), current.reply);
        }
        self.restarted = true;
        self.restarts += 1;
        self.failed_boots = if was_ready { 0 } else { self.failed_boots + 1 };
        if usable && self.failed_boots < BOOT_ATTEMPTS {
            self.replace_guest(None);
        } else {
            self.go_down(message);
        }
    }

    /// Drops the machine and starts another one: from `snapshot`, or in the initial state.
    fn replace_guest(&mut self, snapshot: Option<MachineSnapshot>) {
        // The old machine's memory is free before the new one's is taken.
        self.state = State::Down(Failure::new(ErrorCode::Internal, "the machine is being replaced"));
        let guest = match &snapshot {
            Some(snapshot) => Guest::restore(&self.config, snapshot),
            None => Guest::start(&self.config),
        };
        match guest {
            Ok(guest) => self.state = State::Up(Box::new(guest)),
            Err(GuestError::Crashed(message)) => self.go_down(message),
            Err(GuestError::Unusable(error)) => self.go_down(error.to_string()),
        }
    }

    fn go_down(&mut self, message: String) {
        let failure = Failure::new(
            ErrorCode::Internal,
            format!(
                "the machine cannot be brought up ({message}); `reset` tries again, --verbose shows the kernel's log"
            ),
        );
        self.state = State::Down(failure.clone());
        if let Some((job, _)) = self.resetting.take() {
            self.answer(job.kind, job.id, Outcome::Failure(failure), job.reply);
        }
    }

    fn answer(&mut self, kind: String, id: Option<RequestId>, outcome: Outcome, reply: Reply) {
        let crashed =
            matches!(&outcome, Outcome::Failure(failure) if failure.error_code == ErrorCode::MachineCrashed);
        // The answer that reports the crash is not the one that reports the restart.
        let restarted = !crashed && std::mem::take(&mut self.restarted);
        reply(Response { restarted, ..Response::new(kind, id, outcome) });
    }
}

/// Upper bound of every sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

fn host_status(config: &SandboxConfig, guest: &Guest, restarts: u64) -> HostStatus {
    HostStatus {
        uptime_ms: guest.started().elapsed().as_millis() as u64,
        memory_limit_bytes: config.memory_limit_bytes,
        instructions: guest.instructions(),
        engine: guest.engine_name().to_owned(),
        image: config.image.name.clone(),
        kernel: guest.ready().map(|ready| ready.kernel.clone()).unwrap_or_default(),
        restarts,
    }
}

/// Output that nobody waits for any more must not stop its writer.
fn give_back_credit(frame: &AgentToHost<'_>, guest: &mut Guest) {
    if let AgentToHost::Output { op, data, .. } | AgentToHost::FileData { op, data } = frame {
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        guest.channel.send(&HostToAgent::Credit { op: *op, bytes });
    }
}
