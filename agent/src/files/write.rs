//! Writing a file.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{AgentToHost, FailureCode, INITIAL_WINDOW, OperationId, WriteFile};

use super::quick::make_parents;
use super::{absolute, regular};
use crate::failure::Refusal;
use crate::port::Sender;

/// Permission bits of a new file, unless the request says otherwise.
const NEW_FILE: u32 = 0o644;

/// A file that the host is sending.
pub struct FileWriter {
    op: OperationId,
    path: Vec<u8>,
    file: OwnedFd,
    /// An atomic write: what to rename to what, and whether the target may exist.
    rename: Option<Rename>,
    window: u32,
}

struct Rename {
    from: PathBuf,
    to: PathBuf,
    exclusive: bool,
    finished: bool,
}

impl FileWriter {
    /// Opens the file and writes the data of the first frame.
    pub fn open(request: &WriteFile) -> Result<Self, Refusal> {
        let path = request.path.as_slice();
        let failed = |error| Refusal::of(error, "cannot write", path);
        let target = absolute(path)?;
        if path.ends_with(b"/") {
            return Err(failed(Errno::ISDIR));
        }
        if request.mode.is_some_and(|mode| mode > 0o7777) {
            return Err(Refusal::new(FailureCode::InvalidArgument, "the mode is above 0o7777"));
        }
        if request.flags.append && request.flags.atomic {
            return Err(Refusal::new(FailureCode::InvalidArgument, "append and atomic exclude each other"));
        }
        if let Some(parent) = target.parent().filter(|_| request.flags.create_parents) {
            make_parents(parent).map_err(failed)?;
        }
        let mut flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut mode = request.mode.map(u32::from);
        let mut rename = None;
        if request.flags.atomic {
            // A symbolic link stays one: its target is replaced, or made.
            let to = behind_links(target).map_err(failed)?;
            if let Ok(stat) = rustix::fs::stat(&to) {
                regular(&stat, path)?;
                if request.flags.exclusive {
                    return Err(failed(Errno::EXIST));
                }
                mode = mode.or(Some(stat.st_mode & 0o7777));
            }
            flags |= OFlags::EXCL;
            rename = Some(Rename {
                from: beside(&to, request.op),
                to,
                exclusive: request.flags.exclusive,
                finished: false,
            });
        } else {
            flags |= if request.flags.append { OFlags::APPEND } else { OFlags::TRUNC };
            if request.flags.exclusive {
                flags |= OFlags::EXCL;
            }
        }
        let opened: &Path = rename.as_ref().map_or(target, |rename| &rename.from);
        let created = Mode::from_raw_mode(mode.unwrap_or(NEW_FILE));
        let file = match rustix::fs::open(opened, flags, created) {
            Ok(file) => file,
            Err(error) if rename.as_ref().is_some_and(|rename| !rename.exclusive) && no_new_files(error) => {
                // A directory of the kernel's, such as /proc/sys, where files can only be written to.
                (rename, mode) = (None, None);
                let flags =
                    OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                rustix::fs::open(target, flags, Mode::empty()).map_err(|again| {
                    // What is wrong with the directory says more than that the file is missing.
                    failed(if again == Errno::NOENT { error } else { again })
                })?
            }
            // A named pipe without a reader.
            Err(Errno::NXIO) => {
                return Err(Refusal::new(
                    FailureCode::NotARegularFile,
                    format!("{} is not a regular file", String::from_utf8_lossy(path)),
                ));
            }
            Err(error) => return Err(failed(error)),
        };
        let mut writer = Self { op: request.op, path: path.into(), file, rename, window: INITIAL_WINDOW };
        regular(&rustix::fs::fstat(&writer.file).map_err(failed)?, path)?;
        if let Some(mode) = mode {
            // Open applied the umask, and does nothing to an existing file.
            rustix::fs::fchmod(&writer.file, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        writer.write(&request.data)?;
        Ok(writer)
    }

    /// Data of a later frame.
    pub fn feed(&mut self, data: &[u8], sender: &mut Sender) -> Result<(), Refusal> {
        let Some(window) = self.window.checked_sub(data.len() as u32) else {
            return Err(Refusal::new(FailureCode::Protocol, "more file data than the window allows"));
        };
        self.window = window;
        self.write(data)?;
        let consumed = INITIAL_WINDOW - self.window;
        if consumed >= INITIAL_WINDOW / 4 {
            self.window = INITIAL_WINDOW;
            sender.send(&AgentToHost::Credit { op: self.op, bytes: consumed });
        }
        Ok(())
    }

    /// The content is complete.
    pub fn finish(mut self) -> Result<(), Refusal> {
        let Some(rename) = &mut self.rename else { return Ok(()) };
        let flags = if rename.exclusive { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
        rustix::fs::renameat_with(CWD, &rename.from, CWD, &rename.to, flags)
            .map_err(|error| Refusal::of(error, "cannot write", &self.path))?;
        rename.finished = true;
        Ok(())
    }

    fn write(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while !data.is_empty() {
            match rustix::io::write(&self.file, data) {
                Ok(count) => data = &data[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(Refusal::of(error, "cannot write", &self.path)),
            }
        }
        Ok(())
    }
}

impl Drop for Rename {
    /// Nothing is left of an atomic write that failed or was cancelled.
    fn drop(&mut self) {
        if !self.finished {
            let _never_created = rustix::fs::unlink(&self.from);
        }
    }
}

/// Whether a directory takes no new files, but may well have some that can be written to.
fn no_new_files(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::OPNOTSUPP | Errno::NOENT)
}

/// The path behind all symbolic links at the end of `path`. There may be nothing.
fn behind_links(path: &Path) -> Result<PathBuf, Errno> {
    /// As many as the kernel follows.
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let Ok(link) = std::fs::read_link(&path) else { return Ok(path) };
        path = match path.parent() {
            Some(parent) => parent.join(link),
            None => link,
        };
    }
    Err(Errno::LOOP)
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path, op: OperationId) -> PathBuf {
    let mut name = OsString::from(".");
    // Long names must not become too long.
    let original = path.file_name().unwrap_or(OsStr::new("file")).as_bytes();
    name.push(OsStr::from_bytes(original.get(..100).unwrap_or(original)));
    name.push(format!(".wasm-sandbox-{}", op.0));
    path.with_file_name(name)
}
