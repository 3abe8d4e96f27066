//! Answers about files.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::request::EntryType;
use super::super::{Encoding, FileMode};
use super::is_false;

/// A file was written.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FileWritten {
    /// Bytes written.
    pub size: u64,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FileContent {
    /// Its bytes, in `encoding`.
    pub content: String,
    /// How `content` is written.
    pub encoding: Encoding,
    /// How many bytes `content` stands for.
    pub size: u64,
    /// The size of the whole file in bytes, if only a part was asked for; 0 for the files of `/proc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// The whole path.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Its size in bytes.
    pub size: u64,
    /// Permission bits in octal, such as `"0644"`.
    pub mode: FileMode,
    /// The same as `ls -l` writes it, such as `"-rw-r--r--"`.
    pub permissions: String,
    /// Its owner's name; the number if there is no name.
    pub owner: String,
    /// Its group's name; the number if there is no name.
    pub group: String,
    /// When it was last modified, in RFC 3339 and UTC, such as `"2026-01-31T12:00:00.123Z"`.
    pub modified_time: String,
    /// What a symbolic link names; absent for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symlink_target: Option<String>,
    /// Path and link are not UTF-8, and bytes in them were replaced; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub not_utf8: bool,
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DirectoryListing {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// There is more than was to be given; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PathInfo {
    /// What there is.
    pub entry: Entry,
}

/// Whether there is something.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PathExists {
    /// Whether there is.
    pub exists: bool,
    /// What it is; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_type: Option<EntryType>,
}

/// There is a directory.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DirectoryMade {
    /// Whether it was made now, and not there already.
    pub created: bool,
}

/// It is gone.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Removed {
    /// How many files, links and directories were removed.
    pub removed: u64,
}

/// There is a copy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Copied {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes in the files.
    pub size: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Found {
    /// In the order of their paths.
    pub matches: Vec<Match>,
    /// There is more than was to be given; absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// A file or directory that was found, or a line in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Match {
    /// The path.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Its size in bytes.
    pub size: u64,
    /// With `content`: the number of the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_number: Option<u64>,
    /// With `content`: the line, shortened to 1000 bytes; bytes that are not UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// Text was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Replaced {
    /// In how many places, in all files together.
    pub replacements: u64,
    /// The files, in the order in which they were given.
    pub files: Vec<FileReplacements>,
}

/// What was replaced in a file.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FileReplacements {
    /// The file.
    pub path: String,
    /// In how many places.
    pub replacements: u64,
}

/// Changes will be reported.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Watching {
    /// What it is called in events and in `unwatch`.
    pub watch_id: String,
}

/// The files are in the guest.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Uploaded {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes in the files.
    pub size: u64,
}

/// The files are here.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Downloaded {
    /// A tar archive in base64; absent with `host_path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes in the files.
    pub size: u64,
    /// Entries that were left out: devices, sockets, pipes, and for a host symbolic links that lead out of the directory;
    /// absent if none.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub skipped: u64,
}
