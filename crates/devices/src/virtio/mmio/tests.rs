//! The transport's registers as a driver uses them; numbers are those of chapter 4.2.2.

use proptest::prelude::*;

use super::*;
use crate::testing::any_accesses;
use crate::virtio::queue::tests::Echo;
use crate::virtio::test_driver::{Driver, VERSION_1};

#[test]
fn the_device_can_be_identified() {
    let mut driver = Driver::idle(Echo::default());
    assert_eq!(driver.get(0x000), 0x7472_6976);
    assert_eq!(driver.get(0x004), 2);
    assert_eq!(driver.get(0x008), 42);
    driver.set(0x014, 1);
    assert_eq!(driver.get(0x010), 1);
    driver.set(0x014, 0);
    assert_eq!(driver.get(0x010), 1 | 1 << 28 | 1 << 29);
    driver.set(0x014, 2);
    assert_eq!(driver.get(0x010), 0);
    driver.set(0x030, 1);
    assert_eq!(driver.get(0x034), 8);
    driver.set(0x030, 2);
    assert_eq!(driver.get(0x034), 0, "no such queue");
    for register in [0x0B0, 0x0B4, 0x0B8, 0x0BC] {
        assert_eq!(driver.get(register), u32::MAX, "no shared memory");
    }
}

#[test]
fn registers_can_be_read_in_parts_and_only_written_whole() {
    let mut driver = Driver::idle(Echo::default());
    assert_eq!([0, 1, 2, 3].map(|at| driver.bus.read8(at)), *b"virt");
    let mut half = [0; 2];
    driver.bus.read(2, &mut half);
    assert_eq!(half, *b"rt");
    driver.bus.write(0x070, &[1]);
    driver.bus.write(0x071, &[1, 0, 0, 0]);
    assert_eq!(driver.get(0x070), 0);
    let mut wide = vec![1, 0, 0, 0];
    wide.extend([0xFF; 4]);
    driver.bus.write(0x070, &wide);
    assert_eq!(driver.get(0x070), 1);
}

#[test]
fn configuration_space_ends_in_zeros() {
    let mut driver = Driver::idle(Echo::default());
    assert_eq!(driver.get(0x100), 0x0403_0201);
    assert_eq!(driver.get(0x104), 0x0605);
    assert_eq!(driver.bus.read8(0x105), 6);
    assert_eq!(driver.get(0x1FC), 0);
}

#[test]
fn unknown_features_and_drafts_are_refused() {
    for (low, high) in [(1, 0), (3, 1), (1, 3)] {
        let mut driver = Driver::idle(Echo::default());
        driver.set(0x070, 3);
        driver.set(0x024, 0);
        driver.set(0x020, low);
        driver.set(0x024, 1);
        driver.set(0x020, high);
        driver.set(0x070, 0xB);
        assert_eq!(driver.get(0x070), 3);
        driver.set(0x070, 0xF);
        assert_eq!(driver.get(0x070), 3, "not without features");
    }
    assert_eq!(VERSION_1, 1 << 32);
}

#[test]
fn a_ready_queue_cannot_be_moved() {
    let mut driver = Driver::new(Echo::default(), 0);
    driver.set(0x030, 0);
    let before = driver.bus.chip.save();
    for register in [0x038, 0x080, 0x084, 0x090, 0x0A4] {
        driver.set(register, 4);
    }
    assert_eq!(driver.bus.chip.save(), before);
    driver.set(0x044, 0);
    assert_eq!(driver.get(0x044), 0);
    driver.set(0x038, 3);
    driver.set(0x044, 1);
    assert_eq!(driver.get(0x044), 0, "three is no power of two");
}

#[test]
fn nothing_happens_before_the_driver_is_ready() {
    let mut driver = Driver::new(Echo::default(), 0);
    driver.bus.chip.status &= !4;
    driver.send(0, &[b"a"], &[1]);
    driver.notify(0);
    assert_eq!(driver.used(0), None);
    driver.set(0x070, 0xF);
    driver.notify(7);
    driver.notify(0);
    assert_eq!(driver.used(0), Some((0, 1)));
}

#[test]
fn writing_zero_to_status_resets_everything() {
    let mut driver = Driver::new(Echo::default(), 1);
    let fresh = Driver::idle(Echo::default()).bus.chip.save();
    driver.send(0, &[b"a"], &[1]);
    driver.notify(0);
    assert!(driver.bus.interrupt());
    driver.set(0x070, 0);
    assert!(!driver.bus.interrupt());
    assert_eq!(driver.bus.chip.save(), fresh);
}

#[test]
fn hostile_states_are_refused() {
    let mut driver = Driver::new(Echo::default(), 0);
    let good = driver.bus.chip.save();
    type Spoil = fn(&mut MmioState<()>);
    let spoils: [Spoil; 6] = [
        |state| state.queues.truncate(1),
        |state| state.queues[1].size = 0,
        |state| state.queues[1].size = 16,
        |state| state.status = 0x100,
        |state| state.interrupt_status = 4,
        |state| state.driver_features = 0,
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(driver.bus.chip.restore(bad).is_err());
        assert_eq!(driver.bus.chip.save(), good);
    }
}

proptest! {
    #[test]
    fn any_access_is_survived_and_saved(before in any_accesses(0x110), after in any_accesses(0x110)) {
        let mut first = Driver::new(Echo::default(), 0);
        first.bus.run(&before);
        let mut second = Driver::idle(Echo::default());
        second.bus.chip.restore(first.bus.chip.save()).unwrap();
        second.bus.now = first.bus.now;
        second.bus.ram = first.bus.ram.clone();
        prop_assert_eq!(first.bus.run(&after), second.bus.run(&after));
        prop_assert_eq!(first.bus.chip.save(), second.bus.chip.save());
        prop_assert_eq!(first.bus.ram, second.bus.ram);
    }
}
