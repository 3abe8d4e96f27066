//! One file a request family: from a request to an [`Operation`](crate::operation::Operation).

mod entry;
mod files;
mod names;
mod read_file;
mod search;
mod status;
mod task;
mod transfer;
mod wait_port;
mod write_file;

pub(crate) use files::file_operation;
pub(crate) use status::{HostStatus, StatusOperation};
pub(crate) use wait_port::WaitPortOperation;
