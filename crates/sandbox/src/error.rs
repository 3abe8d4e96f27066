//! Errors of the library.

use thiserror::Error;
use wasm_sandbox_machine::MachineError;

/// Why a sandbox cannot be made or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The machine cannot be made as asked.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The host gives no thread.
    #[error("the host gives no thread for the machine: {0}")]
    Thread(std::io::Error),
}
