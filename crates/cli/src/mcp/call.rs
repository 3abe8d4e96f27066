//! One request of a tool to the machine, and its answer.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;
use wasm_sandbox::Client;
use wasm_sandbox::protocol::json::{ErrorCode, Event, Failure, Outcome, Request, Response};

use super::machine::Machine;
use super::progress::{Progress, Watcher};
use super::text::lossy;

/// Why a tool could not do what it was asked for.
#[derive(Debug)]
pub struct Refusal {
    pub failure: Failure,
    restarted: bool,
}

/// What a tool gives.
pub type Called = Result<CallToolResult, Refusal>;

/// What the machine gave.
pub struct Answer {
    pub outcome: Outcome,
    restarted: bool,
}

const RESTARTED: &str = "Note: the machine went down and was started afresh. Files, processes and sessions are those of \
                         a new machine; checkpoints are kept.";

/// Carries out `request` for the tool call of `context`. If the call is cancelled, the request is.
///
/// # Errors
/// The failure that the sandbox answers with.
pub async fn call(
    machine: &Machine,
    request: impl Into<Request>,
    context: &RequestContext<RoleServer>,
) -> Result<Answer, Refusal> {
    let request = request.into();
    request.check().map_err(|error| Failure::new(error.code, error.message))?;
    let sandbox = tokio::select! {
        sandbox = machine.sandbox() => sandbox?,
        () = context.ct.cancelled() => return Err(Failure::new(ErrorCode::Cancelled, "it was cancelled").into()),
    };
    let id = machine.next_id();
    let (answers, mut answer) = oneshot::channel();
    let mut progress = Progress::new(context);
    sandbox.submit(id, request, Arc::new(Caller::new(answers, progress.watcher())));
    let mut cancelled = false;
    let response = loop {
        tokio::select! {
            response = &mut answer => break response,
            () = context.ct.cancelled(), if !cancelled => {
                cancelled = true;
                sandbox.cancel(id);
            }
            () = progress.news() => progress.tell().await,
        }
    };
    let Response { outcome, restarted, .. } = response.map_err(|_| {
        Failure::new(ErrorCode::Internal, "the machine's thread ended unexpectedly: start the server again")
    })?;
    match outcome {
        Outcome::Failure(failure) => Err(Refusal { failure, restarted }),
        outcome => Ok(Answer { outcome, restarted }),
    }
}

/// Whoever waits for an answer in the sandbox's words.
struct Caller {
    answers: Mutex<Option<oneshot::Sender<Response>>>,
    watcher: Option<Watcher>,
}

impl Caller {
    fn new(answers: oneshot::Sender<Response>, watcher: Option<Watcher>) -> Self {
        Self { answers: Mutex::new(Some(answers)), watcher }
    }
}

impl Client for Caller {
    fn answer(&self, response: Response) {
        if let Some(answers) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _nobody_waits_any_more = answers.send(response);
        }
    }

    fn event(&self, event: Event) {
        if let Some(watcher) = &self.watcher {
            watcher.see(&event);
        }
    }
}

impl Answer {
    /// The answer as a result of a tool: `text` for readers, `value` for programs.
    pub fn reply(self, text: impl Into<String>, value: &impl Serialize) -> Called {
        let mut text = text.into();
        let mut value = serde_json::to_value(value).unwrap_or_default();
        if self.restarted {
            text = format!("{RESTARTED}\n{text}");
            if let Value::Object(fields) = &mut value {
                fields.insert("restarted".into(), true.into());
            }
        }
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        result.structured_content = Some(value);
        Ok(result)
    }

    /// For an outcome that the request cannot have.
    pub fn unexpected(self) -> Called {
        let kind = serde_json::to_string(&self.outcome).unwrap_or_default();
        let kind = &kind[..kind.floor_char_boundary(200)];
        Err(Failure::new(
            ErrorCode::Internal,
            format!("the sandbox gave another answer than asked for: {kind}"),
        )
        .into())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, restarted: false }
    }
}

impl IntoCallToolResult for Refusal {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::error(vec![ContentBlock::text(self.text())]).into())
    }
}

impl Refusal {
    fn text(&self) -> String {
        let failure = &self.failure;
        let code = serde_json::to_value(failure.error_code).unwrap_or_default();
        // The protocol's name for what is called otherwise here.
        let sentence = failure.error.replace("`time_limit_ms`", "`timeout_ms`");
        let mut text = format!("{sentence} ({})", code.as_str().unwrap_or_default());
        let outputs = [
            ("stdout", &failure.stdout, failure.stdout_encoding),
            ("stderr", &failure.stderr, failure.stderr_encoding),
        ];
        for (name, output, encoding) in outputs {
            if let Some(output) = output.as_ref().filter(|output| !output.is_empty()) {
                text += &format!("\n[{name} before that]\n{}", lossy(output, encoding).0);
            }
        }
        if self.restarted {
            text = format!("{RESTARTED}\n{text}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use wasm_sandbox::protocol::json::Encoding;

    use super::*;

    #[test]
    fn a_refusal_has_the_sentence_the_code_and_what_was_written() {
        let failure = Failure {
            stdout: Some("half".into()),
            stderr: Some("/wA=".into()),
            stderr_encoding: Encoding::Base64,
            ..Failure::new(ErrorCode::InvalidRequest, "`time_limit_ms` must be from 1")
        };
        assert_eq!(
            Refusal { failure, restarted: false }.text(),
            "`timeout_ms` must be from 1 (invalid_request)\n[stdout before that]\nhalf\n[stderr before that]\n\u{FFFD}\0"
        );
    }
}
