use proptest::prelude::*;

use super::*;

/// What Linux does (`init_8259A`): vectors from 0x30, everything masked but what is given.
fn linux(mask: u16) -> Pic {
    initialized(mask, 0x01)
}

fn initialized(mask: u16, icw4: u8) -> Pic {
    let mut pic = Pic::new();
    for (half, base, cascade) in [(Half::Primary, 0x30, 1 << 2), (Half::Secondary, 0x38, 2)] {
        pic.write(half, 0, 0x11);
        pic.write(half, 1, base);
        pic.write(half, 1, cascade);
        pic.write(half, 1, icw4);
    }
    pic.write(Half::Primary, 1, mask as u8);
    pic.write(Half::Secondary, 1, (mask >> 8) as u8);
    pic
}

fn pulse(pic: &mut Pic, irq: u8) {
    pic.set_line(irq, false);
    pic.set_line(irq, true);
}

/// Serves everything; the vectors in their order.
fn serve_all(pic: &mut Pic) -> Vec<u8> {
    let mut vectors = Vec::new();
    while pic.interrupt_line() {
        let vector = pic.acknowledge();
        vectors.push(vector);
        if vector >= 0x38 {
            pic.write(Half::Secondary, 0, 0x20);
        }
        pic.write(Half::Primary, 0, 0x20);
        assert!(vectors.len() < 100, "it never ends: {vectors:x?}");
    }
    vectors
}

fn register(pic: &mut Pic, half: Half, ocw3: u8) -> u8 {
    pic.write(half, 0, ocw3);
    pic.read(half, 0)
}

fn irr(pic: &mut Pic, half: Half) -> u8 {
    register(pic, half, 0x0A)
}

fn isr(pic: &mut Pic, half: Half) -> u8 {
    register(pic, half, 0x0B)
}

#[test]
fn its_mask_is_a_register_before_it_is_initialised() {
    let mut pic = Pic::new();
    // As Linux looks for it (`probe_8259A`).
    pic.write(Half::Secondary, 1, 0xFF);
    pic.write(Half::Primary, 1, 0xFB);
    assert_eq!((pic.read(Half::Primary, 1), pic.read(Half::Secondary, 1)), (0xFB, 0xFF));
}

#[test]
fn it_is_silent_before_it_is_initialised() {
    let mut pic = Pic::new();
    for irq in 0..16 {
        pulse(&mut pic, irq);
    }
    assert!(!pic.interrupt_line());
    let mut pic = linux(0);
    pulse(&mut pic, 3);
    pic.write(Half::Primary, 0, 0x11);
    assert!(!pic.interrupt_line());
    for word in [0x40, 1 << 2, 1] {
        assert!(!pic.interrupt_line());
        pic.write(Half::Primary, 1, word);
    }
    assert!(!pic.interrupt_line(), "ICW1 forgets edges");
    pulse(&mut pic, 3);
    assert_eq!(pic.acknowledge(), 0x43);
}

#[test]
fn requests_are_served_by_priority_with_the_secondary_in_place_of_line_two() {
    let mut pic = linux(0);
    for irq in [7, 12, 3, 8, 0, 1] {
        pulse(&mut pic, irq);
    }
    assert_eq!(serve_all(&mut pic), [0x30, 0x31, 0x38, 0x3C, 0x33, 0x37]);
}

#[test]
fn a_masked_line_waits() {
    let mut pic = linux(1 << 5 | 1 << 10);
    pulse(&mut pic, 5);
    pulse(&mut pic, 10);
    assert!(!pic.interrupt_line());
    assert_eq!((irr(&mut pic, Half::Primary), irr(&mut pic, Half::Secondary)), (1 << 5, 1 << 2));
    assert_eq!(pic.read(Half::Primary, 1), 1 << 5);
    pic.write(Half::Secondary, 1, 0);
    pic.write(Half::Primary, 1, 0);
    assert_eq!(serve_all(&mut pic), [0x3A, 0x35]);
}

#[test]
fn an_edge_counts_once_and_a_level_as_long_as_it_lasts() {
    let mut pic = linux(0);
    pulse(&mut pic, 5);
    assert_eq!(serve_all(&mut pic), [0x35]);
    pic.set_line(5, true);
    assert!(!pic.interrupt_line());
    pic.set_levels(Half::Primary, 0xFF);
    assert_eq!(pic.levels(Half::Primary), 0xF8);
    assert_eq!(pic.acknowledge(), 0x35);
    pic.write(Half::Primary, 0, 0x20);
    assert!(pic.interrupt_line(), "it is still high");
    pic.set_line(5, false);
    assert!(!pic.interrupt_line());
    pic.set_levels(Half::Secondary, 0xFF);
    assert_eq!(pic.levels(Half::Secondary), 0xDE);
}

