//! One of the 8254's three counters.

mod state;

pub use state::{ChannelState, PhaseState};

/// What the counting element does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No count since the control word (or only its first byte), or no trigger: output as the mode
    /// has it initially.
    Idle,
    /// The count was loaded at this clock and decreases with every clock.
    Running { loaded: i64 },
    /// The gate is low: this many clocks had been counted.
    Held { elapsed: i64 },
}

/// Bytes to be read from a latch: the first is the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latch {
    Empty,
    One(u8),
    Two(u8, u8),
}

#[derive(Debug)]
pub(super) struct Channel {
    /// 0 to 5.
    mode: u8,
    bcd: bool,
    /// Control word bits 4 and 5: 1 low byte only, 2 high byte only, 3 low then high.
    access: u8,
    gate: bool,
    phase: Phase,
    /// The count in the counting element, 1 to 65536.
    initial: i64,
    /// A count written and not yet loaded.
    next: Option<i64>,
    /// Modes 2 and 3: the clock at which `next` is loaded.
    next_at: i64,
    /// The low byte written, when the high byte is to follow.
    written_low: Option<u8>,
    /// The low byte of a count was read, the high byte is next.
    read_high: bool,
    latched_count: Latch,
    latched_status: Option<u8>,
}

impl Channel {
    pub(super) fn new(gate: bool) -> Self {
        Self {
            mode: 0,
            bcd: false,
            access: 3,
            gate,
            phase: Phase::Idle,
            initial: 0x10000,
            next: None,
            next_at: 0,
            written_low: None,
            read_high: false,
            latched_count: Latch::Empty,
            latched_status: None,
        }
    }

    /// "Control Word Format" (bits 6 and 7 are the caller's), with access 0 the "Counter Latch
    /// Command".
    pub(super) fn control(&mut self, word: u8, at: i64) {
        let access = word >> 4 & 3;
        if access == 0 {
            self.latch_count(at);
            return;
        }
        let mode = match word >> 1 & 7 {
            // Bit 2 of the mode is "don't care" for modes 2 and 3.
            mode @ 6..=7 => mode - 4,
            mode => mode,
        };
        *self = Self { mode, bcd: word & 1 != 0, access, ..Self::new(self.gate) };
    }

    /// Writes a byte of the count register.
    pub(super) fn write(&mut self, value: u8, at: i64) {
        self.settle(at);
        let count = match (self.access, self.written_low.take()) {
            (1, _) => u16::from(value),
            (2, _) => u16::from(value) << 8,
            (_, Some(low)) => u16::from_le_bytes([low, value]),
            (_, None) => {
                self.written_low = Some(value);
                if self.mode == 0 {
                    // "Writing the first byte disables counting. OUT is set low immediately."
                    self.phase = Phase::Idle;
                }
                return;
            }
        };
        let count = self.decode(count);
        match (self.mode, self.phase) {
            (1 | 5, _) => self.next = Some(count),
            (2 | 3, Phase::Running { loaded }) => {
                self.next = Some(count);
                self.next_at = self.reload_after(loaded, at);
            }
            _ => {
                self.initial = count;
                // "Loaded on the next CLK pulse", gate or not.
                self.phase =
                    if self.gate { Phase::Running { loaded: at + 1 } } else { Phase::Held { elapsed: 0 } };
            }
        }
    }

    /// Reads a byte: latched status first, then the latched count, else the count as it runs.
    pub(super) fn read(&mut self, at: i64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        match self.latched_count {
            Latch::Two(first, second) => {
                self.latched_count = Latch::One(second);
                return first;
            }
            Latch::One(byte) => {
                self.latched_count = Latch::Empty;
                return byte;
            }
            Latch::Empty => {}
        }
        let [low, high] = self.encoded_count(at).to_le_bytes();
        match self.access {
            1 => low,
            2 => high,
            _ => {
                self.read_high = !self.read_high;
                if self.read_high { low } else { high }
            }
        }
    }

    /// "Counter Latch Command"; ignored while an earlier latch has not been read.
    pub(super) fn latch_count(&mut self, at: i64) {
        if self.latched_count != Latch::Empty {
            return;
        }
        let [low, high] = self.encoded_count(at).to_le_bytes();
        self.latched_count = match self.access {
            1 => Latch::One(low),
            2 => Latch::One(high),
            _ => Latch::Two(low, high),
        };
    }

    /// "Status Byte" of the read-back command; ignored while an earlier one has not been read.
    pub(super) fn latch_status(&mut self, at: i64) {
        let null_count = self.next.is_some()
            || match self.phase {
                Phase::Idle => true,
                Phase::Running { loaded } => at < loaded,
                Phase::Held { .. } => false,
            };
        let status = u8::from(self.output(at)) << 7
            | u8::from(null_count) << 6
            | self.access << 4
            | self.mode << 1
            | u8::from(self.bcd);
        self.latched_status.get_or_insert(status);
    }

