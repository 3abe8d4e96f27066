//! Reading directories.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// A name in a directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: Vec<u8>,
    /// Whether it is a directory itself.
    pub directory: bool,
}

/// Opens a directory; a symbolic link at the end of `path` is only followed with `follow`.
pub fn open(parent: impl AsFd, path: impl Arg, follow: bool) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
    rustix::fs::openat(parent, path, flags, Mode::empty())
}

/// Up to `limit` names in an open directory, in no order; `None` if there are more.
pub fn names(directory: &OwnedFd, limit: usize) -> Result<Option<Vec<Name>>> {
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            // Removed while it was read.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == limit {
            return Ok(None);
        }
        let is_directory = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode as _) == FileType::Directory),
            kind => kind == FileType::Directory,
        };
        names.push(Name { name: name.to_vec(), directory: is_directory });
    }
    Ok(Some(names))
}

/// The path of something in a directory.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if path.last().is_some_and(|last| *last != b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A path without slashes at its end.
pub fn trimmed(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let [rest @ .., b'/'] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    path
}
