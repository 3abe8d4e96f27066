//! The two enums at the root of every frame.

use serde::{Deserialize, Serialize};

use super::{
    Bytes, Exec, Exited, Failure, FileEnd, FileReply, Files, PtySize, ReadFile, StatusReport, Stream,
    WriteFile,
};

/// Names one operation. The host chooses it and must not use it again before the operation's last frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationId(pub u32);

/// What the host sends.
///
/// A frame that names an operation the agent no longer has (it may just have ended) is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostToAgent<'a> {
    /// Asks for [`AgentToHost::Ready`]. May come at any time.
    Hello {
        /// [`super::PROTOCOL_VERSION`] of the host.
        protocol_version: u32,
        /// Kill every process of every operation, those left in the background included, and forget all operations
        /// without answering them: for a host that knows none of them. Identifiers are free again when `Ready` comes.
        abandon_operations: bool,
    },
    /// Answered by [`AgentToHost::Pong`] after everything that was queued before it.
    Ping {
        /// Comes back unchanged.
        token: u32,
    },
    /// Sets the guest's wall clock; not answered.
    SetClock {
        /// Nanoseconds since 1970, UTC.
        wall_clock_ns: u64,
    },
    /// Mixes bytes into the kernel's random number generator, counts them as full entropy and makes it reseed; not
    /// answered. Sent after a start and after every restore, so that copies of one snapshot differ.
    AddEntropy {
        /// At most 4096 bytes.
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// Sets the limits on all operations together, from now on; not answered.
    SetLimits {
        /// Processes and threads; `None` leaves the limit as it is.
        processes: Option<u32>,
        /// Bytes of the writable layer of `/`; `None` leaves the limit as it is.
        disk: Option<u64>,
    },
    /// Stops every process of every operation where it is; answered by [`AgentToHost::Frozen`]. For the moment in which a
    /// snapshot is taken: whatever goes on from it gets its new clock and its new entropy before any process runs.
    Freeze,
    /// Lets processes run again; not answered.
    Thaw,
    /// Runs a program.
    Exec(#[serde(borrow)] Exec<'a>),
    /// More standard input for an [`Exec`] with [`super::Stdin::Stream`]. Counts against the window.
    Stdin {
        /// The program.
        op: OperationId,
        /// At most [`super::MAX_DATA`] bytes.
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// End of standard input, after what was sent before. On a terminal this types the end-of-file character.
    CloseStdin {
        /// The program.
        op: OperationId,
    },
    /// Sends a signal.
    Signal {
        /// The program.
        op: OperationId,
        /// 1 to 64.
        signal: u8,
        /// To the leader's whole process group, not to the leader alone.
        whole_group: bool,
    },
    /// The terminal has a new size.
    Resize {
        /// The program; ignored unless it runs on a terminal.
        op: OperationId,
        /// The new size.
        size: PtySize,
    },
    /// Stops an operation: a program's whole process tree is killed and [`AgentToHost::Exited`] follows with
    /// [`super::EndedBy::Cancelled`]; anything else fails with [`super::FailureCode::Cancelled`].
    Cancel {
        /// The operation.
        op: OperationId,
    },
    /// The host has consumed this much data of the operation.
    Credit {
        /// The operation.
        op: OperationId,
        /// Bytes added to the agent's window.
        bytes: u32,
    },
    /// Writes a file.
    WriteFile(#[serde(borrow)] WriteFile<'a>),
    /// More content for a [`WriteFile`]. Counts against the window.
    FileData {
        /// The write.
        op: OperationId,
        /// At most [`super::MAX_DATA`] bytes.
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// A [`WriteFile`] is complete.
    FileEnd {
        /// The write.
        op: OperationId,
    },
    /// Reads a file.
    ReadFile(#[serde(borrow)] ReadFile<'a>),
    /// Asks for [`AgentToHost::StatusReport`].
    Status {
        /// The operation that is answered.
        op: OperationId,
    },
    /// Does something with files: see [`Files`] for the ways it is answered.
    Files(#[serde(borrow)] Files<'a>),
}

/// What the agent sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentToHost<'a> {
    /// The agent listens. Sent once unasked when it has opened its port, and in answer to [`HostToAgent::Hello`].
    Ready(Ready),
    /// Answers [`HostToAgent::Ping`].
    Pong {
        /// The token of the ping.
        token: u32,
    },
    /// No process runs on, unless there are no control groups.
    Frozen,
    /// The program runs; sent only with [`Exec::announce_start`].
    Started {
        /// The operation.
        op: OperationId,
        /// Its process identifier inside the guest, which is also its process group and session.
        pid: u32,
    },
    /// A piece of output. Counts against the window.
    Output {
        /// The operation.
        op: OperationId,
        /// Which stream.
        stream: Stream,
        /// At least one byte, at most [`super::MAX_DATA`].
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// The program has ended. Last frame of the operation.
    Exited(Exited),
    /// The agent has consumed this much standard input or file data.
    Credit {
        /// The operation.
        op: OperationId,
        /// Bytes added to the host's window.
        bytes: u32,
    },
    /// A piece of a file. Counts against the window.
    FileData {
        /// The operation.
        op: OperationId,
        /// At least one byte, at most [`super::MAX_DATA`].
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// A file was read. Last frame of the operation.
    FileEnd(FileEnd),
    /// The operation succeeded. Last frame of the operation.
    Done {
        /// The operation.
        op: OperationId,
    },
    /// The state of the guest. Last frame of the operation.
    StatusReport(StatusReport),
    /// The operation failed. Last frame of the operation.
    Failed(Failure),
    /// The agent got bytes it cannot understand, and ignored them. Names no operation because none is known.
    ProtocolError {
        /// What was wrong.
        message: String,
    },
    /// A piece of the answer to [`HostToAgent::Files`]. With [`FileReply::Done`] the last frame of the operation.
    FileReply {
        /// The operation.
        op: OperationId,
        /// The piece.
        #[serde(borrow)]
        reply: FileReply<'a>,
    },
}

/// Who the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`super::PROTOCOL_VERSION`] of the agent. A host with another version must not send anything further.
    pub protocol_version: u32,
    /// The version of the agent's package.
    pub agent_version: String,
    /// The release of the running kernel, as `uname -r` prints it.
    pub kernel: String,
    /// The process identifier of the agent in the guest.
    pub pid: u32,
    /// Process trees are killed by control group; without them (a kernel without cgroup v2) by session, which programs
    /// can escape.
    pub control_groups: bool,
}
