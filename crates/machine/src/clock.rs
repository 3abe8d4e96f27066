//! The machine's one source of time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasm_sandbox_devices::VmTime;

/// What machine time follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockSource {
    /// The host's monotonic clock, while the machine runs.
    #[default]
    Host,
    /// The instructions it executes: a nanosecond each. What it would wait for, it skips
    /// ([`Machine::skip`](crate::Machine::skip)). So the same requests take the same time on every host.
    Instructions,
}

/// The time of day at power-on of a machine whose time follows its instructions: 2025-01-01 00:00 UTC.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// Machine time.
#[derive(Debug)]
pub struct Clock {
    /// Machine time when it was last looked up.
    base: VmTime,
    pace: Pace,
}

#[derive(Debug)]
enum Pace {
    /// Follows the host since then; `None` while the clock stands.
    Host { since: Option<Instant> },
    /// Follows instructions; how many the CPU had executed at `base`, once that is known.
    Instructions { executed: Option<u64> },
}

impl Clock {
    /// A clock that stands at `base`.
    pub fn stopped_at(base: VmTime, source: ClockSource) -> Self {
        let pace = match source {
            ClockSource::Host => Pace::Host { since: None },
            ClockSource::Instructions => Pace::Instructions { executed: None },
        };
        Self { base, pace }
    }

    /// Starts the clock; no effect while it runs.
    pub fn start(&mut self) {
        if let Pace::Host { since } = &mut self.pace {
            since.get_or_insert_with(Instant::now);
        }
    }

    /// Stops the clock; no effect while it stands.
    pub fn stop(&mut self) {
        self.base = self.now();
        if let Pace::Host { since } = &mut self.pace {
            *since = None;
        }
    }

    /// Machine time now.
    pub fn now(&self) -> VmTime {
        match self.pace {
            Pace::Host { since } => since.map_or(self.base, |since| self.base + since.elapsed()),
            Pace::Instructions { .. } => self.base,
        }
    }

    /// Tells how many instructions the CPU has executed since power-on.
    pub fn note_instructions(&mut self, now: u64) {
        if let Pace::Instructions { executed } = &mut self.pace {
            let spent = now.saturating_sub(executed.unwrap_or(now));
            self.base = self.base + Duration::from_nanos(spent);
            *executed = Some(now);
        }
    }

    /// Whether time follows instructions.
    pub fn is_virtual(&self) -> bool {
        matches!(self.pace, Pace::Instructions { .. })
    }

    /// Lets `duration` pass at once, if time follows instructions.
    pub fn skip(&mut self, duration: Duration) {
        if self.is_virtual() {
            self.base = self.base + duration;
        }
    }

    /// The time of day, since 1970-01-01 00:00 UTC: the host's, or one that depends on machine time alone.
    pub fn wall_clock(&self) -> Duration {
        if self.is_virtual() {
            VIRTUAL_EPOCH + Duration::from_nanos(self.base.as_nanos())
        } else {
            wall_clock()
        }
    }
}

/// The host's wall-clock time since 1970-01-01 00:00 UTC; zero on hosts whose clock stands before that.
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_stands_still_and_goes_on_from_there() {
        let mut clock = Clock::stopped_at(VmTime::from_nanos(5), ClockSource::Host);
        assert_eq!(clock.now(), VmTime::from_nanos(5));
        clock.start();
        let running = clock.now();
        assert!(running >= VmTime::from_nanos(5));
        clock.note_instructions(1 << 60);
        clock.skip(Duration::from_secs(1 << 30));
        assert!(clock.now() < VmTime::from_nanos(1 << 60));
        clock.stop();
        let stopped = clock.now();
        assert!(stopped >= running);
        assert_eq!(clock.now(), stopped);
    }

    #[test]
    fn time_that_follows_instructions_knows_no_host() {
        let mut clock = Clock::stopped_at(VmTime::from_nanos(5), ClockSource::Instructions);
        clock.start();
        clock.note_instructions(1000);
        assert_eq!(clock.now(), VmTime::from_nanos(5), "those before it was made");
        clock.note_instructions(1300);
        clock.skip(Duration::from_nanos(95));
        clock.stop();
        assert_eq!(clock.now(), VmTime::from_nanos(400));
        assert_eq!(clock.wall_clock(), VIRTUAL_EPOCH + Duration::from_nanos(400));
    }
}