#[test]
fn a_request_that_goes_away_is_spurious() {
    let mut pic = linux(0);
    pulse(&mut pic, 5);
    pic.set_line(5, false);
    assert!(!pic.interrupt_line());
    assert_eq!((pic.acknowledge(), isr(&mut pic, Half::Primary)), (0x37, 0));
    // The secondary's request goes away after the processor has begun: the primary is served.
    pulse(&mut pic, 9);
    let mut chips = pic.save();
    chips.secondary.set_line(1, false);
    pic.restore(chips).unwrap();
    assert_eq!(pic.acknowledge(), 0x3F);
    assert_eq!((isr(&mut pic, Half::Primary), isr(&mut pic, Half::Secondary)), (1 << 2, 0));
}

#[test]
fn what_is_served_holds_back_what_is_not_more_urgent() {
    let mut pic = linux(0);
    pulse(&mut pic, 4);
    assert_eq!(pic.acknowledge(), 0x34);
    pulse(&mut pic, 4);
    pulse(&mut pic, 6);
    assert!(!pic.interrupt_line());
    pulse(&mut pic, 1);
    assert_eq!(pic.acknowledge(), 0x31);
    assert_eq!(isr(&mut pic, Half::Primary), 1 << 4 | 1 << 1);
    pic.write(Half::Primary, 0, 0x20);
    assert_eq!(isr(&mut pic, Half::Primary), 1 << 4, "the most urgent one has ended");
    pic.write(Half::Primary, 0, 0x66);
    assert_eq!(isr(&mut pic, Half::Primary), 1 << 4, "6 is not in service");
    pic.write(Half::Primary, 0, 0x64);
    assert_eq!(serve_all(&mut pic), [0x34, 0x36]);
}

#[test]
fn a_slave_interrupts_itself_only_in_the_special_fully_nested_mode() {
    for (icw4, nested) in [(0x01, false), (0x11, true)] {
        let mut pic = initialized(0, icw4);
        pulse(&mut pic, 12);
        assert_eq!(pic.acknowledge(), 0x3C);
        pulse(&mut pic, 8);
        assert_eq!(pic.interrupt_line(), nested);
        if nested {
            assert_eq!(pic.acknowledge(), 0x38);
        }
    }
}

#[test]
fn automatic_eoi_leaves_nothing_in_service() {
    let mut pic = initialized(0, 0x03);
    pulse(&mut pic, 10);
    pulse(&mut pic, 11);
    pulse(&mut pic, 3);
    let vectors: Vec<u8> =
        std::iter::from_fn(|| pic.interrupt_line().then(|| pic.acknowledge())).take(9).collect();
    assert_eq!(vectors, [0x3A, 0x3B, 0x33]);
    assert_eq!((isr(&mut pic, Half::Primary), isr(&mut pic, Half::Secondary)), (0, 0));
}

#[test]
fn priorities_rotate() {
    let mut pic = linux(0);
    pulse(&mut pic, 4);
    assert_eq!(pic.acknowledge(), 0x34);
    pic.write(Half::Primary, 0, 0xA0);
    [1, 4, 5].iter().for_each(|irq| pulse(&mut pic, *irq));
    assert_eq!(serve_all(&mut pic), [0x35, 0x31, 0x34], "4 is the last now");
    pic.write(Half::Primary, 0, 0xC0);
    [0, 1, 7].iter().for_each(|irq| pulse(&mut pic, *irq));
    assert_eq!(serve_all(&mut pic), [0x31, 0x37, 0x30], "0 is the last now");
    pulse(&mut pic, 6);
    pic.acknowledge();
    pic.write(Half::Primary, 0, 0xE6);
    [5, 6, 7].iter().for_each(|irq| pulse(&mut pic, *irq));
    assert_eq!(serve_all(&mut pic), [0x37, 0x35, 0x36], "6 is the last now");

    let mut pic = initialized(0, 0x03);
    pic.write(Half::Primary, 0, 0x80);
    [0, 1].iter().for_each(|irq| pulse(&mut pic, *irq));
    assert_eq!(pic.acknowledge(), 0x30);
    pulse(&mut pic, 0);
    assert_eq!((pic.acknowledge(), pic.acknowledge()), (0x31, 0x30));
    pic.write(Half::Primary, 0, 0x00);
    [0, 1].iter().for_each(|irq| pulse(&mut pic, *irq));
    assert_eq!((pic.acknowledge(), pic.acknowledge()), (0x31, 0x30), "0 stays the last");
}

