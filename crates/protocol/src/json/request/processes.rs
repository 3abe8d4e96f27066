//! Requests about processes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Encoding;

/// Default of `time_limit_ms` for what is waited for.
pub const DEFAULT_TIME_LIMIT_MS: u64 = 5000;
/// Largest `time_limit_ms`: a day.
pub const MAXIMUM_TIME_LIMIT_MS: u64 = 86_400_000;
/// Largest `max_output_bytes`: 64 MiB.
pub const MAXIMUM_OUTPUT_BYTES: u64 = 64 << 20;

/// Adds the fields that all requests have that start a program.
macro_rules! starts_a_program {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$meta])* pub $field: $type,)*
            /// Working directory: an absolute path; without it, the user's home directory.
            #[serde(default)]
            pub cwd: Option<String>,
            /// Environment variables, in addition to `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG` and
            /// `TERM`, or replacing them.
            #[serde(default)]
            pub env: BTreeMap<String, String>,
            /// Start from an empty environment instead.
            #[serde(default)]
            pub clear_env: bool,
            /// Who runs it: a name or a number, with a group behind a colon if need be; without it, root.
            #[serde(default)]
            pub user: Option<String>,
            /// What it reads from standard input; without it, nothing (`/dev/null`).
            #[serde(default)]
            pub stdin: Option<String>,
            /// How `stdin` is written.
            #[serde(default)]
            pub stdin_encoding: Encoding,
            /// Standard input stays open after `stdin`, for `process_write`, until `process_close_stdin`.
            #[serde(default)]
            pub open_stdin: bool,
            /// Longest run time in milliseconds, from 1 to 86 400 000 (a day). Then it and all its descendants
            /// are killed. 5000 if absent; with `background` there is no limit then.
            #[serde(default, alias = "timeout_ms")]
            pub time_limit_ms: Option<u64>,
            /// Longest CPU time in milliseconds, of it and its descendants together.
            #[serde(default)]
            pub cpu_time_limit_ms: Option<u64>,
            /// Most guest instructions that the machine may execute, for whomever, until it ends. Then it and all its
            /// descendants are killed, some hundred thousand instructions later at most.
            #[serde(default)]
            pub max_instructions: Option<u64>,
            /// Bytes kept of each of its output streams, at most 67 108 864 (64 MiB): the first and the last
            /// half; the middle is left out. 16 MiB if absent, 1 MiB with `background`.
            #[serde(default)]
            pub max_output_bytes: Option<u64>,
            /// How output is written in answers and events. What is not UTF-8 comes in base64 anyway, and is
            /// marked.
            #[serde(default)]
            pub encoding: Encoding,
            /// Send events `started`, `stdout`, `stderr` and `exited` while it runs.
            #[serde(default)]
            pub stream: bool,
            /// Answer as soon as it has started, with its `process_id`.
            #[serde(default)]
            pub background: bool,
            /// Run it on a terminal of this size. Its output is then one stream, `stdout`, and its standard
            /// input is open.
            #[serde(default)]
            pub pty: Option<PtySize>,
        }

        impl $name {
            /// The fields that all requests have that start a program.
            pub fn options(&self) -> ProcessOptions {
                ProcessOptions {
                    cwd: self.cwd.clone(),
                    env: self.env.clone(),
                    clear_env: self.clear_env,
                    user: self.user.clone(),
                    stdin: self.stdin.clone(),
                    stdin_encoding: self.stdin_encoding,
                    open_stdin: self.open_stdin,
                    time_limit_ms: self.time_limit_ms,
                    cpu_time_limit_ms: self.cpu_time_limit_ms,
                    max_instructions: self.max_instructions,
                    max_output_bytes: self.max_output_bytes,
                    encoding: self.encoding,
                    stream: self.stream,
                    background: self.background,
                    pty: self.pty,
                }
            }
        }
    };
}

/// The fields that `shell` and `exec` have in common; see [`Shell`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "documented at the requests")]
pub struct ProcessOptions {
    pub cwd: Option<String>,
    pub env: BTreeMap<String, String>,
    pub clear_env: bool,
    pub user: Option<String>,
    pub stdin: Option<String>,
    pub stdin_encoding: Encoding,
    pub open_stdin: bool,
    pub time_limit_ms: Option<u64>,
    pub cpu_time_limit_ms: Option<u64>,
    pub max_instructions: Option<u64>,
    pub max_output_bytes: Option<u64>,
    pub encoding: Encoding,
    pub stream: bool,
    pub background: bool,
    pub pty: Option<PtySize>,
}

starts_a_program! {
    /// Runs a command in the guest's `bash -c`, and answers with its output when it ends or its time is over.
    pub struct Shell {
        /// The command, as one types it; up to 128 KiB.
        pub command: String,
        /// Run it in the shell of this name, which lives on: directory, variables and functions persist
        /// from one command to the next. The first command starts the shell; then `user` and `clear_env`
        /// can be given, later not. `background`, `pty`, `open_stdin`, `cpu_time_limit_ms` and `max_instructions` cannot. `cwd` and `env` change the shell's state. A command that runs too long
        /// ends the shell.
        #[serde(default)]
        pub session: Option<String>,
    }
}

