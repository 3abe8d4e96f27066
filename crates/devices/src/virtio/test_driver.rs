//! The driver's side of a virtio device, for tests: registers, rings and buffers in a Vec of RAM.
//! Constants are redeclared from the specification.

use crate::testing::Ports;
use crate::virtio::{VirtioDevice, VirtioMmio};

/// Places of every queue the driver sets up.
pub const SIZE: u16 = 8;
pub const EVENT_INDEX: u64 = 1 << 29;
pub const VERSION_1: u64 = 1 << 32;
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// Each queue has a page: table, available ring and used ring at these offsets.
const PAGE: u64 = 0x1000;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
/// Buffers come after the pages of 16 queues.
const HEAP: u64 = 16 * PAGE;
const RAM: usize = 0x40000;

pub struct Driver<D> {
    pub bus: Ports<VirtioMmio<D>>,
    queues: Vec<DriverQueue>,
    heap: u64,
}

#[derive(Clone, Default)]
struct DriverQueue {
    next_descriptor: u16,
    available: u16,
    seen_used: u16,
}

impl<D: VirtioDevice> Driver<D> {
    /// A driver that has found the device and not touched it.
    pub fn idle(device: D) -> Self {
        let mut bus = Ports::new(VirtioMmio::new(device));
        bus.ram = vec![0; RAM];
        let count = bus.chip.device().queue_sizes().len();
        Self { bus, queues: vec![DriverQueue::default(); count], heap: HEAP }
    }

    /// A driver that has negotiated `features` (besides version 1), set up all queues and is ready.
    pub fn new(device: D, features: u64) -> Self {
        let mut driver = Self::idle(device);
        driver.start(features);
        driver
    }

    pub fn start(&mut self, features: u64) {
        self.set(0x070, 0);
        self.set(0x070, 1 | 2);
        let features = features | VERSION_1;
        for half in 0..2 {
            self.set(0x024, half);
            self.set(0x020, (features >> (32 * half)) as u32);
        }
        self.set(0x070, 1 | 2 | 8);
        assert_eq!(self.get(0x070), 1 | 2 | 8, "the device takes the features");
        for queue in 0..self.queues.len() {
            self.queues[queue] = DriverQueue::default();
            let page = self.page(queue);
            self.bus.ram[page as usize..(page + PAGE) as usize].fill(0);
            self.set(0x030, queue as u32);
            self.set(0x038, u32::from(SIZE));
            for (register, address) in [(0x080, page), (0x090, page + AVAILABLE), (0x0A0, page + USED)] {
                self.set(register, address as u32);
                self.set(register + 4, (address >> 32) as u32);
            }
            self.set(0x044, 1);
        }
        self.set(0x070, 1 | 2 | 8 | 4);
    }

    pub fn get(&mut self, register: u32) -> u32 {
        let mut data = [0; 4];
        self.bus.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    pub fn set(&mut self, register: u32, value: u32) {
        self.bus.write(register, &value.to_le_bytes());
    }

    pub fn device(&mut self) -> &mut D {
        self.bus.chip.device_mut()
    }

    /// Puts bytes somewhere into RAM.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let address = self.heap;
        self.heap += bytes.len() as u64;
        self.bus.ram[address as usize..][..bytes.len()].copy_from_slice(bytes);
        address
    }

    /// Forgets all buffers put into RAM.
    pub fn heap_reset(&mut self) {
        self.heap = HEAP;
    }

    pub fn bytes(&self, address: u64, length: usize) -> &[u8] {
        &self.bus.ram[address as usize..][..length]
    }

    /// Writes one descriptor of a queue's table.
    pub fn set_descriptor(
        &mut self,
        queue: usize,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    ) {
        let at = self.page(queue) + 16 * u64::from(index);
        self.bus.ram[at as usize..][..16].copy_from_slice(&descriptor(address, length, flags, next));
    }

    /// Makes the chain that starts at `head` available.
    pub fn offer(&mut self, queue: usize, head: u16) {
        let ring = self.page(queue) + AVAILABLE;
        let index = self.queues[queue].available;
        self.set_u16(ring + 4 + 2 * u64::from(index % SIZE), head);
        self.queues[queue].available = index.wrapping_add(1);
        self.set_u16(ring + 2, index.wrapping_add(1));
    }

    /// Makes a request of these bytes and `writable` lengths available. Returns the addresses of
    /// the writable buffers.
    pub fn send(&mut self, queue: usize, readable: &[&[u8]], writable: &[usize]) -> Vec<u64> {
        let mut parts: Vec<(u64, usize, u16)> =
            readable.iter().map(|bytes| (self.put(bytes), bytes.len(), 0)).collect();
        let answers: Vec<u64> = writable.iter().map(|length| self.put(&vec![0xEE; *length])).collect();
        parts.extend(std::iter::zip(&answers, writable).map(|(address, length)| (*address, *length, WRITE)));
        let head = self.queues[queue].next_descriptor;
        let count = parts.len();
        for (position, (address, length, flags)) in parts.into_iter().enumerate() {
            let index = self.queues[queue].next_descriptor;
            let next = (index + 1) % SIZE;
            let more = if position + 1 < count { NEXT } else { 0 };
            self.set_descriptor(queue, index, address, length as u32, flags | more, next);
            self.queues[queue].next_descriptor = next;
        }
        self.offer(queue, head);
        answers
    }

    pub fn notify(&mut self, queue: usize) {
        self.set(0x050, queue as u32);
    }

    /// The next used element: head and length.
    pub fn used(&mut self, queue: usize) -> Option<(u32, u32)> {
        let ring = self.page(queue) + USED;
        let seen = self.queues[queue].seen_used;
        if self.get_u16(ring + 2) == seen {
            return None;
        }
        self.queues[queue].seen_used = seen.wrapping_add(1);
        let at = ring + 4 + 8 * u64::from(seen % SIZE);
        let word = |at| u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap());
        Some((word(at), word(at + 4)))
    }

    /// Acknowledges the interrupt; whether there was one for used buffers.
    pub fn interrupted(&mut self) -> bool {
        let status = self.get(0x060);
        assert_eq!(self.bus.interrupt(), status != 0);
        self.set(0x064, status);
        assert!(!self.bus.interrupt());
        status & 1 != 0
    }

    /// The device has stopped and asks for a reset.
    pub fn broken(&mut self) -> bool {
        self.get(0x070) & 64 != 0
    }

    /// used_event: interrupt when this used index has been written.
    pub fn set_used_event(&mut self, queue: usize, index: u16) {
        let at = self.page(queue) + AVAILABLE + 4 + 2 * u64::from(SIZE);
        self.set_u16(at, index);
    }

    /// avail_event: the device wants a notification for this available index.
    pub fn avail_event(&self, queue: usize) -> u16 {
        self.get_u16(self.page(queue) + USED + 4 + 8 * u64::from(SIZE))
    }

    pub fn set_available_flags(&mut self, queue: usize, flags: u16) {
        self.set_u16(self.page(queue) + AVAILABLE, flags);
    }

    pub fn used_flags(&self, queue: usize) -> u16 {
        self.get_u16(self.page(queue) + USED)
    }

    pub fn set_available_index(&mut self, queue: usize, index: u16) {
        self.set_u16(self.page(queue) + AVAILABLE + 2, index);
    }

    fn page(&self, queue: usize) -> u64 {
        PAGE * queue as u64
    }

    fn get_u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap())
    }

    fn set_u16(&mut self, at: u64, value: u16) {
        self.bus.ram[at as usize..][..2].copy_from_slice(&value.to_le_bytes());
    }
}

/// The bytes of one descriptor.
pub fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}
