//! What is outside of the CPU: a timer, and a port that ends a slice.

use std::time::Duration;

use wasm_sandbox_vcpu::{Bus, InterruptChanges, WrittenRanges};

/// Written: the timer interrupts after so many instructions, or never if that is 0.
pub const TIMER_PORT: u8 = 0x80;
/// Written: all programs have been executed.
pub const END_PORT: u8 = 0x81;
/// The vector of the timer.
pub const TIMER_VECTOR: u8 = 0x40;

/// A bus whose time is the count of instructions.
#[derive(Default)]
pub struct Timer {
    executed: u64,
    due: Option<u64>,
    line: bool,
    /// Whether all programs have been executed.
    pub ended: bool,
    /// The count of instructions at each write to the timer's port.
    pub counts: Vec<u64>,
}

impl Bus for Timer {
    fn now(&mut self) -> u64 {
        self.executed
    }

    fn random(&mut self) -> u32 {
        0x0123_4567
    }

    fn port_read(&mut self, port: u16, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        data.fill(port as u8);
    }

    fn port_write(&mut self, port: u16, data: &[u8], _: &mut [u8], written: &mut WrittenRanges) {
        let mut value = [0; 4];
        value[..data.len()].copy_from_slice(data);
        let value = u64::from(u32::from_le_bytes(value));
        if port == END_PORT.into() {
            self.ended = true;
        }
        if port == TIMER_PORT.into() {
            (self.due, self.line) = ((value > 0).then_some(self.executed + value), false);
            self.counts.push(self.executed);
            // Nothing is there. But the CPU returns for it, and learns when the timer is due.
            written.push(0..1);
        }
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        let word = address as u32 | 0x0101_0101;
        data.copy_from_slice(&word.to_le_bytes()[..data.len()]);
    }

    fn mmio_write(&mut self, _: u64, _: &[u8], _: &mut [u8], _: &mut WrittenRanges) {}

    fn advance(&mut self, _: &mut [u8], _: &mut WrittenRanges) -> Option<Duration> {
        let left = self.due?.saturating_sub(self.executed);
        if left == 0 {
            (self.due, self.line) = (None, true);
            return None;
        }
        Some(Duration::from_nanos(left))
    }

    fn take_interrupt_changes(&mut self) -> InterruptChanges {
        InterruptChanges::default()
    }

    fn interrupt_line(&self) -> bool {
        self.line
    }

    fn acknowledge_interrupt(&mut self) -> u8 {
        self.line = false;
        TIMER_VECTOR
    }

    fn stop_requested(&self) -> bool {
        self.ended
    }

    fn note_instructions(&mut self, executed: u64) {
        self.executed = executed;
    }

    fn counts_instructions(&self) -> bool {
        true
    }
}
