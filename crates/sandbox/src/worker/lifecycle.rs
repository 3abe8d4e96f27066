//! The machine's ends and beginnings: crashes, resets, snapshots.

use serde::{Deserialize, Serialize};
use wasm_sandbox_machine::MachineSnapshot;
use wasm_sandbox_protocol::agent::{HostToAgent, OperationId};
use wasm_sandbox_protocol::json::{ErrorCode, Failure, ResetDone};

use super::{Routes, State, Worker};
use crate::client::Ticket;
use crate::guest::{Guest, GuestError, crash_message};
use crate::processes::{Processes, Record};
use crate::sessions::{KeptSession, Sessions};
use crate::time;

/// After so many boots in a row that failed, the machine is not tried again until it is asked for.
const BOOT_ATTEMPTS: u32 = 3;

/// What the host knows of a guest, for snapshots.
#[derive(Serialize, Deserialize)]
struct HostState {
    processes: Vec<Record>,
    last_number: u64,
    sessions: Vec<KeptSession>,
    /// Operations that nobody waits for in whatever goes on from the snapshot.
    to_cancel: Vec<u32>,
}

impl Worker {
    /// The guest's present state. A guest that went down meanwhile is replaced.
    pub(super) fn take_snapshot(&mut self) -> Result<MachineSnapshot, Failure> {
        let guest = match &mut self.state {
            State::Up(guest) => guest,
            State::Down(failure) => return Err(failure.clone()),
        };
        let Self { operations, processes, sessions, watches, answers, .. } = self;
        let mut routes = Routes { operations, processes, sessions, watches, answers };
        let taken = guest.come_to_rest(|guest, frame| routes.dispatch(guest, frame)).and_then(|()| {
            let state = host_state(&routes);
            guest.snapshot(state)
        });
        guest.go_on();
        taken.map_err(|error| match error {
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

    /// Goes on with what the host knew when a snapshot was taken.
    pub(super) fn take_over(&mut self, host_state: Option<Vec<u8>>) {
        self.operations.clear();
        let seed = self.config.sources.seed;
        let state = host_state.and_then(|bytes| match postcard::from_bytes::<HostState>(&bytes) {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!(%error, "the processes of a snapshot are not known: they run on unseen");
                None
            }
        });
        let Some(state) = state else {
            self.processes = Processes::default();
            self.sessions = Sessions::restore(Vec::new(), seed);
            return;
        };
        self.processes = Processes::restore(state.processes, state.last_number);
        self.sessions = Sessions::restore(state.sessions, seed);
        if let State::Up(guest) = &mut self.state {
            for op in state.to_cancel {
                guest.channel.send(&HostToAgent::Cancel { op: OperationId(op) });
            }
        }
    }

    /// Everything under way has come to an end, for the reason that `failure` gives.
    pub(super) fn abandon(&mut self, failure: &Failure) {
        for (_, current) in std::mem::take(&mut self.operations) {
            self.answers.push((current.ticket, failure.clone().into()));
        }
        self.watches.abandon(failure, &mut self.answers);
        self.sessions.abandon(failure, &mut self.answers);
        self.processes.abandon(failure, &mut self.answers);
    }

    /// Goes back to the initial state; answers when the machine is ready.
    pub(super) fn reset(&mut self, ticket: Ticket) {
        self.abandon(&Failure::new(ErrorCode::Cancelled, "it was stopped by `reset`"));
        self.resetting = Some((ticket, time::now()));
        self.failed_boots = 0;
        self.replace_guest(None);
        self.finish_reset();
    }

    pub(super) fn finish_reset(&mut self) {
        let ready = matches!(&self.state, State::Up(guest) if guest.ready().is_some());
        if !ready {
            return;
        }
        self.failed_boots = 0;
        if let Some((ticket, since)) = self.resetting.take() {
            // Whoever asks for the initial state need not hear that he has it.
            self.restarted = false;
            let duration_ms = time::since(since).as_millis() as u64;
            self.answers.push((ticket, ResetDone { duration_ms }.into()));
        }
    }

    pub(super) fn guest_is_gone(&mut self, error: GuestError) {
        let (message, usable) = match error {
            GuestError::Crashed(reason) => (crash_message(&reason), true),
            GuestError::Unusable(error) => (error.to_string(), false),
        };
        tracing::warn!("{message}");
        let was_ready = matches!(&self.state, State::Up(guest) if guest.ready().is_some());
        self.abandon(&Failure::new(ErrorCode::MachineCrashed, message.clone()));
        self.give_answers();
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
    pub(super) fn replace_guest(&mut self, snapshot: Option<MachineSnapshot>) {
        // The old machine's memory is free before the new one's is taken.
        self.state = State::Down(Failure::new(ErrorCode::Internal, "the machine is being replaced"));
        let guest = match &snapshot {
            Some(snapshot) => {
                Guest::restore(&self.config, snapshot).map(|(guest, state)| (guest, Some(state)))
            }
            None => Guest::start(&self.config),
        };
        match guest {
            Ok((guest, host_state)) => {
                self.state = State::Up(Box::new(guest));
                self.take_over(host_state);
            }
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
        if let Some((ticket, _)) = self.resetting.take() {
            self.answers.push((ticket, failure.into()));
        }
    }
}

fn host_state(routes: &Routes<'_>) -> Vec<u8> {
    let busy: Vec<u64> = routes.sessions.not_kept();
    let (processes, orphans): (Vec<Record>, Vec<Record>) =
        routes.processes.records().into_iter().partition(|record| !busy.contains(&record.number));
    let mut to_cancel = routes.processes.foreground_ops();
    to_cancel.extend(orphans.iter().map(|record| record.op));
    to_cancel.extend(routes.operations.keys().map(|op| op.0));
    to_cancel.extend(routes.watches.operations());
    let last_number = routes.processes.last_number();
    let state = HostState { processes, last_number, sessions: routes.sessions.kept(), to_cancel };
    // Writing plain data to memory does not fail; without it, processes would run on unseen.
    postcard::to_allocvec(&state).unwrap_or_default()
}
