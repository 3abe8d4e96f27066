//! What is done with names, directories and whole trees.
//!
//! One frame, [`super::HostToAgent::Files`], carries one [`FileRequest`]. What takes long (and the agent decides what
//! that is) runs in a process of its own, under the limits of all other programs. So the replies come in one of two ways:
//!
//! * as [`super::AgentToHost::FileReply`] frames, of which the last is [`FileReply::Done`], or
//!   [`super::AgentToHost::Failed`];
//! * as [`super::AgentToHost::Output`] frames, whose standard output is a stream of [`FileReply`]s in the encoding of all
//!   frames ([`super::encode`], [`super::Decoder`]); the last is [`FileReply::Done`] or [`FileReply::Failed`]. Then comes
//!   [`super::AgentToHost::Exited`], which is the last frame of the operation, and says who ended it if there is no last
//!   reply.

use serde::{Deserialize, Serialize};

use super::{Bytes, FailureCode, OperationId};

/// Does something with files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files<'a> {
    /// The operation all further frames name.
    pub op: OperationId,
    /// Wall-clock milliseconds after which it is stopped, if it takes long enough to run in a process of its own.
    pub time_limit_ms: Option<u32>,
    /// What to do.
    #[serde(borrow)]
    pub request: FileRequest<'a>,
}

/// What can be done with files. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileRequest<'a> {
    /// What is at a path: one [`FileReply::Entry`].
    Stat {
        /// The path.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// Follow a symbolic link at its end.
        follow: bool,
    },
    /// What is in a directory: [`FileReply::Entry`] each, sorted by the bytes of their paths.
    List {
        /// The directory.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// 1 for the directory itself, 2 for its subdirectories, too, and so on; 0 is taken for 1.
        depth: u32,
        /// The most entries to give.
        max_entries: u32,
    },
    /// Makes a directory. [`Summary::entries`] is how many were made.
    MakeDirectory {
        /// The directory.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// Make missing directories above it (mode 0755), and be content with one that exists.
        parents: bool,
        /// Its permission bits, whatever the umask.
        mode: u16,
    },
    /// Removes something. [`Summary::entries`] is how many files and directories were removed.
    Remove {
        /// The path; a symbolic link is not followed.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// A directory with everything in it. Mounted file systems are left alone, and then the operation fails when
        /// everything else is gone.
        recursive: bool,
        /// Nothing there is no failure.
        missing_ok: bool,
    },
    /// Renames.
    Rename {
        /// The present path.
        #[serde(borrow)]
        from: Bytes<'a>,
        /// The new path.
        #[serde(borrow)]
        to: Bytes<'a>,
        /// Replace what is there.
        overwrite: bool,
    },
    /// Copies a file, link or tree. [`Summary`] counts what was copied.
    Copy {
        /// What is copied.
        #[serde(borrow)]
        from: Bytes<'a>,
        /// The path of the copy.
        #[serde(borrow)]
        to: Bytes<'a>,
        /// A directory may be copied.
        recursive: bool,
        /// Replace files that are there.
        overwrite: bool,
    },
    /// Makes a symbolic link.
    Symlink {
        /// Where it is made.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// What it names.
        #[serde(borrow)]
        target: Bytes<'a>,
    },
    /// Changes permission bits; symbolic links are followed.
    ChangeMode {
        /// The path.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// 0 to 0o7777.
        mode: u16,
    },
    /// Finds files: [`FileReply::Match`] each, in the order of the bytes of their paths.
    Find(#[serde(borrow)] Find<'a>),
    /// Replaces text: one [`FileReply::Replaced`] a file, in the order of `paths`.
    Replace(#[serde(borrow)] Replace<'a>),
    /// Reports changes: [`FileReply::WatchStarted`], then [`FileReply::Change`] each. Ends only by
    /// [`super::HostToAgent::Cancel`], or by failing when what is watched is gone.
    Watch {
        /// A file or directory.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// Its subdirectories, too, and those made later.
        recursive: bool,
    },
    /// Packs a tree; devices, pipes and sockets are left out. [`Summary`] counts what is in it.
    Pack {
        /// A file, or a directory of which the content is packed.
        #[serde(borrow)]
        path: Bytes<'a>,
        /// How.
        form: PackForm,
    },
    /// Unpacks a tar archive, plain or compressed with gzip, that follows in [`super::HostToAgent::Stdin`] frames, up to
    /// [`super::HostToAgent::CloseStdin`]. Nothing in it leaves the directory. [`Summary`] counts what was in it.
    Unpack {
        /// The directory, made if it is missing.
        #[serde(borrow)]
        path: Bytes<'a>,
    },
}

/// What is to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find<'a> {
    /// Where to begin.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// A pattern for the name, or with a `/` in it for the path below `path`.
    pub name: Option<String>,
    /// What it must be.
    pub kind: Option<FileKind>,
    /// A regular expression for lines of files.
    pub content: Option<String>,
    /// Upper and lower case are the same in both.
    pub ignore_case: bool,
    /// How deep to go: 1 is what is in `path`.
    pub max_depth: Option<u32>,
    /// The most matches to give.
    pub max_results: u32,
}

