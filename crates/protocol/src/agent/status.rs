//! The state of the guest as a whole.

use serde::{Deserialize, Serialize};

use super::OperationId;

/// Answers [`super::HostToAgent::Status`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The operation that asked.
    pub op: OperationId,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// RAM the kernel manages, in bytes.
    pub memory_total: u64,
    /// Bytes a new program could get without pushing others out (`MemAvailable`).
    pub memory_available: u64,
    /// `memory_total` minus `memory_available`.
    pub memory_used: u64,
    /// Bytes the sandbox's processes together may use, when the memory controller limits them.
    pub memory_limit: Option<u64>,
    /// Processes of the sandbox that are running; without control groups all processes of the guest.
    pub processes: u32,
    /// The most processes and threads the sandbox may have, when limited.
    pub processes_limit: Option<u32>,
    /// Operations under way in the agent.
    pub operations: u32,
    /// Bytes of the writable layer of `/`.
    pub disk_total: u64,
    /// Bytes of it in use.
    pub disk_used: u64,
    /// Load averages over 1, 5 and 15 minutes, in hundredths.
    pub load_hundredths: [u32; 3],
    /// Microseconds of CPU time all operations used since boot, when control groups count it.
    pub cpu_us: Option<u64>,
}
