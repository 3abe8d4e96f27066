//! Removing a tree.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use wasm_sandbox_protocol::agent::{FailureCode, Summary};

use super::walk::name;
use crate::failure::Refusal;
use crate::files::{absolute, directory};

/// A directory that is being emptied.
struct Level {
    opened: OwnedFd,
    /// Its name in the one above.
    name: Vec<u8>,
    /// What is left of a reading of its names.
    names: Vec<directory::Name>,
    /// Something in it cannot be removed, and it neither.
    stays: bool,
}

/// Removes a directory and everything in it. What cannot be removed does not keep the rest, and is named at the end.
pub fn remove(path: &[u8]) -> std::result::Result<Summary, Refusal> {
    absolute(path)?;
    let root = directory::trimmed(path);
    let mut summary = Summary::default();
    let mut first_failure: Option<(Vec<u8>, Errno)> = None;
    let opened =
        directory::open(CWD, name(root), false).map_err(|error| Refusal::of(error, "cannot remove", path))?;
    let mut levels = vec![level(opened, root.to_vec())];
    while let Some(current) = levels.last_mut() {
        let Some(next) = current.names.pop() else {
            let Some(done) = levels.pop() else { break };
            if !done.stays {
                let removed = match levels.last() {
                    Some(above) => unlink(&above.opened, &done.name, true),
                    None => unlink(CWD, root, true),
                };
                note(removed, &mut levels, &done.name, root, &mut summary, &mut first_failure);
            }
            continue;
        };
        if next.directory {
            match enter(&current.opened, &next.name) {
                Ok(opened) => {
                    levels.push(level(opened, next.name));
                    continue;
                }
                // Replaced by something else, or gone.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(error) => {
                    note(Err(error), &mut levels, &next.name, root, &mut summary, &mut first_failure);
                    continue;
                }
            }
        }
        let removed = unlink(&current.opened, &next.name, false);
        note(removed, &mut levels, &next.name, root, &mut summary, &mut first_failure);
    }
    match first_failure {
        None => Ok(summary),
        Some((path, Errno::XDEV)) => Err(Refusal::new(
            FailureCode::Io,
            format!("{} is another file system and was left alone", String::from_utf8_lossy(&path)),
        )),
        Some((path, error)) => Err(Refusal::of(error, "cannot remove", &path)),
    }
}

fn level(opened: OwnedFd, name: Vec<u8>) -> Level {
    let names = directory::names(&opened, usize::MAX).ok().flatten().unwrap_or_default();
    Level { opened, name, names, stays: false }
}

/// Opens a directory that is on the same file system.
fn enter(parent: &OwnedFd, entry: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name(entry), flags, Mode::empty(), ResolveFlags::NO_XDEV)
}

fn unlink(parent: impl AsFd, entry: &[u8], directory: bool) -> Result<bool> {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(parent, name(entry), flags) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Counts what was removed, or remembers why not. The topmost of `levels` is where it was.
fn note(
    removed: Result<bool>,
    levels: &mut [Level],
    entry: &[u8],
    root: &[u8],
    summary: &mut Summary,
    first_failure: &mut Option<(Vec<u8>, Errno)>,
) {
    match removed {
        Ok(removed) => summary.entries += u64::from(removed),
        Err(error) => {
            let path =
                levels.iter().skip(1).fold(root.to_vec(), |path, level| directory::join(&path, &level.name));
            let path = if levels.is_empty() { path } else { directory::join(&path, entry) };
            first_failure.get_or_insert((path, error));
            levels.iter_mut().for_each(|level| level.stays = true);
        }
    }
}
