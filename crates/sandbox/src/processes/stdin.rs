//! Standard input on its way to a process, no faster than the agent takes it.

use serde::{Deserialize, Serialize};
use wasm_sandbox_protocol::agent::{Bytes, HostToAgent, INITIAL_WINDOW, OperationId};

use crate::channel::Channel;

/// Bytes a frame carries: large enough to be cheap, small enough to share the window.
const PIECE: usize = 64 << 10;

/// Bytes that were sent are cleared away when there are so many of them.
const MOST_SENT: usize = 1 << 20;

/// The standard input of a process as the host sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stdin {
    /// Bytes `sent..` of what was not yet cleared away wait to go.
    waiting: Vec<u8>,
    sent: usize,
    credit: usize,
    /// Whether more may be written.
    open: bool,
    closed: bool,
    /// Bytes ever given, and ever sent.
    total_given: u64,
    total_sent: u64,
}

impl Stdin {
    /// Nothing can be written to it.
    pub(crate) fn closed() -> Self {
        Self {
            waiting: Vec::new(),
            sent: 0,
            credit: 0,
            open: false,
            closed: true,
            total_given: 0,
            total_sent: 0,
        }
    }

    /// Gives `bytes`; then it ends, unless it stays `open`.
    pub(crate) fn new(bytes: Vec<u8>, open: bool) -> Self {
        let total_given = bytes.len() as u64;
        Self {
            waiting: bytes,
            sent: 0,
            credit: INITIAL_WINDOW as usize,
            open,
            closed: false,
            total_given,
            total_sent: 0,
        }
    }

    /// Adds bytes; how many there have been by then. `None` if it is not open.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Option<u64> {
        if !self.open {
            return None;
        }
        self.waiting.extend_from_slice(bytes);
        self.total_given += bytes.len() as u64;
        Some(self.total_given)
    }

    /// Takes back what was given last up to `until`, `size` bytes of it, as far as it was not sent; how much that is.
    pub(crate) fn take_back(&mut self, until: u64, size: u64) -> u64 {
        let from = (until - size).max(self.total_sent);
        let Some(length) = until.checked_sub(from) else { return 0 };
        let start = self.sent + (from - self.total_sent) as usize;
        self.waiting.drain(start..start + length as usize);
        self.total_given -= length;
        length
    }

    /// No more will be given; `false` if it was not open.
    pub(crate) fn close(&mut self) -> bool {
        std::mem::replace(&mut self.open, false)
    }

    /// The agent has consumed `bytes`.
    pub(crate) fn add_credit(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes as usize);
    }

    /// How many bytes have been sent so far.
    pub(crate) fn total_sent(&self) -> u64 {
        self.total_sent
    }

    /// Sends what may be sent.
    pub(crate) fn send(&mut self, op: OperationId, channel: &mut Channel) {
        loop {
            let length = (self.waiting.len() - self.sent).min(PIECE).min(self.credit);
            if length == 0 {
                break;
            }
            let piece = &self.waiting[self.sent..self.sent + length];
            channel.send(&HostToAgent::Stdin { op, data: Bytes::from(piece) });
            self.sent += length;
            self.credit -= length;
            self.total_sent += length as u64;
        }
        if self.sent >= MOST_SENT {
            self.waiting.drain(..self.sent);
            self.sent = 0;
        }
        if self.sent == self.waiting.len() {
            self.waiting = Vec::new();
            self.sent = 0;
            if !self.open && !self.closed {
                self.closed = true;
                channel.send(&HostToAgent::CloseStdin { op });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_can_be_taken_back() {
        let mut channel = Channel::default();
        let op = OperationId(1);
        let window = u64::from(INITIAL_WINDOW);
        let mut stdin = Stdin::new(vec![1; INITIAL_WINDOW as usize - 2], true);
        let first = stdin.give(b"abcd").expect("open");
        let second = stdin.give(b"efg").expect("open");
        stdin.send(op, &mut channel);
        assert_eq!((stdin.total_sent(), first, second), (window, window + 2, window + 5));
        assert_eq!(stdin.take_back(first, 4), 2);
        assert_eq!(stdin.waiting[stdin.sent..], *b"efg");
        assert_eq!(stdin.take_back(window, 2), 0);
        stdin.add_credit(MOST_SENT as u32 * 2);
        stdin.give(&vec![2; MOST_SENT]);
        stdin.send(op, &mut channel);
        assert_eq!((stdin.total_sent(), stdin.waiting.len()), (stdin.total_given, 0));
    }

    #[test]
    fn nothing_is_sent_beyond_the_credit_and_the_end_comes_last() {
        let mut channel = Channel::default();
        let op = OperationId(1);
        let mut stdin = Stdin::new(vec![1; INITIAL_WINDOW as usize + 10], true);
        stdin.send(op, &mut channel);
        assert_eq!(stdin.total_sent(), u64::from(INITIAL_WINDOW));
        assert_eq!(stdin.give(b"ab"), Some(u64::from(INITIAL_WINDOW) + 12));
        assert!(stdin.close() && !stdin.close());
        assert_eq!(stdin.give(b"late"), None);
        stdin.send(op, &mut channel);
        assert!(!stdin.closed);
        stdin.add_credit(100);
        stdin.send(op, &mut channel);
        assert_eq!((stdin.total_sent(), stdin.closed), (u64::from(INITIAL_WINDOW) + 12, true));
    }
}
