//! What a CPU sees of the world outside of it.

use std::ops::Range;
use std::time::Duration;

/// The guest-physical byte ranges that a bus access wrote to RAM behind the CPU's back (DMA), so
/// that the engine can throw away code it translated from them.
#[derive(Debug, Default)]
pub struct WrittenRanges(Vec<Range<u64>>);

impl WrittenRanges {
    /// Notes that `range` (bytes, guest-physical) was written; adjoining ranges are merged.
    pub fn push(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }

    /// Takes all ranges noted so far.
    pub(crate) fn take(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Interrupt lines (bit *n* is IRQ *n* of the 8259 pair) that changed since the last time the engine
/// asked. Lines in both masks went low and then high again: an edge that must not get lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterruptChanges {
    /// Lines to be lowered first.
    pub lower: u16,
    /// Lines to be raised then.
    pub raise: u16,
}

/// Everything outside the CPU and its RAM: I/O ports, memory-mapped devices, time and randomness.
///
/// Nothing the guest does is an error: reads of nothing return all-ones, writes of nothing are
/// dropped. `ram` is all of the guest's RAM, for devices that move data themselves.
pub trait Bus: Send + 'static {
    /// Machine time in nanoseconds; it never goes backwards.
    fn now(&mut self) -> u64;

    /// 32 random bits, for RDRAND and the like.
    fn random(&mut self) -> u32;

    /// An `IN` of 1, 2 or 4 bytes; fills `data` (little endian).
    fn port_read(&mut self, port: u16, data: &mut [u8], ram: &mut [u8], written: &mut WrittenRanges);

    /// An `OUT` of 1, 2 or 4 bytes.
    fn port_write(&mut self, port: u16, data: &[u8], ram: &mut [u8], written: &mut WrittenRanges);

    /// A load from outside RAM; fills `data` (1, 2 or 4 bytes, little endian).
    fn mmio_read(&mut self, address: u64, data: &mut [u8], ram: &mut [u8], written: &mut WrittenRanges);

    /// A store outside RAM of 1, 2, 4, 8 or 16 bytes.
    fn mmio_write(&mut self, address: u64, data: &[u8], ram: &mut [u8], written: &mut WrittenRanges);

    /// Lets every timer catch up with the present, and tells how long the CPU may sleep if it has
    /// nothing to do (`None`: until something outside happens).
    fn advance(&mut self, ram: &mut [u8], written: &mut WrittenRanges) -> Option<Duration>;

    /// Interrupt lines that changed since the last call, for an engine with interrupt controllers of its
    /// own ([`EngineKind::has_interrupt_controller`](crate::EngineKind::has_interrupt_controller)).
    fn take_interrupt_changes(&mut self) -> InterruptChanges;

    /// The level of the CPU's INTR input, for all other engines.
    fn interrupt_line(&self) -> bool;

    /// The CPU's acknowledge cycle, for all other engines: the vector to be served.
    fn acknowledge_interrupt(&mut self) -> u8;

    /// Whether the CPU should end its slice soon, because the machine will not go on.
    fn stop_requested(&self) -> bool;

    /// How many instructions the CPU has executed since power-on, told before every other call by engines that count
    /// exactly.
    fn note_instructions(&mut self, executed: u64);

    /// Whether time follows instructions, a nanosecond each: then slices end when a timer is due.
    fn counts_instructions(&self) -> bool;
}
