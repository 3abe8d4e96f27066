//! The chips of the machine, one file each.
//!
//! A chip knows its data sheet and nothing else: neither the address it is wired to, nor the host's
//! clock, nor a stream. The board (crate `machine`) is the adapter: it forwards register accesses
//! with the current [`VmTime`] and a view of [`GuestMemory`], asks for the interrupt level after
//! each access, and calls [`Device::advance`] when a deadline has come.

mod error;
mod memory;
mod time;

pub mod pic;
pub mod pit;
pub mod rtc;
pub mod system_control;
pub mod uart;
pub mod virtio;

#[cfg(test)]
mod testing;

pub use error::RestoreError;
pub use memory::{GuestAddress, GuestMemory, MemoryError};
pub use time::VmTime;

/// What a device may look at while it handles one access.
pub struct Context<'a> {
    /// The machine's time at the access.
    pub now: VmTime,
    /// Guest-physical RAM, for devices that move data themselves (virtqueues).
    pub memory: GuestMemory<'a>,
}

/// A chip with registers, a clock input and at most one interrupt output.
///
/// Guest misbehaviour is never an error here: reads of nothing return all-ones and writes of
/// nothing are dropped.
pub trait Device {
    /// Reads the register at `offset` bytes into the chip's window; `data` is 1, 2 or 4 bytes long
    /// and filled completely (little endian).
    fn read(&mut self, offset: u32, data: &mut [u8], context: &mut Context<'_>);

    /// Writes `data` (1, 2, 4, 8 or 16 bytes, little endian) to the register at `offset`.
    fn write(&mut self, offset: u32, data: &[u8], context: &mut Context<'_>);

    /// Does what is due by `context.now`: counters that ran out, input that has arrived.
    fn advance(&mut self, context: &mut Context<'_>);

    /// The next moment at which [`Device::advance`] has something to do by itself, if any.
    ///
    /// It may have passed already: then `advance` is due at once. As one call changes the interrupt
    /// output at most once, the board copies [`Device::interrupt`] to its interrupt controller after
    /// each call and asks again; the answer is later than `now` after a few calls.
    fn deadline(&self) -> Option<VmTime>;

    /// The level of the interrupt output now.
    fn interrupt(&self) -> bool;

    /// Back to the state after power-on. Backends (disks, byte streams) stay attached.
    fn reset(&mut self);
}