#[test]
fn a_poll_takes_the_place_of_an_acknowledge() {
    let mut pic = linux(0);
    assert_eq!(register(&mut pic, Half::Primary, 0x0C), 0);
    pulse(&mut pic, 6);
    pulse(&mut pic, 3);
    assert_eq!(register(&mut pic, Half::Primary, 0x0C), 0x83);
    assert_eq!(isr(&mut pic, Half::Primary), 1 << 3);
    assert_eq!(pic.read(Half::Primary, 0), 1 << 3, "what is read stays selected");
    assert!(!pic.interrupt_line());
    pulse(&mut pic, 15);
    assert_eq!(register(&mut pic, Half::Secondary, 0x0C), 0x87);
    assert_eq!(pic.read(Half::Primary, 1), 0);
}

#[test]
fn the_special_mask_mode_looks_through_masked_services() {
    let mut pic = linux(0);
    pulse(&mut pic, 3);
    assert_eq!(pic.acknowledge(), 0x33);
    pulse(&mut pic, 5);
    pic.write(Half::Primary, 1, 1 << 3);
    assert!(!pic.interrupt_line());
    pic.write(Half::Primary, 0, 0x68);
    assert_eq!(pic.acknowledge(), 0x35);
    pic.write(Half::Primary, 0, 0x20);
    pic.write(Half::Primary, 0, 0x20);
    assert_eq!(isr(&mut pic, Half::Primary), 1 << 3, "only a specific EOI ends a masked one");
    pic.write(Half::Primary, 0, 0x63);
    assert_eq!(isr(&mut pic, Half::Primary), 0);
    pic.write(Half::Primary, 0, 0x48);
    pic.write(Half::Primary, 1, 0);
    assert_eq!(serve_all(&mut pic), []);
}

#[test]
fn linux_finds_the_controller() {
    // `probe_8259A`: the mask register can be read back.
    let mut pic = Pic::new();
    pic.write(Half::Primary, 0, 0x11);
    for word in [0x30, 4, 1, 0xFB] {
        pic.write(Half::Primary, 1, word);
    }
    assert_eq!(pic.read(Half::Primary, 1), 0xFB);
}

#[derive(Clone, Debug)]
enum Step {
    Read(bool, bool),
    Write(bool, bool, u8),
    Levels(bool, u8),
    Line(u8, bool),
    Acknowledge,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let half = any::<bool>;
    let step = prop_oneof![
        2 => (half(), half()).prop_map(|(half, data)| Step::Read(half, data)),
        4 => (half(), half(), any::<u8>()).prop_map(|(half, data, value)| Step::Write(half, data, value)),
        1 => (half(), any::<u8>()).prop_map(|(half, value)| Step::Levels(half, value)),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(irq, level)| Step::Line(irq, level)),
        2 => Just(Step::Acknowledge),
    ];
    prop::collection::vec(step, 0..80)
}

fn run(pic: &mut Pic, steps: &[Step]) -> Vec<(u8, bool)> {
    let half = |first: bool| if first { Half::Primary } else { Half::Secondary };
    let mut seen = Vec::new();
    for step in steps {
        let value = match *step {
            Step::Read(first, data) => pic.read(half(first), data.into()),
            Step::Write(first, data, value) => {
                pic.write(half(first), data.into(), value);
                0
            }
            Step::Levels(first, value) => {
                pic.set_levels(half(first), value);
                pic.levels(half(first))
            }
            Step::Line(irq, level) => {
                pic.set_line(irq, level);
                0
            }
            Step::Acknowledge => pic.acknowledge(),
        };
        seen.push((value, pic.interrupt_line()));
    }
    seen
}

proptest! {
    #[test]
    fn anything_may_be_done_and_a_restored_pair_goes_on_alike(before in any_steps(), after in any_steps()) {
        for mut pic in [Pic::new(), linux(0)] {
            run(&mut pic, &before);
            let state = pic.save();
            let mut other = Pic::new();
            other.restore(state.clone()).unwrap();
            prop_assert_eq!(other.save(), state);
            prop_assert_eq!(run(&mut other, &after), run(&mut pic, &after));
        }
    }
}
