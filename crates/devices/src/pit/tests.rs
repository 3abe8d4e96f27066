//! Drives the timer as Linux' drivers/clocksource/i8253.c does; constants are the data sheet's.

use proptest::prelude::*;

use super::*;
use crate::testing::{Ports, any_accesses};

const CHANNEL_0: u32 = 0;
const CHANNEL_2: u32 = 2;
const CONTROL_WORD: u32 = 3;

fn at(clocks: u64) -> VmTime {
    time_of(clocks as i64).unwrap()
}

fn program(pit: &mut Ports<Pit>, control: u8, count: u16) {
    pit.write8(CONTROL_WORD, control);
    let channel = u32::from(control >> 6);
    pit.write8(channel, count as u8);
    pit.write8(channel, (count >> 8) as u8);
}

fn read_count(pit: &mut Ports<Pit>, channel: u32) -> u16 {
    pit.write8(CONTROL_WORD, (channel as u8) << 6);
    u16::from_le_bytes([pit.read8(channel), pit.read8(channel)])
}

/// A fresh timer with a clock away from zero and output 0 already high.
fn periodic(count: u16) -> Ports<Pit> {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x34, count);
    assert!(pit.interrupt());
    pit
}

#[test]
fn clocks_and_times_convert_without_drift() {
    for clocks in [0, 1, 2, 1_193_181, 1_193_182, 123_456_789_012] {
        assert_eq!(clock(at(clocks)), clocks as i64);
        assert_eq!(clock(VmTime::from_nanos(at(clocks + 1).as_nanos() - 1)), clocks as i64);
    }
    assert_eq!(clock(VmTime::from_nanos(1_000_000_000)), 1_193_182);
}

#[test]
fn mode_2_gives_one_rising_edge_each_period() {
    let mut pit = periodic(11_932);
    for period in 1..=100 {
        let rise = at(1 + period * 11_932);
        assert_eq!(pit.chip.deadline(), Some(rise));
        assert_eq!(pit.run_to(VmTime::from_nanos(rise.as_nanos() - 1)), 0);
        assert_eq!(pit.run_to(rise), 1);
    }
}

#[test]
fn mode_2_is_low_for_the_last_clock_of_the_period() {
    let mut pit = periodic(1000);
    for (clocks, level) in [(999, true), (1000, false), (1001, true)] {
        pit.now = at(clocks);
        pit.advance();
        assert_eq!(pit.interrupt(), level, "clock {clocks}");
    }
    assert!(pit.chip.deadline() > Some(pit.now), "the edge was seen as it was");
}

#[test]
fn periods_missed_in_a_pause_become_one_edge() {
    let mut pit = periodic(1000);
    assert_eq!(pit.run_to(at(1_000_000_500)), 1);
    assert_eq!(pit.chip.deadline(), Some(at(1_000_001_001)));
    assert_eq!(pit.run_to(at(1_000_000_900)), 0);
    assert_eq!(pit.run_to(at(1_000_001_001)), 1);
}

#[test]
fn register_reads_do_not_swallow_a_tick() {
    let mut pit = periodic(1000);
    pit.now = at(1001);
    let mut rises = 0;
    for _ in 0..3 {
        let before = pit.interrupt();
        read_count(&mut pit, CHANNEL_0);
        rises += usize::from(!before && pit.interrupt());
    }
    assert_eq!(rises + pit.run_to(at(1002)), 1);
}

#[test]
fn mode_4_strobes_once_after_each_write() {
    let mut pit = Ports::new(Pit::new());
    pit.write8(CONTROL_WORD, 0x38);
    assert!(pit.interrupt());
    assert_eq!(pit.chip.deadline(), None, "no count, no strobe");
    for round in 0..5u64 {
        let start = 5000 * round;
        pit.now = at(start);
        pit.write8(CHANNEL_0, 100);
        pit.write8(CHANNEL_0, 0);
        assert_eq!(pit.chip.deadline(), Some(at(start + 102)));
        pit.now = at(start + 101);
        pit.advance();
        assert!(!pit.interrupt());
        assert_eq!(pit.run_to(at(start + 102)), 1);
        assert_eq!(pit.chip.deadline(), None);
        assert_eq!(pit.run_to(at(start + 4000)), 0);
    }
}