    /// Moves the gate input ("Gate Pin Operations Summary").
    pub(super) fn set_gate(&mut self, level: bool, at: i64) {
        self.settle(at);
        if level == self.gate {
            return;
        }
        self.gate = level;
        match (self.mode, level) {
            // A trigger: loads the count, again if it is running.
            (1 | 5, true) => {
                if let Some(next) = self.next.take() {
                    self.initial = next;
                } else if self.phase == Phase::Idle {
                    return;
                }
                self.phase = Phase::Running { loaded: at + 1 };
            }
            (1 | 5, false) => {}
            (2 | 3, true) => {
                if matches!(self.phase, Phase::Held { .. }) {
                    self.initial = self.next.take().unwrap_or(self.initial);
                    self.phase = Phase::Running { loaded: at + 1 };
                }
            }
            (_, true) => {
                if let Phase::Held { elapsed } = self.phase {
                    self.phase = Phase::Running { loaded: at - elapsed };
                }
            }
            (_, false) => {
                if let Phase::Running { loaded } = self.phase {
                    self.phase = Phase::Held { elapsed: (at - loaded).max(0) };
                }
            }
        }
    }

    /// The output pin.
    pub(super) fn output(&self, at: i64) -> bool {
        let (elapsed, running) = match self.phase {
            Phase::Idle => return self.mode != 0,
            Phase::Running { loaded } => (at - loaded, true),
            Phase::Held { elapsed } => (elapsed, false),
        };
        match self.mode {
            0 => elapsed >= self.initial,
            1 => elapsed < 0 || elapsed >= self.initial,
            // "GATE = 0 disables counting. If GATE goes low [...] OUT is set high immediately."
            2 => !running || elapsed < 0 || elapsed % self.period() != self.period() - 1,
            3 => !running || elapsed < 0 || elapsed % self.period() < self.high_half(),
            _ => elapsed != self.initial,
        }
    }

    /// The first clock after `at` at which the output goes from low to high, if nothing is written
    /// until then. `at` must not be before the last call of [`Channel::settle`].
    pub(super) fn next_rise(&self, at: i64) -> Option<i64> {
        let Phase::Running { loaded } = self.phase else {
            return None;
        };
        let rise = match (self.mode, self.next) {
            (0 | 1, _) => loaded + self.initial,
            (2 | 3, Some(next)) if self.next_starts_low(loaded) => self.next_at + next.max(2) / 2,
            (2 | 3, Some(_)) if self.next_at > loaded => self.next_at,
            (2 | 3, _) => {
                let periods = (at - loaded).div_euclid(self.period()) + 1;
                loaded + periods.max(1) * self.period()
            }
            _ => loaded + self.initial + 1,
        };
        (rise > at).then_some(rise)
    }

    /// Loads the count written during an earlier period of modes 2 and 3, once that is over.
    pub(super) fn settle(&mut self, at: i64) {
        let (2 | 3, Some(next), Phase::Running { loaded }) = (self.mode, self.next, self.phase) else {
            return;
        };
        if self.next_at > at {
            return;
        }
        let low = self.next_starts_low(loaded);
        self.next = None;
        self.initial = next;
        // As if the high half of the new count had gone before.
        let skipped = if low { self.high_half() } else { 0 };
        self.phase = Phase::Running { loaded: self.next_at - skipped };
    }

    /// Modes 2 and 3: where a count written at clock `at` is loaded: at the end of the period, or
    /// of the half in mode 3 ("Mode 3: [...] the new count will be loaded at the end of the current
    /// half-cycle").
    fn reload_after(&self, loaded: i64, at: i64) -> i64 {
        let period_start = loaded + (at - loaded).div_euclid(self.period()) * self.period();
        let low_start = period_start + self.high_half();
        if self.mode == 3 && at >= loaded && at < low_start {
            low_start
        } else {
            period_start + self.period()
        }
    }

    fn next_starts_low(&self, loaded: i64) -> bool {
        self.mode == 3 && (self.next_at - loaded) % self.period() != 0
    }

    /// Clocks of one period of modes 2 and 3; a count of 1 is illegal there and taken as 2.
    fn period(&self) -> i64 {
        self.initial.max(2)
    }

    fn high_half(&self) -> i64 {
        (self.period() + 1) / 2
    }

    /// The counting element: one less each clock; in mode 3 two, as each half counts it down.
    fn count(&self, at: i64) -> i64 {
        let elapsed = match self.phase {
            Phase::Idle => 0,
            Phase::Running { loaded } => (at - loaded).max(0),
            Phase::Held { elapsed } => elapsed,
        };
        let in_period = elapsed % self.period();
        match self.mode {
            2 => self.initial - in_period,
            3 if in_period < self.high_half() => (self.initial & !1) - 2 * in_period,
            3 => (self.initial & !1) - 2 * (in_period - self.high_half()),
            _ => self.initial - elapsed,
        }
    }

    fn modulus(&self) -> i64 {
        if self.bcd { 10_000 } else { 0x10000 }
    }

    /// The count as it is read: 16 bits or four decimal digits.
    fn encoded_count(&self, at: i64) -> u16 {
        let mut count = self.count(at).rem_euclid(self.modulus());
        if !self.bcd {
            return count as u16;
        }
        let mut encoded = 0;
        for shift in [0, 4, 8, 12] {
            encoded |= (count % 10) << shift;
            count /= 10;
        }
        encoded as u16
    }

    /// Clocks of a count as it is written; zero stands for the largest.
    fn decode(&self, value: u16) -> i64 {
        let count = if self.bcd {
            [12, 8, 4, 0].iter().fold(0, |count, shift| count * 10 + i64::from(value >> shift & 0xF))
        } else {
            i64::from(value)
        };
        if count == 0 { self.modulus() } else { count }
    }
}
