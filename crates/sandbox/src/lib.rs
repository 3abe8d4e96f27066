//! A real Linux in a sandbox made of WebAssembly, as a library.
//!
//! A [`Sandbox`] is a machine on a thread of its own with an agent inside. It carries out the requests of the JSON API
//! ([`protocol::json`]): [`Sandbox::call`] with a typed answer, [`Sandbox::request`] with the whole one,
//! [`Sandbox::submit`] without waiting. A [`Fleet`] is a sandbox with those forked from it, addressed by name, and keeps
//! requests in order.
//!
//! What is booted comes from the directory that `make build` leaves in `target/artifacts`:
//!
//! ```
//! use std::path::Path;
//! use wasm_sandbox::protocol::json::{ReadFile, Shell, WriteFile};
//! use wasm_sandbox::{Arch, EngineKind, Sandbox, SandboxConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/artifacts");
//! let config = SandboxConfig::open(&artifacts, EngineKind::default(), Arch::default())?;
//! let sandbox = Sandbox::start(config.clone())?;
//!
//! let result = sandbox.call(Shell { time_limit_ms: Some(60_000), ..Shell::new("echo hi; exit 3") })?;
//! assert_eq!((result.stdout.as_str(), result.exit_code), ("hi\n", 3));
//!
//! let (path, content) = ("/tmp/note".to_owned(), "from outside".to_owned());
//! sandbox.call(WriteFile { path: path.clone(), content, ..WriteFile::default() })?;
//! let read = sandbox.call(ReadFile { path, ..ReadFile::default() })?;
//! assert_eq!(read.content, "from outside");
//!
//! // The state at this moment, for as many other machines as one likes; each goes on for itself.
//! let snapshot = sandbox.snapshot()?;
//! let fork = Sandbox::start(SandboxConfig { snapshot: Some(snapshot), ..config })?;
//! let other = fork.call(Shell { time_limit_ms: Some(60_000), ..Shell::new("cat /tmp/note") })?;
//! assert_eq!(other.stdout, "from outside");
//! # Ok(())
//! # }
//! ```
//!
//! Events come while a command runs:
//!
//! ```
//! # use std::path::Path;
//! use std::sync::mpsc::channel;
//! use wasm_sandbox::protocol::json::{EventBody, ProcessChange, Shell};
//! # use wasm_sandbox::{Arch, EngineKind, Sandbox, SandboxConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/artifacts");
//! # let sandbox = Sandbox::start(SandboxConfig::open(&artifacts, EngineKind::default(), Arch::default())?)?;
//! let (sender, events) = channel();
//! let command = Shell { stream: true, time_limit_ms: Some(60_000), ..Shell::new("echo one; echo two") };
//! let response = sandbox.request_with_events("my id", command, move |event| {
//!     if let EventBody::Process(event) = event.what
//!         && let ProcessChange::Stdout(piece) = event.event.change
//!     {
//!         let _ = sender.send(piece.data);
//!     }
//! });
//! assert!(response.success);
//! assert_eq!(events.iter().collect::<String>(), "one\ntwo\n");
//! # Ok(())
//! # }
//! ```

mod channel;
mod client;
mod config;
mod content;
mod error;
mod fleet;
mod guest;
mod handlers;
mod host;
mod image;
mod operation;
mod output;
mod processes;
mod sandbox;
mod sessions;
mod snapshots;
mod time;
mod upload;
mod watches;
mod worker;

pub use client::Client;
pub use config::{DEFAULT_MEMORY_LIMIT_BYTES, SandboxConfig, Transport};
pub use error::SandboxError;
pub use fleet::{Fleet, Input};
pub use image::Image;
pub use sandbox::Sandbox;
pub use wasm_sandbox_machine::{
    Arch, ClockSource, DiskImage, EngineIdentity, EngineKind, EngineModule, EngineSnapshot, MachineError,
    MachineSnapshot, SnapshotError, SnapshotIdentity, Sources, Trust, VcpuError,
};
pub use wasm_sandbox_protocol as protocol;
