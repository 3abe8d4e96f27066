//! Standard input of a process: what the host sent waits here until the program reads.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{AgentToHost, INITIAL_WINDOW, OperationId};

use crate::poller::{Poller, Token};
use crate::port::Sender;

/// What a terminal takes for "no more input" at the start of a line.
const END_OF_FILE_CHARACTER: u8 = 4;

/// The writing end and the bytes that wait for it.
pub struct Input {
    /// `None` once it was closed, by the host or by the program.
    fd: Option<OwnedFd>,
    token: Token,
    terminal: bool,
    waiting: Vec<u8>,
    written: usize,
    close_after: bool,
    watched: bool,
    /// Bytes the host may still send.
    window: u32,
    /// Bytes consumed that the host was not yet told of.
    owed: u32,
}

impl Input {
    /// Takes the writing end.
    pub fn new(fd: OwnedFd, token: Token, terminal: bool) -> Self {
        Self {
            fd: Some(fd),
            token,
            terminal,
            waiting: Vec::new(),
            written: 0,
            close_after: false,
            watched: false,
            window: INITIAL_WINDOW,
            owed: 0,
        }
    }

    /// Data that came with the request and does not count against the window.
    pub fn start_with(&mut self, data: &[u8], poller: &Poller) {
        self.waiting.extend_from_slice(data);
        self.close(poller);
    }

    /// The same, with more to come from the host.
    pub fn feed_first(&mut self, data: &[u8], poller: &Poller) {
        self.waiting.extend_from_slice(data);
        self.write(poller);
    }

    /// Data from the host; `false` if it is more than the window allows.
    pub fn feed(&mut self, data: &[u8], op: OperationId, sender: &mut Sender, poller: &Poller) -> bool {
        let Some(window) = self.window.checked_sub(data.len() as u32) else { return false };
        self.window = window;
        if self.fd.is_some() && !self.close_after {
            self.waiting.extend_from_slice(data);
        } else {
            // Nobody will read it: consumed.
            self.owed += data.len() as u32;
        }
        self.advance(op, sender, poller);
        true
    }

    /// No more data will come.
    pub fn close(&mut self, poller: &Poller) {
        if self.close_after {
            return;
        }
        if self.terminal {
            self.waiting.push(END_OF_FILE_CHARACTER);
        } else {
            self.close_after = true;
        }
        self.write(poller);
    }

    /// Writes what the pipe takes, and tells the host about it now and then.
    pub fn advance(&mut self, op: OperationId, sender: &mut Sender, poller: &Poller) {
        self.owed += self.write(poller);
        let credit = self.owed.min(INITIAL_WINDOW - self.window);
        if credit >= INITIAL_WINDOW / 2 || (credit > 0 && self.waiting.is_empty()) {
            self.owed = 0;
            self.window += credit;
            sender.send(&AgentToHost::Credit { op, bytes: credit });
        }
    }

    /// Gives up the writing end.
    pub fn abandon(&mut self, poller: &Poller) {
        if let Some(fd) = self.fd.take()
            && self.watched
        {
            // A terminal has a second file descriptor, so closing this one would not end the registration.
            poller.remove(&fd);
        }
        self.watched = false;
    }

    fn write(&mut self, poller: &Poller) -> u32 {
        let before = self.written;
        let mut broken = false;
        while let Some(fd) = &self.fd
            && self.written < self.waiting.len()
        {
            match rustix::io::write(fd, &self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    // The program closed its end; the rest goes nowhere.
                    broken = true;
                    break;
                }
            }
        }
        let mut consumed = self.written - before;
        if broken {
            consumed = self.waiting.len() - before;
            self.written = self.waiting.len();
        }
        if self.written == self.waiting.len() {
            self.waiting = Vec::new();
            self.written = 0;
            if broken || self.close_after {
                self.abandon(poller);
            }
        }
        let wanted = !self.waiting.is_empty();
        if let Some(fd) = &self.fd
            && wanted != self.watched
        {
            self.watched = wanted;
            if wanted {
                let _without_epoll_it_waits_for_the_next_frame = poller.add(fd, self.token, EventFlags::OUT);
            } else {
                poller.remove(fd);
            }
        }
        consumed as u32
    }
}
