//! The events of a process, numbered, in bounded memory.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use wasm_sandbox_protocol::agent::Stream;
use wasm_sandbox_protocol::json::{Encoding, OutputPiece, ProcessChange, ProcessEvent};

/// What an event costs beside its data, so that many small ones are bounded, too.
const OVERHEAD: usize = 64;

/// Something that happened to a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    Started {
        pid: u32,
    },
    Output {
        stream: Stream,
        data: Vec<u8>,
    },
    Exited {
        exit_code: i32,
        signal: Option<String>,
        timed_out: bool,
    },
    /// The machine it ran in is gone.
    Lost,
}

/// The latest events of a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EventLog {
    events: VecDeque<(u64, Change)>,
    bytes: usize,
    limit: usize,
    last_seq: u64,
    /// The beginning of a character whose rest is still to come, for each stream.
    split: [Vec<u8>; 2],
}

impl EventLog {
    /// A log that keeps some `limit` bytes; with 0 it only counts.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Adds an event; its number.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        self.last_seq += 1;
        self.bytes += size(&change);
        self.events.push_back((self.last_seq, change));
        // How it ended stays, whatever the limit: whoever reads on must find the end.
        while self.bytes > self.limit
            && let Some((_, oldest)) =
                self.events.pop_front_if(|(_, oldest)| !matches!(oldest, Change::Exited { .. }))
        {
            self.bytes -= size(&oldest);
        }
        self.last_seq
    }

    /// Adds output; the event it makes, if it ends with a whole character or is none.
    pub(crate) fn push_output(&mut self, stream: Stream, data: &[u8]) -> Option<(u64, Change)> {
        let split = &mut self.split[stream as usize];
        let mut whole = std::mem::take(split);
        whole.extend_from_slice(data);
        *split = whole.split_off(whole.len() - unfinished(&whole));
        self.push_piece(stream, whole)
    }

    /// Adds what was kept back of a stream that has ended.
    pub(crate) fn flush(&mut self, stream: Stream) -> Option<(u64, Change)> {
        let rest = std::mem::take(&mut self.split[stream as usize]);
        self.push_piece(stream, rest)
    }

    fn push_piece(&mut self, stream: Stream, data: Vec<u8>) -> Option<(u64, Change)> {
        if data.is_empty() {
            return None;
        }
        let change = Change::Output { stream, data };
        Some((self.push(change.clone()), change))
    }

    /// The events after number `seq`, as long as they have not more than `max_bytes` of data; at least one, if there is
    /// one. Whether events before them are gone.
    pub(crate) fn after(&self, seq: u64, max_bytes: usize) -> (Vec<&(u64, Change)>, bool) {
        let first = self.events.front().map_or(self.last_seq + 1, |(first, _)| *first);
        let gap = first > seq.saturating_add(1) && self.last_seq > seq;
        let mut left = max_bytes;
        let mut found = Vec::new();
        for event in self.events.iter().filter(|(number, _)| *number > seq) {
            let Some(rest) = left.checked_sub(size(&event.1)).or(found.is_empty().then_some(0)) else {
                break;
            };
            left = rest;
            found.push(event);
        }
        (found, gap)
    }

    /// The beginning of a character whose rest is still to come.
    pub(crate) fn kept_back(&self, stream: Stream) -> &[u8] {
        &self.split[stream as usize]
    }

    /// The number of the latest event.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

fn size(change: &Change) -> usize {
    OVERHEAD + if let Change::Output { data, .. } = change { data.len() } else { 0 }
}

/// How many bytes at the end of `bytes` are the beginning of a UTF-8 character.
fn unfinished(bytes: &[u8]) -> usize {
    for (length, byte) in bytes.iter().rev().take(3).enumerate().map(|(index, byte)| (index + 1, *byte)) {
        let needed = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if needed > length { length } else { 0 };
    }
    0
}

