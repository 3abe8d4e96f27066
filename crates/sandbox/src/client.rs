//! Who asked, and how to reach them.

use std::sync::Arc;
use std::time::Duration;

use wasm_sandbox_protocol::json::{Event, EventBody, EventTag, Outcome, RequestId, Response};

/// Whoever makes requests. Methods are called on the machine's thread and must not block.
pub trait Client: Send + Sync {
    /// Takes the one answer to a request.
    fn answer(&self, response: Response);

    /// Takes an event. Every event of a request comes before its answer, unless it is about something in the
    /// background.
    fn event(&self, event: Event) {
        drop(event);
    }

    /// Whether there is room for more events. Without, processes whose output is streamed stop at a full pipe until
    /// there is.
    fn has_room(&self) -> bool {
        true
    }
}

/// Between two looks whether a client that had no room for events has some again.
pub(crate) const LOOK_FOR_ROOM: Duration = Duration::from_millis(5);

/// A request's claim to an answer.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) kind: String,
    pub(crate) id: Option<RequestId>,
    pub(crate) client: Arc<dyn Client>,
    /// Instructions that the machine had executed when it took the request.
    pub(crate) started_at: u64,
}

impl Ticket {
    /// A claim to the answer that `client` waits for.
    pub(crate) fn new(kind: String, id: Option<RequestId>, client: Arc<dyn Client>) -> Self {
        Self { kind, id, client, started_at: 0 }
    }

    /// Gives the answer.
    pub(crate) fn answer(self, outcome: Outcome, restarted: bool) {
        self.client.answer(Response { restarted, ..Response::new(self.kind, self.id, outcome) });
    }

    /// Sends an event.
    pub(crate) fn event(&self, what: EventBody) {
        self.client.event(Event { kind: EventTag::Event, id: self.id.clone(), what });
    }
}

/// Answers that are ready to be given.
pub(crate) type Answers = Vec<(Ticket, Outcome)>;
