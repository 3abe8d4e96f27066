//! Running programs: what to run, and how it ended.

use serde::{Deserialize, Serialize};

use super::{Bytes, OperationId};

/// Runs one program. Answered by [`super::AgentToHost::Output`] frames and one [`super::AgentToHost::Exited`], or by
/// [`super::AgentToHost::Failed`] when it could not be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec<'a> {
    /// The operation all further frames name.
    pub op: OperationId,
    /// The program and its arguments; at least one. A program without a `/` is looked up in the `PATH` of `env`.
    #[serde(borrow)]
    pub argv: Vec<Bytes<'a>>,
    /// Variables added to (or replacing) the default environment.
    #[serde(borrow)]
    pub env: Vec<(Bytes<'a>, Bytes<'a>)>,
    /// Start from an empty environment, not from the default one.
    pub clear_env: bool,
    /// The working directory; without it the user's home, or `/` where that does not exist.
    #[serde(borrow)]
    pub cwd: Option<Bytes<'a>>,
    /// `name`, `uid`, `name:group` or `uid:gid`; without it root.
    #[serde(borrow)]
    pub user: Option<Bytes<'a>>,
    /// What the program reads as its standard input.
    #[serde(borrow)]
    pub stdin: Stdin<'a>,
    /// Wall-clock milliseconds after which the whole process tree is killed.
    pub time_limit_ms: Option<u32>,
    /// Milliseconds of CPU time, all processes of the tree together, after which it is killed.
    pub cpu_time_limit_ms: Option<u32>,
    /// Run on a terminal of this size; standard output and error are then one stream, [`Stream::Stdout`].
    pub pty: Option<PtySize>,
    /// Send [`super::AgentToHost::Started`] at once. Without it a short command is answered by a single write.
    pub announce_start: bool,
    /// Milliseconds output may wait for more output, or for the exit, before it is sent. 0 sends it at once.
    pub output_delay_ms: u16,
}

/// Where a program's standard input comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin<'a> {
    /// `/dev/null` (with a terminal: the terminal, and nobody types).
    #[default]
    Null,
    /// These bytes, then end of file.
    Inline(#[serde(borrow)] Bytes<'a>),
    /// Later [`super::HostToAgent::Stdin`] frames, until [`super::HostToAgent::CloseStdin`].
    Stream,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtySize {
    /// Columns, at least 1.
    pub cols: u16,
    /// Rows, at least 1.
    pub rows: u16,
}

/// Which output a piece of data belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// File descriptor 1, or the terminal.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// How a program ended. The last frame of an [`Exec`]: the leader was waited for, and all output that was in its pipes
/// at that moment has been sent. Children it left behind may live on; their later output is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The operation that ended.
    pub op: OperationId,
    /// Exit code or signal of the leader.
    pub status: ExitStatus,
    /// Whether the program ended by itself or was stopped by a limit.
    pub ended_by: EndedBy,
    /// Microseconds of wall-clock time from before the start to after the wait.
    pub duration_us: u64,
    /// What it consumed.
    pub usage: Usage,
    /// Processes of this operation that still ran when this was sent.
    pub background_left: bool,
}

/// The two ways in which a process can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called `exit` with this code, 0 to 255.
    Code(u8),
    /// This signal killed it, 1 to 64.
    Signal(u8),
}

/// Who ended a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// The program, or a signal from inside the guest or from [`super::HostToAgent::Signal`].
    Itself,
    /// [`Exec::time_limit_ms`]; the whole tree was killed.
    TimeLimit,
    /// [`Exec::cpu_time_limit_ms`]; the whole tree was killed.
    CpuTimeLimit,
    /// [`super::HostToAgent::Cancel`]; the whole tree was killed.
    Cancelled,
    /// The kernel's out-of-memory killer.
    OutOfMemory,
}

/// Resources used by the leader and the children it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Microseconds of CPU time in user mode.
    pub user_us: u64,
    /// Microseconds of CPU time in the kernel.
    pub system_us: u64,
    /// The largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}
