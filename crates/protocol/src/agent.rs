//! The frames between the host and the agent inside the guest.
//!
//! They travel over one byte stream (the virtio console port [`PORT_NAME`]). A frame is a little-endian `u32`, the
//! length of its body, and the body: one [`HostToAgent`] or [`AgentToHost`] in [postcard] encoding. A body has at most
//! [`MAX_BODY`] bytes.
//!
//! # Order of a conversation
//!
//! 1. The agent opens its port and sends [`AgentToHost::Ready`] unasked.
//! 2. The host may set the clock, add entropy, and starts operations. Each operation carries an [`OperationId`] that the
//!    host chooses; any number may be under way at once, and an identifier may be used again after its last frame.
//! 3. Every operation ends with exactly one *last* frame: [`AgentToHost::Exited`], [`AgentToHost::Done`],
//!    [`AgentToHost::FileEnd`], [`AgentToHost::StatusReport`], [`AgentToHost::FileReply`] with [`FileReply::Done`], or
//!    [`AgentToHost::Failed`].
//! 4. A host that lost its place (a restored snapshot) sends [`HostToAgent::Hello`], and gets `Ready` again. A
//!    `Ready` from before may still be on its way: what counts is the last one before the answer to a
//!    [`HostToAgent::Ping`].
//!
//! # Flow control
//!
//! Neither side can grow the other's memory. Each operation has, for each direction, a window of [`INITIAL_WINDOW`] bytes
//! that counts the `data` of [`HostToAgent::Stdin`] and [`HostToAgent::FileData`] one way, of [`AgentToHost::Output`] and
//! [`AgentToHost::FileData`] the other way. The receiver gives bytes back with `Credit` when it has consumed them; a
//! sender without credit waits. Data inside the first frame of an operation ([`Stdin::Inline`], [`WriteFile::data`]) does
//! not count: the size of a frame bounds it.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

mod bytes;
mod codec;
mod exec;
mod failure;
mod files;
mod messages;
mod status;
mod trees;

pub use bytes::Bytes;
pub use codec::{Decoder, FrameError, encode};
pub use exec::{EndedBy, Exec, ExitStatus, Exited, PtySize, Stdin, Stream, Usage};
pub use failure::{Failure, FailureCode};
pub use files::{FileEnd, ReadFile, WriteFile, WriteFlags};
pub use messages::{AgentToHost, HostToAgent, OperationId, Ready};
pub use status::StatusReport;
pub use trees::{
    Change, ChangeKind, Entry, FileKind, FileReply, FileRequest, Files, Find, MAX_LINE, Match, PackForm,
    Replace, Summary,
};

/// The version both sides must agree on; raised whenever a frame changes its meaning or encoding.
pub const PROTOCOL_VERSION: u32 = 2;

/// The name of the virtio console port the frames travel over.
pub const PORT_NAME: &str = "org.wasm-sandbox.agent";

/// The most payload bytes (`data`) one frame may carry.
pub const MAX_DATA: usize = 1 << 20;

/// The most bytes the body of a frame may have: [`MAX_DATA`] and room for the other fields.
pub const MAX_BODY: usize = MAX_DATA + 4096;

/// The bytes each side may send for one operation before the other has granted any [`HostToAgent::Credit`] or
/// [`AgentToHost::Credit`].
pub const INITIAL_WINDOW: u32 = 256 * 1024;
