//! "NMI status and control", port 0x61 of a PC ("port B" of the 8255 it replaced).
//!
//! Source: Intel 82371AB (PIIX4) data sheet, section 4.2.4.2. Only what has an effect is here: the
//! speaker's timer gate and data bits. There are no NMI sources, so their status bits read 0.

use crate::VmTime;
use crate::pit::Pit;

/// Bits the guest can write: timer gate, speaker data, and the two NMI masks.
const WRITABLE: u8 = 0x0F;
const TIMER_GATE: u8 = 0x01;
const REFRESH_TOGGLE: u8 = 0x10;
const TIMER_OUTPUT: u8 = 0x20;

/// Time between two toggles of the refresh bit, as the AT's memory refresh had it.
const REFRESH_NANOSECONDS: u64 = 15_085;

/// Reads the port. Bits 0 to 3 are `latch`, bit 4 toggles every 15.085 us, bit 5 is output 2 of the
/// timer.
pub fn read(latch: u8, pit: &Pit, now: VmTime) -> u8 {
    let mut value = latch & WRITABLE;
    if (now.as_nanos() / REFRESH_NANOSECONDS) & 1 != 0 {
        value |= REFRESH_TOGGLE;
    }
    if pit.output2(now) {
        value |= TIMER_OUTPUT;
    }
    value
}

/// Writes the port and returns the new latch, which the board keeps. Bit 0 is gate 2 of the timer.
pub fn write(value: u8, pit: &mut Pit, now: VmTime) -> u8 {
    pit.set_gate2(value & TIMER_GATE != 0, now);
    value & WRITABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Ports;

    #[test]
    fn linux_measures_fifty_milliseconds_with_timer_two() {
        let mut bus = Ports::new(Pit::new());
        let latch = write(0x01, &mut bus.chip, bus.now);
        bus.write8(3, 0xB0);
        bus.write8(2, 0xFF);
        bus.write8(2, 0xFF);
        assert_eq!(read(latch, &bus.chip, VmTime::from_nanos(0)), 0x01);
        assert_eq!(read(latch, &bus.chip, VmTime::from_nanos(54_000_000)) & 0x2F, 0x01);
        assert_eq!(read(latch, &bus.chip, VmTime::from_nanos(55_000_000)) & 0x2F, 0x21);
        assert_eq!(read(latch, &bus.chip, VmTime::from_nanos(REFRESH_NANOSECONDS)), 0x11);
    }
}
