//! The handle people hold.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use wasm_sandbox_machine::MachineSnapshot;
use wasm_sandbox_protocol::json::{ErrorCode, Failure, Outcome, ParsedLine, Request, RequestId, Response};

use crate::config::SandboxConfig;
use crate::error::SandboxError;
use crate::guest::{Guest, GuestError};
use crate::worker::{Job, Reply, Task, Worker};

/// A machine with Linux in it, running on a thread of its own.
///
/// Requests are carried out in the order in which they come. Dropping the handle stops the machine
/// after everything asked for has been answered.
pub struct Sandbox {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The worker's stack: wasm frames live on it.
const STACK_BYTES: usize = 8 << 20;

impl Sandbox {
    /// Powers a machine on. Requests may be given at once; they wait until it has booted.
    ///
    /// # Errors
    /// [`SandboxError`] if there can be no such machine on this host.
    pub fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let (jobs, queue) = channel();
        let (report, reported) = channel();
        let thread = std::thread::Builder::new()
            .name("machine".into())
            .stack_size(STACK_BYTES)
            .spawn(move || match Guest::start(&config) {
                Ok(guest) => {
                    let _ = report.send(Ok(()));
                    Worker::new(config, queue, guest).run();
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            })
            .map_err(SandboxError::Thread)?;
        match reported.recv() {
            Ok(Ok(())) => Ok(Self { jobs: Some(jobs), thread: Some(thread) }),
            Ok(Err(GuestError::Unusable(error))) => Err(error.into()),
            Ok(Err(GuestError::Crashed(message))) => Err(SandboxError::Crashed(message)),
            Err(_) => Err(SandboxError::Thread(std::io::Error::other("the machine's thread ended early"))),
        }
    }

    /// Queues a line that was understood as far as possible; `reply` is called with its one answer,
    /// on the machine's thread.
    pub fn submit(&self, line: ParsedLine, reply: impl FnOnce(Response) + Send + 'static) {
        let ParsedLine { kind, id, sandbox: _, request } = line;
        let kind = kind.unwrap_or_else(|| "error".to_owned());
        let task = request.map(Task::Request).map_err(Failure::from);
        self.submit_job(Job { kind, id, task, reply: Box::new(reply) });
    }

    /// Carries `request` out and waits for the answer.
    pub fn request(&self, id: impl Into<RequestId>, request: Request) -> Response {
        let (answers, answer) = channel();
        let (id, kind) = (Some(id.into()), request.type_name().to_owned());
        let reply: Reply = Box::new(move |response| {
            let _ = answers.send(response);
        });
        let task = Ok(Task::Request(request));
        self.submit_job(Job { kind: kind.clone(), id: id.clone(), task, reply });
        answer.recv().unwrap_or_else(|_| stopped(kind, id))
    }

    /// The machine's state when everything asked for so far is done.
    ///
    /// # Errors
    /// A [`Failure`] in the words of the JSON API: the machine went down, or the host has no room.
    pub fn snapshot(&self) -> Result<MachineSnapshot, Failure> {
        let (target, snapshot) = channel();
        let reply: Reply = Box::new(|_| {});
        self.submit_job(Job { kind: String::new(), id: None, task: Ok(Task::Snapshot(target)), reply });
        snapshot.recv().unwrap_or_else(|_| Err(stopped_failure()))
    }

    fn submit_job(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        if let Err(unsent) = jobs.send(job) {
            let Job { kind, id, reply, .. } = unsent.0;
            reply(stopped(kind, id));
        }
    }
}

fn stopped(kind: String, id: Option<RequestId>) -> Response {
    Response::new(kind, id, Outcome::Failure(stopped_failure()))
}

fn stopped_failure() -> Failure {
    let message = "the machine's thread ended unexpectedly: start the program again and report this";
    Failure::new(ErrorCode::Internal, message)
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the worker was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
