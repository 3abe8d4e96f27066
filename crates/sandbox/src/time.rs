//! The time that a worker goes by: the host's, or that of its machine where it follows instructions.
//!
//! Everything a worker does happens on one thread, so the machine's time is kept with the thread.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What machine times are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// Machine time of this thread's machine, if that is what counts.
    static MACHINE_TIME: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Sets the time of this thread; `None` for the host's.
pub(crate) fn follow(machine_time: Option<Duration>) {
    MACHINE_TIME.set(machine_time);
}

/// The present.
pub(crate) fn now() -> Instant {
    MACHINE_TIME.get().map_or_else(Instant::now, |time| *ORIGIN + time)
}

/// The time since `start`.
pub(crate) fn since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_s_time_stands_until_it_is_told() {
        follow(Some(Duration::from_secs(5)));
        let start = now();
        assert_eq!(since(start), Duration::ZERO);
        follow(Some(Duration::from_secs(7)));
        assert_eq!(since(start), Duration::from_secs(2));
        follow(None);
        assert!(now() >= *ORIGIN);
    }
}
