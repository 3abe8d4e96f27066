//! How much unanswered input is held in memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of unanswered lines above which no further line is read: 512 MiB.
pub const LARGEST_BACKLOG: usize = 512 << 20;
/// What a line costs beside its bytes.
const OVERHEAD: usize = 4096;

/// Counts the bytes of lines that have no answer yet.
#[derive(Clone, Default)]
pub struct Backlog(Arc<(Mutex<usize>, Condvar)>);

/// The share of one line; dropping it gives the bytes back.
pub struct Share {
    backlog: Backlog,
    bytes: usize,
}

impl Backlog {
    /// Waits until the backlog is below its limit, then adds a line of `length` bytes. A single line
    /// may go beyond the limit, so that every line passes.
    pub fn add(&self, length: usize) -> Share {
        let bytes = length + OVERHEAD;
        let mut total = self.lock();
        while *total >= LARGEST_BACKLOG {
            total = self.0.1.wait(total).unwrap_or_else(PoisonError::into_inner);
        }
        *total += bytes;
        drop(total);
        Share { backlog: self.clone(), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.backlog.lock() -= self.bytes;
        self.backlog.0.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_lets_the_next_line_in_when_one_is_answered() {
        let backlog = Backlog::default();
        let first = backlog.add(LARGEST_BACKLOG);
        let (told, tell) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn({
            let backlog = backlog.clone();
            move || {
                let share = backlog.add(1);
                told.send(()).unwrap();
                drop(share);
            }
        });
        assert!(tell.try_recv().is_err());
        drop(first);
        waiting.join().unwrap();
        assert_eq!((tell.try_recv(), *backlog.lock()), (Ok(()), 0));
    }
}
