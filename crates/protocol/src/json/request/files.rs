//! Requests about files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Encoding, FileMode};

/// Reads a file of the guest: as a whole, or a part of it. An answer carries at most 512 MiB.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadFile {
    /// Absolute path in the guest.
    pub path: String,
    /// How `content` is to be written in the answer.
    #[serde(default)]
    pub encoding: Encoding,
    /// The byte to start at; beyond the end there is nothing, and no error.
    #[serde(default)]
    pub offset: u64,
    /// The most bytes to read; without it, up to the end.
    #[serde(default)]
    pub length: Option<u64>,
}

/// Writes a file of the guest; it is created, or replaced as a whole.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Absolute path in the guest. Its directory must exist, but see `create_parents`.
    pub path: String,
    /// What is written, in `encoding`.
    pub content: String,
    /// How `content` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// Permission bits in octal, `"0644"` if absent; with `append`, an existing file's are kept then.
    #[serde(default)]
    pub mode: Option<FileMode>,
    /// Add to the end of the file instead.
    #[serde(default)]
    pub append: bool,
    /// Make missing directories of the path, with mode 0755.
    #[serde(default)]
    pub create_parents: bool,
    /// Write a temporary file and put it into place, so that readers see the old or the new content and a
    /// failure leaves the old. True if absent; false writes into the existing file. Not with `append`. Where the kernel
    /// lets nobody make files (`/proc/sys`), the existing file is written to in any case, and keeps its mode.
    #[serde(default)]
    pub atomic: Option<bool>,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
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

/// Lists a directory, sorted by the bytes of the paths.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDir {
    /// Absolute path in the guest.
    pub path: String,
    /// How deep to go: 1, the default, is the directory itself, 2 its subdirectories too. Symbolic links are not
    /// followed.
    #[serde(default)]
    pub depth: Option<u32>,
    /// The most entries to give, 10 000 if absent, from 1 to 100 000.
    #[serde(default)]
    pub max_entries: Option<u32>,
}

/// Asks what a path is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// Absolute path in the guest.
    pub path: String,
    /// Follow a symbolic link at the end of the path; true if absent.
    #[serde(default)]
    pub follow: Option<bool>,
}

/// Asks whether there is something at a path; a symbolic link counts if what it names is there.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exists {
    /// Absolute path in the guest.
    pub path: String,
}

/// Makes a directory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mkdir {
    /// Absolute path in the guest.
    pub path: String,
    /// Make missing directories of the path, too, and be content with a directory that exists.
    #[serde(default, alias = "parents")]
    pub create_parents: bool,
    /// Permission bits in octal, `"0755"` if absent.
    #[serde(default)]
    pub mode: Option<FileMode>,
}

/// Removes a file, a symbolic link or a directory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// Absolute path in the guest.
    pub path: String,
    /// A directory with everything in it; otherwise it must be empty. Other file systems mounted inside are left
    /// alone; then the request fails with `io` when everything else is gone.
    #[serde(default)]
    pub recursive: bool,
    /// Nothing to remove is no error.
    #[serde(default)]
    pub missing_ok: bool,
}

/// Renames or moves a file or directory. To another file system it is copied, and then removed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// Absolute path in the guest: what is renamed.
    pub from: String,
    /// Absolute path in the guest: its new name.
    pub to: String,
    /// Replace a file, or an empty directory by a directory; otherwise that is an error.
    #[serde(default)]
    pub overwrite: bool,
}

/// Copies a file, or a directory with everything in it, with permissions, times, owners and hard links. A copy that
/// fails half-way stays as it is then. File systems that the kernel makes up, such as `/proc`, are left out.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Absolute path in the guest: what is copied. A symbolic link is copied as such.
    pub from: String,
    /// Absolute path in the guest: the copy's name.
    pub to: String,
    /// A directory may be copied.
    #[serde(default)]
    pub recursive: bool,
    /// Replace files that are there, and add to directories that are there; otherwise that is an error.
    #[serde(default)]
    pub overwrite: bool,
}

/// Makes a symbolic link.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// Absolute path in the guest: where the link is made.
    pub path: String,
    /// What it names, as it is to be kept; it need not exist.
    pub target: String,
}

