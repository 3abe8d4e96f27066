//! A sandbox and those forked from it, and the order of requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use wasm_sandbox_protocol::json::{
    Cancelled, Closed, ErrorCode, Event, Failure, Fork, Forked, Outcome, ParsedLine, Request, RequestId,
    Response,
};

use crate::client::{Client, Ticket};
use crate::config::SandboxConfig;
use crate::error::SandboxError;
use crate::sandbox::Sandbox;

/// What the first sandbox is called.
pub const FIRST_SANDBOX: &str = "main";
/// Sandboxes there can be at a time.
pub(crate) const LARGEST_FLEET: usize = 1000;

/// What a fleet is told.
pub enum Input {
    /// A line, and who gets its answer.
    Line(Box<ParsedLine>, Arc<dyn Client>),
    /// There will be no more lines.
    End,
    /// Nobody wants answers any more.
    Stop,
    /// A client that had no room for answers has room again.
    Room,
    /// The request with this number was answered. The fleet tells itself.
    Answered(u64),
}

/// A request under way.
struct UnderWay {
    id: Option<RequestId>,
    sandbox: String,
    ordered: bool,
}

/// Sandboxes by name. The first one is there from the start and stays.
///
/// Requests are carried out one after the other, whichever sandbox they are for, but for those with `async` and those that
/// are served at once.
pub struct Fleet {
    config: SandboxConfig,
    sandboxes: BTreeMap<String, Sandbox>,
    forks: u64,
    /// Requests that wait for those before them.
    queue: VecDeque<(ParsedLine, Arc<dyn Client>)>,
    /// Lines that wait until their client has room for answers.
    held: VecDeque<(ParsedLine, Arc<dyn Client>)>,
    under_way: BTreeMap<u64, UnderWay>,
    last_number: u64,
}

