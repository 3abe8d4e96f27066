//! A real Linux in a sandbox made of WebAssembly, as a library.
//!
//! A [`Sandbox`] is a machine on a thread of its own with an agent inside; [`Sandbox::request`]
//! carries out the requests of the JSON API ([`protocol::json`]). A [`Fleet`] is a sandbox with those
//! forked from it, addressed by name.

mod channel;
mod config;
mod error;
mod fleet;
mod guest;
mod handlers;
mod operation;
mod output;
mod sandbox;
mod signals;
mod snapshots;
mod upload;
mod worker;

pub use config::{DEFAULT_MEMORY_LIMIT_BYTES, Image, SandboxConfig};
pub use error::SandboxError;
pub use fleet::Fleet;
pub use sandbox::Sandbox;
pub use wasm_sandbox_machine::{
    DiskImage, EngineModule, EngineSnapshot, MachineError, MachineSnapshot, SnapshotError, SnapshotIdentity,
    Trust, VcpuError,
};
pub use wasm_sandbox_protocol as protocol;