/// Changes permission bits.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chmod {
    /// Absolute path in the guest; symbolic links are followed.
    pub path: String,
    /// Permission bits in octal.
    pub mode: FileMode,
}

/// Finds files and directories below a directory, by name, type and content. Symbolic links are not followed, and file
/// systems that the kernel makes up, such as `/proc`, are not entered unless `path` is in one. What cannot be read is
/// left out.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Absolute path in the guest: a directory, or a single file.
    pub path: String,
    /// A pattern with `*`, `?`, `[…]` and `{a,b}` for the name; with a `/` in it, for the path below `path`, where
    /// `**` stands for any number of directories.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is.
    #[serde(default)]
    pub entry_type: Option<EntryType>,
    /// A regular expression for lines of the file's text; each line that matches is given. Files with a NUL in
    /// their first 8 KiB are taken for binary and left out. Lines of more than 1 MiB are searched in pieces.
    #[serde(default)]
    pub content: Option<String>,
    /// Take upper and lower case for the same, in `name` and `content`.
    #[serde(default)]
    pub ignore_case: bool,
    /// How deep to go; without it, all the way.
    #[serde(default)]
    pub max_depth: Option<u32>,
    /// The most matches to give, 1000 if absent, from 1 to 100 000.
    #[serde(default)]
    pub max_results: Option<u32>,
    /// Longest run time in milliseconds; 60 000 if absent.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}

/// Replaces text in files. Either all files are changed or none. The new files have the owners and permissions of the
/// old. `paths`, `old` and `new` have together at most 1 MiB.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Absolute paths in the guest, one or more, each once. The files must be UTF-8 text; symbolic links are followed.
    pub paths: Vec<String>,
    /// What is replaced: a text, or a regular expression with `regex`.
    pub old: String,
    /// What stands there instead; with `regex`, `${1}` or `${name}` stand for groups.
    pub new: String,
    /// `old` is a regular expression.
    #[serde(default)]
    pub regex: bool,
    /// How many places there must be in all files together; otherwise nothing is changed and the request fails
    /// with `mismatch`. Without it, at least one.
    #[serde(default)]
    pub expected_replacements: Option<u64>,
}

/// Reports changes of a file or of what is in a directory as events, until `unwatch`. A file is still watched when
/// another one takes its place. There are at most 64 watches. They end when what is watched is gone, and with `reset` and
/// `restore`; forks have none. In paths that are not UTF-8, bytes are replaced.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Absolute path in the guest.
    pub path: String,
    /// Its subdirectories, too, and those made later; what is in these already counts as created.
    #[serde(default)]
    pub recursive: bool,
}

/// Ends a `watch`. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unwatch {
    /// What the answer to `watch` gave.
    pub watch_id: String,
}

/// Brings a tree of files into the guest: a tar archive in the line, or a file or directory of the host. Files that
/// are there are replaced. Permissions and times are kept, and everything belongs to root. Nothing leaves the directory:
/// absolute names lose their first `/`, and an archive with `..` in a name is refused (`invalid_request`). What was
/// brought before a failure stays.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Absolute path in the guest: the directory that the files go to; it is made if it is missing.
    pub path: String,
    /// A tar archive in base64, plain or compressed with gzip.
    #[serde(default)]
    pub content: Option<String>,
    /// A path on the host instead, at or below one allowed with `--allow-read`: a directory, of which the
    /// content is brought, or a file. Symbolic links are brought as such; devices, pipes and sockets are not.
    #[serde(default)]
    pub host_path: Option<String>,
    /// Longest run time in milliseconds; 60 000 if absent.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}

/// Brings a tree of files out of the guest: as a tar archive in the answer, or to a directory of the host.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Absolute path in the guest: a file, or a directory of which the content is brought. File systems that the kernel
    /// makes up, such as `/proc`, are left out.
    pub path: String,
    /// A directory on the host, at or below one allowed with `--allow-write`, that the files go to; it is made if it
    /// is missing. Files that are there are replaced. Symbolic links that lead out of the directory are left out, and so
    /// are setuid and setgid bits; owners are not kept. Without it, the answer carries the files as a tar archive of at
    /// most 256 MiB.
    #[serde(default)]
    pub host_path: Option<String>,
    /// Longest run time in milliseconds; 60 000 if absent.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}
