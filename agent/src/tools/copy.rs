//! Copying files and trees, and moving them to another file system.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, SeekFrom, Stat, Timespec, Timestamps};
use rustix::io::{Errno, Result};
use wasm_sandbox_protocol::agent::{FailureCode, FileKind, Summary};

use super::remove;
use super::walk::{Flow, WalkError, Way, name, walk};
use crate::failure::Refusal;
use crate::files::entry::{kind, look};
use crate::files::{absolute, directory};

/// Bytes copied at once.
const PIECE: usize = 256 * 1024;

/// Copies, with permissions, times, owners and hard links inside the tree.
pub fn copy(
    from: &[u8],
    to: &[u8],
    recursive: bool,
    overwrite: bool,
) -> std::result::Result<Summary, Refusal> {
    let failed = |error| Refusal::of(error, "cannot copy", from);
    let source = absolute(directory::trimmed(from))?;
    let target = absolute(directory::trimmed(to))?;
    let stat = look(source, false).map_err(failed)?;
    let is_directory = kind(&stat) == FileKind::Directory;
    if is_directory && !recursive {
        let message = format!("{} is a directory: it is only copied with `recursive`", source.display());
        return Err(Refusal::new(FailureCode::IsADirectory, message));
    }
    refuse_overlap(source, target, is_directory)?;
    let mut copier =
        Copier { overwrite, links: HashMap::new(), directories: Vec::new(), summary: Summary::default() };
    let at = |path: &Path, error| Refusal::of(error, "cannot copy to", path.as_os_str().as_bytes());
    copier.one(source, target, &stat).map_err(|error| at(target, error))?;
    if is_directory {
        let way = Way { depth: u32::MAX, only_real: true };
        let walked = walk(directory::trimmed(from), way, |node| {
            // Gone meanwhile.
            let Ok(stat) = node.stat() else { return Ok(Flow::On) };
            let place = target.join(name(node.relative()));
            match copier.one(name(node.path), &place, stat) {
                Ok(()) => Ok(Flow::On),
                Err(Errno::NOENT) if look(name(node.path), false).is_err() => Ok(Flow::On),
                Err(error) => Err(at(&place, error)),
            }
        });
        match walked {
            Ok(()) => {}
            Err(WalkError::Root(error)) => return Err(failed(error)),
            Err(WalkError::Visitor(refusal)) => return Err(refusal),
        }
    }
    copier.finish();
    Ok(copier.summary)
}

/// Moves to another file system.
pub fn moved(from: &[u8], to: &[u8], overwrite: bool) -> std::result::Result<Summary, Refusal> {
    let target = absolute(directory::trimmed(to))?;
    if !overwrite && look(target, false).is_ok() {
        return Err(Refusal::of(Errno::EXIST, "cannot move to", to));
    }
    copy(from, to, true, overwrite)?;
    let source = directory::trimmed(from);
    match rustix::fs::unlink(name(source)) {
        Err(Errno::ISDIR) => drop(remove::remove(source)?),
        Err(error) => return Err(Refusal::of(error, "copied, but cannot remove", from)),
        Ok(()) => {}
    }
    Ok(Summary { entries: 1, ..Summary::default() })
}

/// A tree cannot be copied into itself, and nothing onto itself.
fn refuse_overlap(source: &Path, target: &Path, is_directory: bool) -> std::result::Result<(), Refusal> {
    let real = |path: &Path| {
        let parent = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
        match (parent, path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        }
    };
    let (from, to) = (real(source), real(target));
    let same = match (look(source, false), look(target, false)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    };
    if same || from == to || (is_directory && to.starts_with(&from)) {
        let message = format!("{} cannot be copied into itself", source.display());
        return Err(Refusal::new(FailureCode::InvalidArgument, message));
    }
    Ok(())
}

struct Copier {
    overwrite: bool,
    /// Where files with several names were copied to.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories, of which the times and modes are set when they are full.
    directories: Vec<(PathBuf, Stat)>,
    summary: Summary,
}

