//! One file a request family: from a request to an [`Operation`](crate::operation::Operation).

mod read_file;
mod status;
mod wait_port;
mod write_file;

use read_file::ReadFileOperation;
pub(crate) use status::{HostStatus, StatusOperation};
pub(crate) use wait_port::WaitPortOperation;
use write_file::WriteFileOperation;

use wasm_sandbox_protocol::json::{ErrorCode, Failure, Request};

use crate::config::SandboxConfig;
use crate::operation::Operation;

/// Whoever carries out a request about files.
///
/// # Errors
/// What can be seen to be wrong before the agent is asked.
pub(crate) fn file_operation(
    request: Request,
    config: &SandboxConfig,
) -> Result<Box<dyn Operation>, Failure> {
    let _ = config;
    match request {
        Request::ReadFile(read) => Ok(Box::new(ReadFileOperation::new(read))),
        Request::WriteFile(write) => Ok(Box::new(WriteFileOperation::new(write)?)),
        request => {
            Err(Failure::new(ErrorCode::Internal, format!("{} is not there yet", request.type_name())))
        }
    }
}
