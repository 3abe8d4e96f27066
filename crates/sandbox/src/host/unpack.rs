//! Entries from a guest, written below a directory of the host on a thread of its own.
//!
//! The guest may send anything. Names are relative and without `..`; what is above an entry is a real directory and not a
//! symbolic link; a symbolic link leads nowhere but below the directory; and `cap-std` has the system refuse whatever leads
//! out in spite of that.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, File, OpenOptions, OpenOptionsExt};
use wasm_sandbox_protocol::agent::FileKind;
use wasm_sandbox_protocol::json::{ErrorCode, Failure};

use super::pack::spawn;
use super::{Place, failure};

/// Items that wait to be written.
const WAITING: usize = 16;
/// The most bytes of one download.
const MOST_BYTES: u64 = 16 << 30;
/// The most entries of one download.
const MOST_ENTRIES: u64 = 2_000_000;

/// What a guest sends.
#[derive(Debug)]
pub(crate) enum Item {
    /// Something at a path.
    Entry {
        /// Below the directory.
        path: Vec<u8>,
        /// What it is.
        kind: FileKind,
        /// Of a file: bytes that follow.
        size: u64,
        /// Permission bits.
        mode: u16,
        /// Nanoseconds since 1970.
        modified_ns: i64,
        /// What a link names.
        target: Vec<u8>,
    },
    /// Bytes of the latest file.
    Data(Vec<u8>),
    /// There is no more.
    End,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// Files, links and directories.
    pub(crate) entries: u64,
    /// Bytes in the files.
    pub(crate) bytes: u64,
    /// Left out.
    pub(crate) skipped: u64,
}

/// A tree that is being written.
pub(crate) struct HostWriter {
    items: SyncSender<Item>,
    outcome: Receiver<Result<Written, Failure>>,
    /// Bounded by what the agent may send without credit.
    backlog: VecDeque<Item>,
}

impl HostWriter {
    /// Starts to write.
    pub(crate) fn start(place: Place) -> Result<Self, Failure> {
        let (items, received) = sync_channel(WAITING);
        let (sender, outcome) = sync_channel(1);
        spawn("download", move || {
            let written = write_all(&place, &received);
            let _nobody_waits_any_more = sender.send(written);
        })?;
        Ok(Self { items, outcome, backlog: VecDeque::new() })
    }

    /// Takes an item.
    pub(crate) fn push(&mut self, item: Item) {
        self.backlog.push_back(item);
        self.is_blocked();
    }

    /// Whether items wait that the thread has no room for.
    pub(crate) fn is_blocked(&mut self) -> bool {
        while let Some(item) = self.backlog.pop_front() {
            match self.items.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.backlog.push_front(item);
                    return true;
                }
                // It has failed; the outcome says why.
                Err(TrySendError::Disconnected(_)) => self.backlog.clear(),
            }
        }
        false
    }

    /// What came of it, when it is done.
    pub(crate) fn outcome(&mut self) -> Option<Result<Written, Failure>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Failure::new(ErrorCode::Internal, "the thread that writes files has died")))
            }
        }
    }
}

/// A file that is being written.
struct Open {
    file: File,
    path: PathBuf,
    mode: u32,
    modified: SystemTime,
}

struct Writer {
    target: Dir,
    written: Written,
    file: Option<Open>,
    /// Bytes of the present file that were not sent yet.
    left: u64,
    /// The latest directory that is known to be one.
    parent: PathBuf,
}

fn write_all(place: &Place, items: &Receiver<Item>) -> Result<Written, Failure> {
    let wrong = |error: io::Error| place.failure(&error);
    place.root.create_dir_all(&place.below).map_err(wrong)?;
    let target = place.root.open_dir(&place.below).map_err(wrong)?;
    let mut writer =
        Writer { target, written: Written::default(), file: None, left: 0, parent: PathBuf::new() };
    loop {
        match items.recv() {
            Ok(Item::End) => return writer.close().map(|()| writer.written),
            Ok(item) => writer.take(item)?,
            Err(_) => return Err(Failure::new(ErrorCode::Cancelled, "it was stopped")),
        }
    }
}

