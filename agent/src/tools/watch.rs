//! Reporting changes of files.
//!
//! The kernel (inotify) watches directories, one by one. A file is watched by way of its directory, so that it is still
//! the one at that path when it was replaced. When nobody takes the reports, this process waits, the kernel's queue fills
//! up, and then the kernel says that it was too much: memory is bounded without any doing.

use std::collections::{BTreeMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use wasm_sandbox_protocol::agent::{Change, ChangeKind, FailureCode, FileKind, FileReply, Summary};

use super::replies::Replies;
use super::walk::{Flow, Way, name, walk};
use crate::failure::Refusal;
use crate::files::entry::{kind, look};
use crate::files::{absolute, directory};

/// What the kernel tells about a directory.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// How long the second half of a move is waited for.
const HALF_MOVE: Duration = Duration::from_millis(10);

/// The most reports that wait to be sent together.
const BATCH: usize = 1000;

/// Watches until it is killed, or until what is watched is gone.
pub fn watch(path: &[u8], recursive: bool, replies: &mut Replies) -> Result<Summary, Refusal> {
    let failed = |error| Refusal::of(error, "cannot watch", path);
    absolute(path)?;
    let root = directory::trimmed(path);
    let stat = look(name(root), true).map_err(failed)?;
    let is_directory = kind(&stat) == FileKind::Directory;
    let real = std::fs::canonicalize(name(root))
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let (watched, only) = match (is_directory, real.parent(), real.file_name()) {
        (false, Some(parent), Some(name)) => (parent.as_os_str().as_bytes(), Some(name.as_bytes().to_vec())),
        _ => (root, None),
    };
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| {
        Refusal::new(
            FailureCode::NoResources,
            format!("no more can be watched: {}", crate::failure::describe(error)),
        )
    })?;
    let recursive = recursive && only.is_none();
    let mut watcher = Watcher {
        inotify,
        root: watched.to_vec(),
        named: root.to_vec(),
        only,
        recursive,
        paths: BTreeMap::new(),
        found: HashSet::new(),
        batch: Vec::new(),
        lost: false,
        root_watch: 0,
    };
    watcher.root_watch = watcher.add(watched).map_err(|error| watcher.refusal(error))?;
    if recursive {
        watcher.add_below(watched, false).map_err(|error| watcher.refusal(error))?;
    }
    replies.send(&FileReply::WatchStarted)?;
    replies.flush()?;
    loop {
        let goes_on = watcher.next_batch().map_err(failed)?;
        for report in watcher.batch.drain(..) {
            replies.send(&FileReply::Change(report.change))?;
        }
        replies.flush()?;
        if !goes_on {
            let message = format!("{} is gone and no longer watched", String::from_utf8_lossy(path));
            return Err(Refusal::new(FailureCode::NotFound, message));
        }
    }
}

/// A change that was not sent yet.
struct Report {
    change: Change<'static>,
    /// The first half of a move: what the second half will have, too.
    cookie: Option<u32>,
}

struct Watcher {
    inotify: OwnedFd,
    /// The directory at the top.
    root: Vec<u8>,
    /// What was asked for.
    named: Vec<u8>,
    /// The only name in it that counts.
    only: Option<Vec<u8>>,
    recursive: bool,
    paths: BTreeMap<i32, Vec<u8>>,
    /// What was found in new directories and reported; the kernel may report it once more.
    found: HashSet<Vec<u8>>,
    batch: Vec<Report>,
    /// Reports were lost since the last batch.
    lost: bool,
    root_watch: i32,
}

/// One of the kernel's events.
struct Event {
    watch: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Vec<u8>,
}

impl Watcher {
    fn add(&mut self, path: &[u8]) -> Result<i32, Errno> {
        let watch = inotify::add_watch(&self.inotify, name(path), EVENTS)?;
        self.paths.insert(watch, path.to_vec());
        Ok(watch)
    }

    fn refusal(&self, error: Errno) -> Refusal {
        match error {
            Errno::NOSPC => {
                let message =
                    "more directories than the guest's kernel watches (fs.inotify.max_user_watches)";
                Refusal::new(FailureCode::NoResources, message)
            }
            error => Refusal::of(error, "cannot watch", &self.named),
        }
    }