#[test]
fn mode_4_write_replaces_a_strobe_not_yet_due() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x38, 1000);
    pit.now = at(500);
    pit.write8(CHANNEL_0, 0xE8);
    assert_eq!(pit.chip.deadline(), Some(at(1002)), "one byte changes nothing");
    pit.write8(CHANNEL_0, 0x03);
    assert_eq!(pit.chip.deadline(), Some(at(1502)));
}

#[test]
fn mode_0_rises_at_terminal_count_and_stays() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x30, 10);
    assert!(!pit.interrupt());
    assert_eq!(pit.chip.deadline(), Some(at(11)));
    assert_eq!(pit.run_to(at(11)), 1);
    assert_eq!(pit.run_to(at(1_000_000)), 0);
    assert!(pit.interrupt());
    pit.write8(CHANNEL_0, 10);
    assert!(!pit.interrupt(), "the first byte sets the output low");
    assert_eq!(pit.chip.deadline(), None);
    pit.write8(CHANNEL_0, 0);
    assert_eq!(pit.chip.deadline(), Some(at(1_000_011)));
}

#[test]
fn shutdown_by_mode_0_takes_back_an_edge_not_shown() {
    let mut pit = periodic(1000);
    pit.now = at(1500);
    pit.write8(CONTROL_WORD, 0x30);
    assert!(!pit.interrupt());
    assert_eq!(pit.run_to(at(1_000_000)), 0);
}

#[test]
fn mode_3_is_high_and_low_for_half_a_period() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x36, 5);
    let mut levels = String::new();
    let mut counts = Vec::new();
    for clocks in 1..=10 {
        pit.now = at(clocks);
        levels.push(if pit.chip.channels[0].output(clocks as i64) { 'H' } else { 'L' });
        counts.push(read_count(&mut pit, CHANNEL_0));
    }
    assert_eq!(levels, "HHHLLHHHLL");
    assert_eq!(counts, [4, 2, 0, 4, 2, 4, 2, 0, 4, 2]);
}

#[test]
fn a_new_count_of_mode_3_starts_with_the_next_half() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x36, 10);
    pit.now = at(3);
    pit.write8(CHANNEL_0, 4);
    pit.write8(CHANNEL_0, 0);
    // High until 6 as before, then halves of two clocks.
    assert_eq!(pit.chip.deadline(), Some(at(8)));
    assert_eq!(pit.run_to(at(8)), 1);
    assert_eq!(pit.chip.deadline(), Some(at(12)));
}

#[test]
fn a_new_count_of_mode_2_starts_with_the_next_period() {
    let mut pit = periodic(1000);
    pit.now = at(500);
    pit.write8(CHANNEL_0, 100);
    pit.write8(CHANNEL_0, 0);
    assert_eq!(read_count(&mut pit, CHANNEL_0), 501);
    assert_eq!(pit.chip.deadline(), Some(at(1001)));
    pit.run_to(at(1001));
    assert_eq!(pit.chip.deadline(), Some(at(1101)));
}

#[test]
fn the_count_is_latched_until_both_bytes_are_read() {
    let mut pit = periodic(0x1234);
    pit.now = at(1);
    pit.write8(CONTROL_WORD, 0x00);
    pit.now = at(0x35);
    pit.write8(CONTROL_WORD, 0x00);
    assert_eq!(pit.read8(CHANNEL_0), 0x34);
    assert_eq!(pit.read8(CHANNEL_0), 0x12);
    assert_eq!(pit.read8(CHANNEL_0), 0x00);
    assert_eq!(pit.read8(CHANNEL_0), 0x12);
}

#[test]
fn read_back_gives_status_then_count() {
    let mut pit = Ports::new(Pit::new());
    pit.chip.set_gate2(true, at(0));
    program(&mut pit, 0xB6, 0x0100);
    pit.write8(CONTROL_WORD, 0xE8);
    assert_eq!(pit.read8(CHANNEL_2), 0xF6, "output high, count not loaded");
    pit.now = at(3);
    pit.write8(CONTROL_WORD, 0xC8);
    assert_eq!(pit.read8(CHANNEL_2), 0xB6);
    assert_eq!((pit.read8(CHANNEL_2), pit.read8(CHANNEL_2)), (0xFC, 0x00));
}

