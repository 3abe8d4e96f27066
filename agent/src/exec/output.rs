//! One output stream of a process, from its pipe or terminal to frames.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{AgentToHost, OperationId, Stream};

use crate::poller::{Poller, Token};
use crate::port::Sender;

/// A read of this size shows a program that writes a lot: its pipe is enlarged and watched without pauses.
const BULK: usize = 32 * 1024;

/// The size of a new pipe.
const USUAL_PIPE: usize = 64 * 1024;

/// The size of an enlarged pipe.
const LARGE_PIPE: usize = 1 << 20;

/// Whether and how epoll watches a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Not registered.
    No,
    /// Registered; one event, then [`Watch::Spent`].
    Once,
    /// Registered, but silent until armed again.
    Spent,
    /// Registered, and reported as long as there is data.
    Always,
}

/// What a stream can still give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// There may be more.
    No,
    /// Everything written before the leader's end has been read.
    Yes,
}

/// One output stream.
///
/// A program that writes line by line would wake the agent for each line, and each wake-up costs two context switches.
/// So after a read the stream is left alone for `delay`, during which the pipe collects; at first too, and a short
/// command never gets its streams registered at all.
pub struct Output {
    fd: OwnedFd,
    stream: Stream,
    token: Token,
    terminal: bool,
    watch: Watch,
    /// When to watch again.
    resume: Option<Instant>,
    bulk: bool,
    enlarged: bool,
    /// The end of file was seen.
    ended: bool,
    /// After the leader's end: the bytes that may have been in the pipe at that moment.
    rest: Option<usize>,
}

impl Output {
    /// Takes the reading end.
    pub fn new(fd: OwnedFd, stream: Stream, token: Token, terminal: bool, resume: Instant) -> Self {
        let (watch, resume) = (Watch::No, Some(resume));
        Self {
            fd,
            stream,
            token,
            terminal,
            watch,
            resume,
            bulk: false,
            enlarged: false,
            ended: false,
            rest: None,
        }
    }

    /// When [`Output::tick`] wants to be called.
    pub fn next_tick(&self) -> Option<Instant> {
        self.resume
    }

    /// Starts to watch again when the pause is over.
    pub fn tick(&mut self, now: Instant, delay: Duration, poller: &Poller) {
        if self.resume.is_some_and(|resume| resume <= now) {
            self.resume = None;
            self.set_watch(if delay.is_zero() || self.bulk { Watch::Always } else { Watch::Once }, poller);
        }
    }

    /// Sends what can be read now, as far as `window` goes.
    pub fn forward(
        &mut self,
        op: OperationId,
        window: &mut u32,
        delay: Duration,
        scratch: &mut [u8],
        sender: &mut Sender,
        poller: &Poller,
    ) {
        if self.watch == Watch::Once {
            self.watch = Watch::Spent;
        }
        if self.ended {
            return;
        }
        if *window == 0 {
            // A hang-up would be reported again and again even with no events asked for.
            self.resume = None;
            return self.set_watch(Watch::No, poller);
        }
        let room = scratch.len().min(*window as usize).min(self.rest.unwrap_or(usize::MAX));
        let count = self.read(&mut scratch[..room]);
        if count > 0 {
            *window -= count as u32;
            sender.send(&AgentToHost::Output { op, stream: self.stream, data: scratch[..count].into() });
        }
        if self.ended {
            return self.set_watch(Watch::No, poller);
        }
        if count >= BULK && !self.bulk {
            self.bulk = true;
            if !self.terminal {
                self.enlarged |= rustix::pipe::fcntl_setpipe_size(&self.fd, LARGE_PIPE).is_ok();
            }
        } else if count < BULK / 8 {
            self.bulk = false;
        }
        if self.bulk || delay.is_zero() {
            self.set_watch(Watch::Always, poller);
        } else {
            if self.watch == Watch::Always {
                self.set_watch(Watch::No, poller);
            }
            self.resume = Some(Instant::now() + delay);
        }
    }

    /// The leader has ended: from now on only what is in the pipe counts.
    pub fn leader_ended(&mut self, poller: &Poller) {
        self.resume = None;
        self.set_watch(if self.terminal { Watch::Always } else { Watch::No }, poller);
        if !self.terminal {
            self.rest = Some(if self.enlarged { LARGE_PIPE } else { USUAL_PIPE });
        }
    }

    /// Sends the rest after the leader's end, as far as `window` goes. A terminal ends with a hang-up, which the kernel
    /// causes when the leader of its session ends.
    pub fn drain(
        &mut self,
        op: OperationId,
        window: &mut u32,
        scratch: &mut [u8],
        sender: &mut Sender,
        poller: &Poller,
    ) -> Drained {
        while !self.ended {
            let room = scratch.len().min(self.rest.unwrap_or(usize::MAX));
            if room == 0 {
                return Drained::Yes;
            }
            let room = room.min(*window as usize);
            if room == 0 || sender.is_full() {
                self.set_watch(Watch::No, poller);
                return Drained::No;
            }
            let count = self.read(&mut scratch[..room]);
            if count == 0 && !self.ended {
                if !self.terminal {
                    return Drained::Yes;
                }
                self.set_watch(Watch::Always, poller);
                return Drained::No;
            }
            if count > 0 {
                *window -= count as u32;
                self.rest = self.rest.map(|rest| rest - count);
                sender.send(&AgentToHost::Output { op, stream: self.stream, data: scratch[..count].into() });
            }
        }
        Drained::Yes
    }

    /// Reads and drops what a process left behind still writes: with nobody reading, it would stop at a full pipe, or
    /// be killed by SIGPIPE.
    pub fn discard(&mut self, scratch: &mut [u8], poller: &Poller) {
        self.rest = None;
        self.read(scratch);
        let watch = if self.ended { Watch::No } else { Watch::Always };
        self.set_watch(watch, poller);
    }

    /// Watches again after credit came.
    pub fn credit_came(&mut self, now: Instant, poller: &Poller) {
        if !self.ended && self.watch == Watch::No && self.resume.is_none() {
            self.resume = Some(now);
            self.tick(now, Duration::ZERO, poller);
        }
    }

    /// Whether nobody can write to it any more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The terminal or pipe itself.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Ends watching, for a file descriptor that will be closed although a copy of it stays open.
    pub fn close(mut self, poller: &Poller) {
        self.set_watch(Watch::No, poller);
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => return count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                // A terminal whose last user has gone answers EIO.
                Err(_) => self.ended = true,
            }
            return 0;
        }
    }

    fn set_watch(&mut self, watch: Watch, poller: &Poller) {
        let flags = match watch {
            Watch::Once => EventFlags::IN | EventFlags::ONESHOT,
            _ => EventFlags::IN,
        };
        let result = match (self.watch, watch) {
            (old, new) if old == new => return,
            (Watch::No, _) => poller.add(&self.fd, self.token, flags),
            (_, Watch::No) => {
                poller.remove(&self.fd);
                Ok(())
            }
            _ => poller.modify(&self.fd, self.token, flags),
        };
        self.watch = if result.is_ok() { watch } else { Watch::No };
    }
}
