//! Reading a file.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use wasm_sandbox_protocol::agent::{AgentToHost, FileEnd, INITIAL_WINDOW, OperationId, ReadFile};

use super::{absolute, regular};
use crate::failure::Refusal;
use crate::port::Sender;

/// Bytes one reader sends before others get their turn.
const TURN: u64 = 256 * 1024;

/// A file that is being sent to the host.
pub struct FileReader {
    op: OperationId,
    path: Vec<u8>,
    file: OwnedFd,
    stat: Stat,
    offset: u64,
    left: u64,
    sent: u64,
    window: u32,
}

/// What is left to do for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// There is more, and it may be sent.
    More,
    /// There may be more, when the host grants credit.
    Waiting,
    /// The last frame was sent.
    Done,
}

impl FileReader {
    /// Opens the file.
    pub fn open(request: &ReadFile) -> Result<Self, Refusal> {
        let path = request.path.as_slice();
        let failed = |error| Refusal::of(error, "cannot read", path);
        // Without NONBLOCK, opening a named pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(absolute(path)?, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        regular(&stat, path)?;
        Ok(Self {
            op: request.op,
            path: path.into(),
            file,
            stat,
            offset: request.offset,
            left: request.length.unwrap_or(u64::MAX),
            sent: 0,
            window: INITIAL_WINDOW,
        })
    }

    /// The host takes more.
    pub fn credit(&mut self, bytes: u32) {
        self.window = self.window.saturating_add(bytes);
    }

    /// Whether the host takes anything now.
    pub fn has_credit(&self) -> bool {
        self.window > 0
    }

    /// Sends what fits into one turn.
    pub fn advance(&mut self, scratch: &mut [u8], sender: &mut Sender) -> Reading {
        let turn_ends = self.sent + TURN;
        while self.left > 0 {
            if self.window == 0 {
                return Reading::Waiting;
            }
            if self.sent >= turn_ends || sender.is_full() {
                return Reading::More;
            }
            let room =
                scratch.len().min(self.window as usize).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let count = match rustix::io::pread(&self.file, &mut scratch[..room], self.offset) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                // An offset beyond what the kernel can express is beyond the end.
                Err(Errno::INVAL | Errno::OVERFLOW) if self.offset > i64::MAX as u64 => break,
                Err(error) => {
                    sender.fail(self.op, Refusal::of(error, "cannot read", &self.path));
                    return Reading::Done;
                }
            };
            sender.send(&AgentToHost::FileData { op: self.op, data: scratch[..count].into() });
            self.offset += count as u64;
            self.sent += count as u64;
            self.left -= count as u64;
            self.window -= count as u32;
            if self.offset == self.stat.st_size as u64 {
                // The end, as far as is known: saves the read that would return nothing.
                break;
            }
        }
        #[allow(clippy::unnecessary_cast, reason = "the type differs between 32 and 64 bits")]
        let seconds = self.stat.st_mtime as i64;
        sender.send(&AgentToHost::FileEnd(FileEnd {
            op: self.op,
            sent: self.sent,
            size: self.stat.st_size as u64,
            mode: (self.stat.st_mode & 0o7777) as u16,
            modified_ns: seconds.saturating_mul(1_000_000_000).saturating_add(self.stat.st_mtime_nsec as i64),
        }));
        Reading::Done
    }
}
