//! CPU engines that run as WebAssembly, behind one trait.
//!
//! This is the only crate that names wasmtime. An engine executes guest code, owns the guest's RAM
//! (inside its wasm linear memory) and the interrupt controller that belongs to it; everything else
//! the guest can reach arrives at the [`Bus`]. Devices, Linux and JSON are unknown here.

mod bus;
mod compiler;
mod engine;
mod error;
pub mod v86;

pub use bus::{Bus, InterruptChanges, WrittenRanges};
pub use engine::{BootRegisters, CpuEngine, Slice, Statistics};
pub use error::VcpuError;
