//! From what the kernel says to what the host is told.

use rustix::io::Errno;
use wasm_sandbox_protocol::agent::FailureCode;

/// A failure before it is tied to an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class.
    pub code: FailureCode,
    /// A sentence that names the thing concerned.
    pub message: String,
}

impl Refusal {
    /// A failure that the agent itself found.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure of a system call on a path.
    pub fn of(error: Errno, doing: &str, path: &[u8]) -> Self {
        let path = String::from_utf8_lossy(path);
        Self::new(code(error), format!("{doing} {path}: {}", describe(error)))
    }
}

/// The class of an error number.
pub fn code(error: Errno) -> FailureCode {
    match error {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => FailureCode::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FailureCode::PermissionDenied,
        Errno::ISDIR => FailureCode::IsADirectory,
        Errno::NOTDIR => FailureCode::NotADirectory,
        Errno::EXIST => FailureCode::Exists,
        Errno::NOTEMPTY => FailureCode::NotEmpty,
        Errno::NOSPC | Errno::DQUOT => FailureCode::NoSpace,
        Errno::TOOBIG | Errno::FBIG | Errno::NAMETOOLONG | Errno::OVERFLOW => FailureCode::TooLarge,
        Errno::INVAL | Errno::LOOP => FailureCode::InvalidArgument,
        Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE => FailureCode::NoResources,
        _ => FailureCode::Io,
    }
}

/// The kernel's name for an error, as people know it.
pub fn describe(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}
