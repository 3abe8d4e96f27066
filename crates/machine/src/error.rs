//! Errors of the machine.

use thiserror::Error;
use wasm_sandbox_devices::RestoreError;
use wasm_sandbox_vcpu::VcpuError;

/// Why a machine could not be made or could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The kernel is not an ELF file this machine can boot.
    #[error("the kernel cannot be booted: {0}")]
    Kernel(String),
    /// Kernel, initial RAM file system or command line do not fit into RAM.
    #[error("{what} needs {needed} bytes of RAM, but the machine has {available}: raise the memory limit")]
    TooLittleRam {
        /// What does not fit.
        what: &'static str,
        /// Bytes of RAM needed.
        needed: u64,
        /// Bytes of RAM there are.
        available: u64,
    },
    /// The disk image is damaged or not in the zstd seekable format.
    #[error("the disk image cannot be read: {0}")]
    Disk(String),
    /// A snapshot's device state is none.
    #[error("the snapshot is damaged: {0}")]
    Restore(#[from] RestoreError),
    /// The CPU engine could not be set up.
    #[error(transparent)]
    Vcpu(VcpuError),
    /// The machine went down; only dropping it is left.
    #[error("{0}")]
    Crashed(CrashReason),
}

/// How a machine went down.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashReason {
    /// The CPU engine trapped: guest code reached a defect of it.
    #[error("the CPU engine failed ({0})")]
    EngineTrap(String),
    /// The CPU halted with interrupts off.
    #[error("the guest halted the CPU with interrupts off (power-off, or a kernel that gave up)")]
    Halted,
    /// The CPU shut down: an exception while it delivered a double fault.
    #[error("the guest's CPU shut down (triple fault)")]
    TripleFault,
    /// The guest asked the board for a reset.
    #[error("the guest rebooted")]
    Reset,
    /// The kernel said that it panicked.
    #[error("the guest's kernel panicked ({0})")]
    KernelPanic(String),
}

impl MachineError {
    /// Whether the host lacks memory or files for the machine, which may change.
    pub fn is_of_the_host(&self) -> bool {
        matches!(self, Self::Vcpu(VcpuError::Host(_)))
    }
}

impl From<VcpuError> for MachineError {
    fn from(error: VcpuError) -> Self {
        match error {
            VcpuError::Trapped { message } => Self::Crashed(CrashReason::EngineTrap(message)),
            other => Self::Vcpu(other),
        }
    }
}
