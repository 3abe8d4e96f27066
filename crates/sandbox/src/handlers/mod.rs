//! One file a request family: from a request to an [`Operation`](crate::operation::Operation).

mod read_file;
mod shell;
mod status;
mod write_file;

pub(crate) use read_file::ReadFileOperation;
pub(crate) use shell::ShellOperation;
pub(crate) use status::{HostStatus, StatusOperation};
pub(crate) use write_file::WriteFileOperation;
