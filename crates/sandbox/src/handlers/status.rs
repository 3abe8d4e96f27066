//! `status`.

use std::time::Duration;

use wasm_sandbox_protocol::agent::{AgentToHost, HostToAgent, OperationId};
use wasm_sandbox_protocol::json::{CheckpointInfo, Limits, Outcome, StatusReport};

use crate::channel::Channel;
use crate::operation::{GRACE, Operation, Step};

/// What the host knows of the machine's state.
#[derive(Clone, Debug)]
pub(crate) struct HostStatus {
    pub(crate) uptime_ms: u64,
    pub(crate) instructions: u64,
    pub(crate) kernel: String,
    pub(crate) open_processes: u64,
    pub(crate) open_sessions: u64,
    pub(crate) checkpoints: Vec<CheckpointInfo>,
    pub(crate) limits: Limits,
    pub(crate) engine: String,
    pub(crate) image: String,
    pub(crate) restarts: u64,
    pub(crate) memory_hash: Option<String>,
}

/// A question about the machine's state.
pub(crate) struct StatusOperation {
    host: HostStatus,
}

impl StatusOperation {
    pub(crate) fn new(host: HostStatus) -> Self {
        Self { host }
    }
}

impl Operation for StatusOperation {
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step {
        channel.send(&HostToAgent::Status { op });
        Step::Pending
    }

    fn on_frame(&mut self, frame: AgentToHost<'_>, _: &mut Channel) -> Step {
        let AgentToHost::StatusReport(guest) = frame else { return Step::Pending };
        let host = self.host.clone();
        // What the kernel itself occupies is in use too, though it does not manage it.
        let reserved = host.limits.memory_bytes.saturating_sub(guest.memory_total);
        Step::Done(Outcome::Status(Box::new(StatusReport {
            ready: true,
            uptime_ms: host.uptime_ms,
            memory_used_bytes: reserved + guest.memory_used,
            memory_limit_bytes: host.limits.memory_bytes,
            disk_used_bytes: guest.disk_used,
            disk_limit_bytes: guest.disk_total,
            processes: guest.processes.into(),
            processes_limit: guest.processes_limit.map(u64::from),
            cpu_time_ms: guest.cpu_us.unwrap_or(0) / 1000,
            open_processes: host.open_processes,
            open_sessions: host.open_sessions,
            checkpoints: host.checkpoints,
            limits: host.limits,
            instructions: host.instructions,
            memory_hash: host.memory_hash,
            host_memory_bytes: resident_bytes(),
            engine: host.engine,
            image: host.image,
            kernel: host.kernel,
            restarts: host.restarts,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })))
    }

    fn patience(&self) -> Duration {
        GRACE
    }
}

/// Memory of the host this process occupies (proc(5), statm); 0 where that cannot be told.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}