/// An event as it is told.
pub(crate) fn tell(seq: u64, change: &Change, encoding: Encoding) -> ProcessEvent {
    let change = match change {
        Change::Started { pid } => ProcessChange::Started { pid: *pid },
        Change::Output { stream: Stream::Stdout, data } => ProcessChange::Stdout(piece(data, encoding)),
        Change::Output { stream: Stream::Stderr, data } => ProcessChange::Stderr(piece(data, encoding)),
        Change::Exited { exit_code, signal, timed_out } => {
            ProcessChange::Exited { exit_code: *exit_code, signal: signal.clone(), timed_out: *timed_out }
        }
        Change::Lost => ProcessChange::Lost,
    };
    ProcessEvent { seq, change }
}

fn piece(data: &[u8], wanted: Encoding) -> OutputPiece {
    match (wanted, std::str::from_utf8(data)) {
        (Encoding::Text, Ok(text)) => OutputPiece { data: text.to_owned(), encoding: Encoding::Text },
        _ => OutputPiece { data: STANDARD.encode(data), encoding: Encoding::Base64 },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(data: &[u8]) -> Change {
        Change::Output { stream: Stream::Stdout, data: data.to_vec() }
    }

    #[test]
    fn events_are_numbered_and_found_again() {
        let mut log = EventLog::with_limit(10_000);
        assert_eq!(log.push(Change::Started { pid: 7 }), 1);
        assert_eq!(log.push_output(Stream::Stdout, b"ab"), Some((2, output(b"ab"))));
        assert_eq!(log.after(0, 1000), (vec![&(1, Change::Started { pid: 7 }), &(2, output(b"ab"))], false));
        assert_eq!(log.after(1, 1000), (vec![&(2, output(b"ab"))], false));
        assert_eq!(log.after(2, 1000), (vec![], false));
        assert_eq!(log.after(u64::MAX, 1000), (vec![], false));
        assert_eq!(log.after(0, 0).0.len(), 1);
    }

    #[test]
    fn the_oldest_events_go_first_and_the_gap_is_told() {
        let mut log = EventLog::with_limit(3 * (OVERHEAD + 1));
        for byte in b"abcde" {
            log.push_output(Stream::Stdout, &[*byte]);
        }
        let (events, gap) = log.after(0, 1000);
        assert_eq!((events.len(), events[0].0, gap), (3, 3, true));
        assert!(!log.after(2, 1000).1);
        let mut none = EventLog::with_limit(0);
        none.push_output(Stream::Stdout, b"a");
        assert_eq!(none.after(0, 10), (vec![], true));
        assert_eq!(none.last_seq(), 1);
    }

    #[test]
    fn characters_are_not_split() {
        let mut log = EventLog::with_limit(10_000);
        assert_eq!(log.push_output(Stream::Stdout, b"a\xF0\x9F"), Some((1, output(b"a"))));
        assert_eq!(log.push_output(Stream::Stdout, b"\x98"), None);
        assert_eq!(log.push_output(Stream::Stdout, b"\x80"), Some((2, output("😀".as_bytes()))));
        assert_eq!(log.push_output(Stream::Stdout, b"\xC3"), None);
        assert_eq!(log.flush(Stream::Stdout), Some((3, output(b"\xC3"))));
        assert_eq!(log.flush(Stream::Stdout), None);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(pieces: Vec<Vec<u8>>) {
            let mut log = EventLog::with_limit(usize::MAX);
            for piece in &pieces {
                log.push_output(Stream::Stderr, piece);
            }
            log.flush(Stream::Stderr);
            let told: Vec<u8> = log.after(0, usize::MAX).0.iter().flat_map(|(_, change)| match change {
                Change::Output { data, .. } => data.clone(),
                _ => Vec::new(),
            }).collect();
            prop_assert_eq!(told, pieces.concat());
        }

        #[test]
        fn text_comes_as_text_however_it_is_cut(text: String, cuts: Vec<prop::sample::Index>) {
            let mut log = EventLog::with_limit(usize::MAX);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            ends.push(text.len());
            ends.sort_unstable();
            let mut start = 0;
            for end in ends {
                log.push_output(Stream::Stdout, &text.as_bytes()[start..end]);
                start = end;
            }
            prop_assert_eq!(log.flush(Stream::Stdout), None);
            for (seq, change) in log.after(0, usize::MAX).0 {
                let ProcessChange::Stdout(piece) = tell(*seq, change, Encoding::Text).change else { panic!() };
                prop_assert_eq!(piece.encoding, Encoding::Text);
            }
        }
    }
}
