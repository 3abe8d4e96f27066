//! What a handler is to the worker: a request under way.

use std::time::{Duration, Instant};

use wasm_sandbox_protocol::agent::{AgentToHost, FailureCode, OperationId};
use wasm_sandbox_protocol::json::{ErrorCode, Failure, Outcome};

use crate::channel::Channel;

/// How far an operation is.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, which is taken apart at once")]
pub(crate) enum Step {
    /// It waits for more frames.
    Pending,
    /// It has its answer.
    Done(Outcome),
}

impl Step {
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Done(Outcome::Failure(failure))
    }
}

/// A request that the agent carries out.
pub(crate) trait Operation: Send {
    /// Sends the first frames.
    fn start(&mut self, op: OperationId, channel: &mut Channel) -> Step;

    /// Takes a frame that names this operation, other than `Failed`.
    fn on_frame(&mut self, frame: AgentToHost<'_>, channel: &mut Channel) -> Step;

    /// The agent could not do it.
    fn on_failure(&mut self, failure: Failure, channel: &mut Channel) -> Step {
        let _ = channel;
        Step::failed(failure)
    }

    /// When [`Operation::on_due`] is to be called, if nothing comes from the agent before.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// The moment that [`Operation::due`] named has come.
    fn on_due(&mut self, channel: &mut Channel) -> Step {
        let _ = channel;
        Step::Pending
    }

    /// The longest silence of the agent after which it is taken for dead. It starts anew with every
    /// frame.
    fn patience(&self) -> Duration;
}

/// Time the agent gets beyond every limit, on a host and a guest that may both be busy.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The operation a frame belongs to, if it belongs to one.
pub(crate) fn operation_of(frame: &AgentToHost<'_>) -> Option<OperationId> {
    match frame {
        AgentToHost::Ready(_)
        | AgentToHost::Pong { .. }
        | AgentToHost::Frozen
        | AgentToHost::ProtocolError { .. } => None,
        AgentToHost::Started { op, .. }
        | AgentToHost::Output { op, .. }
        | AgentToHost::Credit { op, .. }
        | AgentToHost::FileData { op, .. }
        | AgentToHost::Done { op } => Some(*op),
        AgentToHost::Exited(exited) => Some(exited.op),
        AgentToHost::FileEnd(end) => Some(end.op),
        AgentToHost::StatusReport(report) => Some(report.op),
        AgentToHost::Failed(failure) => Some(failure.op),
        AgentToHost::FileReply { op, .. } => Some(*op),
    }
}

/// The agent's failure in the words of the JSON API.
pub(crate) fn agent_failure(failure: wasm_sandbox_protocol::agent::Failure) -> Failure {
    let code = match failure.code {
        FailureCode::NotFound => ErrorCode::NotFound,
        FailureCode::NotExecutable | FailureCode::BadInterpreter => ErrorCode::NotExecutable,
        FailureCode::BadCwd => ErrorCode::BadCwd,
        FailureCode::BadUser => ErrorCode::BadUser,
        FailureCode::IsADirectory => ErrorCode::IsADirectory,
        FailureCode::NotADirectory => ErrorCode::NotADirectory,
        FailureCode::PermissionDenied => ErrorCode::PermissionDenied,
        FailureCode::NoSpace => ErrorCode::NoSpace,
        FailureCode::TooLarge => ErrorCode::TooLarge,
        FailureCode::Exists => ErrorCode::AlreadyExists,
        FailureCode::NotEmpty => ErrorCode::NotEmpty,
        FailureCode::InvalidPattern => ErrorCode::InvalidPattern,
        FailureCode::Mismatch => ErrorCode::Mismatch,
        FailureCode::NotUtf8 => ErrorCode::NotUtf8,
        FailureCode::InvalidArgument | FailureCode::BadArchive => ErrorCode::InvalidRequest,
        FailureCode::Cancelled => ErrorCode::Cancelled,
        FailureCode::NoResources => ErrorCode::LimitReached,
        FailureCode::NotARegularFile | FailureCode::Io => ErrorCode::Io,
        FailureCode::Protocol => ErrorCode::Internal,
    };
    Failure::new(code, failure.message)
}
