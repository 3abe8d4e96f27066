//! Whole files in and out.

use serde::{Deserialize, Serialize};

use super::{Bytes, OperationId};

/// Writes a file. Answered by [`super::AgentToHost::Done`] or [`super::AgentToHost::Failed`].
///
/// With `last` the whole content is in `data`; otherwise [`super::HostToAgent::FileData`] frames follow, and
/// [`super::HostToAgent::FileEnd`]. After a failure in between the rest of the frames is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFile<'a> {
    /// The operation all further frames name.
    pub op: OperationId,
    /// An absolute path.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// Permission bits for the file, 0 to 0o7777, whatever the umask; `None` keeps those of an existing file and gives a
    /// new one 0644.
    pub mode: Option<u16>,
    /// How to write.
    pub flags: WriteFlags,
    /// The first bytes of the content.
    #[serde(borrow)]
    pub data: Bytes<'a>,
    /// `data` is everything.
    pub last: bool,
}

/// How a file is written. Without any flag an existing file is truncated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFlags {
    /// Add to the end of the file.
    pub append: bool,
    /// Make missing directories of the path, mode 0755.
    pub create_parents: bool,
    /// Write a temporary file in the same directory and rename it: readers see the old or the new content, and nothing
    /// is left of an operation that fails. Not together with `append`.
    /// Where no file can be made (`/proc/sys`), the existing file is written to, and keeps its mode.
    pub atomic: bool,
    /// Fail with [`super::FailureCode::Exists`] when the file exists.
    pub exclusive: bool,
}

/// Reads a file. Answered by [`super::AgentToHost::FileData`] frames and one [`super::AgentToHost::FileEnd`], or by
/// [`super::AgentToHost::Failed`], possibly after some data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile<'a> {
    /// The operation all further frames name.
    pub op: OperationId,
    /// An absolute path.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// The byte to start at; beyond the end gives no data and no error.
    pub offset: u64,
    /// The most bytes to read; without it up to the end.
    pub length: Option<u64>,
}

/// The last frame of a [`ReadFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnd {
    /// The operation that ended.
    pub op: OperationId,
    /// Bytes sent in [`super::AgentToHost::FileData`] frames.
    pub sent: u64,
    /// The size of the whole file as the file system reports it; 0 for the files of `/proc`, whatever they contain.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// The last modification in nanoseconds since 1970, negative before.
    pub modified_ns: i64,
}
