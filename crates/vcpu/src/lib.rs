//! CPU engines that run as WebAssembly, behind one trait.
//!
//! This is the only crate that names wasmtime. An engine executes guest code and owns the guest's RAM
//! (inside its wasm linear memory); everything else the guest can reach arrives at the [`Bus`]. Devices,
//! Linux and JSON are unknown here.

mod bus;
mod code_bytes;
mod compiler;
mod engine;
mod error;
mod memory;
mod module;
mod snapshot;
mod v86;
mod wx86;

pub use bus::{Bus, InterruptChanges, WrittenRanges};
pub use engine::{BootMode, BootRegisters, CpuEngine, EngineKind, Slice, Statistics};
pub use error::VcpuError;
pub use memory::{Extent, MemoryImage, PAGE};
pub use module::EngineModule;
pub use snapshot::{EngineSnapshot, EngineState, OwnState};
pub use v86::TranslationsState;
pub use wx86::PartsState;

/// Smallest RAM of a machine in bytes.
pub const MINIMUM_RAM: u64 = 16 << 20;
/// Largest RAM of a machine in bytes: addresses from 2 GiB on are memory-mapped devices.
pub const MAXIMUM_RAM: u64 = 2 << 30;
/// RAM sizes are multiples of this.
const RAM_GRANULE: u64 = 64 << 10;

/// Refuses RAM sizes that no engine has.
fn check_ram(bytes: u64) -> Result<(), VcpuError> {
    if (MINIMUM_RAM..=MAXIMUM_RAM).contains(&bytes) && bytes.is_multiple_of(RAM_GRANULE) {
        return Ok(());
    }
    Err(VcpuError::RamSize { requested: bytes, minimum: MINIMUM_RAM, maximum: MAXIMUM_RAM })
}
