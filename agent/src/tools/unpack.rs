//! Unpacking a tar archive.
//!
//! All names are resolved by the kernel as if the directory were the root (`RESOLVE_IN_ROOT`), so neither absolute names
//! nor symbolic links lead out of it.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};
use wasm_sandbox_protocol::agent::{FailureCode, Summary};

use super::copy::write_at;
use crate::failure::Refusal;
use crate::files::quick::make_parents;
use crate::files::{absolute, directory};

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// So many zeros in a row become a hole.
const HOLE: usize = 4096;

/// Unpacks what `stream` brings.
pub fn unpack(path: &[u8], stream: impl Read) -> Result<Summary, Refusal> {
    let target = absolute(path)?;
    let failed = |error| Refusal::of(error, "cannot unpack to", path);
    make_parents(target).map_err(failed)?;
    let root = directory::open(CWD, target, true).map_err(failed)?;
    let mut unpacker = Unpacker { root, parent: None, directories: Vec::new(), summary: Summary::default() };
    let mut stream = BufReader::with_capacity(PIECE, stream);
    let compressed = io::BufRead::fill_buf(&mut stream).is_ok_and(|start| start.starts_with(&[0x1F, 0x8B]));
    if compressed {
        unpacker.all(BufReader::with_capacity(PIECE, MultiGzDecoder::new(stream)))?;
    } else {
        unpacker.all(stream)?;
    }
    Ok(unpacker.summary)
}

/// A directory that something is put into.
struct Parent {
    path: PathBuf,
    opened: OwnedFd,
}

struct Unpacker {
    root: OwnedFd,
    /// The latest; the next member is often in the same.
    parent: Option<Parent>,
    /// Modes and times of directories, which are set when they are full.
    directories: Vec<(PathBuf, u32, u64)>,
    summary: Summary,
}

impl Unpacker {
    fn all(&mut self, stream: impl Read) -> Result<(), Refusal> {
        let mut archive = Archive::new(stream);
        for entry in archive.entries().map_err(|error| damaged(&error))? {
            self.one(&mut entry.map_err(|error| damaged(&error))?)?;
        }
        // What follows the end of an archive is read, so that the host can send all of it.
        let _nothing_of_interest = io::copy(&mut archive.into_inner(), &mut io::sink());
        for (path, mode, modified) in std::mem::take(&mut self.directories).into_iter().rev() {
            if let Ok(opened) = self.open(&path, OFlags::RDONLY | OFlags::DIRECTORY) {
                let _unprivileged = rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode));
                let _unprivileged = rustix::fs::futimens(&opened, &times(modified));
            }
        }
        Ok(())
    }

    fn one(&mut self, entry: &mut Entry<impl Read>) -> Result<(), Refusal> {
        let shown = entry.path_bytes().into_owned();
        let failed = |error| Refusal::of(error, "cannot unpack", &shown);
        let path = clean(&shown)?;
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().map_err(|error| damaged(&error))? & 0o7777;
        let modified = entry.header().mtime().unwrap_or(0);
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The directory itself.
            if kind == EntryType::Directory {
                self.directories.push((path, mode, modified));
            }
            return Ok(());
        };
        if kind == EntryType::Directory {
            self.directory(&path, &name).map_err(failed)?;
            self.directories.push((path, mode, modified));
            self.summary.entries += 1;
            return Ok(());
        }
        let parent = self.parent(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                clear(parent, &name).map_err(failed)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file =
                    rustix::fs::openat(parent, &name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
                let size = write_content(&file, entry, &shown)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
                let _not_essential = rustix::fs::futimens(&file, &times(modified));
                self.summary.bytes += size;
            }
            EntryType::Symlink => {
                let link = entry.link_name_bytes().unwrap_or_default().into_owned();
                clear(parent, &name).map_err(failed)?;
                rustix::fs::symlinkat(link.as_slice(), parent, &name).map_err(failed)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let _not_essential = rustix::fs::utimensat(parent, &name, &times(modified), flags);
            }
            EntryType::Link => {
                let first = clean(&entry.link_name_bytes().unwrap_or_default())?;
                let first_name = first.file_name().ok_or_else(|| failed(Errno::NOENT))?;
                let first_parent = first.parent().unwrap_or(Path::new(""));
                let first_parent =
                    open_in(&self.root, first_parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
                let parent = &self.parent.as_ref().ok_or_else(|| failed(Errno::NOENT))?.opened;
                if first == path {
                    return Ok(());
                }
                clear(parent, &name).map_err(failed)?;
                rustix::fs::linkat(&first_parent, first_name, parent, &name, AtFlags::empty())
                    .map_err(failed)?;
            }
            EntryType::Fifo | EntryType::Char | EntryType::Block => {
                let file_type = match kind {
                    EntryType::Fifo => FileType::Fifo,
                    EntryType::Char => FileType::CharacterDevice,
                    _ => FileType::BlockDevice,
                };
                let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
                let device = rustix::fs::makedev(
                    number(entry.header().device_major()),
                    number(entry.header().device_minor()),
                );
                clear(parent, &name).map_err(failed)?;
                rustix::fs::mknodat(parent, &name, file_type, Mode::from_raw_mode(mode), device)
                    .map_err(failed)?;
            }
            // Remarks about the archive, or what nobody knows.
            _ => {
                self.summary.skipped += 1;
                return Ok(());
            }
        }
        self.summary.entries += 1;
        Ok(())
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_in(&self.root, path, flags)
    }

    /// Makes a directory, or finds one.
    fn directory(&mut self, path: &Path, name: &OsStr) -> Result<(), Errno> {
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => self.open(path, OFlags::PATH | OFlags::DIRECTORY).map(drop),
            Err(error) => Err(error),
        }
    }

    /// The directory `path`; what is missing of it is made.
    fn parent(&mut self, path: &Path) -> Result<&OwnedFd, Errno> {
        if self.parent.as_ref().is_none_or(|parent| parent.path != path) {
            self.parent = None;
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let opened = match self.open(path, flags) {
                Err(Errno::NOENT) => {
                    let mut so_far = PathBuf::new();
                    let mut opened = self.open(&so_far, flags)?;
                    for part in path {
                        so_far.push(part);
                        opened = match self.open(&so_far, flags) {
                            Err(Errno::NOENT) => {
                                rustix::fs::mkdirat(&opened, part, Mode::from_raw_mode(0o755))?;
                                self.open(&so_far, flags)?
                            }
                            opened => opened?,
                        };
                    }
                    opened
                }
                opened => opened?,
            };
            self.parent = Some(Parent { path: path.to_owned(), opened });
        }
        self.parent.as_ref().map(|parent| &parent.opened).ok_or(Errno::NOENT)
    }
}

