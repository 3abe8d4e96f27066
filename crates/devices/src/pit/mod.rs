//! Intel 8254, the PC's programmable interval timer.
//!
//! Section names are those of its data sheet (order number 231164). Nothing ticks: a channel knows
//! when its count was loaded and works out count and output from the machine's time.

mod channel;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use channel::{ChannelState, PhaseState};

use crate::{Context, Device, RestoreError, VmTime};
use channel::Channel;

/// Frequency of the CLK inputs on a PC, in Hz.
pub const FREQUENCY: u64 = 1_193_182;

const NANOSECONDS: u128 = 1_000_000_000;

/// Register of the control words ("Control Word Register").
const CONTROL: u32 = 3;

/// An 8254 whose three CLK inputs run at [`FREQUENCY`]. Its register window is four bytes.
///
/// Gates 0 and 1 are tied high; gate 2 and output 2 belong to the board ([`Pit::set_gate2`],
/// [`Pit::output2`]; low after power-on). [`Device::interrupt`] is output 0, as an edge-triggered
/// interrupt controller has to see it: in mode 2 the output is low for less than a microsecond, so
/// when a rising edge has been missed the line is shown low first and high at the next call of
/// [`Device::advance`], which is due at once. Edges missed while nobody looked count as one.
#[derive(Debug)]
pub struct Pit {
    channels: [Channel; 3],
    /// Clock of the last look at output 0.
    seen: i64,
    seen_time: VmTime,
    /// What `interrupt` shows.
    line: bool,
    /// A rising edge of output 0 has happened and not been shown.
    edge_owed: bool,
}

/// Saved state of a [`Pit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PitState {
    /// The three channels.
    pub channels: [ChannelState; 3],
    /// When output 0 was last looked at.
    pub seen: VmTime,
    /// The interrupt line as last shown.
    pub line: bool,
    /// A rising edge of output 0 has not been shown yet.
    pub edge_owed: bool,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// A chip after power-on. The data sheet leaves its state undefined; here all channels are in
    /// mode 0 without a count, so outputs are low and nothing happens.
    pub fn new() -> Self {
        Self {
            channels: [Channel::new(true), Channel::new(true), Channel::new(false)],
            seen: 0,
            seen_time: VmTime::ZERO,
            line: false,
            edge_owed: false,
        }
    }

    /// Sets the gate input of channel 2 (port 0x61, bit 0).
    pub fn set_gate2(&mut self, level: bool, now: VmTime) {
        self.channels[2].set_gate(level, clock(now));
    }

    /// The output of channel 2 (port 0x61, bit 5).
    pub fn output2(&self, now: VmTime) -> bool {
        self.channels[2].output(clock(now))
    }

    /// The state to be put into a snapshot.
    pub fn save(&self) -> PitState {
        let Self { channels, seen: _, seen_time, line, edge_owed } = self;
        PitState {
            channels: channels.each_ref().map(Channel::save),
            seen: *seen_time,
            line: *line,
            edge_owed: *edge_owed,
        }
    }

    /// Takes back a saved state.
    pub fn restore(&mut self, state: PitState) -> Result<(), RestoreError> {
        let PitState { channels: [first, second, third], seen, line, edge_owed } = state;
        let channels = [Channel::restore(first)?, Channel::restore(second)?, Channel::restore(third)?];
        *self = Self { channels, seen: clock(seen), seen_time: seen, line, edge_owed };
        Ok(())
    }

    /// Catches up with output 0 until `now`, without changing what is shown.
    fn look(&mut self, now: VmTime) -> i64 {
        let at = clock(now).max(self.seen);
        if self.channels[0].next_rise(self.seen).is_some_and(|rise| rise <= at) {
            self.edge_owed = true;
        }
        self.seen = at;
        self.seen_time = self.seen_time.max(now);
        for channel in &mut self.channels {
            channel.settle(at);
        }
        at
    }

    /// Moves the shown line by one edge at most.
    fn show(&mut self) {
        if !self.edge_owed {
            self.line = self.channels[0].output(self.seen);
        } else if self.line {
            self.line = false;
        } else {
            self.line = true;
            self.edge_owed = false;
        }
    }

    /// Does something that may move output 0 by itself.
    fn change(&mut self, now: VmTime, action: impl FnOnce(&mut Self, i64)) {
        let at = self.look(now);
        let before = self.channels[0].output(at);
        action(self, at);
        let after = self.channels[0].output(at);
        self.edge_owed = after && (!before || self.edge_owed);
        self.show();
    }

    /// "Read-Back Command": bits 1 to 3 select channels, bits 4 and 5 (low) status and count.
    fn read_back(&mut self, command: u8, at: i64) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if command & 2 << index == 0 {
                continue;
            }
            if command & 0x20 == 0 {
                channel.latch_count(at);
            }
            if command & 0x10 == 0 {
                channel.latch_status(at);
            }
        }
    }

    fn write_register(&mut self, offset: u32, value: u8, at: i64) {
        match offset {
            0..=2 => self.channels[offset as usize].write(value, at),
            CONTROL => match value >> 6 {
                3 => self.read_back(value, at),
                index => self.channels[usize::from(index)].control(value, at),
            },
            _ => {}
        }
    }
}

impl Device for Pit {
    fn read(&mut self, offset: u32, data: &mut [u8], context: &mut Context<'_>) {
        let at = self.look(context.now);
        for (offset, byte) in (offset..).zip(data) {
            *byte = match self.channels.get_mut(offset as usize) {
                Some(channel) => channel.read(at),
                // "No-operation (3-state)".
                None => 0xFF,
            };
        }
    }

    fn write(&mut self, offset: u32, data: &[u8], context: &mut Context<'_>) {
        for (offset, byte) in (offset..).zip(data) {
            self.change(context.now, |pit, at| pit.write_register(offset, *byte, at));
        }
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        self.look(context.now);
        self.show();
    }

    fn deadline(&self) -> Option<VmTime> {
        if self.edge_owed {
            return Some(self.seen_time);
        }
        self.channels[0].next_rise(self.seen).and_then(time_of)
    }

    fn interrupt(&self) -> bool {
        self.line
    }

    fn reset(&mut self) {
        // Time does not go back.
        *self = Self { seen: self.seen, seen_time: self.seen_time, ..Self::new() };
    }
}

/// Clocks of the CLK input since power-on. Fits: 2^64 ns are 2.2e16 clocks.
fn clock(time: VmTime) -> i64 {
    (u128::from(time.as_nanos()) * u128::from(FREQUENCY) / NANOSECONDS) as i64
}

/// The first moment at which [`clock`] gives `clock`; `None` past the end of time.
fn time_of(clock: i64) -> Option<VmTime> {
    let clock = u128::try_from(clock).unwrap_or(0);
    let nanoseconds = (clock * NANOSECONDS).div_ceil(u128::from(FREQUENCY));
    u64::try_from(nanoseconds).ok().map(VmTime::from_nanos)
}
