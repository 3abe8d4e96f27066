//! Why an operation was not carried out.

use serde::{Deserialize, Serialize};

use super::OperationId;

/// The last frame of an operation that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The operation that failed.
    pub op: OperationId,
    /// The class of the failure, for programs.
    pub code: FailureCode,
    /// A sentence for people; it names the path or program concerned.
    pub message: String,
}

/// The closed list of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureCode {
    /// No such file, directory or program.
    NotFound,
    /// The program exists but has no execute permission or an unknown format.
    NotExecutable,
    /// The program exists, but the interpreter or loader it names does not.
    BadInterpreter,
    /// The working directory does not exist, is no directory or may not be entered.
    BadCwd,
    /// No such user or group.
    BadUser,
    /// A directory where a file is needed.
    IsADirectory,
    /// A file where a directory is needed.
    NotADirectory,
    /// A device, pipe or socket where a regular file is needed.
    NotARegularFile,
    /// The permissions of the file system, or a read-only file system.
    PermissionDenied,
    /// The file system is full.
    NoSpace,
    /// Arguments and environment, a file or a path are beyond what the kernel takes.
    TooLarge,
    /// The file exists already and was to be created.
    Exists,
    /// Too many symbolic links, a NUL byte in a path, an empty `argv`, a size or mode out of range.
    InvalidArgument,
    /// No memory, process slots or file descriptors are left.
    NoResources,
    /// The host cancelled the operation.
    Cancelled,
    /// The host broke the rules of this protocol: an identifier in use, data beyond the window.
    Protocol,
    /// Anything else the kernel said; the message has its name for it.
    Io,
    /// A directory that was to be empty is not.
    NotEmpty,
    /// A pattern or regular expression cannot be understood, or is too large.
    InvalidPattern,
    /// The text to be replaced is not there, or not as often as was expected.
    Mismatch,
    /// A file is not UTF-8 text.
    NotUtf8,
    /// Bytes are no tar archive, or a damaged one.
    BadArchive,
}
