//! What a sandbox is made of.

use std::path::PathBuf;

use wasm_sandbox_machine::{EngineModule, MachineSnapshot, SnapshotIdentity, Sources};

use crate::image::Image;

/// How a sandbox is to be.
#[derive(Clone)]
pub struct SandboxConfig {
    /// The CPU engine's code.
    pub engine: EngineModule,
    /// What is booted.
    pub image: Image,
    /// RAM of the guest in bytes.
    pub memory_limit_bytes: u64,
    /// The most processes and threads that requests may have at a time; without it, what the guest can bear: eight for each
    /// MiB of its memory, at least 256 and at most 4096.
    pub process_limit: Option<u64>,
    /// Space for files written since the start, in bytes; without it, three quarters of the guest's memory.
    pub disk_limit_bytes: Option<u64>,
    /// Directories of the host that `upload` may read from, with all that is in them.
    pub allow_read: Vec<PathBuf>,
    /// Directories of the host that `download` may write to, with all that is in them.
    pub allow_write: Vec<PathBuf>,
    /// How requests come and answers go, for `hello` and `status` to tell.
    pub transport: Transport,
    /// The hashes of `engine` and `image`, for snapshots: only what has the same can go on from one.
    pub identity: SnapshotIdentity,
    /// The state that the sandbox starts in and that `reset` goes back to; without it, the machine is
    /// powered on.
    pub snapshot: Option<MachineSnapshot>,
    /// Where the machine's time and its random numbers come from. Where time follows instructions, it passes only while a
    /// request is under way, and the same requests have the same results, to the last bit of the guest's memory.
    pub sources: Sources,
    /// Whether the kernel's log goes to the tracing target `guest` at level info.
    pub kernel_log: bool,
}

/// Limits of whoever carries requests and answers, in bytes; 0 for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport {
    /// Of one line.
    pub line_bytes: u64,
    /// Of lines that wait for their answers.
    pub backlog_bytes: u64,
    /// Of answers and events that nobody has read.
    pub unread_bytes: u64,
}

impl SandboxConfig {
    /// The most processes and threads that requests may have at a time.
    pub(crate) fn process_limit(&self) -> u64 {
        self.process_limit.unwrap_or(((self.memory_limit_bytes >> 20) * 8).clamp(256, 4096))
    }

    /// Space for files written since the start, in bytes.
    pub(crate) fn disk_limit_bytes(&self) -> u64 {
        self.disk_limit_bytes.unwrap_or(self.memory_limit_bytes / 4 * 3)
    }
}

/// Default of [`SandboxConfig::memory_limit_bytes`].
pub const DEFAULT_MEMORY_LIMIT_BYTES: u64 = 256 << 20;
