//! The one place where the server waits: epoll, with names for what is waited for.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, Result};
use rustix::time::Timespec;

/// Names a process of the agent; unlike an operation identifier it is never used twice.
pub type Key = u32;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The port to the host.
    Port,
    /// The leader of this process tree has ended.
    Leader(Key),
    /// There is room for standard input.
    Stdin(Key),
    /// There is standard output, or terminal output.
    Stdout(Key),
    /// There is standard error output.
    Stderr(Key),
    /// The control group's state changed.
    Group(Key),
    /// A shell that waited for a command has ended.
    Waiting(Key),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, key) = match self {
            Token::Port => (0, 0),
            Token::Leader(key) => (1, key),
            Token::Stdin(key) => (2, key),
            Token::Stdout(key) => (3, key),
            Token::Stderr(key) => (4, key),
            Token::Group(key) => (5, key),
            Token::Waiting(key) => (6, key),
        };
        kind << 32 | u64::from(key)
    }

    fn unpack(data: u64) -> Option<Self> {
        let key = data as Key;
        Some(match data >> 32 {
            0 => Token::Port,
            1 => Token::Leader(key),
            2 => Token::Stdin(key),
            3 => Token::Stdout(key),
            4 => Token::Stderr(key),
            5 => Token::Group(key),
            6 => Token::Waiting(key),
            _ => return None,
        })
    }
}

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Creates it.
    pub fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(64) })
    }

    /// Starts to wait for a file descriptor. It ends when the file descriptor is closed.
    pub fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token.pack()), flags)
    }

    /// Changes what is waited for, or arms a one-shot wait again.
    pub fn modify(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token.pack()), flags)
    }

    /// Ends waiting for a file descriptor that stays open.
    pub fn remove(&self, fd: impl AsFd) {
        let _not_registered = epoll::delete(&self.epoll, fd);
    }

    /// Waits until something happens or `until` has come; appends to `ready`.
    pub fn wait(&mut self, until: Option<Instant>, ready: &mut Vec<(Token, EventFlags)>) -> Result<()> {
        let timeout = until.map(|until| {
            // Rounded up to whole milliseconds, what epoll_wait knows: waking early would only mean waiting again.
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_nanos(999_999);
            Timespec {
                tv_sec: left.as_secs() as _,
                tv_nsec: i64::from(left.subsec_millis() * 1_000_000) as _,
            }
        });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        ready.extend(self.events.iter().filter_map(|event| {
            let (data, flags) = (event.data, event.flags);
            Some((Token::unpack(data.u64())?, flags))
        }));
        Ok(())
    }
}