impl Writer {
    fn take(&mut self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Entry { path, kind, size, mode, modified_ns, target } => {
                self.close()?;
                let total = self.written.entries + self.written.skipped;
                if total >= MOST_ENTRIES || self.written.bytes.saturating_add(size) > MOST_BYTES {
                    let message = format!("more than {MOST_BYTES} bytes or {MOST_ENTRIES} files");
                    return Err(Failure::new(ErrorCode::TooLarge, message));
                }
                self.left = if kind == FileKind::File { size } else { 0 };
                let done = match relative(&path) {
                    Some(path) => {
                        let mode = u32::from(mode) & 0o777;
                        self.entry(&path, kind, mode, modified_ns, &target)
                            .map_err(|error| failure(&path, &error))?
                    }
                    None => false,
                };
                match done {
                    true => self.written.entries += 1,
                    false => self.written.skipped += 1,
                }
                Ok(())
            }
            Item::Data(data) => {
                // More than was announced is nobody's.
                let count = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= count as u64;
                if let Some(open) = &mut self.file {
                    open.file.write_all(&data[..count]).map_err(|error| failure(&open.path, &error))?;
                    self.written.bytes += count as u64;
                }
                Ok(())
            }
            Item::End => Ok(()),
        }
    }

    /// Makes something; false if it is left out.
    fn entry(
        &mut self,
        path: &Path,
        kind: FileKind,
        mode: u32,
        modified_ns: i64,
        target: &[u8],
    ) -> io::Result<bool> {
        let above = path.parent().unwrap_or(Path::new(""));
        if !self.is_real(above)? {
            return Ok(false);
        }
        let there = match self.target.symlink_metadata(path) {
            Ok(meta) => Some(meta.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (kind, there) {
            (FileKind::Directory, Some(true)) => Ok(true),
            (FileKind::Directory, Some(false)) => Ok(false),
            (FileKind::Directory, None) => {
                let mut builder = DirBuilder::new();
                // Whoever runs this program must be able to fill it, and to remove it.
                self.target.create_dir_with(path, builder.mode(mode | 0o700))?;
                Ok(true)
            }
            (FileKind::File | FileKind::Symlink, Some(true)) => Ok(false),
            (FileKind::File, there) => {
                if there.is_some() {
                    self.target.remove_file(path)?;
                }
                let mut options = OpenOptions::new();
                let file = self.target.open_with(path, options.write(true).create_new(true).mode(0o600))?;
                let modified = time(modified_ns);
                self.file = Some(Open { file, path: path.to_owned(), mode, modified });
                Ok(true)
            }
            (FileKind::Symlink, there) => {
                let Some(link) = inner_target(above.components().count(), target) else { return Ok(false) };
                if there.is_some() {
                    self.target.remove_file(path)?;
                }
                self.target.symlink_contents(link, path)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether `path` is a directory reached without symbolic links; what is missing of it is made.
    fn is_real(&mut self, path: &Path) -> io::Result<bool> {
        if path == self.parent {
            return Ok(true);
        }
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            match self.target.symlink_metadata(&so_far) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.target.create_dir(&so_far)?,
                Err(error) => return Err(error),
            }
        }
        self.parent = so_far;
        Ok(true)
    }

    /// The present file is complete.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(Open { file, path, mode, modified }) = self.file.take() else { return Ok(()) };
        let finish = || {
            let file = file.into_std();
            file.set_modified(modified)?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        };
        finish().map_err(|error| failure(&path, &error))
    }
}

fn time(nanoseconds: i64) -> SystemTime {
    let length = Duration::from_nanos(nanoseconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if nanoseconds < 0 { epoch.checked_sub(length) } else { epoch.checked_add(length) };
    time.unwrap_or(epoch)
}

/// A name that leads nowhere else, as a path.
fn relative(name: &[u8]) -> Option<PathBuf> {
    let path = as_path(name)?;
    let normal = path.components().all(|part| matches!(part, Component::Normal(_)));
    (normal && path.components().next().is_some()).then(|| path.to_owned())
}

/// The target of a link, if it leads to something below the directory. The link is `depth` real directories below.
///
/// `..` may only stand at the front: behind a name, which may be a link itself, nobody knows where it leads.
fn inner_target(depth: usize, target: &[u8]) -> Option<&Path> {
    let path = as_path(target)?;
    let ups = path.components().take_while(|part| matches!(part, Component::ParentDir)).count();
    let rest_is_normal =
        path.components().skip(ups).all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (!target.is_empty() && ups <= depth && rest_is_normal).then_some(path)
}

fn as_path(bytes: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    (!bytes.contains(&0)).then(|| Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn entry(path: &str, kind: FileKind, size: u64, target: &str) -> Item {
        let (path, target) = (path.into(), target.into());
        Item::Entry { path, kind, size, mode: 0o6755, modified_ns: 1_000_000_000, target }
    }

    fn file(path: &str, content: &str) -> [Item; 2] {
        [entry(path, FileKind::File, content.len() as u64, ""), Item::Data(content.into())]
    }

    fn write(root: &Path, items: impl IntoIterator<Item = Item>) -> Result<Written, Failure> {
        let wanted = root.join("to/here");
        let place = Place::find(wanted.to_str().expect("text"), &[root.to_owned()], "--allow-write")?;
        let mut writer = HostWriter::start(place)?;
        for item in items {
            writer.push(item);
            while writer.is_blocked() {
                std::thread::yield_now();
            }
        }
        writer.push(Item::End);
        loop {
            writer.is_blocked();
            if let Some(outcome) = writer.outcome() {
                return outcome;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_tree_is_written_without_special_bits() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        let mut items = vec![entry("a", FileKind::Directory, 0, "")];
        items.extend(file("a/one", "content"));
        items.extend(file("deep/er/two", ""));
        items.push(entry("link", FileKind::Symlink, 0, "a/one"));
        items.push(entry("a/up", FileKind::Symlink, 0, "../deep"));
        let written = write(root, items).expect("written");
        assert_eq!(written, Written { entries: 5, bytes: 7, skipped: 0 });
        let meta = std::fs::metadata(root.join("to/here/a/one")).expect("there");
        assert_eq!((meta.permissions().mode() & 0o7777, meta.len()), (0o755, 7));
        assert_eq!(meta.modified().expect("a time"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        assert!(root.join("to/here/a/up/er/two").exists());
        let again = write(root, file("a/one", "x")).expect("written");
        assert_eq!(again.entries, 1);
        assert_eq!(std::fs::read_to_string(root.join("to/here/link")).expect("there"), "x");
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        std::fs::create_dir_all(root.join("to/here")).expect("made");
        std::fs::write(root.join("secret"), "secret").expect("written");
        symlink(root, root.join("to/here/out")).expect("a link");
        symlink(root.join("secret"), root.join("to/here/file")).expect("a link");
        let mut items = Vec::new();
        for name in ["/abs", "../up", "a/../../up", "", ".", "out/new", "out/secret", "a\0b"] {
            items.extend(file(name, "bad"));
        }
        for target in ["/etc", "..", "../..", "a/..", "a/../../x", ""] {
            items.push(entry("bad-link", FileKind::Symlink, 0, target));
        }
        for kind in [FileKind::Fifo, FileKind::Socket, FileKind::CharDevice, FileKind::BlockDevice] {
            items.push(entry("special", kind, 0, ""));
        }
        // Through links that the guest made itself.
        items.push(entry("d/e", FileKind::Directory, 0, ""));
        items.push(entry("d/e/top", FileKind::Symlink, 0, "../.."));
        items.push(entry("d/e/out", FileKind::Symlink, 0, "top/.."));
        items.extend(file("d/e/top/new", "bad"));
        // In the place of a link that was there: the link goes, and what it named stays.
        items.extend(file("file", "good"));
        let written = write(root, items).expect("written");
        assert_eq!(written, Written { entries: 3, bytes: 4, skipped: 8 + 6 + 4 + 2 });
        let mut names: Vec<_> =
            std::fs::read_dir(root).expect("read").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["secret", "to"]);
        assert_eq!(std::fs::read_to_string(root.join("secret")).expect("there"), "secret");
        assert_eq!(std::fs::read_to_string(root.join("to/here/file")).expect("there"), "good");
        assert!(!root.join("to/here/new").exists());
    }

    #[test]
    fn limits_hold_and_more_bytes_than_announced_are_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let items = [entry("a", FileKind::File, 2, ""), Item::Data(b"1234".to_vec())];
        assert_eq!(write(directory.path(), items).expect("written").bytes, 2);
        let items = [entry("a", FileKind::File, u64::MAX, "")];
        assert_eq!(write(directory.path(), items).expect_err("too much").error_code, ErrorCode::TooLarge);
    }
}
