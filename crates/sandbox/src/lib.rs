//! A real Linux in a sandbox made of WebAssembly, as a library.
//!
//! A [`Sandbox`] is a machine on a thread of its own with an agent inside; [`Sandbox::request`]
//! carries out the requests of the JSON API ([`protocol::json`]). A [`Fleet`] is a sandbox with those
//! forked from it, addressed by name.

mod channel;
mod client;
mod config;
mod error;
mod fleet;
mod guest;
mod handlers;
mod host;
mod operation;
mod output;
mod processes;
mod sandbox;
mod sessions;
mod snapshots;
mod upload;
mod watches;
mod worker;

pub use client::Client;
pub use config::{DEFAULT_MEMORY_LIMIT_BYTES, Image, SandboxConfig, Transport};
pub use error::SandboxError;
pub use fleet::{Fleet, Input};
pub use sandbox::Sandbox;
pub use wasm_sandbox_machine::{
    DiskImage, EngineModule, EngineSnapshot, MachineError, MachineSnapshot, SnapshotError, SnapshotIdentity,
    Trust, VcpuError,
};
pub use wasm_sandbox_protocol as protocol;
