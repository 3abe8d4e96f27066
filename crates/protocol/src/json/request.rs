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

impl Request {
    /// The value of the field `type` for this request.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::WriteFile(_) => "write_file",
            Self::ReadFile(_) => "read_file",
            Self::Reset(_) => "reset",
            Self::Status(_) => "status",
        }
    }
}
