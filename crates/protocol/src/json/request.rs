//! Requests.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Encoding, FileMode};

/// One request: what the field `type` selects. Unknown fields are errors everywhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `shell`.
    Shell(Shell),
    /// `write_file`.
    WriteFile(WriteFile),
    /// `read_file`.
    ReadFile(ReadFile),
    /// `reset`.
    Reset(Reset),
    /// `status`.
    Status(Status),
    /// `checkpoint`.
    Checkpoint(Checkpoint),
    /// `restore`.
    Restore(Restore),
    /// `fork`.
    Fork(Fork),
    /// `close`.
    Close(Close),
    /// `save`.
    Save(Save),
}

/// Runs a command in the guest's `bash -c`, and answers with its output when it ends or its time is
/// over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// The command, as one types it.
    pub command: String,
    /// Longest run time in milliseconds, from 1 to 86 400 000 (a day). Then the command and all its
    /// descendants are killed.
    #[serde(default = "default_time_limit_ms", alias = "timeout_ms")]
    pub time_limit_ms: u64,
    /// Working directory: an absolute path; without it, the user's home directory.
    pub cwd: Option<String>,
    /// Environment variables set in addition to the usual ones.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the command reads from standard input; without it, nothing (`/dev/null`).
    pub stdin: Option<String>,
    /// How `stdout` and `stderr` are written in the answer. Output that is not UTF-8 comes in base64
    /// anyway, and the answer says so.
    #[serde(default)]
    pub encoding: Encoding,
}

impl Shell {
    /// `command` with the default of everything else.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            time_limit_ms: DEFAULT_TIME_LIMIT_MS,
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            encoding: Encoding::default(),
        }
    }
}

/// Default of [`Shell::time_limit_ms`].
pub const DEFAULT_TIME_LIMIT_MS: u64 = 5000;
/// Largest [`Shell::time_limit_ms`]: a day.
pub const MAXIMUM_TIME_LIMIT_MS: u64 = 86_400_000;

fn default_time_limit_ms() -> u64 {
    DEFAULT_TIME_LIMIT_MS
}

/// Writes a file of the guest as a whole; it is created, or replaced.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Absolute path in the guest. Its directory must exist.
    pub path: String,
    /// What is written, in `encoding`.
    pub content: String,
    /// How `content` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// Permission bits, `"0644"` if absent.
    pub mode: Option<FileMode>,
}

/// Reads a file of the guest as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadFile {
    /// Absolute path in the guest.
    pub path: String,
    /// How `content` is to be written in the answer.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Puts everything back to the initial state: files, and processes with all that runs in the
/// background.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {}

/// Asks how the machine is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// Keeps the machine as it is now, files and processes, under a name, in this program's memory.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What it is called; a checkpoint of that name is replaced.
    pub name: String,
}

/// Puts the machine back to a checkpoint, as often as one likes. The guest's clocks show the present
/// and its random numbers are new ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The checkpoint's name.
    pub name: String,
}

/// Makes a second, independent machine that goes on from this one's present state. Later requests
/// reach it with `"sandbox":"<name>"`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// What the new sandbox is called; without it, the program chooses.
    pub name: Option<String>,
}

/// Ends a machine made by `fork`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {}

/// Writes the machine as it is now to a file of the host, to go on from with
/// `wasm-sandbox --snapshot FILE`, here or on another computer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// Path on the host; relative ones start at the program's working directory. An existing file is
    /// replaced, as a whole and only when the new one is complete.
    pub path: String,
}

impl Request {
    /// The value of the field `type` for this request.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::WriteFile(_) => "write_file",
            Self::ReadFile(_) => "read_file",
            Self::Reset(_) => "reset",
            Self::Status(_) => "status",
            Self::Checkpoint(_) => "checkpoint",
            Self::Restore(_) => "restore",
            Self::Fork(_) => "fork",
            Self::Close(_) => "close",
            Self::Save(_) => "save",
        }
    }
}
