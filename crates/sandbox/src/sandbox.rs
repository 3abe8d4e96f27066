//! The handle people hold.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use wasm_sandbox_machine::MachineSnapshot;
use wasm_sandbox_protocol::json::{Call, ErrorCode, Event, Failure, Outcome, Request, RequestId, Response};

use crate::client::{Client, Ticket};
use crate::config::SandboxConfig;
use crate::error::SandboxError;
use crate::guest::{Guest, GuestError};
use crate::worker::{Job, Worker};

/// A machine with Linux in it, running on a thread of its own.
///
/// Requests that are given while others are under way are carried out beside them. Dropping the handle stops the machine
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
                Ok((guest, host_state)) => {
                    let _ = report.send(Ok(()));
                    Worker::new(config, queue, guest, host_state).run();
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

    /// Carries `request` out beside those under way; `client` gets its events and its answer, which name it `id`.
    pub fn submit(&self, id: impl Into<RequestId>, request: Request, client: Arc<dyn Client>) {
        let kind = request.type_name().to_owned();
        self.submit_job(Ticket::new(kind, Some(id.into()), client), Ok(request));
    }

    /// Carries `request` out and waits for the answer. Events are dropped.
    pub fn request(&self, id: impl Into<RequestId>, request: impl Into<Request>) -> Response {
        self.request_with_events(id, request, |_| {})
    }

    /// Carries `request` out and waits for what a success carries. Events are dropped.
    ///
    /// # Errors
    /// Why it was not carried out. For `shell` and `exec` with `background` use [`Sandbox::request`], since their answer is
    /// of another type.
    pub fn call<R: Call>(&self, request: R) -> Result<R::Answer, Failure> {
        let response = self.request(0, request);
        R::Answer::try_from(response.outcome).map_err(|outcome| match outcome {
            Outcome::Failure(failure) => failure,
            _ => Failure::new(ErrorCode::Internal, "the answer is of another type"),
        })
    }

    /// Carries `request` out and waits for the answer; `on_event` gets the events before it, on the machine's thread.
    pub fn request_with_events(
        &self,
        id: impl Into<RequestId>,
        request: impl Into<Request>,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Response {
        let (answers, answer) = channel();
        let (id, request) = (id.into(), request.into());
        let kind = request.type_name();
        self.submit(id.clone(), request, Arc::new(Waiting { answers, on_event }));
        answer.recv().unwrap_or_else(|_| Response::new(kind, Some(id), stopped().into()))
    }

    /// Stops the requests that are called `target`.
    pub fn cancel(&self, target: impl Into<RequestId>) {
        if let Some(jobs) = &self.jobs {
            let _the_machine_has_ended = jobs.send(Job::Cancel(target.into()));
        }
    }

    /// Stops the machine now; what is under way is answered with `cancelled`.
    pub fn stop(self) {
        if let Some(jobs) = &self.jobs {
            let _it_has_ended_already = jobs.send(Job::Stop);
        }
    }

    /// The machine's state now.
    ///
    /// # Errors
    /// A [`Failure`] in the words of the JSON API: the machine went down, or the host has no room.
    pub fn snapshot(&self) -> Result<MachineSnapshot, Failure> {
        let (target, snapshot) = channel();
        if let Some(jobs) = &self.jobs {
            let _the_machine_has_ended = jobs.send(Job::Snapshot(target));
        }
        snapshot.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Prepares for a snapshot that others will start from: what the guest has done so far is forgotten by its CPU, and
    /// the code of what it does next comes to lie together in memory, in the order of its execution. A machine that starts
    /// from the snapshot and does the same touches less memory and is quicker.
    pub fn renew_code(&self) {
        if let Some(jobs) = &self.jobs {
            let _the_machine_has_ended = jobs.send(Job::RenewCode);
        }
    }

    /// Prepares for a snapshot that others will start from: code that was executed at least `least` times since
    /// [`Sandbox::renew_code`] is translated, so that it can be compiled and kept with the snapshot. To be called right before
    /// [`Sandbox::snapshot`].
    pub fn translate_code(&self, least: u32) {
        if let Some(jobs) = &self.jobs {
            let _the_machine_has_ended = jobs.send(Job::TranslateCode(least));
        }
    }

    /// Queues a request, or the answer that says what is wrong with one.
    pub(crate) fn submit_job(&self, ticket: Ticket, request: Result<Request, Failure>) {
        let Some(jobs) = &self.jobs else { return };
        if let Err(unsent) = jobs.send(Job::Request { ticket, request: Box::new(request) })
            && let Job::Request { ticket, .. } = unsent.0
        {
            ticket.answer(stopped().into(), false);
        }
    }
}

/// A client that waits for one answer.
struct Waiting<F> {
    answers: Sender<Response>,
    on_event: F,
}

impl<F: Fn(Event) + Send + Sync> Client for Waiting<F> {
    fn answer(&self, response: Response) {
        let _nobody_waits_any_more = self.answers.send(response);
    }

    fn event(&self, event: Event) {
        (self.on_event)(event);
    }
}

fn stopped() -> Failure {
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
