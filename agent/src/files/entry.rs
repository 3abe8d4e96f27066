//! What there is at a path, in the form the host gets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Stat};
use wasm_sandbox_protocol::agent::{Entry, FileKind};

use crate::user::Names;

/// What kind of thing a mode tells of.
pub fn kind(stat: &Stat) -> FileKind {
    match FileType::from_raw_mode(stat.st_mode as _) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        _ => FileKind::File,
    }
}

/// When it was last modified, in nanoseconds since 1970.
pub fn modified_ns(stat: &Stat) -> i64 {
    #[allow(clippy::unnecessary_cast, reason = "the type differs between 32 and 64 bits")]
    let seconds = stat.st_mtime as i64;
    seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64)
}

/// The entry for `path`, which has `stat` and, if it is a link, names `target`.
pub fn entry<'a>(path: &'a [u8], stat: &Stat, target: Option<Vec<u8>>, names: &mut Names) -> Entry<'a> {
    Entry {
        path: path.into(),
        kind: kind(stat),
        size: stat.st_size as u64,
        mode: (stat.st_mode & 0o7777) as u16,
        owner: names.user(stat.st_uid).to_vec().into(),
        group: names.group(stat.st_gid).to_vec().into(),
        modified_ns: modified_ns(stat),
        target: target.map(Into::into),
    }
}

/// What the link at `path`, relative to `directory`, names; `None` if it cannot be read.
pub fn link_target(directory: impl std::os::fd::AsFd, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
    if kind(stat) != FileKind::Symlink {
        return None;
    }
    let target = rustix::fs::readlinkat(directory, Path::new(OsStr::from_bytes(path)), Vec::new()).ok()?;
    Some(target.into_bytes())
}

/// Looks at a path.
pub fn look(path: &Path, follow: bool) -> rustix::io::Result<Stat> {
    rustix::fs::statat(CWD, path, if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW })
}
