//! What the tools take. The documentation of a field is what a model is told about it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wasm_sandbox::protocol::json;

/// A command's longest run time if none is given, in milliseconds.
pub const TIMEOUT_MS: u64 = 30_000;
/// Bytes of each output stream, or of a file, that a model gets if it asks for no other number.
pub const OUTPUT_BYTES: u64 = 64 << 10;
/// Entries of a directory.
pub const ENTRIES: u32 = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// The command, as one types it in bash. Several lines are fine. At most 128 KiB.
    pub command: String,
    /// Working directory: an absolute path. /root if absent; in a session, where the session is.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Environment variables to set, beside the usual ones.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the command reads from standard input. If absent there is nothing to read.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Longest run time in milliseconds, 30000 if absent. Then the command and all it has started are killed, and
    /// the result says timed_out. The processor is emulated: allow 10 to 50 times what you would elsewhere.
    #[serde(default, alias = "timeout", alias = "time_limit_ms")]
    pub timeout_ms: Option<u64>,
    /// Run it in the shell of this name, which lives on: directory, variables and functions persist from one
    /// command to the next. Any name starts one. If absent, every command gets a shell of its own; files and
    /// background processes persist anyway.
    #[serde(default)]
    pub session: Option<String>,
    /// Bytes to return of each output stream, 65536 if absent: its first and its last half, the middle is left out.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
}

/// A programming language.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Language {
    Python,
    Bash,
}

impl From<Language> for json::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Python => Self::Python,
            Language::Bash => Self::Bash,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCode {
    /// The language of the code: "python" (Python 3) or "bash".
    pub language: Language,
    /// The code, at most 1 MiB. In Python, the value of a last expression comes back as `result`.
    pub code: String,
    /// Which interpreter: each name is one of its own, with its own variables. "default" if absent.
    #[serde(default)]
    pub context: Option<String>,
    /// Longest run time in milliseconds, 30000 if absent. Then Python gets a KeyboardInterrupt, and bash is ended.
    #[serde(default, alias = "timeout", alias = "time_limit_ms")]
    pub timeout_ms: Option<u64>,
    /// Bytes to return of each output stream, 65536 if absent: its first and its last half, the middle is left out.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
}

/// How the bytes of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Encoding {
    #[default]
    Text,
    Base64,
}

impl From<Encoding> for json::Encoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Text => Self::Text,
            Encoding::Base64 => Self::Base64,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadFile {
    /// The file: an absolute path.
    pub path: String,
    /// The byte to start at, 0 if absent.
    #[serde(default)]
    pub offset: u64,
    /// The most bytes to read, 65536 if absent; of text at least 4, and none of a character that does not fit.
    #[serde(default)]
    pub length: Option<u64>,
    /// "text" (UTF-8, the default), or "base64" for files of any kind.
    #[serde(default)]
    pub encoding: Encoding,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// The file: an absolute path. Missing directories are made.
    pub path: String,
    /// What is written.
    pub content: String,
    /// How content is written: "text" (the default), or "base64" for bytes of any kind.
    #[serde(default)]
    pub encoding: Encoding,
    /// Permission bits in octal, such as "0755" for a script that is to be run. "0644" if absent.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(0o)?[0-7]{1,5}$"))]
    pub mode: Option<String>,
    /// Add to the end of the file instead of replacing it.
    #[serde(default)]
    pub append: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditFile {
    /// The file: an absolute path. It must be UTF-8 text.
    pub path: String,
    /// The text to be replaced, exactly as it is in the file, with all spaces and newlines; no pattern.
    #[serde(alias = "old_text", alias = "old_string")]
    pub old: String,
    /// The text that stands there instead.
    #[serde(alias = "new_text", alias = "new_string")]
    pub new: String,
    /// In how many places old is in the file, 1 if absent. If it is another number, nothing is changed and the
    /// call fails: give more of what surrounds the place, or the right number.
    #[serde(default)]
    pub expected_replacements: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFiles {
    /// The directory: an absolute path.
    pub path: String,
    /// How deep to go: 1, the default, is the directory itself, 2 its subdirectories too.
    #[serde(default)]
    pub depth: Option<u32>,
    /// The most entries to return, 1000 if absent.
    #[serde(default)]
    pub max_entries: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What the checkpoint is called.
    pub name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartProcess {
    /// The command, as one types it in bash.
    pub command: String,
    /// Working directory: an absolute path. /root if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Environment variables to set, beside the usual ones.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Keep standard input open for write_process. If absent or false there is nothing to read.
    #[serde(default)]
    pub open_stdin: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadProcess {
    /// What start_process gave.
    pub process_id: String,
    /// The last_seq of the previous call, for what came since. 0, the default, for everything that is kept.
    #[serde(default)]
    pub after_seq: u64,
    /// How long to wait for something new if there is nothing, in milliseconds. 0 if absent.
    #[serde(default)]
    pub wait_ms: u64,
    /// Bytes of output after which the result ends, 65536 if absent. If more is true, ask again.
    #[serde(default)]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteProcess {
    /// What start_process gave.
    pub process_id: String,
    /// What is written, newlines included.
    #[serde(default)]
    pub data: String,
    /// End the standard input after that.
    #[serde(default)]
    pub close: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopProcess {
    /// What start_process gave.
    pub process_id: String,
    /// The signal to send, "SIGTERM" if absent.
    #[serde(default)]
    pub signal: Option<String>,
    /// How long the process gets to end by itself, in milliseconds, 2000 if absent; then it is killed.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}
