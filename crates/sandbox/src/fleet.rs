//! A sandbox and those forked from it.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Instant;

use wasm_sandbox_protocol::json::{
    Closed, ErrorCode, Failure, Fork, Forked, Outcome, ParsedLine, Request, RequestId, Response,
};

use crate::config::SandboxConfig;
use crate::error::SandboxError;
use crate::sandbox::Sandbox;

/// What the first sandbox is called.
pub const FIRST_SANDBOX: &str = "main";
/// Sandboxes there can be at a time.
const LARGEST_FLEET: usize = 1000;

/// Sandboxes by name. The first one is there from the start and stays.
pub struct Fleet {
    config: SandboxConfig,
    sandboxes: BTreeMap<String, Sandbox>,
    forks: u64,
}

impl Fleet {
    /// A fleet of one sandbox.
    ///
    /// # Errors
    /// Those of [`Sandbox::start`].
    pub fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let first = Sandbox::start(config.clone())?;
        Ok(Self { config, sandboxes: BTreeMap::from([(FIRST_SANDBOX.to_owned(), first)]), forks: 0 })
    }

    /// Carries out a line that was understood as far as possible, and waits for its one answer.
    pub fn carry_out(&mut self, line: ParsedLine) -> Response {
        let name = line.sandbox.clone().unwrap_or_else(|| FIRST_SANDBOX.to_owned());
        let kind = line.kind.clone().unwrap_or_else(|| "error".to_owned());
        let id = line.id.clone();
        let answer = |outcome| Response::new(kind.clone(), id.clone(), outcome);
        let Some(sandbox) = self.sandboxes.get(&name) else {
            let message = format!("there is no sandbox {name:?}: `fork` makes one");
            return answer(Outcome::Failure(Failure::new(ErrorCode::UnknownSandbox, message)));
        };
        match &line.request {
            Ok(Request::Fork(fork)) => {
                let outcome = self.fork(&name, fork.clone());
                answer(outcome)
            }
            Ok(Request::Close(_)) => answer(self.close(&name)),
            _ => wait_for(sandbox, line, kind, id),
        }
    }

    fn fork(&mut self, source: &str, request: Fork) -> Outcome {
        let started = Instant::now();
        let name = request.name.unwrap_or_else(|| self.free_name());
        if self.sandboxes.contains_key(&name) {
            let message = format!("there is a sandbox {name:?} already: `close` it or choose another name");
            return Outcome::Failure(Failure::new(ErrorCode::AlreadyExists, message));
        }
        if self.sandboxes.len() >= LARGEST_FLEET {
            let message = format!("there are {LARGEST_FLEET} sandboxes already: `close` some");
            return Outcome::Failure(Failure::new(ErrorCode::TooLarge, message));
        }
        let Some(sandbox) = self.sandboxes.get(source) else { return unknown(source) };
        let snapshot = match sandbox.snapshot() {
            Ok(snapshot) => snapshot,
            Err(failure) => return Outcome::Failure(failure),
        };
        let config = SandboxConfig { snapshot: Some(snapshot), ..self.config.clone() };
        match Sandbox::start(config) {
            Ok(fork) => {
                self.sandboxes.insert(name.clone(), fork);
                let duration_ms = started.elapsed().as_millis() as u64;
                Outcome::Forked(Forked { sandbox: name, duration_ms })
            }
            Err(error) => Outcome::Failure(Failure::new(ErrorCode::Internal, error.to_string())),
        }
    }

    fn close(&mut self, name: &str) -> Outcome {
        if name == FIRST_SANDBOX {
            let message = "the first sandbox cannot be closed: end the program's standard input instead";
            return Outcome::Failure(Failure::new(ErrorCode::InvalidRequest, message));
        }
        match self.sandboxes.remove(name) {
            Some(_) => Outcome::Closed(Closed { sandbox: name.to_owned() }),
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

fn unknown(name: &str) -> Outcome {
    let message = format!("there is no sandbox {name:?}: `fork` makes one");
    Outcome::Failure(Failure::new(ErrorCode::UnknownSandbox, message))
}

fn wait_for(sandbox: &Sandbox, line: ParsedLine, kind: String, id: Option<RequestId>) -> Response {
    let (answers, answer) = channel();
    sandbox.submit(line, move |response| {
        let _ = answers.send(response);
    });
    answer.recv().unwrap_or_else(|_| {
        let message = "the machine's thread ended unexpectedly: start the program again and report this";
        Response::new(kind, id, Outcome::Failure(Failure::new(ErrorCode::Internal, message)))
    })
}
