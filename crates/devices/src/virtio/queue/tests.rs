//! Rings good and bad, through a device that writes back what it reads.

use proptest::prelude::*;

use super::*;
use crate::virtio::test_driver::{Driver, EVENT_INDEX, INDIRECT, NEXT, SIZE, WRITE, descriptor};
use crate::virtio::{Rings, VirtioDevice};

/// Answers each request with its own bytes.
#[derive(Debug, Default)]
pub struct Echo {
    pub ignores_queue: bool,
}

impl VirtioDevice for Echo {
    type State = ();

    fn device_id(&self) -> u32 {
        42
    }

    fn features(&self) -> u64 {
        1
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![16, 8]
    }

    fn activate(&mut self, _: u64) {}

    fn reset(&mut self) {}

    fn process(&mut self, queue: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        if self.ignores_queue {
            return rings.want_notification(queue, false);
        }
        while let Some(chain) = rings.pop(queue)? {
            let mut bytes = Vec::new();
            chain.readable.read_all(rings.memory, &mut bytes)?;
            let written = chain.writable.write(rings.memory, 0, &bytes)?;
            rings.push(queue, chain, written as u32)?;
        }
        rings.want_notification(queue, true)
    }

    fn read_config(&self, offset: u32, data: &mut [u8]) {
        crate::virtio::read_config_bytes(&[1, 2, 3, 4, 5, 6], offset, data);
    }

    fn save(&self) {}

    fn restore(&mut self, (): ()) -> Result<(), RestoreError> {
        Ok(())
    }
}

fn driver() -> Driver<Echo> {
    Driver::new(Echo::default(), 0)
}

#[test]
fn requests_are_answered_across_segments_and_wraps() {
    let mut driver = driver();
    for round in 0..1000u32 {
        let text = round.to_string();
        let answer = driver.send(0, &[b"n", text.as_bytes()], &[2, 20]);
        driver.notify(0);
        let (_, length) = driver.used(0).unwrap();
        assert_eq!(length as usize, 1 + text.len());
        assert_eq!(driver.bytes(answer[0], 1), b"n");
        assert_eq!(driver.bytes(answer[0] + 1, text.len()), text.as_bytes());
        assert!(driver.interrupted());
        driver.heap_reset();
    }
}

#[test]
fn indirect_tables_stand_for_chains() {
    let mut driver = driver();
    let from = driver.put(b"abc");
    let to = driver.put(&[0; 4]);
    let mut table = descriptor(from, 3, NEXT, 1).to_vec();
    table.extend(descriptor(to, 4, WRITE, 0));
    let table = driver.put(&table);
    let direct = driver.put(b"<");
    driver.set_descriptor(0, 3, direct, 1, NEXT, 5);
    driver.set_descriptor(0, 5, table, 32, INDIRECT, 0);
    driver.offer(0, 3);
    driver.notify(0);
    assert_eq!(driver.used(0), Some((3, 4)));
    assert_eq!(driver.bytes(to, 4), b"<abc");
}

#[test]
fn broken_chains_stop_the_device_until_reset() {
    type Spoil = fn(&mut Driver<Echo>);
    let spoils: [(Spoil, QueueError); 11] = [
        (|driver| driver.offer(0, SIZE), QueueError::DescriptorIndex(SIZE)),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 1, NEXT, 9), QueueError::DescriptorIndex(9)),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 1, NEXT, 0), QueueError::Loop),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 0, NEXT, 0), QueueError::Loop),
        (
            |driver| driver.set_descriptor(0, 0, 0x3FFFF, 2, 0, 0),
            QueueError::Memory(MemoryError { start: 0x3FFFF, length: 2 }),
        ),
        (
            |driver| driver.set_descriptor(0, 0, u64::MAX, 2, 0, 0),
            QueueError::Memory(MemoryError { start: u64::MAX, length: 2 }),
        ),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 33, INDIRECT, 0), QueueError::Indirect),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 0, INDIRECT, 0), QueueError::Indirect),
        (|driver| driver.set_descriptor(0, 0, 0x20000, 16, INDIRECT | NEXT, 1), QueueError::Indirect),
        (
            |driver| {
                driver.set_descriptor(0, 0, 0x20000, 1, WRITE | NEXT, 1);
                driver.set_descriptor(0, 1, 0x20000, 1, 0, 0);
            },
            QueueError::Order,
        ),
        (
            |driver| {
                driver.set_descriptor(0, 0, 0, 0x40000, NEXT, 1);
                driver.set_descriptor(0, 1, 0, 1, 0, 0);
            },
            QueueError::Length,
        ),
    ];
    for (number, (spoil, error)) in spoils.into_iter().enumerate() {
        let mut driver = driver();
        spoil(&mut driver);
        if number > 0 {
            driver.offer(0, 0);
        }
        driver.notify(0);
        assert_eq!(driver.bus.chip.failure(), Some(error));
        assert!(driver.broken());
        assert_eq!(driver.get(0x060), 2, "a configuration interrupt");
        driver.send(1, &[b"a"], &[1]);
        driver.notify(1);
        assert_eq!(driver.used(1), None, "the device has stopped");
        driver.start(0);
        driver.send(1, &[b"a"], &[1]);
        driver.notify(1);
        assert_eq!(driver.used(1), Some((0, 1)));
    }
}

