//! What a sandbox is made of.

use wasm_sandbox_machine::{DiskImage, EngineModule, MachineSnapshot, SnapshotIdentity};

/// A system to boot: kernel, the agent in its initial RAM file system, and the root disk.
#[derive(Clone)]
pub struct Image {
    /// What `status` calls it.
    pub name: String,
    /// `vmlinux`, uncompressed.
    pub kernel: &'static [u8],
    /// A cpio archive with the agent as `/init`.
    pub initrd: &'static [u8],
    /// The root file system (erofs).
    pub disk: DiskImage,
}

/// How a sandbox is to be.
#[derive(Clone)]
pub struct SandboxConfig {
    /// The CPU engine's code.
    pub engine: EngineModule,
    /// What is booted.
    pub image: Image,
    /// RAM of the guest in bytes.
    pub memory_limit_bytes: u64,
    /// The hash of `engine` and `image`, for snapshots: only what has the same can go on from one.
    pub identity: SnapshotIdentity,
    /// The state that the sandbox starts in and that `reset` goes back to; without it, the machine is
    /// powered on.
    pub snapshot: Option<MachineSnapshot>,
    /// Whether the kernel's log goes to the tracing target `guest` at level info.
    pub kernel_log: bool,
}

/// Default of [`SandboxConfig::memory_limit_bytes`].
pub const DEFAULT_MEMORY_LIMIT_BYTES: u64 = 256 << 20;
