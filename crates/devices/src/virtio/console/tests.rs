//! Talks to the console as Linux' drivers/char/virtio_console.c does.

use proptest::prelude::*;

use super::*;
use crate::testing::any_accesses;
use crate::virtio::test_driver::{Driver, EVENT_INDEX};
use crate::{Device, VmTime};

const MULTIPORT: u64 = 2;
const AGENT_RECEIVEQ: usize = 4;
const AGENT_TRANSMITQ: usize = 5;

fn console() -> Console {
    Console::new(vec![
        PortConfig { name: String::new(), console: true },
        PortConfig { name: "org.agent".into(), console: false },
    ])
}

fn control(id: u32, event: u16, value: u16) -> Vec<u8> {
    [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// Sends a fresh driver's first control message and returns the device's answers.
fn tell(driver: &mut Driver<Console>, message: &[u8]) -> Vec<Vec<u8>> {
    let mut answers: Vec<u64> = (0..4).map(|_| driver.send(2, &[], &[64])[0]).collect();
    driver.send(3, &[message], &[]);
    driver.notify(3);
    assert!(driver.used(3).is_some());
    let mut received = Vec::new();
    while let Some((_, length)) = driver.used(2) {
        received.push(driver.bytes(answers.remove(0), length as usize).to_vec());
    }
    received
}

/// A driver that has both ports open.
fn connected() -> Driver<Console> {
    let mut driver = Driver::new(console(), MULTIPORT);
    for message in [control(0, 0, 1), control(0, 3, 1), control(1, 3, 1), control(0, 6, 1), control(1, 6, 1)]
    {
        driver.send(3, &[&message], &[]);
        driver.notify(3);
        assert!(driver.used(3).is_some());
    }
    driver
}

#[test]
fn ports_are_announced_named_and_opened() {
    let mut driver = Driver::new(console(), MULTIPORT);
    assert_eq!(driver.get(0x104), 2, "max_nr_ports");
    assert_eq!(tell(&mut driver, &control(9, 0, 1)), [control(0, 1, 0), control(1, 1, 0)]);
    driver.start(MULTIPORT);
    assert_eq!(tell(&mut driver, &control(0, 3, 1)), [control(0, 4, 1), control(0, 6, 1)]);
    driver.start(MULTIPORT);
    let name = [control(1, 7, 1), b"org.agent".to_vec()].concat();
    assert_eq!(tell(&mut driver, &control(1, 3, 1)), [name, control(1, 6, 1)]);
    assert!(!driver.device().guest_open(1));
    driver.send(3, &[&control(1, 6, 1)], &[]);
    driver.notify(3);
    assert!(driver.device().guest_open(1));
    driver.send(3, &[&control(1, 6, 0)], &[]);
    driver.notify(3);
    assert!(!driver.device().guest_open(1));
}

#[test]
fn control_messages_wait_for_buffers_and_do_not_pile_up() {
    let mut driver = Driver::new(console(), MULTIPORT);
    for _ in 0..5 {
        for message in [control(0, 0, 1), control(1, 3, 1), control(7, 3, 1), control(0, 99, 1), vec![1, 2]] {
            driver.send(3, &[&message], &[]);
            driver.notify(3);
            assert!(driver.used(3).is_some());
        }
    }
    assert_eq!(driver.bus.chip.save().device.control.len(), 4);
    let buffers: Vec<u64> = (0..6).map(|_| driver.send(2, &[], &[64])[0]).collect();
    driver.notify(2);
    assert_eq!(driver.bytes(buffers[1], 8), control(1, 1, 0));
    assert_eq!(driver.bytes(buffers[3], 8), control(1, 6, 1));
    assert_eq!(driver.bytes(buffers[4], 1), [0xEE]);
}

#[test]
fn guest_output_is_taken_at_once() {
    let mut driver = connected();
    driver.send(1, &[b"hello ", b"world"], &[]);
    driver.notify(1);
    driver.send(AGENT_TRANSMITQ, &[b"frame"], &[]);
    driver.notify(AGENT_TRANSMITQ);
    assert_eq!(driver.used(1), Some((0, 0)));
    assert_eq!(driver.used(AGENT_TRANSMITQ), Some((0, 0)));
    assert_eq!(driver.device().pending_output(0), 11);
    assert_eq!(driver.device().take_output(0), b"hello world");
    assert_eq!(driver.device().take_output(1), b"frame");
    assert_eq!(driver.device().take_output(1), b"");
}

#[test]
fn input_is_delivered_on_advance_as_far_as_there_are_buffers() {
    let mut driver = connected();
    let first = driver.send(AGENT_RECEIVEQ, &[], &[3])[0];
    driver.notify(AGENT_RECEIVEQ);
    driver.interrupted();
    assert_eq!(driver.bus.chip.deadline(), None);
    driver.device().push_input(1, b"abcdef");
    assert_eq!(driver.bus.chip.deadline(), Some(VmTime::ZERO));
    assert_eq!(driver.bus.run_to(VmTime::ZERO), 1);
    assert_eq!(driver.used(AGENT_RECEIVEQ), Some((0, 3)));
    assert_eq!(driver.bytes(first, 3), b"abc");
    assert_eq!(driver.device().pending_input(1), 3);
    assert_eq!(driver.bus.chip.deadline(), None);
    let second = driver.send(AGENT_RECEIVEQ, &[], &[10])[0];
    driver.notify(AGENT_RECEIVEQ);
    assert_eq!(driver.used(AGENT_RECEIVEQ), Some((1, 3)));
    assert_eq!(driver.bytes(second, 4), b"def\xEE");
    assert_eq!(driver.device().pending_input(1), 0);
}

#[test]
fn input_waits_until_a_program_opens_the_port() {
    let mut driver = Driver::new(console(), MULTIPORT);
    let buffer = driver.send(AGENT_RECEIVEQ, &[], &[10])[0];
    driver.notify(AGENT_RECEIVEQ);
    driver.device().push_input(1, b"early");
    driver.bus.run_to(VmTime::ZERO);
    assert_eq!(driver.used(AGENT_RECEIVEQ), None);
    driver.send(3, &[&control(1, 6, 1)], &[]);
    driver.notify(3);
    assert_eq!(driver.bytes(buffer, 5), b"early");
    driver.device().push_input(1, b"late");
    driver.device().clear_input(1);
    assert_eq!(driver.device().pending_input(1), 0);
}

#[test]
fn refilling_buffers_needs_no_notification_without_input() {
    let mut driver = Driver::new(console(), MULTIPORT | EVENT_INDEX);
    driver.send(AGENT_RECEIVEQ, &[], &[10]);
    driver.notify(AGENT_RECEIVEQ);
    assert_eq!(driver.avail_event(AGENT_RECEIVEQ), u16::MAX);
    driver.send(3, &[&control(1, 6, 1)], &[]);
    driver.notify(3);
    driver.device().push_input(1, &[7; 11]);
    driver.bus.run_to(VmTime::ZERO);
    assert_eq!(driver.avail_event(AGENT_RECEIVEQ), 1, "the next buffer is wanted");
}

#[test]
fn a_driver_of_one_port_can_use_it() {
    let mut driver = Driver::new(console(), 0);
    let buffer = driver.send(0, &[], &[10])[0];
    driver.device().push_input(0, b"x");
    driver.bus.run_to(VmTime::ZERO);
    assert_eq!(driver.bytes(buffer, 1), b"x");
    assert!(driver.device().guest_open(0));
}

#[test]
fn emergency_writes_need_no_driver() {
    let mut driver = Driver::idle(console());
    driver.set(0x108, u32::from(b'!'));
    driver.bus.write8(0x108, b'?');
    assert_eq!(driver.device().take_output(0), b"!?");
}

#[test]
fn reset_keeps_bytes_on_their_way() {
    let mut driver = connected();
    driver.device().push_input(1, b"in");
    driver.send(1, &[b"out"], &[]);
    driver.notify(1);
    driver.set(0x070, 0);
    assert!(!driver.device().guest_open(1));
    assert_eq!(driver.device().pending_input(1), 2);
    assert_eq!(driver.device().take_output(0), b"out");
}

#[test]
fn a_transmit_buffer_of_megabytes_breaks_the_device() {
    let mut driver = Driver::new(console(), MULTIPORT);
    driver.bus.ram.resize(4 << 20, 0);
    driver.set_descriptor(1, 0, 0, (1 << 20) + 1, 0, 0);
    driver.offer(1, 0);
    driver.notify(1);
    assert!(driver.broken());
    assert_eq!(driver.device().pending_output(0), 0);
}

#[test]
fn hostile_states_are_refused() {
    let mut console = console();
    let good = console.save();
    let spoils: [fn(&mut ConsoleState); 3] = [
        |state| state.ports.truncate(1),
        |state| state.control = vec![vec![]; 9],
        |state| state.control = vec![vec![0; 18]],
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(console.restore(bad).is_err());
        assert_eq!(console.save(), good);
    }
}

proptest! {
    #[test]
    fn a_restored_console_goes_on_as_the_saved_one(
        messages in prop::collection::vec((0u32..3, 0u16..9, 0u16..2), 0..8),
        input in any::<Vec<u8>>(), buffers in 0usize..8, after in any_accesses(0x110),
    ) {
        let mut first = connected();
        for (id, event, value) in messages {
            first.send(3, &[&control(id, event, value)], &[]);
            first.notify(3);
        }
        first.device().push_input(1, &input);
        first.send(1, &[&input], &[]);
        for _ in 0..buffers {
            first.send(AGENT_RECEIVEQ, &[], &[5]);
        }
        let mut second = Driver::idle(console());
        second.bus.chip.restore(first.bus.chip.save()).unwrap();
        second.bus.ram = first.bus.ram.clone();
        for driver in [&mut first, &mut second] {
            driver.bus.run_to(VmTime::ZERO);
            driver.notify(1);
        }
        prop_assert_eq!(first.bus.run(&after), second.bus.run(&after));
        prop_assert_eq!(first.bus.chip.save(), second.bus.chip.save());
        prop_assert_eq!(first.bus.ram, second.bus.ram);
    }

    /// Every queue notified over RAM filled at random.
    #[test]
    fn any_rings_are_survived(words in prop::collection::vec(0u16..64, 512), queues in prop::collection::vec(0u32..6, 0..20)) {
        let mut driver = connected();
        for page in 0..6 {
            for (at, word) in words.iter().enumerate() {
                driver.bus.ram[0x1000 * page + 6 * at..][..2].copy_from_slice(&word.to_le_bytes());
            }
        }
        for queue in queues {
            driver.device().push_input(queue as usize & 1, &[1; 40]);
            driver.set(0x050, queue);
            driver.bus.run_to(VmTime::ZERO);
        }
    }
}
