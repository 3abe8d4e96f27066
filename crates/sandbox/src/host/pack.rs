//! A tree of the host as a tar archive, made on a thread of its own while it is sent.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt, PermissionsExt};
use tar::{EntryType, Header};
use wasm_sandbox_protocol::json::{ErrorCode, Failure};

use super::{Place, failure, host_io};

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Pieces that wait to be taken.
const WAITING: usize = 8;
/// Directories inside each other; each is open while it is read.
const DEEPEST: usize = 200;

/// An archive that is being made.
pub(crate) struct HostReader {
    pieces: Receiver<Result<Vec<u8>, Failure>>,
    /// A piece of which only a part was taken.
    rest: Vec<u8>,
    taken: usize,
}

/// What there is of an archive now.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// They are not read yet.
    NotYet,
    /// There are no more.
    End,
}

impl HostReader {
    /// Starts to read a file, or what is in a directory.
    pub(crate) fn start(place: Place) -> Result<Self, Failure> {
        let (sender, pieces) = sync_channel(WAITING);
        spawn("upload", move || {
            let mut writer = Pieces { sender: sender.clone(), buffer: Vec::with_capacity(PIECE) };
            let packed = pack(&place, &mut writer);
            if let Err(failure) = packed {
                let _nobody_waits_any_more = sender.send(Err(failure));
            }
        })?;
        Ok(Self { pieces, rest: Vec::new(), taken: 0 })
    }

    /// The next piece, of at most `room` bytes.
    pub(crate) fn next(&mut self, room: usize) -> Result<Piece, Failure> {
        if self.taken == self.rest.len() {
            // Emptied first: where there is no next piece yet, the last one must not come again.
            (self.rest, self.taken) = (Vec::new(), 0);
            self.rest = match self.pieces.try_recv() {
                Ok(piece) => piece?,
                Err(TryRecvError::Empty) => return Ok(Piece::NotYet),
                Err(TryRecvError::Disconnected) => return Ok(Piece::End),
            };
        }
        let end = self.rest.len().min(self.taken.saturating_add(room));
        let piece = self.rest[self.taken..end].to_vec();
        self.taken = end;
        Ok(Piece::Bytes(piece))
    }
}

/// Starts a thread for files of the host.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| Failure::new(ErrorCode::Internal, format!("the host has no thread for it: {error}")))
}

/// An archive, cut into pieces.
struct Pieces {
    sender: SyncSender<Result<Vec<u8>, Failure>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
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
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.sender.send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// A directory that is being read.
struct Level {
    opened: Dir,
    path: PathBuf,
    /// In reverse order.
    names: Vec<OsString>,
}

fn pack(place: &Place, writer: &mut Pieces) -> Result<(), Failure> {
    let mut builder = tar::Builder::new(&mut *writer);
    let wrong = |error: &io::Error| place.failure(error);
    let meta = place.root.metadata(&place.below).map_err(|error| wrong(&error))?;
    if meta.is_dir() {
        let opened = place.root.open_dir(&place.below).map_err(|error| wrong(&error))?;
        let mut levels = vec![level(opened, PathBuf::new())?];
        while let Some(current) = levels.last_mut() {
            let Some(name) = current.names.pop() else {
                levels.pop();
                continue;
            };
            let path = current.path.join(&name);
            if let Some(inner) = add(&mut builder, &current.opened, Path::new(&name), &path)? {
                if levels.len() >= DEEPEST {
                    let message =
                        format!("{}: more than {DEEPEST} directories inside each other", path.display());
                    return Err(Failure::new(ErrorCode::TooLarge, message));
                }
                levels.push(level(inner, path)?);
            }
        }
    } else {
        let name = place.below.file_name().map(PathBuf::from).unwrap_or_else(|| "file".into());
        add_file(&mut builder, &place.root, &place.below, &name)?;
    }
    let finished = builder.into_inner().and_then(|writer| writer.flush());
    finished.map_err(|error| host_io(&place.shown, &error))
}

fn level(opened: Dir, path: PathBuf) -> Result<Level, Failure> {
    let wrong = |error: io::Error| failure(&path, &error);
    let names: io::Result<Vec<OsString>> =
        opened.entries().map_err(wrong)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(wrong)?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Level { opened, path, names })
}

type Archive<'w> = tar::Builder<&'w mut Pieces>;

