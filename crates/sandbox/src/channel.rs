//! Frames to and from the agent, over the machine's byte stream.

use wasm_sandbox_protocol::agent::{AgentToHost, Decoder, FrameError, HostToAgent, OperationId, encode};

/// The host's end of the conversation with the agent.
#[derive(Default)]
pub(crate) struct Channel {
    outgoing: Vec<u8>,
    decoder: Decoder,
    last_operation: u32,
    /// While a snapshot is taken: frames that go to the agent afterwards.
    held: Option<Vec<u8>>,
}

impl Channel {
    /// A conversation that goes on after operation number `last_operation`.
    pub(crate) fn after(last_operation: u32) -> Self {
        Self { last_operation, ..Self::default() }
    }

    /// The number of the latest operation.
    pub(crate) fn last_operation(&self) -> u32 {
        self.last_operation
    }

    /// From now on frames wait until [`Channel::release_after`], so that the conversation comes to rest.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// The frames that wait.
    pub(crate) fn held(&self) -> &[u8] {
        self.held.as_deref().unwrap_or_default()
    }

    /// Lets the frames that waited go, after `first`.
    pub(crate) fn release_after(&mut self, first: &HostToAgent<'_>) {
        let held = self.held.take().unwrap_or_default();
        self.send(first);
        self.outgoing.extend_from_slice(&held);
    }

    /// Sends frames that waited when a snapshot was taken.
    pub(crate) fn send_held(&mut self, frames: &[u8]) {
        self.outgoing.extend_from_slice(frames);
    }

    /// Whether frames wait to go to the machine.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether part of a frame waits to be sent or to be completed.
    pub(crate) fn is_busy(&self) -> bool {
        !self.outgoing.is_empty() || self.decoder.pending() > 0
    }

    /// An operation identifier that has not been used for a long time.
    pub(crate) fn next_operation(&mut self) -> OperationId {
        self.last_operation = self.last_operation.wrapping_add(1);
        OperationId(self.last_operation)
    }

    /// Queues `frame` for the agent.
    pub(crate) fn send(&mut self, frame: &HostToAgent<'_>) {
        let outgoing = self.held.as_mut().unwrap_or(&mut self.outgoing);
        if let Err(error) = encode(frame, outgoing) {
            // Handlers bound what they put into a frame; the agent's silence ends in a time limit.
            tracing::error!(%error, "a frame for the agent was dropped");
        }
    }

    /// Takes the bytes that wait to go to the machine.
    pub(crate) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Adds bytes that came from the machine.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.decoder.feed(bytes);
    }

    /// The next frame from the agent.
    ///
    /// # Errors
    /// The guest writes what is no frame: whatever runs there now, it is not the agent.
    pub(crate) fn next_frame(&mut self) -> Result<Option<AgentToHost<'static>>, FrameError> {
        Ok(self.decoder.next_frame::<AgentToHost<'_>>()?.map(into_owned))
    }
}

/// Copies what a frame borrows from the decoder, so that handlers may send while they look at it.
fn into_owned(frame: AgentToHost<'_>) -> AgentToHost<'static> {
    match frame {
        AgentToHost::Output { op, stream, data } => {
            AgentToHost::Output { op, stream, data: data.into_owned() }
        }
        AgentToHost::FileData { op, data } => AgentToHost::FileData { op, data: data.into_owned() },
        AgentToHost::Ready(ready) => AgentToHost::Ready(ready),
        AgentToHost::Pong { token } => AgentToHost::Pong { token },
        AgentToHost::Frozen => AgentToHost::Frozen,
        AgentToHost::Started { op, pid } => AgentToHost::Started { op, pid },
        AgentToHost::Exited(exited) => AgentToHost::Exited(exited),
        AgentToHost::Credit { op, bytes } => AgentToHost::Credit { op, bytes },
        AgentToHost::FileEnd(end) => AgentToHost::FileEnd(end),
        AgentToHost::Done { op } => AgentToHost::Done { op },
        AgentToHost::StatusReport(report) => AgentToHost::StatusReport(report),
        AgentToHost::Failed(failure) => AgentToHost::Failed(failure),
        AgentToHost::ProtocolError { message } => AgentToHost::ProtocolError { message },
        AgentToHost::FileReply { op, reply } => AgentToHost::FileReply { op, reply: reply.into_owned() },
    }
}
