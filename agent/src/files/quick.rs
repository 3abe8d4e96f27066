//! What is done with files at once, by the server itself.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, RenameFlags};
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{FailureCode, FileKind, FileReply, FileRequest, Summary};

use super::entry::{entry, kind, link_target, look};
use super::{absolute, directory};
use crate::failure::Refusal;
use crate::user::Names;

/// The largest directory that the server lists itself.
const FEW: usize = 64;

/// How a request goes on.
pub enum Quick {
    /// It was carried out.
    Done(Summary),
    /// It takes longer: nothing was done.
    Long,
}

/// Carries a request out if that is quick; `send` gets all replies but the last.
pub fn carry_out(request: &FileRequest, send: &mut dyn FnMut(&FileReply)) -> Result<Quick, Refusal> {
    let one = |entries| Ok(Quick::Done(Summary { entries, ..Summary::default() }));
    match request {
        FileRequest::Stat { path, follow } => {
            let shown = path;
            let path = absolute(path)?;
            let stat = look(path, *follow).map_err(|error| Refusal::of(error, "cannot look at", shown))?;
            let target = link_target(CWD, shown, &stat);
            let path = match shown.as_slice() {
                b"/" => shown.as_slice(),
                path => directory::trimmed(path),
            };
            send(&FileReply::Entry(entry(path, &stat, target, &mut Names::default())));
            one(1)
        }
        FileRequest::List { path, depth: 0 | 1, max_entries } => list(path, *max_entries, send),
        FileRequest::MakeDirectory { path, parents, mode } => one(make_directory(path, *parents, *mode)?),
        FileRequest::Remove { path, recursive, missing_ok } => remove(path, *recursive, *missing_ok),
        FileRequest::Rename { from, to, overwrite } => rename(from, to, *overwrite),
        FileRequest::Symlink { path, target } => {
            if target.contains(&0) {
                return Err(Refusal::new(FailureCode::InvalidArgument, "the target contains a NUL byte"));
            }
            rustix::fs::symlink(target.as_slice(), absolute(path)?)
                .map_err(|error| Refusal::of(error, "cannot make the link", path))?;
            one(1)
        }
        FileRequest::ChangeMode { path, mode } => {
            rustix::fs::chmod(absolute(path)?, permissions(*mode)?)
                .map_err(|error| Refusal::of(error, "cannot change the mode of", path))?;
            one(1)
        }
        FileRequest::List { .. }
        | FileRequest::Copy { .. }
        | FileRequest::Find(_)
        | FileRequest::Replace(_)
        | FileRequest::Watch { .. }
        | FileRequest::Pack { .. }
        | FileRequest::Unpack { .. } => Ok(Quick::Long),
    }
}

/// Permission bits in the form the kernel takes.
pub fn permissions(mode: u16) -> Result<Mode, Refusal> {
    if mode > 0o7777 {
        return Err(Refusal::new(FailureCode::InvalidArgument, "the mode is above 0o7777"));
    }
    Ok(Mode::from_raw_mode(mode.into()))
}

fn list(path: &[u8], max_entries: u32, send: &mut dyn FnMut(&FileReply)) -> Result<Quick, Refusal> {
    let failed = |error| Refusal::of(error, "cannot list", path);
    let opened = directory::open(CWD, absolute(path)?, true).map_err(failed)?;
    let Some(mut names) = directory::names(&opened, FEW).map_err(failed)? else { return Ok(Quick::Long) };
    names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut owners = Names::default();
    let mut summary = Summary::default();
    for name in names {
        // Removed since: it is not there.
        let Ok(stat) = rustix::fs::statat(&opened, name.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if summary.entries == u64::from(max_entries) {
            summary.truncated = true;
            break;
        }
        let target = link_target(&opened, &name.name, &stat);
        let full = directory::join(directory::trimmed(path), &name.name);
        send(&FileReply::Entry(entry(&full, &stat, target, &mut owners)));
        summary.entries += 1;
    }
    Ok(Quick::Done(summary))
}

/// How many directories were made.
pub fn make_directory(path: &[u8], parents: bool, mode: u16) -> Result<u64, Refusal> {
    let failed = |error| Refusal::of(error, "cannot make the directory", path);
    let target = absolute(path)?;
    let mode = permissions(mode)?;
    let made = match rustix::fs::mkdir(target, mode) {
        Err(Errno::NOENT) if parents => {
            if let Some(parent) = target.parent() {
                make_parents(parent).map_err(failed)?;
            }
            rustix::fs::mkdir(target, mode)
        }
        made => made,
    };
    match made {
        Ok(()) => {
            // The umask was applied, and a directory may have inherited a bit.
            let made = rustix::fs::stat(target).map_err(failed)?;
            if Mode::from_raw_mode(made.st_mode & 0o7777) != mode {
                rustix::fs::chmod(target, mode).map_err(failed)?;
            }
            Ok(1)
        }
        Err(Errno::EXIST) if parents => match look(target, true) {
            Ok(stat) if kind(&stat) == FileKind::Directory => Ok(0),
            Ok(_) => Err(failed(Errno::NOTDIR)),
            Err(_) => Err(failed(Errno::EXIST)),
        },
        Err(error) => Err(failed(error)),
    }
}

/// Makes a directory and those above it, with mode 0755, as far as they are missing.
pub fn make_parents(path: &Path) -> Result<(), Errno> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| match Errno::from_io_error(&error) {
        // A file stands in the way.
        Some(Errno::EXIST) => Errno::NOTDIR,
        error => error.unwrap_or(Errno::IO),
    })
}

fn remove(path: &[u8], recursive: bool, missing_ok: bool) -> Result<Quick, Refusal> {
    let failed = |error| Refusal::of(error, "cannot remove", path);
    let target = absolute(directory::trimmed(path))?;
    if target.file_name().is_none() {
        let message = format!("cannot remove {}: that is no name of a file", String::from_utf8_lossy(path));
        return Err(Refusal::new(FailureCode::InvalidArgument, message));
    }
    let removed = match rustix::fs::unlink(target) {
        Err(Errno::ISDIR) => match rustix::fs::rmdir(target) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if recursive => return Ok(Quick::Long),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Errno::NOTEMPTY),
            removed => removed,
        },
        removed => removed,
    };
    match removed {
        Ok(()) => Ok(Quick::Done(Summary { entries: 1, ..Summary::default() })),
        Err(Errno::NOENT | Errno::NOTDIR) if missing_ok => Ok(Quick::Done(Summary::default())),
        Err(error) => Err(failed(error)),
    }
}

fn rename(from: &[u8], to: &[u8], overwrite: bool) -> Result<Quick, Refusal> {
    let (source, target) = (absolute(from)?, absolute(to)?);
    let flags = if overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    match rustix::fs::renameat_with(CWD, source, CWD, target, flags) {
        Ok(()) => Ok(Quick::Done(Summary { entries: 1, ..Summary::default() })),
        // Another file system: a copy, and the original removed.
        Err(Errno::XDEV) => Ok(Quick::Long),
        Err(error) => {
            let missing = error == Errno::NOENT && look(source, false).is_ok();
            let shown = String::from_utf8_lossy(from);
            let about = match error {
                Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR => to,
                _ if missing => to,
                _ => from,
            };
            Err(Refusal::of(error, &format!("cannot rename {shown}:"), about))
        }
    }
}