/// Opens something that is not outside `root`.
fn open_in(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    loop {
        // The kernel says so when something was renamed meanwhile.
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// Removes what is in the way, unless it is a directory.
fn clear(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A member's name, relative and without `.`.
fn clean(name: &[u8]) -> Result<PathBuf, Refusal> {
    let refuse = |why: &str| {
        let message = format!("the archive has the name {:?}, which {why}", String::from_utf8_lossy(name));
        Err(Refusal::new(FailureCode::BadArchive, message))
    };
    if name.contains(&0) {
        return refuse("contains a NUL byte");
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => return refuse("leads out of the directory"),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

fn write_content(file: &OwnedFd, entry: &mut Entry<impl Read>, shown: &[u8]) -> Result<u64, Refusal> {
    let failed = |error| Refusal::of(error, "cannot unpack", shown);
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    let mut hole = false;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match entry.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(damaged(&error)),
            }
        }
        if filled == 0 {
            break;
        }
        for block in buffer[..filled].chunks(HOLE) {
            hole = block.len() == HOLE && block.iter().all(|byte| *byte == 0);
            if !hole {
                write_at(file, block, size).map_err(failed)?;
            }
            size += block.len() as u64;
        }
    }
    if hole {
        rustix::fs::ftruncate(file, size).map_err(failed)?;
    }
    Ok(size)
}

fn times(modified: u64) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(modified).unwrap_or(i64::MAX) as _, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn damaged(error: &io::Error) -> Refusal {
    Refusal::new(FailureCode::BadArchive, format!("the archive cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_lose_what_is_before_and_never_lead_out() {
        assert_eq!(clean(b"/etc/./passwd").expect("clean"), Path::new("etc/passwd"));
        assert_eq!(clean(b"./").expect("clean"), Path::new(""));
        for name in [b"..".as_slice(), b"a/../../b", b"/..", b"a\0b"] {
            assert_eq!(clean(name).expect_err("refused").code, FailureCode::BadArchive);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0usize..1500) {
            // A valid member with noise over it.
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(100);
            header.set_mode(0o644);
            archive.append_data(&mut header, "file", &[7u8; 100][..]).expect("packed");
            let mut archive = archive.into_inner().expect("packed");
            let end = archive.len().min(at + bytes.len());
            archive[at.min(end)..end].copy_from_slice(&bytes[..end - at.min(end)]);
            let outer = tempfile::tempdir().expect("a directory");
            let target = outer.path().join("target");
            let _either = unpack(target.as_os_str().as_bytes(), archive.as_slice());
            prop_assert_eq!(std::fs::read_dir(outer.path()).expect("there").count(), 1);
        }
    }
}