impl Shell {
    /// `command` with the default of everything else.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), ..Self::default() }
    }
}

starts_a_program! {
    /// Runs a program with arguments, without a shell, and answers with its output when it ends or its time is
    /// over.
    pub struct Exec {
        /// The program and its arguments. A program without a `/` is looked for in `PATH`.
        pub argv: Vec<String>,
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PtySize {
    /// Columns, at least 1.
    pub cols: u16,
    /// Rows, at least 1.
    pub rows: u16,
}

/// A programming language.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, serde::Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Python 3.
    Python,
    /// bash.
    Bash,
}

/// Runs code in an interpreter that keeps its state from one request to the next.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCode {
    /// The language.
    pub language: Language,
    /// The code, up to 1 MiB. In Python, the value of a last expression comes back in `result`.
    pub code: String,
    /// Which interpreter: each name is one of its own. `"default"` if absent.
    #[serde(default)]
    pub context: Option<String>,
    /// Working directory of a new interpreter: an absolute path; without it, the home directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Environment variables of a new interpreter, in addition to the usual ones.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest run time in milliseconds, from 1 to 86 400 000 (a day); 5000 if absent. Python is interrupted
    /// then (`KeyboardInterrupt`) and keeps its state if it lets itself be interrupted within a second;
    /// otherwise, and in bash, the interpreter is killed and the next request starts a new one.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
    /// Bytes kept of each output stream, at most 64 MiB; 16 MiB if absent.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
    /// How output is written in answers and events.
    #[serde(default)]
    pub encoding: Encoding,
    /// Send events while it runs: `started` with the interpreter's process, `stdout`, `stderr`, and `exited` when the code
    /// is done.
    #[serde(default)]
    pub stream: bool,
}

/// Lists the processes started by requests: those that run, and those that ended in the background. Served
/// at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessList {}

/// Waits until a process has ended.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessWait {
    /// The process.
    pub process_id: String,
    /// Longest wait in milliseconds; then the answer has `"running":true`. Without it, as long as it takes.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}

/// Reads the events of a background process after one that was seen already. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRead {
    /// The process.
    pub process_id: String,
    /// The `seq` of the last event seen; 0 for none.
    #[serde(default)]
    pub after_seq: u64,
    /// Bytes of output after which the answer ends; at least one event is given. 1 MiB if absent.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// Wait this long, in milliseconds, for an event if there is none; 0 if absent.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Writes to a process's standard input: a process with `open_stdin` or `pty`. Answered when the program has
/// room for it. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessWrite {
    /// The process.
    pub process_id: String,
    /// What is written.
    pub data: String,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Ends a process's standard input, after what was written before. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessCloseStdin {
    /// The process.
    pub process_id: String,
}

/// Sends a signal. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSignal {
    /// The process.
    pub process_id: String,
    /// A name such as `"SIGTERM"` or `"TERM"`, or a number from 1 to 31; `"SIGTERM"` if absent.
    #[serde(default)]
    pub signal: Signal,
    /// To the process alone, not to its whole process group.
    #[serde(default)]
    pub leader_only: bool,
}

/// A signal of Linux: its name or number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a signal's name, such as \"SIGTERM\", or its number")]
pub enum Signal {
    /// With or without `SIG`.
    Name(String),
    /// From 1 to 31.
    Number(u8),
}

impl Default for Signal {
    fn default() -> Self {
        Self::Name("SIGTERM".into())
    }
}

/// Changes the size of a process's terminal. Served at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessResize {
    /// The process.
    pub process_id: String,
    /// Columns, at least 1.
    pub cols: u16,
    /// Rows, at least 1.
    pub rows: u16,
}

/// Waits until something in the guest listens on a TCP port.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitPort {
    /// The port, from 1 to 65535.
    pub port: u16,
    /// Longest wait in milliseconds; 5000 if absent. Then the request fails with `timed_out`.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}

/// Waits until a background process has written a line that matches a pattern.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitLog {
    /// The process.
    pub process_id: String,
    /// A regular expression (of the Rust crate `regex`) that is looked for in each line of output.
    pub pattern: String,
    /// Longest wait in milliseconds; 5000 if absent. Then the request fails with `timed_out`.
    #[serde(default, alias = "timeout_ms")]
    pub time_limit_ms: Option<u64>,
}

/// Lists the shells and interpreters that are kept. Served at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionList {}

/// Ends a shell or interpreter that is kept, with all its processes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionClose {
    /// The name given as `session`, or as `context` of `run_code`.
    pub session: String,
    /// For an interpreter of `run_code`: its language.
    #[serde(default)]
    pub language: Option<Language>,
}
