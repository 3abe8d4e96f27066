//! Which request about files is carried out by whom.

use wasm_sandbox_protocol::json::{ErrorCode, Failure, Request};

use super::names::{ExistsTask, StatTask, chmod, copy, mkdir, remove, rename, symlink};
use super::read_file::ReadFileOperation;
use super::search::{FindTask, ListTask, ReplaceTask};
use super::task::{Task, TaskOperation};
use super::transfer::{DownloadTask, UploadTask};
use super::write_file::WriteFileOperation;
use crate::config::SandboxConfig;
use crate::operation::Operation;

/// Whoever carries out a request about files, other than `watch` and `unwatch` (see [`crate::watches`]).
///
/// # Errors
/// What can be seen to be wrong before the agent is asked.
pub(crate) fn file_operation(
    request: Request,
    config: &SandboxConfig,
) -> Result<Box<dyn Operation>, Failure> {
    Ok(match request {
        Request::ReadFile(read) => Box::new(ReadFileOperation::new(read)),
        Request::WriteFile(write) => Box::new(WriteFileOperation::new(write)?),
        Request::ListDir(list) => task(ListTask::new(list)),
        Request::Stat(stat) => task(StatTask::new(stat)),
        Request::Exists(exists) => task(ExistsTask::new(exists)),
        Request::Mkdir(request) => task(mkdir(request)),
        Request::Remove(request) => task(remove(request)),
        Request::Rename(request) => task(rename(request)),
        Request::Copy(request) => task(copy(request)),
        Request::Symlink(request) => task(symlink(request)),
        Request::Chmod(request) => task(chmod(request)),
        Request::Find(find) => task(FindTask::new(find)),
        Request::Replace(replace) => task(ReplaceTask::new(replace)),
        Request::Upload(upload) => task(UploadTask::new(upload, config)?),
        Request::Download(download) => task(DownloadTask::new(download, config)?),
        request => {
            let message = format!("{} is not carried out here", request.type_name());
            return Err(Failure::new(ErrorCode::Internal, message));
        }
    })
}

fn task(task: impl Task + 'static) -> Box<dyn Operation> {
    Box::new(TaskOperation::new(task))
}