    /// Watches all directories below one; what is there is reported as new with `report`.
    fn add_below(&mut self, path: &[u8], report: bool) -> Result<(), Errno> {
        let way = Way { depth: u32::MAX, only_real: true };
        let walked = walk(path, way, |node| {
            if node.directory {
                match self.add(node.path) {
                    // Gone again.
                    Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                    Err(error) => return Err(error),
                }
            }
            if report {
                self.found.insert(node.path.to_vec());
                self.report(ChangeKind::Created, node.path, node.directory, None);
            }
            Ok(Flow::On)
        });
        match walked {
            Err(super::walk::WalkError::Visitor(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn report(&mut self, kind: ChangeKind, path: &[u8], directory: bool, cookie: Option<u32>) {
        if kind == ChangeKind::Modified
            && self
                .batch
                .iter()
                .rev()
                .take(8)
                .any(|other| other.change.kind == kind && other.change.path.as_slice() == path)
        {
            // Written to in many pieces.
            return;
        }
        let path = path.to_vec().into();
        self.batch.push(Report { change: Change { kind, path, new_path: None, directory }, cookie });
    }

    /// Waits for events and makes reports of them; false if what is watched is gone.
    fn next_batch(&mut self) -> Result<bool, Errno> {
        let mut goes_on = true;
        let mut patience = None;
        loop {
            let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
            let limit = patience.map(|limit: Duration| Timespec {
                tv_sec: limit.as_secs() as _,
                tv_nsec: limit.subsec_nanos() as _,
            });
            match poll(&mut fds, limit.as_ref()) {
                // The other half does not come.
                Ok(0) => break,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            for event in self.read()? {
                goes_on &= self.handle(&event);
            }
            if self.lost {
                self.start_over()?;
            }
            let half_move = self.batch.iter().any(|report| report.cookie.is_some());
            if !goes_on || self.batch.len() >= BATCH || !half_move || patience.is_some() {
                break;
            }
            patience = Some(HALF_MOVE);
        }
        let mut moved_away = Vec::new();
        for report in &mut self.batch {
            if report.cookie.take().is_some() && report.change.directory {
                moved_away.push(report.change.path.to_vec());
            }
        }
        for path in moved_away {
            self.forget_below(&path);
        }
        // What was in the kernel's queue when a directory was read has come by now.
        if !self.is_readable() {
            self.found.clear();
        }
        Ok(goes_on)
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// What one read gives.
    fn read(&self) -> Result<Vec<Event>, Errno> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    watch: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event.file_name().map(|name| name.to_bytes().to_vec()).unwrap_or_default(),
                }),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        Ok(events)
    }

    /// False if what is watched is gone.
    fn handle(&mut self, event: &Event) -> bool {
        if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.lost = true;
            return true;
        }
        let Some(parent) = self.paths.get(&event.watch).cloned() else { return true };
        if event.flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
            if event.watch == self.root_watch {
                let named = self.named.clone();
                self.report(ChangeKind::Deleted, &named, self.only.is_none(), None);
                return false;
            }
            // Others are reported by the directory that they were in.
            return true;
        }
        if event.flags.contains(ReadFlags::IGNORED) {
            self.paths.remove(&event.watch);
            return event.watch != self.root_watch;
        }
        let is_directory = event.flags.contains(ReadFlags::ISDIR);
        if event.name.is_empty() {
            if event.flags.contains(ReadFlags::ATTRIB)
                && self.only.is_none()
                && event.watch == self.root_watch
            {
                self.report(ChangeKind::Attributes, &parent, true, None);
            }
            return true;
        }
        if self.only.as_ref().is_some_and(|only| *only != event.name) {
            return true;
        }
        let path = match self.only {
            Some(_) => self.named.clone(),
            None => directory::join(&parent, &event.name),
        };
        if event.flags.contains(ReadFlags::CREATE) {
            self.appeared(&path, is_directory);
        } else if event.flags.contains(ReadFlags::MOVED_TO) {
            self.moved_to(&path, is_directory, event.cookie);
        } else if event.flags.contains(ReadFlags::MOVED_FROM) {
            self.found.remove(&path);
            self.report(ChangeKind::Deleted, &path, is_directory, Some(event.cookie));
        } else if event.flags.contains(ReadFlags::DELETE) {
            self.found.remove(&path);
            self.report(ChangeKind::Deleted, &path, is_directory, None);
        } else if event.flags.contains(ReadFlags::MODIFY) {
            self.report(ChangeKind::Modified, &path, is_directory, None);
        } else if event.flags.contains(ReadFlags::ATTRIB) {
            self.report(ChangeKind::Attributes, &path, is_directory, None);
        }
        true
    }

    fn appeared(&mut self, path: &[u8], is_directory: bool) {
        if self.found.remove(path) {
            return;
        }
        self.report(ChangeKind::Created, path, is_directory, None);
        if is_directory && self.recursive {
            let added = match self.add(path) {
                Ok(_) => self.add_below(path, true),
                // Gone again.
                Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                Err(error) => Err(error),
            };
            if added.is_err() {
                self.say_that_some_were_lost();
            }
        }
    }

    fn moved_to(&mut self, path: &[u8], is_directory: bool, cookie: u32) {
        let first = self.batch.iter_mut().rev().find(|report| report.cookie == Some(cookie));
        let Some(first) = first else { return self.appeared(path, is_directory) };
        first.cookie = None;
        first.change.kind = ChangeKind::Renamed;
        first.change.new_path = Some(path.to_vec().into());
        let old = first.change.path.to_vec();
        if is_directory {
            for known in self.paths.values_mut() {
                if let Some(rest) = known.strip_prefix(old.as_slice())
                    && (rest.is_empty() || rest.starts_with(b"/"))
                {
                    *known = [path, rest].concat();
                }
            }
        }
    }

    /// Ends watching a directory that was moved away, and what is in it.
    fn forget_below(&mut self, path: &[u8]) {
        let inside = |known: &[u8]| {
            known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let gone: Vec<i32> =
            self.paths.iter().filter(|(_, known)| inside(known)).map(|(watch, _)| *watch).collect();
        for watch in gone {
            let _gone_already = inotify::remove_watch(&self.inotify, watch);
            self.paths.remove(&watch);
        }
    }

    fn say_that_some_were_lost(&mut self) {
        let named = self.named.clone();
        if self.batch.last().is_none_or(|last| last.change.kind != ChangeKind::Overflow) {
            self.report(ChangeKind::Overflow, &named, self.only.is_none(), None);
        }
    }

    /// Events were lost: which directories there are, and where, must be found out again.
    fn start_over(&mut self) -> Result<(), Errno> {
        self.lost = false;
        self.say_that_some_were_lost();
        if !self.recursive {
            return Ok(());
        }
        let root = self.root.clone();
        let stale: Vec<i32> = self.paths.keys().copied().filter(|watch| *watch != self.root_watch).collect();
        for watch in stale {
            let _gone_already = inotify::remove_watch(&self.inotify, watch);
            self.paths.remove(&watch);
        }
        match self.add_below(&root, false) {
            // As many as can be.
            Ok(()) | Err(Errno::NOSPC) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