#[test]
fn a_table_within_a_table_is_refused() {
    let mut driver = driver();
    let inner = driver.put(&descriptor(0, 16, INDIRECT, 0));
    driver.set_descriptor(0, 0, inner, 16, INDIRECT, 0);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.bus.chip.failure(), Some(QueueError::Indirect));
}

#[test]
fn an_available_index_too_far_ahead_is_refused() {
    let mut driver = driver();
    driver.set_available_index(0, SIZE + 1);
    driver.notify(0);
    assert_eq!(driver.bus.chip.failure(), Some(QueueError::AvailableIndex { index: SIZE + 1, expected: 0 }));
}

#[test]
fn the_driver_can_ask_for_no_interrupts() {
    let mut driver = driver();
    driver.set_available_flags(0, 1);
    driver.send(0, &[b"a"], &[]);
    driver.notify(0);
    assert!(driver.used(0).is_some());
    assert!(!driver.interrupted());
}

#[test]
fn the_device_can_ask_for_no_notifications() {
    let mut driver = driver();
    driver.device().ignores_queue = true;
    driver.notify(0);
    assert_eq!(driver.used_flags(0), 1);
    driver.device().ignores_queue = false;
    driver.notify(0);
    assert_eq!(driver.used_flags(0), 0);
}

#[test]
fn event_indices_select_interrupts_and_notifications() {
    let mut driver = Driver::new(Echo::default(), EVENT_INDEX);
    driver.set_used_event(0, 2);
    for (round, due) in [false, false, true, false].into_iter().enumerate() {
        driver.send(0, &[b"a"], &[]);
        driver.notify(0);
        assert_eq!(driver.interrupted(), due, "used index {round}");
        assert_eq!(driver.avail_event(0), round as u16 + 1);
    }
    driver.set_used_event(0, 4);
    for _ in 0..3 {
        driver.send(0, &[b"a"], &[]);
    }
    driver.notify(0);
    assert!(driver.interrupted(), "the index is among those used at once");
    driver.device().ignores_queue = true;
    driver.notify(0);
    assert_eq!(driver.avail_event(0), 6, "an index already passed");
}

proptest! {
    /// Tables, rings and indirect tables of random but plausible values, all in one small RAM.
    #[test]
    fn any_ring_is_survived(
        entries in prop::collection::vec((0u64..0x1100, 0u32..0x1100, 0u16..8, 0u16..10), 8),
        available in prop::collection::vec(0u16..9, 9), index in 0u16..10,
        addresses in prop::array::uniform3(0u64..0x1100), event_index: bool, size in 0u16..20,
    ) {
        let mut ram = vec![0; 0x1000];
        for (at, (address, length, flags, next)) in entries.iter().enumerate() {
            ram[16 * at..][..16].copy_from_slice(&descriptor(*address, *length, *flags, *next));
        }
        let mut memory = GuestMemory::new(&mut ram);
        for (at, value) in available.iter().enumerate() {
            let _ = memory.write(GuestAddress(addresses[1] + 4 + 2 * at as u64), &value.to_le_bytes());
        }
        let _ = memory.write(GuestAddress(addresses[1] + 2), &index.to_le_bytes());
        let mut queue = Queue::new(16);
        queue.size = size;
        queue.ready = true;
        queue.event_index = event_index;
        queue.descriptors = addresses[0] & 0xF0;
        (queue.available, queue.used) = (addresses[1], addresses[2]);
        for _ in 0..20 {
            let Ok(Some(chain)) = queue.pop(&memory) else { break };
            prop_assert!(chain.readable.length() + chain.writable.length() <= 0x1000);
            let length = chain.writable.length() as u32;
            let _ = chain.writable.write(&mut memory, 0, &vec![7; length as usize]);
            let _ = queue.push(&mut memory, chain, length);
            let _ = queue.interrupt_due(&memory);
            let _ = queue.want_notification(&mut memory, length & 1 == 0);
        }
        let state = queue.save();
        prop_assert_eq!(Queue::restored(16, state.clone()).is_ok(), queue.check_size().is_ok());
        if let Ok(restored) = Queue::restored(16, state.clone()) {
            prop_assert_eq!(restored.save(), state);
        }
    }
}
