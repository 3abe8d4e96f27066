//! The MC146818's bytes: control registers A to D, alarm, and the encoding of times.

use super::alarm::Match;
use super::calendar::Civil;
use crate::RestoreError;
use crate::error::check;

pub(super) const SECONDS: u8 = 0x00;
pub(super) const SECONDS_ALARM: u8 = 0x01;
pub(super) const MINUTES: u8 = 0x02;
pub(super) const MINUTES_ALARM: u8 = 0x03;
pub(super) const HOURS: u8 = 0x04;
pub(super) const HOURS_ALARM: u8 = 0x05;
pub(super) const WEEKDAY: u8 = 0x06;
pub(super) const DAY: u8 = 0x07;
pub(super) const MONTH: u8 = 0x08;
pub(super) const YEAR: u8 = 0x09;
pub(super) const A: u8 = 0x0A;
pub(super) const B: u8 = 0x0B;
pub(super) const C: u8 = 0x0C;
pub(super) const D: u8 = 0x0D;
/// Of the PC, not the chip; always in the encoding register B selects.
pub(super) const CENTURY: u8 = 0x32;

pub(super) const A_UPDATE_IN_PROGRESS: u8 = 0x80;
/// 32 768 Hz time base, 1024 Hz periodic rate: what PC firmware leaves.
const A_DEFAULT: u8 = 0x26;

/// Flags of register C and, at the same places, the enable bits of register B.
pub(super) const PERIODIC: u8 = 0x40;
pub(super) const ALARM: u8 = 0x20;
pub(super) const UPDATE_ENDED: u8 = 0x10;
const FLAGS: u8 = PERIODIC | ALARM | UPDATE_ENDED;
const C_INTERRUPT: u8 = 0x80;

const B_SET: u8 = 0x80;
const B_SQUARE_WAVE: u8 = 0x08;
const B_BINARY: u8 = 0x04;
const B_24_HOURS: u8 = 0x02;

const D_VALID: u8 = 0x80;

const HOUR_PM: u8 = 0x80;

#[derive(Debug)]
pub(super) struct Registers {
    pub(super) bytes: [u8; 128],
}

/// A time register as it is to be set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Second(u8),
    Minute(u8),
    Hour(u8),
    Weekday,
    Day(u8),
    Month(u8),
    Year(u8),
    Century(u8),
}

impl Field {
    pub(super) fn apply(self, time: &mut Civil) {
        match self {
            Self::Second(second) => time.second = second.min(59),
            Self::Minute(minute) => time.minute = minute.min(59),
            Self::Hour(hour) => time.hour = hour.min(23),
            // Follows from the date.
            Self::Weekday => {}
            Self::Day(day) => time.day = day.clamp(1, 31),
            Self::Month(month) => time.month = month.clamp(1, 12),
            Self::Year(year) => time.year = time.year / 100 * 100 + u16::from(year.min(99)),
            Self::Century(century) => time.year = u16::from(century.min(99)) * 100 + time.year % 100,
        }
    }
}

