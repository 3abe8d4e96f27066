//! Virtio devices (Virtual I/O Device specification 1.2) over MMIO.
//!
//! [`VirtioMmio`] is the transport: registers, feature negotiation, interrupts, queues. A device
//! implements [`VirtioDevice`] and sees requests only through [`Rings`]. Requests are completed
//! while the driver's notification is handled; nothing runs in between.

pub mod block;
mod chain;
pub mod console;
pub mod mmio;
mod queue;
pub mod rng;
#[cfg(test)]
mod test_driver;

use crate::{GuestMemory, RestoreError};

pub use block::{Block, BlockBackend, BlockConfig, BlockError};
pub use chain::{Chain, Segment, Segments};
pub use console::{Console, ConsoleState, PortConfig, PortState};
pub use mmio::{MmioState, VirtioMmio};
pub use queue::{Queue, QueueError, QueueState};
pub use rng::{EntropySource, Rng};

/// Feature bits of all devices (chapter 6).
pub mod features {
    /// VIRTIO_F_INDIRECT_DESC: a descriptor can point to a table of descriptors.
    pub const INDIRECT_DESCRIPTORS: u64 = 1 << 28;
    /// VIRTIO_F_EVENT_IDX: both sides say which index they want to be told of.
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// VIRTIO_F_VERSION_1: the device follows this specification, not a draft.
    pub const VERSION_1: u64 = 1 << 32;
}

/// What makes a virtio device a disk, a console, ...
pub trait VirtioDevice {
    /// What a snapshot keeps of the device beyond the transport's registers and queues.
    type State;

    /// Device ID (chapter 5).
    fn device_id(&self) -> u32;

    /// Feature bits of the device type (0 to 23 and 50 on); the transport adds its own.
    fn features(&self) -> u64;

    /// Largest size of each queue: powers of two, at most 32768. Their number is fixed.
    fn queue_sizes(&self) -> Vec<u16>;

    /// The driver is ready (DRIVER_OK) and accepted these features.
    fn activate(&mut self, features: u64);

    /// The driver has reset the device: what it negotiated and said is void.
    fn reset(&mut self);

    /// The driver has made buffers available in queue number `queue`, which exists.
    ///
    /// # Errors
    /// The driver broke the queue; the transport stops the device until it is reset.
    fn process(&mut self, queue: usize, rings: &mut Rings<'_, '_>) -> Result<(), QueueError>;

    /// [`VirtioDevice::advance`] has something to do: the host gave the device input.
    fn has_work(&self) -> bool {
        false
    }

    /// Hands input that has arrived to the driver. Must clear [`VirtioDevice::has_work`] even if
    /// the driver has no room; more room comes with [`VirtioDevice::process`].
    ///
    /// # Errors
    /// As for [`VirtioDevice::process`].
    fn advance(&mut self, _rings: &mut Rings<'_, '_>) -> Result<(), QueueError> {
        Ok(())
    }

    /// Reads the configuration space; `data` beyond its end is filled with zeros.
    fn read_config(&self, offset: u32, data: &mut [u8]);

    /// Writes the configuration space. Also possible before the driver is ready.
    fn write_config(&mut self, _offset: u32, _data: &[u8]) {}

    /// The state to be put into a snapshot.
    fn save(&self) -> Self::State;

    /// Takes back a saved state.
    ///
    /// # Errors
    /// The state is not one of this device; it is unchanged then.
    fn restore(&mut self, state: Self::State) -> Result<(), RestoreError>;
}

/// A device's queues together with the memory they lie in.
pub struct Rings<'a, 'memory> {
    queues: &'a mut [Queue],
    /// Guest-physical RAM, for the segments of chains.
    pub memory: &'a mut GuestMemory<'memory>,
}

impl<'a, 'memory> Rings<'a, 'memory> {
    pub(crate) fn new(queues: &'a mut [Queue], memory: &'a mut GuestMemory<'memory>) -> Self {
        Self { queues, memory }
    }

    /// Takes the next request of a queue. `None` if there is none or the driver has not set up the
    /// queue.
    ///
    /// # Errors
    /// The driver broke the queue.
    pub fn pop(&mut self, queue: usize) -> Result<Option<Chain>, QueueError> {
        self.queues[queue].pop(self.memory)
    }

    /// Gives a request back, with `written` bytes filled from the start of its writable part.
    ///
    /// # Errors
    /// The driver broke the queue.
    pub fn push(&mut self, queue: usize, chain: Chain, written: u32) -> Result<(), QueueError> {
        self.queues[queue].push(self.memory, chain, written)
    }

    /// Says whether the device wants to hear of the next buffer the driver adds to a queue. To be
    /// called when [`Rings::pop`] gave `None`, or when there is nothing to be put into buffers.
    ///
    /// # Errors
    /// The driver broke the queue.
    pub fn want_notification(&mut self, queue: usize, wanted: bool) -> Result<(), QueueError> {
        self.queues[queue].want_notification(self.memory, wanted)
    }
}

/// Copies what `data` asks for at `offset` out of the bytes of a configuration space.
pub(crate) fn read_config_bytes(config: &[u8], offset: u32, data: &mut [u8]) {
    data.fill(0);
    if let Some(available) = config.get(offset as usize..) {
        let length = available.len().min(data.len());
        data[..length].copy_from_slice(&available[..length]);
    }
}
