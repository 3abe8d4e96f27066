//! From a request to whoever carries it out.

use wasm_sandbox_protocol::json::{
    Done, ErrorCode, Failure, HelloReport, Limits, MAXIMUM_OUTPUT_BYTES, MAXIMUM_TIME_LIMIT_MS, Outcome,
    PROTOCOL_VERSION, Request, Restored,
};

use super::{Current, Job, State, Worker};
use crate::client::Ticket;
use crate::config::SandboxConfig;
use crate::fleet::LARGEST_FLEET;
use crate::guest::{Guest, GuestError};
use crate::handlers::{self, HostStatus, StatusOperation, WaitPortOperation};
use crate::operation::{Operation, Step};
use crate::processes::{Context, OPEN_PROCESSES, Start};
use crate::snapshots;
use crate::time;

/// Names in `capabilities`.
const CAPABILITIES: [&str; 11] = [
    "async",
    "background",
    "cancel",
    "checkpoints",
    "forks",
    "pty",
    "run_code",
    "save",
    "sessions",
    "stream",
    "watch",
];

/// Whether `job` has to wait until the machine is ready.
pub(super) fn needs_guest(job: &Job) -> bool {
    match job {
        Job::Request { request, .. } => {
            !matches!(**request, Err(_) | Ok(Request::Reset(_) | Request::Hello(_)))
        }
        Job::Snapshot(_) | Job::RenewCode | Job::TranslateCode(_) => true,
        Job::Cancel(_) | Job::Stop => false,
    }
}

impl Worker {
    pub(super) fn start(&mut self, job: Job) {
        match job {
            Job::Request { ticket, request } => match *request {
                Ok(request) => self.request(ticket, request),
                Err(failure) => self.answers.push((ticket, failure.into())),
            },
            Job::Snapshot(target) => {
                let _nobody_waits_any_more = target.send(self.take_snapshot());
            }
            Job::RenewCode => self.with_code(Guest::renew_code),
            Job::TranslateCode(least) => self.with_code(|guest| guest.translate_code(least)),
            Job::Cancel(target) => self.cancel(&target),
            Job::Stop => {}
        }
    }