impl Registers {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 128];
        bytes[usize::from(A)] = A_DEFAULT;
        bytes[usize::from(B)] = B_24_HOURS;
        bytes[usize::from(D)] = D_VALID;
        Self { bytes }
    }

    pub(super) fn restore(bytes: Vec<u8>) -> Result<Self, RestoreError> {
        let found = bytes.len();
        let bytes: [u8; 128] = bytes.try_into().map_err(|_| RestoreError::Count {
            chip: "rtc",
            field: "bytes",
            found,
            expected: 128,
        })?;
        let registers = Self { bytes };
        check(registers.get(A) & A_UPDATE_IN_PROGRESS == 0, "rtc", "register A")?;
        check(registers.get(C) & !FLAGS == 0, "rtc", "register C")?;
        check(registers.get(D) == D_VALID, "rtc", "register D")?;
        Ok(registers)
    }

    /// The RESET pin clears the interrupt enables and flags, and the square wave.
    pub(super) fn reset(&mut self) {
        self.bytes[usize::from(B)] &= !(FLAGS | B_SQUARE_WAVE);
        self.bytes[usize::from(C)] = 0;
    }

    fn get(&self, index: u8) -> u8 {
        self.bytes[usize::from(index)]
    }

    pub(super) fn write_control(&mut self, index: u8, value: u8) {
        self.bytes[usize::from(index)] = match index {
            A => value & !A_UPDATE_IN_PROGRESS,
            // "SET [...] clears the UIE bit".
            B if value & B_SET != 0 => value & !UPDATE_ENDED,
            _ => value,
        };
    }

    pub(super) fn divider_reset(&self) -> bool {
        self.get(A) & 0x60 == 0x60
    }

    /// SET, or the divider in reset.
    pub(super) fn clock_stopped(&self) -> bool {
        self.get(B) & B_SET != 0 || self.divider_reset()
    }

    /// Clocks of 32 768 Hz between two periodic interrupts (table 5); `None` when off.
    pub(super) fn periodic_clocks(&self) -> Option<i128> {
        if self.divider_reset() {
            return None;
        }
        match self.get(A) & 0x0F {
            0 => None,
            // 256 and 128 Hz, the same as rates 8 and 9.
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    pub(super) fn set_flag(&mut self, flag: u8) {
        self.bytes[usize::from(C)] |= flag;
    }

    /// Register C; reading it clears it.
    pub(super) fn take_flags(&mut self) -> u8 {
        let interrupt = if self.interrupt() { C_INTERRUPT } else { 0 };
        std::mem::take(&mut self.bytes[usize::from(C)]) | interrupt
    }

    pub(super) fn interrupt(&self) -> bool {
        self.get(B) & self.get(C) & FLAGS != 0
    }

    /// The event is enabled as an interrupt and its flag is not set yet.
    pub(super) fn waits_for(&self, flag: u8) -> bool {
        self.get(B) & flag != 0 && self.get(C) & flag == 0
    }

    /// Reads any register but A and C.
    pub(super) fn read_time(&self, index: u8, time: Civil) -> u8 {
        match index {
            SECONDS => self.encode(time.second),
            MINUTES => self.encode(time.minute),
            HOURS => self.encode_hour(time.hour),
            WEEKDAY => self.encode(time.weekday()),
            DAY => self.encode(time.day),
            MONTH => self.encode(time.month),
            YEAR => self.encode((time.year % 100) as u8),
            CENTURY => self.encode((time.year / 100) as u8),
            _ => self.get(index),
        }
    }

    /// What writing `value` to register `index` sets, if that is one of the time.
    pub(super) fn decode_time(&self, index: u8, value: u8) -> Option<Field> {
        let plain = self.decode(value);
        Some(match index {
            SECONDS => Field::Second(plain),
            MINUTES => Field::Minute(plain),
            HOURS => Field::Hour(self.decode_hour(value)),
            WEEKDAY => Field::Weekday,
            DAY => Field::Day(plain),
            MONTH => Field::Month(plain),
            YEAR => Field::Year(plain),
            CENTURY => Field::Century(plain),
            _ => return None,
        })
    }

    pub(super) fn alarm_field(&self, index: u8) -> Match {
        let value = self.get(index);
        if value & 0xC0 == 0xC0 {
            return Match::Any;
        }
        let (decoded, limit) = match index {
            HOURS_ALARM => (self.decode_hour(value), 24),
            _ => (self.decode(value), 60),
        };
        if decoded < limit { Match::Exactly(decoded) } else { Match::Never }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.get(B) & B_BINARY != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, value: u8) -> u8 {
        if self.get(B) & B_BINARY != 0 { value } else { (value >> 4) * 10 + (value & 0x0F) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.get(B) & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let twelve = match hour % 12 {
            0 => 12,
            twelve => twelve,
        };
        self.encode(twelve) | if hour >= 12 { HOUR_PM } else { 0 }
    }

    fn decode_hour(&self, value: u8) -> u8 {
        if self.get(B) & B_24_HOURS != 0 {
            return self.decode(value);
        }
        let hour = match self.decode(value & !HOUR_PM) {
            12 => 0,
            // No hour of twelve: no hour of 24 either.
            hour if hour > 12 => return 0xFF,
            hour => hour,
        };
        hour + if value & HOUR_PM != 0 { 12 } else { 0 }
    }
}
