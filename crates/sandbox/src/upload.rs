//! Bytes on their way to the agent, no faster than it takes them.

use wasm_sandbox_protocol::agent::INITIAL_WINDOW;

/// Bytes a frame carries: large enough to be cheap, small enough to share the window.
const PIECE: usize = 64 << 10;

/// Bytes that go to the agent as far as it has granted credit.
pub(crate) struct Upload {
    bytes: Vec<u8>,
    sent: usize,
    credit: usize,
}

impl Upload {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0, credit: INITIAL_WINDOW as usize }
    }

    /// The agent has consumed `bytes`.
    pub(crate) fn add_credit(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes as usize);
    }

    /// What may be sent next; `None` when all is sent or the credit is used up.
    pub(crate) fn next_piece(&mut self) -> Option<&[u8]> {
        let length = (self.bytes.len() - self.sent).min(PIECE).min(self.credit);
        let piece = &self.bytes[self.sent..self.sent + length];
        self.sent += length;
        self.credit -= length;
        (length > 0).then_some(piece)
    }

    /// All of it, for whoever sends it in one piece.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether everything was sent.
    pub(crate) fn is_finished(&self) -> bool {
        self.sent == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_beyond_the_credit() {
        let mut upload = Upload::new(vec![1; INITIAL_WINDOW as usize + 10]);
        let mut sent = 0;
        while let Some(piece) = upload.next_piece() {
            sent += piece.len();
        }
        assert_eq!(sent, INITIAL_WINDOW as usize);
        assert!(!upload.is_finished());
        upload.add_credit(100);
        assert_eq!(upload.next_piece(), Some(&[1; 10][..]));
        assert!(upload.is_finished());
        assert_eq!(upload.next_piece(), None);
    }
}
