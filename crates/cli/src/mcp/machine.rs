//! The machine behind the tools.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::sync::watch;
use wasm_sandbox::Sandbox;
use wasm_sandbox::protocol::json::{ErrorCode, Failure};

/// A machine that starts on a thread of its own: there, on its way, or impossible.
#[derive(Clone)]
pub struct Machine {
    state: watch::Receiver<Option<Started>>,
    ids: Arc<AtomicU64>,
}

type Started = Result<Arc<Sandbox>, String>;

impl Machine {
    /// Begins to start it with `start`.
    ///
    /// # Errors
    /// The host gives no thread.
    pub fn start(start: impl FnOnce() -> Result<Sandbox> + Send + 'static) -> Result<Self> {
        let (report, state) = watch::channel(None);
        let work = move || {
            let started = start().map(Arc::new).map_err(|error| {
                let error = format!("{error:#}");
                crate::report::say(&format!("the sandbox cannot start: {error}"));
                error
            });
            let _the_server_has_ended = report.send(Some(started));
        };
        std::thread::Builder::new().name("start".into()).spawn(work).context("the host gives no thread")?;
        Ok(Self { state, ids: Arc::default() })
    }

    /// The sandbox, once it is there.
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn sandbox(&self) -> Result<Arc<Sandbox>, Failure> {
        let mut state = self.state.clone();
        let started = match state.wait_for(Option::is_some).await {
            Ok(started) => started.clone(),
            // The panic hook has reported it.
            Err(_) => Some(Err("its thread ended unexpectedly".into())),
        };
        started
            .unwrap_or_else(|| Err("it did not say why".into()))
            .map_err(|error| Failure::new(ErrorCode::Internal, format!("the sandbox cannot start: {error}")))
    }

    /// An id that no other request has.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Stops the machine now, if nobody else holds it. One that is still on its way ends with the program.
    pub fn stop(self) {
        let started = self.state.borrow().clone();
        drop(self);
        if let Some(Ok(sandbox)) = started
            && let Some(sandbox) = Arc::into_inner(sandbox)
        {
            sandbox.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_machine_from_starting_is_the_answer_to_every_call() {
        let machine = Machine::start(|| anyhow::bail!("no disk")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..2 {
            let failure = runtime.block_on(machine.sandbox()).err().unwrap();
            assert_eq!(failure.error, "the sandbox cannot start: no disk");
        }
        machine.stop();
    }
}