#[test]
fn decimal_counts_wrap_at_ten_thousand() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0x31, 0x0010);
    pit.now = at(3);
    assert_eq!(read_count(&mut pit, CHANNEL_0), 0x0008);
    pit.now = at(12);
    assert_eq!(read_count(&mut pit, CHANNEL_0), 0x9999);
}

#[test]
fn gate_2_stops_mode_0_and_triggers_mode_1() {
    let mut pit = Ports::new(Pit::new());
    program(&mut pit, 0xB0, 100);
    assert!(!pit.chip.output2(at(1000)));
    pit.chip.set_gate2(true, at(1000));
    pit.chip.set_gate2(false, at(1050));
    assert!(!pit.chip.output2(at(5000)));
    pit.chip.set_gate2(true, at(5000));
    assert!(!pit.chip.output2(at(5049)));
    assert!(pit.chip.output2(at(5051)));

    pit.chip.set_gate2(false, at(6000));
    pit.now = at(6000);
    program(&mut pit, 0xB2, 10);
    assert!(pit.chip.output2(at(6500)));
    pit.chip.set_gate2(true, at(6500));
    assert!(!pit.chip.output2(at(6501)));
    assert!(!pit.chip.output2(at(6510)));
    assert!(pit.chip.output2(at(6511)));
}

#[test]
fn hostile_states_are_refused() {
    let mut pit = periodic(1000);
    let good = pit.chip.save();
    type Spoil = fn(&mut ChannelState);
    let spoils: [Spoil; 8] = [
        |channel| channel.mode = 6,
        |channel| channel.access = 0,
        |channel| channel.initial = 0,
        |channel| channel.next = Some(0x10001),
        |channel| channel.next_at = i64::MIN,
        |channel| channel.phase = PhaseState::Running { loaded: i64::MAX },
        |channel| channel.phase = PhaseState::Held { elapsed: -1 },
        |channel| channel.latched_count = vec![0; 3],
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad.channels[1]);
        assert!(pit.chip.restore(bad).is_err());
        assert_eq!(pit.chip.save(), good);
    }
}

prop_compose! {
    fn any_phase()(kind in 0..3, clock in 0..CLOCKS) -> PhaseState {
        match kind {
            0 => PhaseState::Idle,
            1 => PhaseState::Running { loaded: clock },
            _ => PhaseState::Held { elapsed: clock },
        }
    }
}

const CLOCKS: i64 = 1 << 40;

proptest! {
    #[test]
    fn a_restored_timer_behaves_as_the_saved_one(before in any_accesses(5), after in any_accesses(5)) {
        let mut first = Ports::new(Pit::new());
        first.run(&before);
        let mut second = Ports::new(Pit::new());
        second.chip.restore(first.chip.save()).unwrap();
        second.now = first.now;
        prop_assert_eq!(first.run(&after), second.run(&after));
        prop_assert_eq!(first.chip.save(), second.chip.save());
    }

    #[test]
    fn any_state_that_is_accepted_works(
        mode in 0u8..6, phase in any_phase(), initial in 1u32..=65536,
        next in prop::option::of(1u32..=65536), next_at in -CLOCKS..CLOCKS, after in any_accesses(5),
    ) {
        let mut pit = Ports::new(Pit::new());
        let mut state = pit.chip.save();
        let channel = ChannelState { mode, phase, initial, next, next_at, ..state.channels[0].clone() };
        state.channels = [channel.clone(), channel.clone(), channel];
        pit.chip.restore(state).unwrap();
        pit.run(&after);
    }

    /// The closed forms against a counter that is clocked one by one.
    #[test]
    fn rises_are_where_the_output_rises(mode in 0u8..6, count in 2u16..50, rewrite in 0i64..100, new in 2u16..50) {
        let mut channel = Channel::new(true);
        channel.control(0x30 | mode << 1, 0);
        for byte in count.to_le_bytes() {
            channel.write(byte, 0);
        }
        let mut predicted = channel.next_rise(0);
        for clock in 1..200 {
            let before = channel.output(clock - 1);
            channel.settle(clock);
            if clock == rewrite {
                for byte in new.to_le_bytes() {
                    channel.write(byte, clock);
                }
                predicted = channel.next_rise(clock);
                continue;
            }
            let rises = !before && channel.output(clock);
            prop_assert_eq!(rises, predicted == Some(clock), "clock {}", clock);
            if rises {
                predicted = channel.next_rise(clock);
            }
        }
    }
}
