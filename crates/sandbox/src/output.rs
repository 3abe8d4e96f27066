//! What a command wrote, in bounded memory.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use wasm_sandbox_protocol::json::Encoding;

/// Bytes kept of each stream: half of them from its start, half from its end.
pub(crate) const DEFAULT_LIMIT: usize = 16 << 20;

/// One output stream: all of it, or its head and its tail if it is longer than the limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    dropped: u64,
}

/// Output in the form it takes in an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct EncodedOutput {
    pub(crate) text: String,
    pub(crate) encoding: Encoding,
    pub(crate) truncated_bytes: u64,
}

impl Output {
    /// An empty stream that keeps at most `limit` bytes.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), half: limit / 2, dropped: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (to_head, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(to_head);
        let keep = &rest[rest.len().saturating_sub(self.half)..];
        let overflow = (self.tail.len() + keep.len()).saturating_sub(self.half);
        self.tail.drain(..overflow);
        self.tail.extend(keep);
        self.dropped += (overflow + rest.len() - keep.len()) as u64;
    }

    /// As text if it is UTF-8 and text is `wanted`, otherwise in base64. A truncated text may have
    /// half a character on each side of the gap; they become U+FFFD.
    pub(crate) fn encode(&self, wanted: Encoding) -> EncodedOutput {
        let (head, dropped) = (self.head.as_slice(), self.dropped);
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let text = match wanted {
            Encoding::Text if dropped == 0 => whole_text(head, &tail),
            Encoding::Text => cut_text(head, &tail),
            Encoding::Base64 => None,
        };
        let (text, encoding) = match text {
            Some(text) => (text, Encoding::Text),
            None => (STANDARD.encode([head, &tail].concat()), Encoding::Base64),
        };
        EncodedOutput { text, encoding, truncated_bytes: dropped }
    }
}

fn whole_text(head: &[u8], tail: &[u8]) -> Option<String> {
    String::from_utf8([head, tail].concat()).ok()
}

/// Each side for itself: what stands on both sides of the gap does not belong together.
fn cut_text(head: &[u8], tail: &[u8]) -> Option<String> {
    const LONGEST_CHARACTER: usize = 4;
    let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
    let head_is_fine = std::str::from_utf8(head).err().is_none_or(|error| error.error_len().is_none());
    let tail_start = tail.iter().take(LONGEST_CHARACTER - 1).take_while(is_continuation).count();
    let tail_is_fine = std::str::from_utf8(&tail[tail_start..]).is_ok();
    (head_is_fine && tail_is_fine)
        .then(|| String::from_utf8_lossy(head).into_owned() + &String::from_utf8_lossy(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(limit: usize, pieces: &[&[u8]], wanted: Encoding) -> EncodedOutput {
        let mut output = Output::with_limit(limit);
        pieces.iter().for_each(|piece| output.push(piece));
        output.encode(wanted)
    }

    #[test]
    fn short_output_is_kept_whole() {
        let whole = output(8, &[b"ab", b"cdefgh"], Encoding::Text);
        assert_eq!(whole, EncodedOutput { text: "abcdefgh".into(), ..Default::default() });
    }

    #[test]
    fn long_output_loses_its_middle() {
        for pieces in [&[&b"0123456789ABC"[..]][..], &[b"012", b"3456789AB", b"C"], &[b"0123456789A", b"BC"]]
        {
            let cut = output(8, pieces, Encoding::Text);
            assert_eq!((cut.text.as_str(), cut.truncated_bytes), ("01239ABC", 5), "{pieces:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_come_in_base64() {
        let binary = output(8, &[&[0xFF, 0x00]], Encoding::Text);
        assert_eq!((binary.text.as_str(), binary.encoding), ("/wA=", Encoding::Base64));
    }

    #[test]
    fn a_gap_inside_a_character_does_not_make_text_binary() {
        let cut = output(8, &["aaaéaaaaaaaaaéaaa".as_bytes()], Encoding::Text);
        assert_eq!((cut.text.as_str(), cut.encoding), ("aaa\u{FFFD}\u{FFFD}aaa", Encoding::Text));
    }

    #[test]
    fn base64_can_be_asked_for() {
        assert_eq!(output(8, &[b"hi"], Encoding::Base64).text, "aGk=");
    }
}
