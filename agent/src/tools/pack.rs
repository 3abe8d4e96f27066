//! A tree as one stream: a tar archive, or entries for a host that unpacks them itself.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use tar::{EntryType, Header};
use wasm_sandbox_protocol::agent::{FailureCode, FileKind, FileReply, PackForm, Summary};

use super::replies::Replies;
use super::walk::{Flow, Node, WalkError, Way, walk};
use crate::failure::Refusal;
use crate::files::absolute;
use crate::files::entry::{entry, kind, link_target, modified_ns};
use crate::user::Names;

/// Bytes of an archive or a file in one reply.
const PIECE: usize = 32 * 1024;

/// Packs.
pub fn pack(path: &[u8], form: PackForm, replies: &mut Replies) -> Result<Summary, Refusal> {
    let failed = |error| Refusal::of(error, "cannot pack", path);
    let root = std::fs::canonicalize(absolute(path)?)
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let root = root.as_os_str().as_bytes();
    let mut packer = Packer { summary: Summary::default(), names: Names::default(), links: HashMap::new() };
    let mut archive = match form {
        PackForm::Tar => Form::Tar(tar::Builder::new(Pieces { replies, buffer: Vec::with_capacity(PIECE) })),
        PackForm::Entries => Form::Entries(replies),
    };
    let walked = walk(root, Way { depth: u32::MAX, only_real: true }, |node| {
        packer.add(node, &mut archive).map(|()| Flow::On)
    });
    match walked {
        Ok(()) => {}
        Err(WalkError::Root(error)) => return Err(failed(error)),
        Err(WalkError::Visitor(refusal)) => return Err(refusal),
    }
    if let Form::Tar(builder) = archive {
        let mut pieces = builder.into_inner().map_err(|error| unsent(&error))?;
        pieces.flush().map_err(|error| unsent(&error))?;
    }
    Ok(packer.summary)
}

enum Form<'r> {
    Tar(tar::Builder<Pieces<'r>>),
    Entries(&'r mut Replies),
}

struct Packer {
    summary: Summary,
    names: Names,
    /// The first of several names of a file.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Packer {
    fn add(&mut self, node: &Node, form: &mut Form) -> Result<(), Refusal> {
        // Gone meanwhile.
        let Ok(stat) = node.stat().copied() else { return Ok(()) };
        let failed = |error| Refusal::of(error, "cannot pack", node.path);
        match kind(&stat) {
            FileKind::Directory => {
                self.send(node, &stat, None, form)?;
            }
            FileKind::Symlink => {
                let Some(target) = link_target(node.parent, node.name, &stat) else { return Ok(()) };
                self.send(node, &stat, Some(target), form)?;
            }
            FileKind::File => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let file = match rustix::fs::openat(node.parent, node.file_name(), flags, Mode::empty()) {
                    Ok(file) => file,
                    Err(Errno::NOENT) => return Ok(()),
                    Err(error) => return Err(failed(error)),
                };
                // As it is now, and not when its name was read.
                let stat = rustix::fs::fstat(&file).map_err(failed)?;
                if kind(&stat) != FileKind::File {
                    return Ok(());
                }
                self.send_file(node, &stat, file, form)?;
            }
            FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
                self.summary.skipped += 1;
                return Ok(());
            }
        }
        self.summary.entries += 1;
        Ok(())
    }

    fn send(
        &mut self,
        node: &Node,
        stat: &Stat,
        target: Option<Vec<u8>>,
        form: &mut Form,
    ) -> Result<(), Refusal> {
        match form {
            Form::Entries(replies) => {
                replies.send(&FileReply::Entry(entry(node.relative(), stat, target, &mut self.names)))
            }
            Form::Tar(builder) => {
                let mut header = self.header(stat);
                header.set_size(0);
                let sent = match target {
                    Some(target) => {
                        header.set_entry_type(EntryType::Symlink);
                        builder.append_link(&mut header, path(node.relative()), path(&target))
                    }
                    None => {
                        header.set_entry_type(EntryType::Directory);
                        // As all other programs write it.
                        let name = [node.relative(), b"/"].concat();
                        builder.append_data(&mut header, path(&name), io::empty())
                    }
                };
                sent.map_err(|error| unsent(&error))
            }
        }
    }

    fn send_file(&mut self, node: &Node, stat: &Stat, file: OwnedFd, form: &mut Form) -> Result<(), Refusal> {
        let size = stat.st_size as u64;
        let mut content = Exactly { file: std::fs::File::from(file), left: size };
        match form {
            Form::Entries(replies) => {
                replies.send(&FileReply::Entry(entry(node.relative(), stat, None, &mut self.names)))?;
                let mut buffer = vec![0; PIECE];
                while content.left > 0 {
                    let count = content.read(&mut buffer).map_err(|error| unread(&error, node))?;
                    replies.send(&FileReply::Data(buffer[..count].into()))?;
                }
            }
            Form::Tar(builder) => {
                let mut header = self.header(stat);
                #[allow(clippy::unnecessary_cast, reason = "the types differ between 32 and 64 bits")]
                let identity = (stat.st_dev as u64, stat.st_ino as u64);
                if stat.st_nlink > 1 {
                    if let Some(first) = self.links.get(&identity) {
                        header.set_entry_type(EntryType::Link);
                        header.set_size(0);
                        return builder
                            .append_link(&mut header, path(node.relative()), first)
                            .map_err(|error| unsent(&error));
                    }
                    self.links.insert(identity, path(node.relative()).to_owned());
                }
                header.set_entry_type(EntryType::Regular);
                header.set_size(size);
                builder
                    .append_data(&mut header, path(node.relative()), content)
                    .map_err(|error| unread(&error, node))?;
            }
        }
        self.summary.bytes += size;
        Ok(())
    }

    fn header(&mut self, stat: &Stat) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_mtime(u64::try_from(modified_ns(stat) / 1_000_000_000).unwrap_or(0));
        // Names are for people; one that does not fit is left out.
        if let Ok(name) = std::str::from_utf8(self.names.user(stat.st_uid)) {
            let _too_long = header.set_username(name);
        }
        if let Ok(name) = std::str::from_utf8(self.names.group(stat.st_gid)) {
            let _too_long = header.set_groupname(name);
        }
        header
    }
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn unsent(error: &io::Error) -> Refusal {
    Refusal::new(FailureCode::Io, format!("cannot pack: {error}"))
}

fn unread(error: &io::Error, node: &Node) -> Refusal {
    let path = String::from_utf8_lossy(node.path);
    Refusal::new(FailureCode::Io, format!("cannot pack {path}: {error}"))
}

/// As many bytes of a file as were announced, whatever happens to it meanwhile: zeros take the place of what is gone.
struct Exactly {
    file: std::fs::File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = match self.file.read(&mut buffer[..room])? {
            0 => {
                buffer[..room].fill(0);
                room
            }
            count => count,
        };
        self.left -= count as u64;
        Ok(count)
    }
}

/// An archive, cut into replies.
struct Pieces<'r> {
    replies: &'r mut Replies,
    buffer: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&data[..count]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let sent = self.replies.send(&FileReply::Data(self.buffer.as_slice().into()));
        self.buffer.clear();
        sent.map_err(|refusal| io::Error::other(refusal.message))
    }
}