/// What is to be replaced by what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replace<'a> {
    /// The files.
    #[serde(borrow)]
    pub paths: Vec<Bytes<'a>>,
    /// The text or regular expression that is replaced.
    pub old: String,
    /// What replaces it.
    pub new: String,
    /// `old` is a regular expression, and `new` may name its groups.
    pub regex: bool,
    /// How many places there must be in all files together; without it at least one.
    pub expected: Option<u64>,
}

/// How a tree is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackForm {
    /// A tar archive in [`FileReply::Data`] pieces.
    Tar,
    /// A [`FileReply::Entry`] each, with a path relative to what is packed (a file's is its name), and after a regular
    /// file the [`FileReply::Data`] pieces of its content, as many bytes as the entry says. For a host that unpacks: it
    /// has no archive to parse.
    Entries,
}

/// A piece of the answer to a [`FileRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileReply<'a> {
    /// Something at a path.
    Entry(#[serde(borrow)] Entry<'a>),
    /// Something that was found.
    Match(#[serde(borrow)] Match<'a>),
    /// How many places were changed in the next file of a [`Replace`].
    Replaced {
        /// Places.
        replacements: u64,
    },
    /// From now on changes are reported.
    WatchStarted,
    /// A change.
    Change(#[serde(borrow)] Change<'a>),
    /// A piece of an archive: at least one byte, at most [`super::MAX_DATA`].
    Data(#[serde(borrow)] Bytes<'a>),
    /// It was done. Last reply.
    Done(Summary),
    /// It failed. Last reply; only from a process of its own.
    Failed {
        /// The class.
        code: FailureCode,
        /// A sentence for people.
        message: String,
    },
}

impl FileReply<'_> {
    /// A copy that no longer depends on the frame.
    pub fn into_owned(self) -> FileReply<'static> {
        match self {
            FileReply::Entry(entry) => FileReply::Entry(Entry {
                path: entry.path.into_owned(),
                owner: entry.owner.into_owned(),
                group: entry.group.into_owned(),
                target: entry.target.map(Bytes::into_owned),
                kind: entry.kind,
                size: entry.size,
                mode: entry.mode,
                modified_ns: entry.modified_ns,
            }),
            FileReply::Match(found) => FileReply::Match(Match {
                path: found.path.into_owned(),
                line: found.line.map(|(number, line)| (number, line.into_owned())),
                kind: found.kind,
                size: found.size,
            }),
            FileReply::Change(change) => FileReply::Change(Change {
                path: change.path.into_owned(),
                new_path: change.new_path.map(Bytes::into_owned),
                kind: change.kind,
                directory: change.directory,
            }),
            FileReply::Data(data) => FileReply::Data(data.into_owned()),
            FileReply::Replaced { replacements } => FileReply::Replaced { replacements },
            FileReply::WatchStarted => FileReply::WatchStarted,
            FileReply::Done(summary) => FileReply::Done(summary),
            FileReply::Failed { code, message } => FileReply::Failed { code, message },
        }
    }
}

/// What there is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The whole path.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// The owner's name, or number.
    #[serde(borrow)]
    pub owner: Bytes<'a>,
    /// The group's name, or number.
    #[serde(borrow)]
    pub group: Bytes<'a>,
    /// The last modification in nanoseconds since 1970, negative before.
    pub modified_ns: i64,
    /// What a symbolic link names.
    #[serde(borrow)]
    pub target: Option<Bytes<'a>>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match<'a> {
    /// The whole path.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// With [`Find::content`]: the line's number, from 1, and its first [`MAX_LINE`] bytes.
    #[serde(borrow)]
    pub line: Option<(u64, Bytes<'a>)>,
}

/// The most bytes of a line in a [`Match`].
pub const MAX_LINE: usize = 1000;

/// Something that happened to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// The path; with [`ChangeKind::Overflow`] that of the watch.
    #[serde(borrow)]
    pub path: Bytes<'a>,
    /// With [`ChangeKind::Renamed`]: the new path.
    #[serde(borrow)]
    pub new_path: Option<Bytes<'a>>,
    /// It is a directory.
    pub directory: bool,
}

/// What can happen to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It is new, or came from elsewhere.
    Created,
    /// It was written to.
    Modified,
    /// Permissions, owner or times.
    Attributes,
    /// It is gone, or went elsewhere.
    Deleted,
    /// It has another name, among what is watched.
    Renamed,
    /// Changes were lost.
    Overflow,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes in the files.
    pub bytes: u64,
    /// What was left out: sockets, and what is not allowed.
    pub skipped: u64,
    /// There was more than was to be given.
    pub truncated: bool,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}
