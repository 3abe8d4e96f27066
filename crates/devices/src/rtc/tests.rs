//! Drives the clock as Linux' drivers/rtc/rtc-mc146818-lib.c does.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::{Ports, any_accesses};

/// 2024-02-29 23:59:58.25 UTC, a Thursday.
const START: i128 = 1_709_251_198_250_000_000;

fn rtc() -> Ports<Rtc> {
    Ports::new(Rtc::new(START))
}

fn read(rtc: &mut Ports<Rtc>, index: u8) -> u8 {
    rtc.write8(0, index);
    rtc.read8(1)
}

fn write(rtc: &mut Ports<Rtc>, index: u8, value: u8) {
    rtc.write8(0, index);
    rtc.write8(1, value);
}

/// Century, year, month, day, day of week, hour, minute, second.
fn read_all(rtc: &mut Ports<Rtc>) -> [u8; 8] {
    [0x32, 9, 8, 7, 6, 4, 2, 0].map(|index| read(rtc, index))
}

fn millis(milliseconds: u64) -> VmTime {
    VmTime::from_nanos(milliseconds * 1_000_000)
}

#[test]
fn time_is_decimal_with_24_hours_and_runs() {
    let mut rtc = rtc();
    assert_eq!(read(&mut rtc, 0x0B), 0x02);
    assert_eq!(read(&mut rtc, 0x0D), 0x80);
    assert_eq!(read_all(&mut rtc), [0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x58]);
    rtc.now = millis(1749);
    assert_eq!(read(&mut rtc, 0), 0x59);
    rtc.now = millis(1750);
    assert_eq!(read_all(&mut rtc), [0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x00, 0x00]);
}

#[test]
fn register_b_selects_binary_and_twelve_hours() {
    let mut rtc = rtc();
    write(&mut rtc, 0x0B, 0x04);
    assert_eq!(read_all(&mut rtc), [20, 24, 2, 29, 5, 0x80 | 11, 59, 58]);
    write(&mut rtc, 0x0B, 0x00);
    assert_eq!(read(&mut rtc, 4), 0x91);
    write(&mut rtc, 4, 0x12);
    write(&mut rtc, 0x0B, 0x02);
    assert_eq!(read(&mut rtc, 4), 0x00, "12 am is midnight");
}

#[test]
fn update_in_progress_is_set_for_244_microseconds_before_the_second() {
    let mut rtc = rtc();
    assert_eq!(read(&mut rtc, 0x0A), 0x26);
    rtc.now = VmTime::from_nanos(750_000_000 - 244_001);
    assert_eq!(read(&mut rtc, 0x0A), 0x26);
    rtc.now = VmTime::from_nanos(750_000_000 - 244_000);
    assert_eq!(read(&mut rtc, 0x0A), 0xA6);
    rtc.now = millis(750);
    assert_eq!(read(&mut rtc, 0x0A), 0x26);
}

#[test]
fn linux_sets_the_time_half_a_second_before_the_next() {
    let mut rtc = rtc();
    rtc.now = millis(5000);
    write(&mut rtc, 0x0B, 0x82);
    write(&mut rtc, 0x0A, 0x76);
    for (index, value) in [(9, 0x31), (8, 0x12), (7, 0x31), (4, 0x01), (2, 0x02), (0, 0x03)] {
        write(&mut rtc, index, value);
    }
    write(&mut rtc, 0x32, 0x20);
    rtc.now = millis(9000);
    assert_eq!(read(&mut rtc, 0), 0x03, "stopped");
    write(&mut rtc, 0x0B, 0x02);
    write(&mut rtc, 0x0A, 0x26);
    assert_eq!(read_all(&mut rtc), [0x20, 0x31, 0x12, 0x31, 0x04, 0x01, 0x02, 0x03]);
    rtc.now = millis(9499);
    assert_eq!(read(&mut rtc, 0), 0x03);
    rtc.now = millis(9500);
    assert_eq!(read(&mut rtc, 0), 0x04);
}

#[test]
fn the_divider_can_be_released_before_the_clock_is_started() {
    let mut rtc = rtc();
    write(&mut rtc, 0x0B, 0x82);
    write(&mut rtc, 0x0A, 0x76);
    rtc.now = millis(3000);
    write(&mut rtc, 0x0A, 0x26);
    write(&mut rtc, 0x0B, 0x02);
    assert_eq!(read(&mut rtc, 0), 0x58);
    rtc.now = millis(3500);
    assert_eq!(read(&mut rtc, 0), 0x59);
    // SET alone leaves the second's phase as it was.
    write(&mut rtc, 0x0B, 0x82);
    rtc.now = millis(9000);
    write(&mut rtc, 0x0B, 0x02);
    rtc.now = millis(9999);
    assert_eq!(read(&mut rtc, 0), 0x59);
    rtc.now = millis(10_000);
    assert_eq!(read(&mut rtc, 0), 0x00);
}

