//! The machine's one source of time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasm_sandbox_devices::VmTime;

/// Machine time that follows the host's monotonic clock while it runs, and stands still while the
/// machine is paused.
#[derive(Debug)]
pub struct Clock {
    /// Machine time at `since`.
    base: VmTime,
    /// When the clock was started; `None` while it stands.
    since: Option<Instant>,
}

impl Clock {
    /// A clock that stands at `base`.
    pub fn stopped_at(base: VmTime) -> Self {
        Self { base, since: None }
    }

    /// Starts the clock; no effect while it runs.
    pub fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Stops the clock; no effect while it stands.
    pub fn stop(&mut self) {
        self.base = self.now();
        self.since = None;
    }

    /// Machine time now.
    pub fn now(&self) -> VmTime {
        self.since.map_or(self.base, |since| self.base + since.elapsed())
    }
}

/// Wall-clock time since 1970-01-01 00:00 UTC; zero on hosts whose clock stands before that.
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_stands_still_and_goes_on_from_there() {
        let mut clock = Clock::stopped_at(VmTime::from_nanos(5));
        assert_eq!(clock.now(), VmTime::from_nanos(5));
        clock.start();
        let running = clock.now();
        assert!(running >= VmTime::from_nanos(5));
        clock.stop();
        let stopped = clock.now();
        assert!(stopped >= running);
        assert_eq!(clock.now(), stopped);
    }
}
