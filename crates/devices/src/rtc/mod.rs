//! Motorola MC146818, the PC's real-time clock and CMOS memory.
//!
//! Source: MC146818 data sheet (ADI-856); the register of the century is a PC convention. The time
//! base is 32 768 Hz whatever register A's divider says, unless that holds the divider in reset.
//! Days of the week follow the date; daylight saving and the square wave do not exist.

mod alarm;
mod calendar;
mod registers;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::check;
use crate::{Context, Device, RestoreError, VmTime};
use alarm::Alarm;
use calendar::Civil;
use registers::Registers;

const NANOSECONDS: i128 = 1_000_000_000;

/// "UIP [...] the update cycle is not in progress and will not be for at least 244 us" when clear.
/// Updates themselves take no time here.
const UPDATE_IN_PROGRESS_NANOSECONDS: i128 = 244_000;

/// No time of the clock is further from 1970 (years 0 to 9999, in nanoseconds).
const BASE_LIMIT: i128 = 1 << 70;

/// Offsets of the register window: index port, data port.
const INDEX: u32 = 0;
const DATA: u32 = 1;

/// An MC146818 with 128 bytes. Its register window is two bytes: index (0x70 on a PC) and data.
///
/// It keeps UTC. Reading register C clears the interrupt; until then the output stays high.
#[derive(Debug)]
pub struct Rtc {
    index: u8,
    registers: Registers,
    clock: Clock,
    /// Up to when events have been noted in register C.
    seen: VmTime,
}

/// What the time-keeping part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Unix time in nanoseconds is this plus the machine's time.
    Running { base: i128 },
    /// Stopped by SET or the divider: the time shown, and where in its second it goes on.
    Stopped { time: Civil, phase: i128, divider_reset: bool },
}

/// Saved state of an [`Rtc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    /// The index register, 0 to 127.
    pub index: u8,
    /// The 128 bytes of the chip; those of the running time are not used.
    pub bytes: Vec<u8>,
    /// Nanoseconds since 1970 (UTC) at [`VmTime::ZERO`] if the clock runs; if it is stopped, those
    /// at which it stands.
    pub nanoseconds: i128,
    /// The clock is stopped.
    pub stopped: bool,
    /// The stopped clock's divider was held in reset.
    pub divider_reset: bool,
    /// Up to when events have been noted in register C.
    pub seen: VmTime,
}

impl Rtc {
    /// A clock that shows `unix_nanoseconds` (since 1970-01-01 UTC) at [`VmTime::ZERO`]. Years
    /// outside 0 to 9999 are shown as the nearest.
    pub fn new(unix_nanoseconds: i128) -> Self {
        Self {
            index: 0,
            registers: Registers::new(),
            clock: Clock::Running { base: unix_nanoseconds.clamp(-BASE_LIMIT, BASE_LIMIT) },
            seen: VmTime::ZERO,
        }
    }

    /// Sets the clock, as a machine that slept in a snapshot has to. A clock the guest has stopped
    /// stays as it is.
    pub fn set_time(&mut self, unix_nanoseconds: i128, now: VmTime) {
        self.note_events(now);
        if let Clock::Running { base } = &mut self.clock {
            *base = (unix_nanoseconds - nanoseconds(now)).clamp(-BASE_LIMIT, BASE_LIMIT);
        }
    }

    /// The state to be put into a snapshot.
    pub fn save(&self) -> RtcState {
        let Self { index, registers, clock, seen } = self;
        let (nanoseconds, stopped, divider_reset) = match *clock {
            Clock::Running { base } => (base, false, false),
            Clock::Stopped { time, phase, divider_reset } => {
                (i128::from(time.to_unix()) * NANOSECONDS + phase, true, divider_reset)
            }
        };
        RtcState {
            index: *index,
            bytes: registers.bytes.to_vec(),
            nanoseconds,
            stopped,
            divider_reset,
            seen: *seen,
        }
    }

