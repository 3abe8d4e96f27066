//! The byte stream to the host: frames in, frames out, nothing blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, Result};
use rustix::time::Timespec;
use wasm_sandbox_protocol::agent::{AgentToHost, Decoder, FrameError, HostToAgent, OperationId, encode};

use crate::failure::Refusal;
use crate::poller::{Poller, Token};

/// The virtio console driver hands out at most a page for each read and takes at most 32 KiB for each write; a socket
/// does better with more.
const READ: usize = 64 * 1024;
/// Bytes in a page.
const PAGE: usize = 4096;

/// Unsent bytes beyond which the agent stops producing more.
pub const HIGH_WATER: usize = 512 * 1024;

/// What a read from the port brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes to decode.
    Some,
    /// Nothing for now.
    Nothing,
    /// The other side has gone.
    Closed,
}

/// The incoming half.
pub struct Receiver {
    decoder: Decoder,
}

impl Receiver {
    /// Starts without any bytes.
    pub fn new() -> Self {
        Self { decoder: Decoder::new() }
    }

    /// Reads what is there, but not much more than [`READ`] bytes.
    pub fn fill(&mut self, port: BorrowedFd) -> Result<Received> {
        let mut received = Received::Nothing;
        for _page in 0..READ / PAGE {
            match rustix::io::read(port, self.decoder.spare(READ)) {
                Ok(0) if received == Received::Nothing => return Ok(Received::Closed),
                Ok(count) => {
                    self.decoder.filled(count);
                    received = Received::Some;
                    // The driver has handed out a page, and may have another; asking is cheaper than waiting first.
                    if count != PAGE {
                        break;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(received)
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> std::result::Result<Option<HostToAgent<'_>>, FrameError> {
        self.decoder.next_frame()
    }
}

/// The outgoing half: frames collect here and leave together, one write for everything one event brought about.
pub struct Sender {
    port: OwnedFd,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were written already.
    written: usize,
    waiting: bool,
}

impl Sender {
    /// Takes a port that does not block, and waits for its input.
    pub fn new(port: OwnedFd, poller: &Poller) -> Result<Self> {
        poller.add(&port, Token::Port, EventFlags::IN)?;
        Ok(Self { port, buffer: Vec::new(), written: 0, waiting: false })
    }

    /// The port itself, for reading.
    pub fn port(&self) -> BorrowedFd<'_> {
        self.port.as_fd()
    }

    /// Queues a frame.
    pub fn send(&mut self, message: &AgentToHost) {
        // The agent's own messages are all far below the limit; if one were not, leaving it out is all that can be done.
        let _too_large = encode(message, &mut self.buffer);
    }

    /// Queues the last frame of an operation that did not succeed.
    pub fn fail(&mut self, op: OperationId, refusal: Refusal) {
        let Refusal { code, message } = refusal;
        self.send(&AgentToHost::Failed(wasm_sandbox_protocol::agent::Failure { op, code, message }));
    }

    /// Bytes that still have to be written.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Whether the host is so far behind that nothing more should be produced.
    pub fn is_full(&self) -> bool {
        self.pending() > HIGH_WATER
    }

    /// Writes as much as the port takes now; what is left is written when it takes more.
    pub fn flush(&mut self, poller: &Poller) -> Result<()> {
        while self.pending() > 0 {
            match rustix::io::write(&self.port, &self.buffer[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        if self.pending() == 0 {
            self.buffer.clear();
            self.written = 0;
            // A burst should not keep its memory for ever.
            self.buffer.shrink_to(HIGH_WATER);
        }
        let waiting = self.pending() > 0;
        if waiting != self.waiting {
            self.waiting = waiting;
            let flags = if waiting { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            poller.modify(&self.port, Token::Port, flags)?;
        }
        Ok(())
    }

    /// Waits for the port alone, for a sender that is full.
    pub fn wait_for_room(&self, until: Option<Instant>, ready: &mut Vec<(Token, EventFlags)>) -> Result<()> {
        let mut fds = [PollFd::new(&self.port, PollFlags::OUT)];
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            ready.push((Token::Port, EventFlags::HUP));
        }
        Ok(())
    }

    /// While the host is away the port reports a hang-up without end; edge-triggered, it reports only changes.
    pub fn host_is_away(&mut self, poller: &Poller) -> Result<()> {
        self.waiting = true;
        poller.modify(&self.port, Token::Port, EventFlags::IN | EventFlags::OUT | EventFlags::ET)
    }
}
