//! Requests that wait for something a process does.

use std::time::Instant;

use regex::bytes::Regex;
use wasm_sandbox_protocol::agent::Stream;
use wasm_sandbox_protocol::json::{
    ErrorCode, Failure, LogFound, Outcome, ProcessOutput, ProcessState, ProcessWritten,
};

use super::event_log::{Change, tell};
use super::record::Record;
use crate::client::Ticket;
use crate::time;

/// A request that waits.
pub(crate) struct Waiter {
    pub(crate) ticket: Ticket,
    pub(crate) deadline: Option<Instant>,
    pub(crate) goal: Goal,
}

/// What it waits for.
pub(crate) enum Goal {
    /// Its end.
    Exit,
    /// An event after number `after_seq`.
    Events { after_seq: u64, max_bytes: usize },
    /// A line that matches.
    Line { search: Box<LogSearch> },
    /// Room for its standard input, up to the byte `until`.
    Written { until: u64, size: u64 },
}

impl Waiter {
    /// The answer, if there is one by now.
    pub(crate) fn poll(&mut self, record: &Record, now: Instant) -> Option<Outcome> {
        let late = self.deadline.is_some_and(|deadline| deadline <= now);
        match &mut self.goal {
            Goal::Exit => {
                let running = record.ended.is_none();
                (!running || late).then(|| {
                    ProcessState { process_id: record.id(), running, result: record.result() }.into()
                })
            }
            Goal::Events { after_seq, max_bytes } => {
                let (events, gap) = record.log.after(*after_seq, *max_bytes);
                if events.is_empty() && record.ended.is_none() && !late {
                    return None;
                }
                // Where nothing is kept, what is gone counts as seen.
                let last_seq = events.last().map_or((*after_seq).max(record.log.last_seq()), |(seq, _)| *seq);
                let encoding = record.encoding();
                Some(
                    ProcessOutput {
                        process_id: record.id(),
                        events: events.iter().map(|(seq, change)| tell(*seq, change, encoding)).collect(),
                        last_seq,
                        gap,
                        more: record.ended.is_none() || record.log.last_seq() > last_seq,
                    }
                    .into(),
                )
            }
            Goal::Line { search } => {
                if let Some(line) = search.found.take() {
                    let duration_ms = time::since(search.started).as_millis() as u64;
                    return Some(LogFound { process_id: record.id(), line, duration_ms }.into());
                }
                if record.ended.is_some() {
                    let message = format!(
                        "{} has ended without writing a line that matches {:?}",
                        record.id(),
                        search.pattern.as_str()
                    );
                    return Some(Failure::new(ErrorCode::NotFound, message).into());
                }
                late.then(|| {
                    let message = format!(
                        "{} has written no line that matches {:?}",
                        record.id(),
                        search.pattern.as_str()
                    );
                    Failure::new(ErrorCode::TimedOut, message).into()
                })
            }
            Goal::Written { until, size } => {
                if record.stdin.total_sent() >= *until {
                    return Some(ProcessWritten { size: *size }.into());
                }
                record.ended.as_ref().map(|_| {
                    let message = format!("{} ended before it had read everything", record.id());
                    Failure::new(ErrorCode::StdinClosed, message).into()
                })
            }
        }
    }
}

/// Bytes of a line that are looked at.
const LONGEST_LINE: usize = 64 << 10;

/// A search through lines of output, as they come.
pub(crate) struct LogSearch {
    pattern: Regex,
    started: Instant,
    lines: [Vec<u8>; 2],
    /// The line that matches.
    found: Option<String>,
}

impl LogSearch {
    /// # Errors
    /// [`ErrorCode::InvalidPattern`].
    pub(crate) fn new(pattern: &str) -> Result<Self, Failure> {
        let pattern = Regex::new(pattern).map_err(|error| {
            Failure::new(ErrorCode::InvalidPattern, format!("`pattern` is no regular expression: {error}"))
        })?;
        Ok(Self { pattern, started: time::now(), lines: Default::default(), found: None })
    }

    /// Looks at what is still known of earlier output.
    pub(crate) fn look_back(&mut self, record: &Record) {
        for (_, change) in record.log.after(0, usize::MAX).0 {
            if let Change::Output { stream, data } = change {
                self.look_at(*stream, data);
            }
        }
        // The beginning of a character, which the log keeps back until it is whole.
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.lines[stream as usize].extend_from_slice(record.log.kept_back(stream));
        }
    }

    /// Looks at more output. A line need not be complete to match.
    pub(crate) fn look_at(&mut self, stream: Stream, data: &[u8]) {
        let line = &mut self.lines[stream as usize];
        let mut pieces = data.split(|byte| *byte == b'\n').peekable();
        while self.found.is_none()
            && let Some(piece) = pieces.next()
        {
            line.extend_from_slice(&piece[..piece.len().min(LONGEST_LINE.saturating_sub(line.len()))]);
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            if self.pattern.is_match(text) {
                self.found = Some(String::from_utf8_lossy(text).into_owned());
            }
            if pieces.peek().is_some() {
                line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_across_pieces() {
        let mut search = LogSearch::new("^listening on [0-9]+$").expect("a pattern");
        let mut look_at = |stream, data: &[u8]| {
            search.look_at(stream, data);
            search.found.take()
        };
        assert_eq!(look_at(Stream::Stdout, b"starting\nliste"), None);
        assert_eq!(look_at(Stream::Stderr, b"ning on 80"), None);
        assert_eq!(look_at(Stream::Stdout, b"ning on "), None);
        assert_eq!(look_at(Stream::Stdout, b"80\r\nnext"), Some("listening on 80".into()));
        let error = LogSearch::new("(").err().expect("no pattern");
        assert_eq!(error.error_code, ErrorCode::InvalidPattern);
    }
}
