//! The handle people hold.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use wasm_sandbox_protocol::json::{
    ErrorCode, Failure, Outcome, ParsedLine, Request, RequestId, Response,
};

use crate::config::SandboxConfig;
use crate::error::SandboxError;
use crate::guest::{Guest, GuestError};
use crate::worker::{Job, Reply, Worker};

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
            .spawn(move || match Guest::boot(&config) {
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
            Ok(Err(GuestError::Crashed(message))) => {
                Err(SandboxError::Thread(std::io::Error::other(message)))
            }
            Err(_) => Err(SandboxError::Thread(std::io::Error::other("the machine's thread ended early"))),
        }
    }

    /// Queues a line that was understood as far as possible; `reply` is called with its one answer,
    /// on the machine's thread.
    pub fn submit(&self, line: ParsedLine, reply: impl FnOnce(Response) + Send + 'static) {
        let ParsedLine { kind, id, request } = line;
        let kind = kind.unwrap_or_else(|| "error".to_owned());
        self.submit_job(Job { kind, id, request: request.map_err(Failure::from), reply: Box::new(reply) });
    }

    /// Carries `request` out and waits for the answer.
    pub fn request(&self, id: impl Into<RequestId>, request: Request) -> Response {
        let (answers, answer) = channel();
        let (id, kind) = (Some(id.into()), request.type_name().to_owned());
        let reply: Reply = Box::new(move |response| {
            let _ = answers.send(response);
        });
        self.submit_job(Job { kind: kind.clone(), id: id.clone(), request: Ok(request), reply });
        answer.recv().unwrap_or_else(|_| stopped(kind, id))
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
    let failure = Failure::new(
        ErrorCode::Internal,
        "the machine's thread ended unexpectedly: start the program again and report this",
    );
    Response::new(kind, id, Outcome::Failure(failure))
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