#[test]
fn update_ended_interrupts_each_second_and_waits_for_register_c() {
    let mut rtc = rtc();
    assert_eq!(rtc.chip.deadline(), None);
    write(&mut rtc, 0x0B, 0x12);
    assert_eq!(rtc.chip.deadline(), Some(millis(750)));
    assert_eq!(rtc.run_to(millis(750)), 1);
    assert_eq!(rtc.chip.deadline(), None, "nothing new until it is acknowledged");
    assert_eq!(rtc.run_to(millis(9000)), 0);
    assert_eq!(read(&mut rtc, 0x0C) & 0x90, 0x90);
    assert!(!rtc.interrupt());
    assert_eq!(read(&mut rtc, 0x0C), 0x00);
    assert_eq!(rtc.chip.deadline(), Some(millis(9750)));
}

#[test]
fn flags_are_set_without_being_enabled() {
    let mut rtc = rtc();
    rtc.now = millis(800);
    assert_eq!(read(&mut rtc, 0x0C), 0x50);
    assert!(!rtc.interrupt());
}

#[test]
fn alarm_goes_off_once_a_day() {
    let mut rtc = rtc();
    for (index, value) in [(5, 0x00), (3, 0x00), (1, 0x01)] {
        write(&mut rtc, index, value);
    }
    write(&mut rtc, 0x0B, 0x22);
    assert_eq!(rtc.chip.deadline(), Some(millis(2750)));
    assert_eq!(rtc.run_to(millis(2750)), 1);
    assert_eq!(read(&mut rtc, 0x0C) & 0xA0, 0xA0);
    assert_eq!(rtc.chip.deadline(), Some(millis(2750 + 86_400_000)));
    write(&mut rtc, 5, 0xFF);
    assert_eq!(rtc.chip.deadline(), Some(millis(2750 + 3_600_000)));
}

#[test]
fn periodic_interrupt_has_the_rate_of_register_a() {
    let mut rtc = Ports::new(Rtc::new(0));
    write(&mut rtc, 0x0A, 0x2A);
    write(&mut rtc, 0x0B, 0x42);
    for tick in 1..=64u64 {
        // 64 Hz is 15.625 ms.
        let due = VmTime::from_nanos(tick * 15_625_000);
        assert_eq!(rtc.chip.deadline(), Some(due));
        assert_eq!(rtc.run_to(due), 1);
        assert_eq!(read(&mut rtc, 0x0C) & 0xC0, 0xC0);
    }
    write(&mut rtc, 0x0A, 0x20);
    assert_eq!(rtc.chip.deadline(), None);
}

#[test]
fn the_board_can_set_the_time_and_memory_survives_reset() {
    let mut rtc = rtc();
    write(&mut rtc, 0x40, 0xAB);
    write(&mut rtc, 0x0B, 0x72);
    rtc.now = millis(3000);
    rtc.chip.set_time(0, rtc.now);
    rtc.chip.reset();
    assert_eq!(read_all(&mut rtc), [0x19, 0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x00]);
    assert_eq!(read(&mut rtc, 0x40), 0xAB);
    assert_eq!(read(&mut rtc, 0x0B), 0x02);
    assert_eq!(rtc.read8(0), 0xFF);
}

#[test]
fn hostile_states_are_refused() {
    let mut rtc = rtc();
    let good = rtc.chip.save();
    type Spoil = fn(&mut RtcState);
    let spoils: [Spoil; 7] = [
        |state| state.index = 128,
        |state| state.bytes.truncate(127),
        |state| state.bytes[0x0A] = 0x80,
        |state| state.bytes[0x0C] = 0x80,
        |state| state.bytes[0x0D] = 0,
        |state| state.nanoseconds = i128::MIN,
        |state| state.stopped = true,
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(rtc.chip.restore(bad).is_err());
        assert_eq!(rtc.chip.save(), good);
    }
}

proptest! {
    #[test]
    fn a_restored_clock_behaves_as_the_saved_one(
        start in -BASE_LIMIT..BASE_LIMIT, before in any_accesses(3), after in any_accesses(3),
    ) {
        let mut first = Ports::new(Rtc::new(start));
        first.run(&before);
        let mut second = rtc();
        second.chip.restore(first.chip.save()).unwrap();
        second.now = first.now;
        prop_assert_eq!(first.run(&after), second.run(&after));
        prop_assert_eq!(first.chip.save(), second.chip.save());
    }

    #[test]
    fn any_register_values_work(
        bytes in prop::collection::vec((0u8..0x33, any::<u8>()), 0..40), waits in prop::collection::vec(0u64..1 << 50, 0..20),
    ) {
        let mut rtc = rtc();
        for (index, value) in bytes {
            write(&mut rtc, index, value);
        }
        for wait in waits {
            rtc.run_to(rtc.now + Duration::from_nanos(wait));
            prop_assert!(rtc.chip.deadline() > Some(rtc.now) || rtc.chip.deadline().is_none());
            for index in 0..0x33 {
                read(&mut rtc, index);
            }
        }
    }
}
