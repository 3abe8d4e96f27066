//! Split virtqueues (chapter 2.7), the device's side.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::chain::{Chain, Segment, Segments};
use crate::error::check;
use crate::{GuestAddress, GuestMemory, MemoryError, RestoreError};

/// Descriptor flags (2.7.5).
mod descriptor {
    pub const NEXT: u16 = 1;
    pub const WRITE: u16 = 2;
    pub const INDIRECT: u16 = 4;
    pub const BYTES: u64 = 16;
}

/// Flag of the available ring (2.7.6): the driver polls.
const AVAIL_NO_INTERRUPT: u16 = 1;
/// Flag of the used ring (2.7.8): the device polls.
const USED_NO_NOTIFY: u16 = 1;

/// Longest indirect table accepted, in descriptors. Linux' block and console drivers stay below 256.
const INDIRECT_LIMIT: u32 = 1024;

/// How a driver broke a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// A ring, a descriptor table or a buffer is not in RAM.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The size of the queue is no power of two up to the device's limit.
    #[error("queue size {0} is not allowed")]
    Size(u16),
    /// More buffers are available than the queue has places.
    #[error("available index {index} is too far from {expected}")]
    AvailableIndex {
        /// What the driver wrote.
        index: u16,
        /// The device's position.
        expected: u16,
    },
    /// A descriptor index past the end of its table.
    #[error("descriptor index {0} is past the end of its table")]
    DescriptorIndex(u16),
    /// A chain has more descriptors than its table: it has a loop.
    #[error("descriptor chain has a loop")]
    Loop,
    /// An indirect table within an indirect table, with a successor, or of an impossible length.
    #[error("indirect descriptor is malformed")]
    Indirect,
    /// A device-readable descriptor after a device-writable one.
    #[error("readable descriptor after a writable one")]
    Order,
    /// The buffers of a chain are longer than RAM, or than the device can take.
    #[error("descriptor chain is too long")]
    Length,
}

/// One virtqueue as the device sees it.
#[derive(Debug)]
pub struct Queue {
    max_size: u16,
    pub(super) size: u16,
    pub(super) ready: bool,
    pub(super) descriptors: u64,
    pub(super) available: u64,
    pub(super) used: u64,
    next_available: u16,
    next_used: u16,
    /// `next_used` when the driver was last considered for an interrupt.
    considered: u16,
    pub(super) event_index: bool,
}

/// Saved state of a [`Queue`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// Places, as the driver set it.
    pub size: u16,
    /// The driver has set the queue up.
    pub ready: bool,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the available ring.
    pub available: u64,
    /// Guest-physical address of the used ring.
    pub used: u64,
    /// Index of the next available entry, modulo 2^16.
    pub next_available: u16,
    /// Index of the next used entry, modulo 2^16.
    pub next_used: u16,
    /// VIRTIO_F_EVENT_IDX was negotiated.
    pub event_index: bool,
}

