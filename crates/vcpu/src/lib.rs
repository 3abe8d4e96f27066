//! CPU engines that run as WebAssembly, behind one trait.
//!
//! This is the only crate that names wasmtime. An engine executes guest code, owns the guest's RAM
//! (inside its wasm linear memory) and the interrupt controller that belongs to it; everything else
//! the guest can reach arrives at the [`Bus`]. Devices, Linux and JSON are unknown here.

mod bus;
mod compiler;
mod engine;
mod error;
mod memory;
pub mod v86;

pub use bus::{Bus, InterruptChanges, WrittenRanges};
pub use engine::{BootMode, BootRegisters, CpuEngine, EngineState, Slice, Statistics};
pub use error::VcpuError;
pub use memory::{Extent, MemoryImage, PAGE};
pub use v86::{V86Module as EngineModule, V86Snapshot as EngineSnapshot};