impl Copier {
    /// Copies one thing; of a directory only itself.
    fn one(&mut self, source: &Path, target: &Path, stat: &Stat) -> Result<()> {
        match kind(stat) {
            FileKind::Directory => {
                match rustix::fs::mkdir(target, Mode::from_raw_mode(0o700)) {
                    Ok(()) => {}
                    Err(Errno::EXIST) if self.overwrite => match look(target, true) {
                        Ok(there) if kind(&there) == FileKind::Directory => {}
                        _ => return Err(Errno::NOTDIR),
                    },
                    Err(error) => return Err(error),
                }
                self.directories.push((target.to_owned(), *stat));
            }
            FileKind::File => {
                #[allow(clippy::unnecessary_cast, reason = "the types differ between 32 and 64 bits")]
                let identity = (stat.st_dev as u64, stat.st_ino as u64);
                let earlier = (stat.st_nlink > 1).then(|| self.links.get(&identity)).flatten();
                match earlier {
                    Some(earlier) => {
                        let earlier = earlier.clone();
                        self.place(target, |place| rustix::fs::link(&earlier, place))?;
                    }
                    None => {
                        let mut size = 0;
                        self.place(target, |place| {
                            size = copy_content(source, place, stat)?;
                            Ok(())
                        })?;
                        self.summary.bytes += size;
                        if stat.st_nlink > 1 {
                            self.links.insert(identity, target.to_owned());
                        }
                    }
                }
            }
            FileKind::Symlink => {
                let link = rustix::fs::readlink(source, Vec::new())?;
                self.place(target, |place| rustix::fs::symlink(link.as_c_str(), place))?;
                let _unprivileged = take_over(target, stat);
            }
            FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
                let file_type = FileType::from_raw_mode(stat.st_mode as _);
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                #[allow(clippy::useless_conversion, reason = "the type differs between 32 and 64 bits")]
                let device = stat.st_rdev.into();
                self.place(target, |place| rustix::fs::mknodat(CWD, place, file_type, mode, device))?;
                let _unprivileged = take_over(target, stat);
            }
        }
        self.summary.entries += 1;
        Ok(())
    }

    /// Makes something at `target`; what is there already is replaced if that is wanted, and only by what is complete.
    fn place(&self, target: &Path, mut make: impl FnMut(&Path) -> Result<()>) -> Result<()> {
        let there = match look(target, false) {
            Ok(there) => Some(there),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        match there {
            None => make(target).inspect_err(|error| {
                if *error != Errno::EXIST {
                    let _never_made = rustix::fs::unlink(target);
                }
            }),
            Some(_) if !self.overwrite => Err(Errno::EXIST),
            Some(there) if kind(&there) == FileKind::Directory => Err(Errno::ISDIR),
            Some(_) => {
                let mut beside = OsString::from(".wasm-sandbox-copy-");
                beside.push(std::process::id().to_string());
                let beside = target.with_file_name(beside);
                let _left_by_another = rustix::fs::unlink(&beside);
                let placed = make(&beside).and_then(|()| {
                    rustix::fs::renameat_with(CWD, &beside, CWD, target, RenameFlags::empty())
                });
                placed.inspect_err(|_| {
                    let _never_made = rustix::fs::unlink(&beside);
                })
            }
        }
    }

    fn finish(&mut self) {
        for (path, stat) in self.directories.drain(..).rev() {
            let _unprivileged = take_over(&path, &stat);
            let _unprivileged = rustix::fs::chmod(&path, Mode::from_raw_mode(stat.st_mode & 0o7777));
            let _unprivileged = rustix::fs::utimensat(CWD, &path, &times(&stat), AtFlags::empty());
        }
    }
}

/// Owner and times; not the mode.
fn take_over(path: &Path, stat: &Stat) -> Result<()> {
    let (owner, group) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(CWD, path, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(CWD, path, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between 32 and 64 bits")]
fn times(stat: &Stat) -> Timestamps {
    let of = |seconds: i64, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    Timestamps {
        last_access: of(stat.st_atime as i64, stat.st_atime_nsec as i64),
        last_modification: of(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
    }
}

/// Copies what is in a file, holes as holes; how many bytes it has.
fn copy_content(source: &Path, target: &Path, stat: &Stat) -> Result<u64> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let input = rustix::fs::open(source, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let output = rustix::fs::open(target, flags, Mode::from_raw_mode(0o600))?;
    let size = copy_data(&input, &output)?;
    let (owner, group) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    let _unprivileged = rustix::fs::fchown(&output, Some(owner), Some(group));
    rustix::fs::fchmod(&output, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    rustix::fs::futimens(&output, &times(stat))?;
    Ok(size)
}

fn copy_data(input: &OwnedFd, output: &OwnedFd) -> Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    let mut hole = false;
    loop {
        // The next data; a file system that knows of no holes has data everywhere.
        match rustix::fs::seek(input, SeekFrom::Data(offset)) {
            Ok(data) => {
                hole |= data > offset;
                offset = data;
            }
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => {
                let size = rustix::fs::fstat(input)?.st_size as u64;
                hole |= size > offset;
                offset = offset.max(size);
            }
            Err(_) => {}
        }
        let end = rustix::fs::seek(input, SeekFrom::Hole(offset)).unwrap_or(u64::MAX);
        let mut copied = 0;
        while offset < end {
            let room = PIECE.min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let count = match rustix::io::pread(input, &mut buffer[..room], offset) {
                Err(Errno::INTR) => continue,
                count => count?,
            };
            if count == 0 {
                break;
            }
            write_at(output, &buffer[..count], offset)?;
            offset += count as u64;
            copied += count;
        }
        if copied == 0 {
            break;
        }
    }
    if hole {
        rustix::fs::ftruncate(output, offset)?;
    }
    Ok(offset)
}

/// Writes all of it.
pub fn write_at(output: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<()> {
    while !data.is_empty() {
        match rustix::io::pwrite(output, data, offset) {
            Ok(count) => {
                data = &data[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
