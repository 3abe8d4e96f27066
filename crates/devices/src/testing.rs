//! What the tests of all chips share: a bus of one chip, and random accesses to it.

use std::time::Duration;

use proptest::prelude::*;

use crate::{Context, Device, GuestMemory, VmTime};

/// One chip on a bus of its own, with a clock that only the test moves.
pub struct Ports<D> {
    pub chip: D,
    pub now: VmTime,
    pub ram: Vec<u8>,
}

impl<D: Device> Ports<D> {
    pub fn new(chip: D) -> Self {
        Self { chip, now: VmTime::ZERO, ram: Vec::new() }
    }

    pub fn read(&mut self, offset: u32, data: &mut [u8]) {
        let mut context = Context { now: self.now, memory: GuestMemory::new(&mut self.ram) };
        self.chip.read(offset, data, &mut context);
    }

    pub fn write(&mut self, offset: u32, data: &[u8]) {
        let mut context = Context { now: self.now, memory: GuestMemory::new(&mut self.ram) };
        self.chip.write(offset, data, &mut context);
    }

    pub fn read8(&mut self, offset: u32) -> u8 {
        let mut data = [0];
        self.read(offset, &mut data);
        data[0]
    }

    pub fn write8(&mut self, offset: u32, value: u8) {
        self.write(offset, &[value]);
    }

    pub fn advance(&mut self) {
        let mut context = Context { now: self.now, memory: GuestMemory::new(&mut self.ram) };
        self.chip.advance(&mut context);
    }

    pub fn interrupt(&self) -> bool {
        self.chip.interrupt()
    }

    /// Sets the clock to `now` and serves the chip as the board does: while a deadline has come,
    /// advance. Returns how often the interrupt output was seen to rise.
    pub fn run_to(&mut self, now: VmTime) -> usize {
        self.now = now;
        let mut rises = 0;
        for _ in 0..10 {
            if self.chip.deadline().is_none_or(|deadline| deadline > now) {
                return rises;
            }
            let before = self.chip.interrupt();
            self.advance();
            rises += usize::from(!before && self.chip.interrupt());
        }
        panic!("the chip never stops to ask for more at the same time");
    }

    /// Does all accesses and returns all that could be observed.
    pub fn run(&mut self, accesses: &[Access]) -> Vec<(Vec<u8>, bool, Option<VmTime>)> {
        accesses.iter().map(|access| self.run_one(access)).collect()
    }

    fn run_one(&mut self, access: &Access) -> (Vec<u8>, bool, Option<VmTime>) {
        let mut data = Vec::new();
        match access {
            Access::Read { offset, length } => {
                data.resize(*length, 0);
                self.read(*offset, &mut data);
            }
            Access::Write { offset, data } => self.write(*offset, data),
            Access::Wait(duration) => {
                self.run_to(self.now + *duration);
            }
        }
        (data, self.interrupt(), self.chip.deadline())
    }
}

#[derive(Clone, Debug)]
pub enum Access {
    Read { offset: u32, length: usize },
    Write { offset: u32, data: Vec<u8> },
    Wait(Duration),
}

/// Any accesses to a window a little larger than `size` bytes, with pauses between them.
pub fn any_accesses(size: u32) -> impl Strategy<Value = Vec<Access>> {
    let length = prop_oneof![Just(1usize), Just(2), Just(4)];
    let value = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..=1),
        1 => prop::collection::vec(any::<u8>(), 2..=2),
        1 => prop::collection::vec(any::<u8>(), 4..=4),
    ];
    let wait = prop_oneof![0u64..3_000, 0u64..3_000_000_000, Just(u64::MAX / 4)];
    let access = prop_oneof![
        2 => (0..size, length).prop_map(|(offset, length)| Access::Read { offset, length }),
        4 => (0..size, value).prop_map(|(offset, data)| Access::Write { offset, data }),
        1 => wait.prop_map(|nanoseconds| Access::Wait(Duration::from_nanos(nanoseconds))),
    ];
    prop::collection::vec(access, 0..60)
}
