//! Errors of the library.

use thiserror::Error;
use wasm_sandbox_machine::{MachineError, SnapshotError};
use wasm_sandbox_protocol::json::ErrorCode;

/// Why a sandbox cannot be made or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The machine cannot be made as asked.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The machine went down before it could be used.
    #[error("the machine went down: {0}")]
    Crashed(String),
    /// A snapshot cannot be used or made.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// There is no such image, or it is damaged.
    #[error("the image cannot be used: {0}")]
    Image(String),
    /// The host gives no thread.
    #[error("the host gives no thread for the machine: {0}")]
    Thread(std::io::Error),
}

impl SandboxError {
    /// The code a client is told.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Thread(_) => ErrorCode::HostIo,
            Self::Machine(error) if error.is_of_the_host() => ErrorCode::HostIo,
            _ => ErrorCode::Internal,
        }
    }
}