impl Fleet {
    /// A fleet of one sandbox.
    ///
    /// # Errors
    /// Those of [`Sandbox::start`].
    pub fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let first = Sandbox::start(config.clone())?;
        Ok(Self {
            config,
            sandboxes: BTreeMap::from([(FIRST_SANDBOX.to_owned(), first)]),
            forks: 0,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            under_way: BTreeMap::new(),
            last_number: 0,
        })
    }

    /// Carries lines out until there are no more and all are answered, or nobody wants answers any more. `loopback` is
    /// the other end of `inputs`.
    pub fn run(mut self, inputs: &Receiver<Input>, loopback: &Sender<Input>) {
        let mut ended = false;
        while !(ended && self.is_idle()) {
            let Ok(input) = inputs.recv() else { break };
            match input {
                Input::Line(line, client) => self.held.push_back((*line, client)),
                Input::Answered(number) => drop(self.under_way.remove(&number)),
                Input::End => ended = true,
                Input::Stop => break,
                Input::Room => {}
            }
            self.advance(loopback);
        }
        // Watches and background processes go on for ever, and nobody is there any more to wait for anything.
        for (_, sandbox) in std::mem::take(&mut self.sandboxes) {
            sandbox.stop();
        }
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.queue.is_empty() && self.held.is_empty()
    }

    /// Starts what can be started.
    fn advance(&mut self, loopback: &Sender<Input>) {
        while self.held.front().is_some_and(|(_, client)| client.has_room()) {
            let Some((line, client)) = self.held.pop_front() else { break };
            if is_served_at_once(&line) {
                self.start_request(line, client, false, loopback);
            } else {
                self.queue.push_back((line, client));
            }
            self.start_next(loopback);
        }
        self.start_next(loopback);
    }

    /// Starts the next request in the queue if all before it are answered.
    fn start_next(&mut self, loopback: &Sender<Input>) {
        while !self.under_way.values().any(|request| request.ordered) {
            let Some((line, client)) = self.queue.pop_front() else { return };
            self.start_request(line, client, true, loopback);
        }
    }

    fn start_request(
        &mut self,
        line: ParsedLine,
        client: Arc<dyn Client>,
        ordered: bool,
        loopback: &Sender<Input>,
    ) {
        let ParsedLine { kind, id, sandbox, concurrent: _, request } = line;
        let name = sandbox.unwrap_or_else(|| FIRST_SANDBOX.to_owned());
        let kind = kind.unwrap_or_else(|| "error".to_owned());
        self.last_number += 1;
        let number = self.last_number;
        let counted = Counted { client: client.clone(), number, fleet: loopback.clone() };
        let direct = Ticket::new(kind.clone(), id.clone(), client);
        let ticket = Ticket::new(kind, id.clone(), Arc::new(counted));
        let Some(sandbox) = self.sandboxes.get(&name) else { return direct.answer(unknown(&name), false) };
        match request {
            Ok(Request::Cancel(cancel)) => direct.answer(self.cancel(cancel.target), false),
            Ok(Request::Fork(fork)) => {
                let outcome = self.fork(&name, fork);
                direct.answer(outcome, false);
            }
            Ok(Request::Close(_)) => {
                let outcome = self.close(&name);
                direct.answer(outcome, false);
            }
            request => {
                self.under_way.insert(number, UnderWay { id, sandbox: name, ordered });
                sandbox.submit_job(ticket, request.map_err(Failure::from));
            }
        }
    }

    fn cancel(&mut self, target: RequestId) -> Outcome {
        let mut found = false;
        for list in [&mut self.queue, &mut self.held] {
            let (matching, others): (Vec<_>, Vec<_>) =
                std::mem::take(list).into_iter().partition(|(line, _)| line.id.as_ref() == Some(&target));
            *list = others.into();
            for (line, client) in matching {
                found = true;
                let kind = line.kind.unwrap_or_else(|| "error".to_owned());
                Ticket::new(kind, line.id, client).answer(crate::processes::cancelled().into(), false);
            }
        }
        for request in self.under_way.values().filter(|request| request.id.as_ref() == Some(&target)) {
            if let Some(sandbox) = self.sandboxes.get(&request.sandbox) {
                found = true;
                sandbox.cancel(target.clone());
            }
        }
        Cancelled { target, cancelled: found }.into()
    }

    fn fork(&mut self, source: &str, request: Fork) -> Outcome {
        let started = Instant::now();
        let name = request.name.unwrap_or_else(|| self.free_name());
        if self.sandboxes.contains_key(&name) {
            let message = format!("there is a sandbox {name:?} already: `close` it or choose another name");
            return Failure::new(ErrorCode::AlreadyExists, message).into();
        }
        if self.sandboxes.len() >= LARGEST_FLEET {
            let message = format!("there are {LARGEST_FLEET} sandboxes already: `close` some");
            return Failure::new(ErrorCode::LimitReached, message).into();
        }
        let Some(sandbox) = self.sandboxes.get(source) else { return unknown(source) };
        let snapshot = match sandbox.snapshot() {
            Ok(snapshot) => snapshot,
            Err(failure) => return failure.into(),
        };
        let config = SandboxConfig { snapshot: Some(snapshot), ..self.config.clone() };
        match Sandbox::start(config) {
            Ok(fork) => {
                self.sandboxes.insert(name.clone(), fork);
                let duration_ms = started.elapsed().as_millis() as u64;
                Forked { sandbox: name, duration_ms }.into()
            }
            Err(error) => Failure::new(error.code(), error.to_string()).into(),
        }
    }

    fn close(&mut self, name: &str) -> Outcome {
        if name == FIRST_SANDBOX {
            let message = "the first sandbox cannot be closed: end the program's standard input instead";
            return Failure::new(ErrorCode::InvalidRequest, message).into();
        }
        match self.sandboxes.remove(name) {
            Some(sandbox) => {
                sandbox.stop();
                Closed { sandbox: name.to_owned() }.into()
            }
            None => unknown(name),
        }
    }

    fn free_name(&mut self) -> String {
        loop {
            self.forks += 1;
            let name = format!("fork-{}", self.forks);
            if !self.sandboxes.contains_key(&name) {
                return name;
            }
        }
    }
}

/// Whether a request needs not wait for those before it: who gives it says so, or it is there to reach into what is under
/// way.
fn is_served_at_once(line: &ParsedLine) -> bool {
    line.concurrent
        || matches!(
            line.request,
            Ok(Request::Hello(_)
                | Request::ProcessList(_)
                | Request::ProcessRead(_)
                | Request::ProcessWrite(_)
                | Request::ProcessCloseStdin(_)
                | Request::ProcessSignal(_)
                | Request::ProcessResize(_)
                | Request::SessionList(_)
                | Request::Cancel(_)
                | Request::Unwatch(_))
        )
}

fn unknown(name: &str) -> Outcome {
    let message = format!("there is no sandbox {name:?}: `fork` makes one");
    Failure::new(ErrorCode::UnknownSandbox, message).into()
}

/// A client that tells the fleet when it was answered.
struct Counted {
    client: Arc<dyn Client>,
    number: u64,
    fleet: Sender<Input>,
}

impl Client for Counted {
    fn answer(&self, response: Response) {
        self.client.answer(response);
        let _the_fleet_has_ended = self.fleet.send(Input::Answered(self.number));
    }

    fn event(&self, event: Event) {
        self.client.event(event);
    }

    fn has_room(&self) -> bool {
        self.client.has_room()
    }
}
