//! Finds where the output of one command ends and that of the next begins.
//!
//! A shell or interpreter that is kept writes a mark to both of its streams when a command is done: the character MARK
//! (record separator), the session's nonce, a colon, a payload, and MARK again.

/// ASCII's record separator.
const MARK: u8 = 0x1E;
/// The longest payload; a longer one is no payload.
const LONGEST_PAYLOAD: usize = 32 << 20;

/// Bytes kept of what is written between two commands.
const MOST_KEPT: usize = 64 << 10;

/// One output stream of a session.
pub(super) struct Scanner {
    opening: Vec<u8>,
    /// Bytes that may be part of a mark, and those behind a mark.
    held: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(nonce: &str) -> Self {
        let opening = [&[MARK], nonce.as_bytes(), b":"].concat();
        Self { opening, held: Vec::new() }
    }

    /// Takes bytes of the stream. What is output for sure, and the payload if the command is done; then the rest waits for
    /// the next call.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        self.held.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(offset) = self.held[from..].iter().position(|byte| *byte == MARK) {
            let start = from + offset;
            let behind = &self.held[start..];
            if behind.len() < self.opening.len() && self.opening.starts_with(behind) {
                return (self.held.drain(..start).collect(), None);
            }
            let Some(payload) = behind.strip_prefix(self.opening.as_slice()) else {
                from = start + 1;
                continue;
            };
            match payload.iter().position(|byte| *byte == MARK) {
                Some(length) => {
                    let payload = payload[..length].to_vec();
                    let rest = self.held.split_off(start + self.opening.len() + length + 1);
                    let mut output = std::mem::replace(&mut self.held, rest);
                    output.truncate(start);
                    return (output, Some(payload));
                }
                None if payload.len() <= LONGEST_PAYLOAD => {
                    return (self.held.drain(..start).collect(), None);
                }
                None => from = start + 1,
            }
        }
        (std::mem::take(&mut self.held), None)
    }

    /// Bytes that wait.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Keeps bytes that nobody waits for, for the next command.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        let excess = self.held.len().saturating_sub(MOST_KEPT);
        self.held.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_ends_the_output() {
        let mut scanner = Scanner::new("abc");
        assert_eq!(scanner.feed(b"hi\x1E"), (b"hi".to_vec(), None));
        assert_eq!(scanner.feed(b"ab"), (vec![], None));
        assert_eq!(scanner.feed(b"c:12"), (vec![], None));
        assert_eq!(scanner.feed(b"3\x1Elater"), (vec![], Some(b"123".to_vec())));
        assert_eq!(scanner.feed(b""), (b"later".to_vec(), None));
    }

    #[test]
    fn what_looks_like_a_mark_is_output() {
        let mut scanner = Scanner::new("abc");
        assert_eq!(scanner.feed(b"\x1Eabd:1\x1E\x1E"), (b"\x1Eabd:1\x1E".to_vec(), None));
        assert_eq!(scanner.feed(b"x"), (b"\x1Ex".to_vec(), None));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_cut(
            before in proptest::collection::vec(prop_oneof![Just(MARK), Just(b'a'), any::<u8>()], 0..50),
            after: Vec<u8>,
            cuts: Vec<prop::sample::Index>,
        ) {
            let stream = [before.as_slice(), b"\x1Enonce:7\x1E", after.as_slice()].concat();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            ends.push(stream.len());
            ends.sort_unstable();
            let mut scanner = Scanner::new("nonce");
            let (mut output, mut found, mut start) = (Vec::new(), None, 0);
            for end in ends {
                let (piece, payload) = scanner.feed(&stream[start..end]);
                output.extend(piece);
                found = found.or(payload);
                start = end;
            }
            while !scanner.held.is_empty() {
                let (piece, _) = scanner.feed(b"");
                if piece.is_empty() { break }
                output.extend(piece);
            }
            prop_assert_eq!(found, Some(b"7".to_vec()));
            prop_assert!(output.starts_with(&before));
        }
    }
}
