//! Output on its way: progress notifications for calls whose client asked for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::sync::Notify;
use tokio::time::Instant;
use wasm_sandbox::protocol::json::{Event, EventBody, ProcessChange};

use super::text::lossy;

/// Bytes of output in one notification, at most: the last ones.
const LONGEST_MESSAGE: usize = 4096;
/// The least time between two notifications.
const INTERVAL: Duration = Duration::from_millis(100);

/// Whether the client of a call asked for progress.
pub fn is_wanted(context: &RequestContext<RoleServer>) -> bool {
    context.meta.get_progress_token().is_some()
}

/// Sends output to the client of a call, if it asked for that.
pub struct Progress(Option<Reporter>);

struct Reporter {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    output: Watcher,
    told_bytes: u64,
    next: Instant,
}

/// Sees the events of a call, on the machine's thread.
#[derive(Clone, Default)]
pub struct Watcher(Arc<(Mutex<Seen>, Notify)>);

/// Output that was not told yet.
#[derive(Default)]
struct Seen {
    latest: String,
    bytes: u64,
}

impl Progress {
    /// For the call of `context`.
    pub fn new(context: &RequestContext<RoleServer>) -> Self {
        Self(context.meta.get_progress_token().map(|token| Reporter {
            peer: context.peer.clone(),
            token,
            output: Watcher::default(),
            told_bytes: 0,
            next: Instant::now(),
        }))
    }

    /// Who is to see the events.
    pub fn watcher(&self) -> Option<Watcher> {
        self.0.as_ref().map(|reporter| reporter.output.clone())
    }

    /// Waits until there is something to tell; it can be dropped and called again at any time.
    pub async fn news(&self) {
        let Some(reporter) = &self.0 else { return std::future::pending().await };
        while reporter.output.lock().bytes == reporter.told_bytes {
            reporter.output.0.1.notified().await;
        }
        tokio::time::sleep_until(reporter.next).await;
    }

    /// Tells what there is. Whoever reads slowly gets fewer and larger pieces.
    pub async fn tell(&mut self) {
        let Some(reporter) = &mut self.0 else { return };
        let message = {
            let mut seen = reporter.output.lock();
            reporter.told_bytes = seen.bytes;
            std::mem::take(&mut seen.latest)
        };
        let progress = reporter.told_bytes as f64;
        let notification =
            ProgressNotificationParam::new(reporter.token.clone(), progress).with_message(message);
        if let Err(error) = reporter.peer.notify_progress(notification).await {
            tracing::debug!(%error, "progress cannot be told");
        }
        reporter.next = Instant::now() + INTERVAL;
    }
}

impl Watcher {
    /// Takes an event.
    pub fn see(&self, event: &Event) {
        let EventBody::Process(process) = &event.what else { return };
        let (ProcessChange::Stdout(piece) | ProcessChange::Stderr(piece)) = &process.event.change else {
            return;
        };
        self.add(&lossy(&piece.data, piece.encoding).0);
    }

    fn add(&self, text: &str) {
        let mut seen = self.lock();
        seen.bytes += text.len() as u64;
        seen.latest.push_str(text);
        let surplus = seen.latest.len().saturating_sub(LONGEST_MESSAGE);
        let start = seen.latest.ceil_char_boundary(surplus);
        seen.latest.drain(..start);
        drop(seen);
        self.0.1.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_yet_is_bounded_and_ends_with_the_latest() {
        let watcher = Watcher::default();
        watcher.add(&"é".repeat(LONGEST_MESSAGE));
        watcher.add("end");
        let seen = watcher.lock();
        assert_eq!(seen.bytes, 2 * LONGEST_MESSAGE as u64 + 3);
        assert!(seen.latest.len() <= LONGEST_MESSAGE && seen.latest.ends_with("éend"));
    }
}
