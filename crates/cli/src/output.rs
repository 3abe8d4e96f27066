//! Standard output: answers and events wait here until the client reads them.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use wasm_sandbox::protocol::json::{Event, Response};
use wasm_sandbox::{Client, Input};

use crate::backlog::Share;

/// Bytes that may wait; then no request is started, and what causes events is stopped, until the client has read.
pub const LARGEST_UNREAD: usize = 8 << 20;

/// Lines on their way to the client.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: VecDeque<(Vec<u8>, Option<Share>)>,
    bytes: usize,
    /// No more lines will come.
    ended: bool,
    /// Somebody was told that there is no room.
    refused: bool,
}

impl Output {
    /// Writes lines to `target` until there will be no more, or nobody reads them. `fleet` hears when there is room again,
    /// and when nobody reads.
    pub fn write_to(&self, mut target: impl Write, fleet: &Sender<Input>) {
        while let Some((line, share)) = self.next_line() {
            let is_last = self.lock().lines.is_empty();
            let written =
                target.write_all(&line).and_then(|()| if is_last { target.flush() } else { Ok(()) });
            drop(share);
            if let Err(error) = written {
                tracing::debug!(%error, "nobody reads the answers any more");
                let _it_has_ended = fleet.send(Input::Stop);
                return;
            }
            let mut state = self.lock();
            state.bytes -= line.len();
            if state.refused && state.bytes < LARGEST_UNREAD / 2 {
                state.refused = false;
                drop(state);
                let _it_has_ended = fleet.send(Input::Room);
            }
        }
    }

    /// No more lines will come.
    pub fn end(&self) {
        self.lock().ended = true;
        self.0.1.notify_all();
    }

    fn push(&self, line: Vec<u8>, share: Option<Share>) {
        let mut state = self.lock();
        state.bytes += line.len();
        state.lines.push_back((line, share));
        self.0.1.notify_all();
    }

    fn has_room(&self) -> bool {
        let mut state = self.lock();
        let has_room = state.bytes < LARGEST_UNREAD;
        state.refused |= !has_room;
        has_room
    }

    fn next_line(&self) -> Option<(Vec<u8>, Option<Share>)> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                return Some(line);
            }
            if state.ended {
                return None;
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever sent one line.
pub struct LineClient {
    output: Output,
    share: Mutex<Option<Share>>,
}

impl LineClient {
    /// The client of a line that holds `share` of the backlog until its answer is written.
    pub fn new(output: &Output, share: Share) -> Self {
        Self { output: output.clone(), share: Mutex::new(Some(share)) }
    }
}

impl Client for LineClient {
    fn answer(&self, response: Response) {
        let share = self.share.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.output.push(to_line(&response), share);
    }

    fn event(&self, event: Event) {
        self.output.push(to_line(&event), None);
    }

    fn has_room(&self) -> bool {
        self.output.has_room()
    }
}

/// A message as a line. Messages are plain data, so that this does not fail.
fn to_line(message: &impl serde::Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_else(|error| {
        tracing::error!(%error, "a message cannot be written");
        Vec::new()
    });
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_output_has_room_again_when_it_was_read() {
        let output = Output::default();
        assert!(output.has_room());
        output.push(vec![b'x'; LARGEST_UNREAD], None);
        assert!(!output.has_room());
        output.end();
        let (fleet, inputs) = std::sync::mpsc::channel();
        let mut target = Vec::new();
        output.write_to(&mut target, &fleet);
        assert_eq!(target.len(), LARGEST_UNREAD);
        assert!(matches!(inputs.try_recv(), Ok(Input::Room)));
        assert!(output.has_room());
    }

    #[test]
    fn a_reader_that_is_gone_stops_the_fleet() {
        let output = Output::default();
        output.push(b"line\n".to_vec(), None);
        let (fleet, inputs) = std::sync::mpsc::channel();
        output.write_to(&mut [0_u8; 2][..], &fleet);
        assert!(matches!(inputs.try_recv(), Ok(Input::Stop)));
    }
}
