//! Whole files in and out, and what is done with names and directories.

pub mod directory;
pub mod entry;
pub mod quick;
mod read;
mod write;

pub use read::{FileReader, Reading};
pub use write::FileWriter;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use wasm_sandbox_protocol::agent::FailureCode;

use crate::failure::Refusal;

/// A path from the host, which must be absolute: the agent's own working directory means nothing to anybody.
pub fn absolute(path: &[u8]) -> Result<&Path, Refusal> {
    let refuse = |why: &str| {
        let shown = String::from_utf8_lossy(path);
        Err(Refusal::new(FailureCode::InvalidArgument, format!("the path {shown:?} {why}")))
    };
    match path {
        [] => refuse("is empty"),
        _ if path.contains(&0) => refuse("contains a NUL byte"),
        [b'/', ..] => Ok(Path::new(OsStr::from_bytes(path))),
        _ => refuse("is not absolute"),
    }
}

/// Refuses everything that has no content to speak of, or never ends.
pub fn regular(stat: &Stat, path: &[u8]) -> Result<(), Refusal> {
    let (code, what) = match FileType::from_raw_mode(stat.st_mode as _) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => (FailureCode::IsADirectory, "is a directory"),
        _ => (FailureCode::NotARegularFile, "is not a regular file"),
    };
    Err(Refusal::new(code, format!("{} {what}", String::from_utf8_lossy(path))))
}
