//! A PC that boots Linux: the board with its chips, time, the boot protocol, and the run loop around
//! a CPU engine. It knows neither JSON nor the agent's frames, only the bytes of the agent's port.

mod arch;
mod backends;
mod board;
mod boot;
mod clock;
mod console_log;
mod disk;
mod entropy;
mod error;
mod interrupts;
mod machine;
mod snapshot;

pub use arch::Arch;
pub use clock::{ClockSource, wall_clock};
pub use disk::DiskImage;
pub use entropy::{Entropy, Purpose};
pub use error::{CrashReason, MachineError};
pub use machine::{Machine, MachineConfig, Progress, Sources};
pub use snapshot::{EngineIdentity, MachineSnapshot, SnapshotError, SnapshotIdentity, Trust};
pub use wasm_sandbox_vcpu::{EngineKind, EngineModule, EngineSnapshot, Statistics, VcpuError};
