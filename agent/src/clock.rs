//! The guest's wall clock.

use rustix::time::{ClockId, Timespec};

/// Sets it to nanoseconds since 1970.
pub fn set(wall_clock_ns: u64) {
    let seconds = wall_clock_ns / 1_000_000_000;
    let time = Timespec { tv_sec: seconds as _, tv_nsec: (wall_clock_ns % 1_000_000_000) as _ };
    if let Err(error) = rustix::time::clock_settime(ClockId::Realtime, time) {
        crate::log!("cannot set the clock: {}", crate::failure::describe(error));
    }
}