/// Adds something in `parent`; a directory is returned, for what is in it.
fn add(builder: &mut Archive<'_>, parent: &Dir, name: &Path, path: &Path) -> Result<Option<Dir>, Failure> {
    let wrong = |error: io::Error| failure(path, &error);
    let meta = match parent.symlink_metadata(name) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    let mut header = header(&meta);
    if meta.is_dir() {
        header.set_entry_type(EntryType::Directory);
        // As all other programs write it.
        builder.append_data(&mut header, path.join(""), io::empty()).map_err(wrong)?;
        return parent.open_dir(name).map(Some).map_err(wrong);
    }
    if meta.is_symlink() {
        let target = parent.read_link_contents(name).map_err(wrong)?;
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, path, &target).map_err(wrong)?;
    } else if meta.is_file() {
        add_file(builder, parent, name, path)?;
    }
    // A device, pipe or socket is of no use to the guest.
    Ok(None)
}

fn add_file(builder: &mut Archive<'_>, parent: &Dir, name: &Path, path: &Path) -> Result<(), Failure> {
    /// Opening a pipe, which it may have become, must not wait.
    const NONBLOCK: i32 = 0o4000;
    let wrong = |error: io::Error| failure(path, &error);
    let mut options = OpenOptions::new();
    let file = parent.open_with(name, options.read(true).custom_flags(NONBLOCK)).map_err(wrong)?;
    let meta = file.metadata().map_err(wrong)?;
    if !meta.is_file() {
        let message = format!("on the host: {} is neither a file nor a directory", path.display());
        return Err(Failure::new(ErrorCode::HostIo, message));
    }
    let mut header = header(&meta);
    header.set_entry_type(EntryType::Regular);
    header.set_size(meta.len());
    let content = Exactly { file: file.into_std(), left: meta.len() };
    builder.append_data(&mut header, path, content).map_err(wrong)
}

fn header(meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(meta.permissions().mode() & 0o7777);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn packed(root: &Path, below: &str) -> Result<Vec<(String, u32, Vec<u8>)>, Failure> {
        let wanted = root.join(below);
        let place = Place::find(wanted.to_str().expect("text"), &[root.to_owned()], "--allow-read")?;
        let mut reader = HostReader::start(place)?;
        let mut archive = Vec::new();
        loop {
            match reader.next(1000)? {
                Piece::Bytes(bytes) => archive.extend_from_slice(&bytes),
                Piece::NotYet => std::thread::yield_now(),
                Piece::End => break,
            }
        }
        let mut all = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("read");
            let link = entry.link_name().expect("a name").map(|link| format!(" -> {}", link.display()));
            let name = entry.path().expect("a path").display().to_string() + &link.unwrap_or_default();
            all.push((name, entry.header().mode().expect("a mode"), content));
        }
        Ok(all)
    }

    #[test]
    fn a_tree_is_packed_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        std::fs::create_dir_all(root.join("tree/a")).expect("made");
        std::fs::write(root.join("tree/a/large"), vec![7; 300_000]).expect("written");
        std::fs::write(root.join("secret"), "secret").expect("written");
        symlink("/etc/passwd", root.join("tree/out")).expect("a link");
        symlink("/etc", root.join("tree/way")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(root.join("tree/socket")).expect("a socket");
        let all = packed(&root.join("tree"), "").expect("packed");
        let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["a/", "a/large", "out -> /etc/passwd", "way -> /etc"]);
        assert_eq!(all[1].2.len(), 300_000);
        let single = packed(root, "tree/a/large").expect("packed");
        assert_eq!((single.len(), single[0].0.as_str()), (1, "large"));
    }

    #[test]
    fn nothing_outside_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        std::fs::create_dir(&root).expect("made");
        std::fs::write(directory.path().join("secret"), "secret").expect("written");
        symlink("/etc", root.join("etc")).expect("a link");
        symlink("../secret", root.join("secret")).expect("a link");
        for below in ["etc", "etc/passwd", "secret", "../secret", "x/../../secret"] {
            let failure = packed(&root, below).expect_err(below);
            assert!(
                matches!(failure.error_code, ErrorCode::HostPathNotAllowed | ErrorCode::NotFound),
                "{below}: {failure:?}"
            );
        }
        assert_eq!(packed(&root, "missing").expect_err("missing").error_code, ErrorCode::NotFound);
    }
}
