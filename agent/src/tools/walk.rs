//! Walking through a tree.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Stat};
use rustix::io::{Errno, Result};

use crate::files::directory;

/// Something on the way.
pub struct Node<'w> {
    /// The open directory that it is in.
    pub parent: BorrowedFd<'w>,
    /// Its name there.
    pub name: &'w [u8],
    /// The path where the walk began, and from there on.
    pub path: &'w [u8],
    /// Where `path` goes on below the beginning.
    pub below: usize,
    /// Whether it is a directory, as far as its parent knows.
    pub directory: bool,
    stat: OnceCell<Result<Stat>>,
}

impl Node<'_> {
    /// What it is; symbolic links are not followed.
    pub fn stat(&self) -> Result<&Stat> {
        let look = || rustix::fs::statat(self.parent, name(self.name), AtFlags::SYMLINK_NOFOLLOW);
        self.stat.get_or_init(look).as_ref().map_err(|error| *error)
    }

    /// The path from where the walk began.
    pub fn relative(&self) -> &[u8] {
        self.path.get(self.below..).unwrap_or_default()
    }

    /// Its name, for system calls.
    pub fn file_name(&self) -> &Path {
        name(self.name)
    }
}

/// Bytes as a path.
pub fn name(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Where to go.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// How deep: 1 is what is in the directory where the walk begins.
    pub depth: u32,
    /// Do not enter file systems that the kernel makes up (such as `/proc`), unless the walk begins in one.
    pub only_real: bool,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// To whatever is next.
    On,
    /// No further.
    Stop,
}

/// What is still to be done in a directory.
struct Level {
    directory: OwnedFd,
    /// The length of the directory's own path.
    path: usize,
    /// In reverse order.
    names: Vec<Item>,
    device: Option<u64>,
}

/// A name to visit, or with a slash at its end the directory to enter.
struct Item {
    name: Vec<u8>,
    directory: bool,
}

/// Visits everything below a directory in the order of the bytes of the paths. What vanishes on the way is left out, and so
/// is what is in directories that cannot be read. A `root` that is no directory is visited alone.
///
/// In that order `a.c` comes after `a` and before `a/b`, since `.` is before `/`. So each directory stands in the list of
/// its parent twice: once for itself, and once, with a slash, for what is in it.
pub fn walk<E>(
    root: &[u8],
    way: Way,
    mut visit: impl FnMut(&Node) -> std::result::Result<Flow, E>,
) -> std::result::Result<(), WalkError<E>> {
    let opened = match directory::open(CWD, name(root), true) {
        Ok(opened) => opened,
        Err(Errno::NOTDIR) => return alone(root, visit),
        Err(error) => return Err(WalkError::Root(error)),
    };
    let device = |directory: &OwnedFd| {
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the type differs")]
        rustix::fs::fstat(directory).ok().map(|stat| stat.st_dev as u64)
    };
    let start_is_real = !is_made_up(&opened);
    let only_real = way.only_real && start_is_real;
    let mut path = directory::trimmed(root).to_vec();
    let below = if path == b"/" { 1 } else { path.len() + 1 };
    let first = names(&opened, way.depth > 1).map_err(WalkError::Root)?;
    let own_device = only_real.then(|| device(&opened)).flatten();
    let mut levels = vec![Level { directory: opened, path: path.len(), names: first, device: own_device }];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(()) };
        let Some(next) = level.names.pop() else {
            levels.pop();
            continue;
        };
        path.truncate(level.path);
        if path != b"/" {
            path.push(b'/');
        }
        let (entry, enter) = match next.name.strip_suffix(b"/") {
            Some(entry) => (entry, true),
            None => (next.name.as_slice(), false),
        };
        path.extend_from_slice(entry);
        if !enter {
            let node = Node {
                parent: level.directory.as_fd(),
                name: entry,
                path: &path,
                below,
                directory: next.directory,
                stat: OnceCell::new(),
            };
            match visit(&node).map_err(WalkError::Visitor)? {
                Flow::On => continue,
                Flow::Stop => return Ok(()),
            }
        }
        let Ok(inner) = directory::open(&level.directory, name(entry), false) else { continue };
        let inner_device = only_real.then(|| device(&inner)).flatten();
        if only_real && inner_device != level.device && is_made_up(&inner) {
            continue;
        }
        let Ok(names) = names(&inner, depth as u64 + 1 < u64::from(way.depth)) else { continue };
        levels.push(Level { directory: inner, path: path.len(), names, device: inner_device });
    }
}

/// Why a walk ended early.
#[derive(Debug)]
pub enum WalkError<E> {
    /// The beginning cannot be read.
    Root(Errno),
    /// Whoever was called for each.
    Visitor(E),
}

fn alone<E>(
    root: &[u8],
    mut visit: impl FnMut(&Node) -> std::result::Result<Flow, E>,
) -> std::result::Result<(), WalkError<E>> {
    let parent = name(root).parent().unwrap_or(Path::new("/"));
    let opened = directory::open(CWD, parent, true).map_err(WalkError::Root)?;
    let file_name = name(root).file_name().map(OsStr::as_bytes).unwrap_or_default();
    let node = Node {
        parent: opened.as_fd(),
        name: file_name,
        path: root,
        below: root.len().saturating_sub(file_name.len()),
        directory: false,
        stat: OnceCell::new(),
    };
    node.stat().map_err(WalkError::Root)?;
    visit(&node).map(drop).map_err(WalkError::Visitor)
}

/// What is in a directory, as [`Level::names`] wants it.
fn names(opened: &OwnedFd, deeper: bool) -> Result<Vec<Item>> {
    let mut all = Vec::new();
    for directory::Name { name, directory } in directory::names(opened, usize::MAX)?.unwrap_or_default() {
        if directory && deeper {
            let mut inside = name.clone();
            inside.push(b'/');
            all.push(Item { name: inside, directory });
        }
        all.push(Item { name, directory });
    }
    all.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    Ok(all)
}

/// Whether a file system has no files but what the kernel makes up when it is read: some of them never end.
fn is_made_up(directory: &OwnedFd) -> bool {
    const MADE_UP: [u32; 13] = [
        0x9fa0,      // proc
        0x6265_6572, // sysfs
        0x6367_7270, // cgroup2
        0x0027_e0eb, // cgroup
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0xcafe_4a11, // bpf
        0x1cd1,      // devpts
        0x1980_0202, // mqueue
        0x6265_6570, // configfs
        0x6165_676c, // pstore
        0x4249_4e4d, // binfmt_misc
    ];
    rustix::fs::fstatfs(directory).is_ok_and(|found| MADE_UP.contains(&(found.f_type as u32)))
}