impl Queue {
    pub(super) fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: max_size,
            ready: false,
            descriptors: 0,
            available: 0,
            used: 0,
            next_available: 0,
            next_used: 0,
            considered: 0,
            event_index: false,
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }

    /// The largest size the driver may choose.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    pub(super) fn pop(&mut self, memory: &GuestMemory<'_>) -> Result<Option<Chain>, QueueError> {
        if !self.ready {
            return Ok(None);
        }
        self.check_size()?;
        let index = read_u16(memory, self.available, 2)?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(QueueError::AvailableIndex { index, expected: self.next_available });
        }
        let slot = u64::from(self.next_available % self.size);
        let head = read_u16(memory, self.available, 4 + 2 * slot)?;
        let chain = self.walk(memory, head)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(chain))
    }

    pub(super) fn push(
        &mut self,
        memory: &mut GuestMemory<'_>,
        chain: Chain,
        written: u32,
    ) -> Result<(), QueueError> {
        self.check_size()?;
        let slot = u64::from(self.next_used % self.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(chain.head).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        memory.write(field(self.used, 4 + 8 * slot)?, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        write_u16(memory, self.used, 2, self.next_used)
    }

    pub(super) fn want_notification(
        &mut self,
        memory: &mut GuestMemory<'_>,
        wanted: bool,
    ) -> Result<(), QueueError> {
        if !self.ready {
            return Ok(());
        }
        self.check_size()?;
        if !self.event_index {
            return write_u16(memory, self.used, 0, if wanted { 0 } else { USED_NO_NOTIFY });
        }
        // An index already passed asks for nothing: it comes again in 2^16 buffers (2.7.10).
        let event = if wanted { self.next_available } else { self.next_available.wrapping_sub(1) };
        write_u16(memory, self.used, 4 + 8 * u64::from(self.size), event)
    }

    /// Whether the buffers pushed since the last call call for an interrupt (2.7.7).
    pub(super) fn interrupt_due(&mut self, memory: &GuestMemory<'_>) -> Result<bool, QueueError> {
        let before = std::mem::replace(&mut self.considered, self.next_used);
        if before == self.next_used || !self.ready {
            return Ok(false);
        }
        self.check_size()?;
        if !self.event_index {
            return Ok(read_u16(memory, self.available, 0)? & AVAIL_NO_INTERRUPT == 0);
        }
        let event = read_u16(memory, self.available, 4 + 2 * u64::from(self.size))?;
        // The driver's `event` is one of the indices just used.
        let pushed = self.next_used.wrapping_sub(before);
        Ok(self.next_used.wrapping_sub(event).wrapping_sub(1) < pushed)
    }

    pub(super) fn save(&self) -> QueueState {
        let Self {
            max_size: _,
            size,
            ready,
            descriptors,
            available,
            used,
            next_available,
            next_used,
            // The same as `next_used` whenever the device is not at work.
            considered: _,
            event_index,
        } = self;
        QueueState {
            size: *size,
            ready: *ready,
            descriptors: *descriptors,
            available: *available,
            used: *used,
            next_available: *next_available,
            next_used: *next_used,
            event_index: *event_index,
        }
    }

    /// A queue from its saved state. Addresses and indices are the driver's to choose and are
    /// checked when used, as they are on a running machine.
    pub(super) fn restored(max_size: u16, state: QueueState) -> Result<Self, RestoreError> {
        let QueueState { size, ready, descriptors, available, used, next_available, next_used, event_index } =
            state;
        let queue = Self {
            max_size,
            size,
            ready,
            descriptors,
            available,
            used,
            next_available,
            next_used,
            considered: next_used,
            event_index,
        };
        check(!ready || queue.check_size().is_ok(), "virtqueue", "size")?;
        Ok(queue)
    }

    pub(super) fn check_size(&self) -> Result<(), QueueError> {
        if self.size.is_power_of_two() && self.size <= self.max_size {
            Ok(())
        } else {
            Err(QueueError::Size(self.size))
        }
    }

    /// Collects the buffers of the chain that starts at `head` (2.7.5).
    fn walk(&self, memory: &GuestMemory<'_>, head: u16) -> Result<Chain, QueueError> {
        let mut chain = Chain { head, readable: Segments::default(), writable: Segments::default() };
        let mut table = GuestAddress(self.descriptors);
        let mut table_length = u32::from(self.size);
        let mut index = head;
        let mut indirect = false;
        let mut visited = 0;
        loop {
            if u32::from(index) >= table_length {
                return Err(QueueError::DescriptorIndex(index));
            }
            visited += 1;
            if visited > table_length {
                return Err(QueueError::Loop);
            }
            let entry = Descriptor::read(memory, table, index)?;
            if entry.flags & descriptor::INDIRECT != 0 {
                table_length = entry.length / descriptor::BYTES as u32;
                let whole = entry.length % descriptor::BYTES as u32 == 0;
                let last = entry.flags & descriptor::NEXT == 0;
                if indirect || !whole || !last || !(1..=INDIRECT_LIMIT).contains(&table_length) {
                    return Err(QueueError::Indirect);
                }
                table = entry.address;
                index = 0;
                indirect = true;
                visited = 0;
                continue;
            }
            entry.add_to(&mut chain, memory)?;
            if entry.flags & descriptor::NEXT == 0 {
                return Ok(chain);
            }
            index = entry.next;
        }
    }
}

struct Descriptor {
    address: GuestAddress,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn read(memory: &GuestMemory<'_>, table: GuestAddress, index: u16) -> Result<Self, QueueError> {
        let at = field(table.0, descriptor::BYTES * u64::from(index))?;
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = memory.read_array::<16>(at)?;
        Ok(Self {
            address: GuestAddress(u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }

    fn add_to(&self, chain: &mut Chain, memory: &GuestMemory<'_>) -> Result<(), QueueError> {
        let Self { address, length, flags, next: _ } = *self;
        if length == 0 {
            return Ok(());
        }
        memory.slice(address, length as usize)?;
        // Buffers that overlap could otherwise add up to any length.
        if chain.readable.length() + chain.writable.length() + u64::from(length) > memory.size() {
            return Err(QueueError::Length);
        }
        if flags & descriptor::WRITE != 0 {
            chain.writable.add(Segment { address, length });
        } else if chain.writable.length() == 0 {
            chain.readable.add(Segment { address, length });
        } else {
            return Err(QueueError::Order);
        }
        Ok(())
    }
}

fn field(base: u64, offset: u64) -> Result<GuestAddress, MemoryError> {
    GuestAddress(base).checked_add(offset).ok_or(MemoryError { start: base, length: offset })
}

fn read_u16(memory: &GuestMemory<'_>, base: u64, offset: u64) -> Result<u16, QueueError> {
    Ok(u16::from_le_bytes(memory.read_array(field(base, offset)?)?))
}

fn write_u16(memory: &mut GuestMemory<'_>, base: u64, offset: u64, value: u16) -> Result<(), QueueError> {
    Ok(memory.write(field(base, offset)?, &value.to_le_bytes())?)
}

#[cfg(test)]
pub(super) mod tests;