    /// Takes back a saved state. The time is the saved one: see [`Rtc::set_time`].
    pub fn restore(&mut self, state: RtcState) -> Result<(), RestoreError> {
        let RtcState { index, bytes, nanoseconds, stopped, divider_reset, seen } = state;
        check(index < 128, "rtc", "index")?;
        check((-BASE_LIMIT..=BASE_LIMIT).contains(&nanoseconds), "rtc", "nanoseconds")?;
        let registers = Registers::restore(bytes)?;
        check(stopped == registers.clock_stopped(), "rtc", "stopped")?;
        let clock = if stopped {
            Clock::Stopped {
                time: civil(nanoseconds),
                phase: nanoseconds.rem_euclid(NANOSECONDS),
                divider_reset,
            }
        } else {
            Clock::Running { base: nanoseconds }
        };
        *self = Self { index, registers, clock, seen };
        Ok(())
    }

    /// Notes in register C what has happened since the last look.
    fn note_events(&mut self, now: VmTime) {
        let now = now.max(self.seen);
        for event in [Event::Update, Event::Alarm, Event::Periodic] {
            if self.next(event).is_some_and(|time| time <= now) {
                self.registers.set_flag(event.flag());
            }
        }
        self.seen = now;
    }

    /// When `event` happens next after `seen`.
    fn next(&self, event: Event) -> Option<VmTime> {
        let base = match self.clock {
            Clock::Running { base } => base,
            // SET stops updates only; the divider goes on from where it was.
            Clock::Stopped { divider_reset: false, .. } if event == Event::Periodic => 0,
            Clock::Stopped { .. } => return None,
        };
        let seen = base + nanoseconds(self.seen);
        let next = match event {
            Event::Update => (seen.div_euclid(NANOSECONDS) + 1) * NANOSECONDS,
            Event::Alarm => {
                let second = i64::try_from(seen.div_euclid(NANOSECONDS)).ok()?;
                i128::from(self.alarm().next_after(second)?) * NANOSECONDS
            }
            Event::Periodic => {
                // Ticks of a 32 768 Hz clock, of which every `period`th counts.
                let period = self.registers.periodic_clocks()?;
                let clocks = (seen * 32_768).div_euclid(NANOSECONDS).div_euclid(period) + 1;
                -(-clocks * period * NANOSECONDS).div_euclid(32_768)
            }
        };
        u64::try_from(next - base).ok().map(VmTime::from_nanos)
    }

    fn alarm(&self) -> Alarm {
        let registers = &self.registers;
        Alarm {
            second: registers.alarm_field(registers::SECONDS_ALARM),
            minute: registers.alarm_field(registers::MINUTES_ALARM),
            hour: registers.alarm_field(registers::HOURS_ALARM),
        }
    }

    /// The time shown at `now`.
    fn time(&self, now: VmTime) -> Civil {
        match self.clock {
            Clock::Running { base } => civil(base + nanoseconds(now)),
            Clock::Stopped { time, .. } => time,
        }
    }

    fn update_in_progress(&self, now: VmTime) -> bool {
        match self.clock {
            Clock::Running { base } => {
                let phase = (base + nanoseconds(now)).rem_euclid(NANOSECONDS);
                phase >= NANOSECONDS - UPDATE_IN_PROGRESS_NANOSECONDS
            }
            Clock::Stopped { .. } => false,
        }
    }

