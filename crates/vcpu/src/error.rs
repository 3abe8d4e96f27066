//! Errors of CPU engines.

use thiserror::Error;

use crate::EngineKind;

/// Why a CPU engine could not be made or could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VcpuError {
    /// The RAM size asked for is outside what the engine supports.
    #[error(
        "a machine cannot have {requested} bytes of RAM: give a multiple of 64 KiB from {minimum} to {maximum}"
    )]
    RamSize {
        /// Bytes asked for.
        requested: u64,
        /// Smallest size in bytes.
        minimum: u64,
        /// Largest size in bytes.
        maximum: u64,
    },
    /// The engine's wasm module cannot be compiled, or lacks an import or export this host knows.
    #[error("the CPU engine's wasm module does not fit this host: {0}")]
    Module(String),
    /// The engine trapped: the guest made it fail. The machine's state is undefined from here on.
    #[error("the CPU engine trapped: {message}")]
    Trapped {
        /// What the engine said last, or wasmtime's name of the trap.
        message: String,
    },
    /// The engine cannot do this.
    #[error("the CPU engine {engine} has no {what}")]
    Unsupported {
        /// The engine.
        engine: EngineKind,
        /// What it lacks.
        what: &'static str,
    },
    /// A snapshot does not fit together.
    #[error("the snapshot is damaged: {0}")]
    Snapshot(String),
    /// Memory of the host could not be mapped, or a snapshot's files not be read or written.
    #[error("the host's memory or files: {0}")]
    Host(#[from] std::io::Error),
    /// The thread that compiles translated code is gone.
    #[error("the compiler thread ended unexpectedly")]
    CompilerGone,
}