    fn with_code(&mut self, change: impl FnOnce(&mut Guest) -> Result<(), GuestError>) {
        if let State::Up(guest) = &mut self.state
            && let Err(error) = change(guest)
        {
            self.guest_is_gone(error);
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request) {
        let ticket = Ticket { started_at: self.instructions(), ..ticket };
        match request {
            Request::Hello(_) => {
                self.answers.push((ticket, Outcome::Hello(Box::new(hello(&self.config)))));
            }
            Request::Reset(_) => self.reset(ticket),
            Request::Restore(restore) => self.restore_checkpoint(ticket, &restore.name),
            Request::Checkpoint(checkpoint) => {
                let started = time::now();
                let taken = self.take_snapshot();
                let outcome = snapshots::checkpoint(taken, started, &mut self.checkpoints, checkpoint);
                self.answers.push((ticket, outcome))
            }
            Request::CheckpointDelete(delete) => {
                let outcome = match self.checkpoints.remove(&delete.name) {
                    Some(_) => Done {}.into(),
                    None => snapshots::unknown_checkpoint(&delete.name).into(),
                };
                self.answers.push((ticket, outcome))
            }
            Request::Save(save) => {
                let started = time::now();
                let taken = self.take_snapshot();
                let outcome = snapshots::save(taken, started, self.config.identity, save);
                self.answers.push((ticket, outcome))
            }
            // The fleet does these; a sandbox of its own has no others beside it.
            Request::Fork(_) | Request::Close(_) | Request::Cancel(_) => {
                let message = "this sandbox stands alone: use a `Fleet` to fork, close and cancel";
                self.answers.push((ticket, Failure::new(ErrorCode::InvalidRequest, message).into()))
            }
            request => self.guest_request(ticket, request),
        }
    }

    /// Requests for which a guest is needed.
    fn guest_request(&mut self, ticket: Ticket, request: Request) {
        let host_status = self.host_status();
        let Self { state, processes, sessions, watches, answers, .. } = self;
        let guest = match state {
            State::Up(guest) => guest,
            State::Down(failure) => return answers.push((ticket, failure.clone().into())),
        };
        let context = &mut Context { channel: &mut guest.channel, answers };
        let outcome = match request {
            Request::Shell(shell) if shell.session.is_some() => {
                return sessions.shell(shell, ticket, processes, context);
            }
            Request::RunCode(run) => return sessions.run_code(run, ticket, processes, context),
            Request::Shell(shell) => {
                let options = shell.options();
                let op = context.channel.next_operation();
                return processes.start(Start::shell(shell.command, options), op, ticket, context);
            }
            Request::Exec(exec) => {
                let options = exec.options();
                let op = context.channel.next_operation();
                return processes.start(Start::new(exec.argv, options), op, ticket, context);
            }
            Request::ProcessWait(request) => return processes.wait(&request, ticket, context),
            Request::ProcessRead(request) => return processes.read(&request, ticket, context),
            Request::ProcessWrite(request) => return processes.write_stdin(request, ticket, context),
            Request::Watch(request) => {
                let op = context.channel.next_operation();
                return watches.start(&request, op, ticket, context.channel, context.answers);
            }
            Request::Unwatch(request) => watches.end(&request, context.channel),
            Request::WaitLog(request) => return processes.wait_log(&request, ticket, context),
            Request::SessionClose(request) => return sessions.close(&request, ticket, processes, context),
            Request::ProcessList(_) => Ok(processes.list()),
            Request::ProcessCloseStdin(request) => processes.close_stdin(&request, context),
            Request::ProcessSignal(request) => processes.signal(&request, context),
            Request::ProcessResize(request) => processes.resize(&request, context),
            Request::SessionList(_) => Ok(sessions.list(processes)),
            Request::Status(status) => {
                let memory_hash = status.memory_hash.then(|| guest.memory_hash());
                let operation = StatusOperation::new(HostStatus { memory_hash, ..host_status });
                return self.operate(ticket, Ok(Box::new(operation)));
            }
            Request::WaitPort(wait) => {
                return self.operate(ticket, Ok(Box::new(WaitPortOperation::new(&wait))));
            }
            request => return self.operate(ticket, handlers::file_operation(request, &self.config)),
        };
        answers.push((ticket, outcome.unwrap_or_else(Outcome::Failure)));
    }

    /// Starts something that the agent carries out.
    fn operate(&mut self, ticket: Ticket, operation: Result<Box<dyn Operation>, Failure>) {
        let State::Up(guest) = &mut self.state else { return };
        let op = guest.next_operation();
        let started = operation.map(|mut operation| {
            let step = operation.start(op, &mut guest.channel);
            (operation, step)
        });
        match started {
            Ok((operation, Step::Pending)) => {
                self.operations.insert(op, Current { ticket, operation, last_sign: time::now() });
            }
            Ok((_, Step::Done(outcome))) => self.answers.push((ticket, outcome)),
            Err(failure) => self.answers.push((ticket, failure.into())),
        }
    }

    fn restore_checkpoint(&mut self, ticket: Ticket, name: &str) {
        let started = time::now();
        let Some(snapshot) = self.checkpoints.get(name).cloned() else {
            return self.answers.push((ticket, snapshots::unknown_checkpoint(name).into()));
        };
        self.abandon(&Failure::new(ErrorCode::Cancelled, "it was stopped by `restore`"));
        self.replace_guest(Some(snapshot));
        let outcome = match &self.state {
            State::Up(_) => {
                let duration_ms = time::since(started).as_millis() as u64;
                Restored { name: name.to_owned(), duration_ms }.into()
            }
            State::Down(failure) => failure.clone().into(),
        };
        self.answers.push((ticket, outcome));
    }

    fn host_status(&self) -> HostStatus {
        let config = &self.config;
        let (uptime_ms, instructions, kernel) = match &self.state {
            State::Up(guest) => (
                time::since(guest.started()).as_millis() as u64,
                guest.instructions(),
                guest.ready().map(|ready| ready.kernel.clone()).unwrap_or_default(),
            ),
            State::Down(_) => Default::default(),
        };
        HostStatus {
            uptime_ms,
            instructions,
            kernel,
            open_processes: self.processes.open() as u64,
            open_sessions: self.sessions.count() as u64,
            checkpoints: snapshots::list(&self.checkpoints),
            limits: limits(config),
            engine: config.engine.kind().name().to_owned(),
            image: config.image.name.clone(),
            restarts: self.restarts,
            memory_hash: None,
        }
    }
}

fn hello(config: &SandboxConfig) -> HelloReport {
    HelloReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_version: PROTOCOL_VERSION,
        engine: config.engine.kind().name().to_owned(),
        image: config.image.name.clone(),
        arch: config.image.arch.name().to_owned(),
        requests: Request::TYPES.iter().map(|name| (*name).to_owned()).collect(),
        capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
        limits: limits(config),
    }
}

fn limits(config: &SandboxConfig) -> Limits {
    Limits {
        memory_bytes: config.memory_limit_bytes,
        disk_bytes: config.disk_limit_bytes(),
        processes: config.process_limit(),
        output_bytes: MAXIMUM_OUTPUT_BYTES,
        open_processes: OPEN_PROCESSES as u64,
        line_bytes: config.transport.line_bytes,
        backlog_bytes: config.transport.backlog_bytes,
        unread_bytes: config.transport.unread_bytes,
        time_limit_ms: MAXIMUM_TIME_LIMIT_MS,
        sandboxes: LARGEST_FLEET as u64,
    }
}