    /// Starts or stops the clock as registers A and B say.
    fn apply_stop(&mut self, now: VmTime) {
        let divider_reset = self.registers.divider_reset();
        match (&mut self.clock, self.registers.clock_stopped()) {
            (Clock::Running { base }, true) => {
                let shown = *base + nanoseconds(now);
                let phase = shown.rem_euclid(NANOSECONDS);
                self.clock = Clock::Stopped { time: civil(shown), phase, divider_reset };
            }
            (Clock::Stopped { divider_reset: was_reset, phase, .. }, true) => {
                // "The first update cycle begins one-half second" after the divider's reset ends.
                if *was_reset && !divider_reset {
                    *phase = NANOSECONDS / 2;
                }
                *was_reset = divider_reset;
            }
            (Clock::Stopped { time, phase, divider_reset }, false) => {
                let phase = if *divider_reset { NANOSECONDS / 2 } else { *phase };
                let shown = i128::from(time.to_unix()) * NANOSECONDS + phase;
                self.clock = Clock::Running { base: shown - nanoseconds(now) };
            }
            (Clock::Running { .. }, false) => {}
        }
    }

    fn set_civil(&mut self, now: VmTime, change: impl FnOnce(&mut Civil)) {
        let mut changed = self.time(now);
        change(&mut changed);
        match &mut self.clock {
            Clock::Running { base } => {
                let phase = (*base + nanoseconds(now)).rem_euclid(NANOSECONDS);
                *base = i128::from(changed.to_unix()) * NANOSECONDS + phase - nanoseconds(now);
            }
            Clock::Stopped { time, .. } => *time = changed,
        }
    }

    fn read_data(&mut self, now: VmTime) -> u8 {
        let time = self.time(now);
        match self.index {
            registers::A => {
                self.registers.bytes[usize::from(registers::A)]
                    | if self.update_in_progress(now) { registers::A_UPDATE_IN_PROGRESS } else { 0 }
            }
            registers::C => self.registers.take_flags(),
            index => self.registers.read_time(index, time),
        }
    }

    fn write_data(&mut self, value: u8, now: VmTime) {
        match self.index {
            registers::A | registers::B => {
                self.registers.write_control(self.index, value);
                self.apply_stop(now);
            }
            // Read only.
            registers::C | registers::D => {}
            index => match self.registers.decode_time(index, value) {
                Some(field) => self.set_civil(now, |time| field.apply(time)),
                None => self.registers.bytes[usize::from(index)] = value,
            },
        }
    }
}

impl Device for Rtc {
    fn read(&mut self, offset: u32, data: &mut [u8], context: &mut Context<'_>) {
        self.note_events(context.now);
        for (offset, byte) in (offset..).zip(data) {
            *byte = if offset == DATA { self.read_data(context.now) } else { 0xFF };
        }
    }

    fn write(&mut self, offset: u32, data: &[u8], context: &mut Context<'_>) {
        self.note_events(context.now);
        for (offset, byte) in (offset..).zip(data) {
            match offset {
                // Bit 7 masks the NMI on a PC; there is none.
                INDEX => self.index = byte & 0x7F,
                DATA => self.write_data(*byte, context.now),
                _ => {}
            }
        }
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        self.note_events(context.now);
    }

    fn deadline(&self) -> Option<VmTime> {
        [Event::Update, Event::Alarm, Event::Periodic]
            .into_iter()
            .filter(|event| self.registers.waits_for(event.flag()))
            .filter_map(|event| self.next(event))
            .min()
    }

    fn interrupt(&self) -> bool {
        self.registers.interrupt()
    }

    /// The RESET pin: interrupts off, time and memory kept (they live on a battery).
    fn reset(&mut self) {
        self.index = 0;
        self.registers.reset();
    }
}

/// What sets a flag of register C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Update,
    Alarm,
    Periodic,
}

impl Event {
    fn flag(self) -> u8 {
        match self {
            Self::Update => registers::UPDATE_ENDED,
            Self::Alarm => registers::ALARM,
            Self::Periodic => registers::PERIODIC,
        }
    }
}

fn nanoseconds(time: VmTime) -> i128 {
    time.saturating_since(VmTime::ZERO).as_nanos() as i128
}

fn civil(unix_nanoseconds: i128) -> Civil {
    let seconds = unix_nanoseconds.div_euclid(NANOSECONDS);
    Civil::from_unix(seconds.clamp(calendar::FIRST.into(), calendar::LAST.into()) as i64)
}
