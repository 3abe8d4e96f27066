//! What a snapshot keeps of a counter.

use serde::{Deserialize, Serialize};

use super::{Channel, Latch, Phase};
use crate::RestoreError;
use crate::error::check;

/// No time of the machine reaches this clock; keeps sums in range for any saved state.
const CLOCK_LIMIT: i64 = 1 << 60;

/// Saved state of the counting element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseState {
    /// Nothing to count.
    Idle,
    /// Counting.
    Running {
        /// Clock (1 193 182 Hz since power-on) at which the count was loaded.
        loaded: i64,
    },
    /// Stopped by the gate.
    Held {
        /// Clocks counted before.
        elapsed: i64,
    },
}

/// Saved state of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// Mode, 0 to 5.
    pub mode: u8,
    /// Counts in decimal.
    pub bcd: bool,
    /// Control word bits 4 and 5, 1 to 3.
    pub access: u8,
    /// Level of the gate input.
    pub gate: bool,
    /// The counting element.
    pub phase: PhaseState,
    /// Count in the counting element, 1 to 65536.
    pub initial: u32,
    /// Count written and not loaded yet, 1 to 65536.
    pub next: Option<u32>,
    /// Modes 2 and 3: clock at which `next` is loaded.
    pub next_at: i64,
    /// Low byte written, the high byte follows.
    pub written_low: Option<u8>,
    /// The high byte of the count is read next.
    pub read_high: bool,
    /// Bytes of the latched count still to be read, in that order.
    pub latched_count: Vec<u8>,
    /// Latched status byte.
    pub latched_status: Option<u8>,
}

impl Channel {
    pub(in crate::pit) fn save(&self) -> ChannelState {
        let Self {
            mode,
            bcd,
            access,
            gate,
            phase,
            initial,
            next,
            next_at,
            written_low,
            read_high,
            latched_count,
            latched_status,
        } = self;
        ChannelState {
            mode: *mode,
            bcd: *bcd,
            access: *access,
            gate: *gate,
            phase: match *phase {
                Phase::Idle => PhaseState::Idle,
                Phase::Running { loaded } => PhaseState::Running { loaded },
                Phase::Held { elapsed } => PhaseState::Held { elapsed },
            },
            initial: *initial as u32,
            next: next.map(|count| count as u32),
            next_at: *next_at,
            written_low: *written_low,
            read_high: *read_high,
            latched_count: match *latched_count {
                Latch::Empty => vec![],
                Latch::One(byte) => vec![byte],
                Latch::Two(first, second) => vec![first, second],
            },
            latched_status: *latched_status,
        }
    }

    pub(in crate::pit) fn restore(state: ChannelState) -> Result<Self, RestoreError> {
        let ChannelState {
            mode,
            bcd,
            access,
            gate,
            phase,
            initial,
            next,
            next_at,
            written_low,
            read_high,
            latched_count,
            latched_status,
        } = state;
        let clock_valid = |clock: i64| (-CLOCK_LIMIT..CLOCK_LIMIT).contains(&clock);
        let count_valid = |count: u32| (1..=0x10000).contains(&count);
        check(mode <= 5, "pit", "mode")?;
        check((1..=3).contains(&access), "pit", "access")?;
        check(count_valid(initial), "pit", "initial")?;
        check(next.is_none_or(count_valid), "pit", "next")?;
        check(clock_valid(next_at), "pit", "next_at")?;
        let phase = match phase {
            PhaseState::Idle => Phase::Idle,
            PhaseState::Running { loaded } => {
                check(clock_valid(loaded), "pit", "loaded")?;
                Phase::Running { loaded }
            }
            PhaseState::Held { elapsed } => {
                check((0..CLOCK_LIMIT).contains(&elapsed), "pit", "elapsed")?;
                Phase::Held { elapsed }
            }
        };
        let latched_count = match latched_count[..] {
            [] => Latch::Empty,
            [byte] => Latch::One(byte),
            [first, second] => Latch::Two(first, second),
            _ => return Err(RestoreError::OutOfRange { chip: "pit", field: "latched_count" }),
        };
        Ok(Self {
            mode,
            bcd,
            access,
            gate,
            phase,
            initial: i64::from(initial),
            next: next.map(i64::from),
            next_at,
            written_low,
            read_high,
            latched_count,
            latched_status,
        })
    }
}
