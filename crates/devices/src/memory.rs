//! Guest-physical memory, every access checked against its bounds.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A guest-physical address in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuestAddress(pub u64);

impl GuestAddress {
    /// The address `offset` bytes further on, or `None` past the end of 64 bits.
    pub fn checked_add(self, offset: u64) -> Option<Self> {
        self.0.checked_add(offset).map(Self)
    }
}

/// An access outside the guest's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("guest-physical range {start:#x}+{length:#x} is outside the guest's RAM")]
pub struct MemoryError {
    /// First address of the range asked for.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// A borrowed view of all of the guest's RAM; address 0 is its first byte. It remembers what was
/// written, so that a CPU that keeps translated code can drop what it made of the old bytes.
pub struct GuestMemory<'a> {
    bytes: &'a mut [u8],
    written: Vec<std::ops::Range<u64>>,
}

impl<'a> GuestMemory<'a> {
    /// Wraps the guest's RAM.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, written: Vec::new() }
    }

    /// Takes the ranges (guest-physical bytes) written or borrowed for writing since the last call.
    pub fn take_written(&mut self) -> Vec<std::ops::Range<u64>> {
        std::mem::take(&mut self.written)
    }

    /// Size of RAM in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The `length` bytes at `address`.
    pub fn slice(&self, address: GuestAddress, length: usize) -> Result<&[u8], MemoryError> {
        let range = self.range(address, length)?;
        Ok(&self.bytes[range])
    }

    /// The `length` bytes at `address`, to be written.
    pub fn slice_mut(&mut self, address: GuestAddress, length: usize) -> Result<&mut [u8], MemoryError> {
        let range = self.range(address, length)?;
        if !range.is_empty() {
            self.written.push(range.start as u64..range.end as u64);
        }
        Ok(&mut self.bytes[range])
    }

    /// Copies from guest memory into `target`.
    pub fn read(&self, address: GuestAddress, target: &mut [u8]) -> Result<(), MemoryError> {
        target.copy_from_slice(self.slice(address, target.len())?);
        Ok(())
    }

    /// Copies `source` into guest memory.
    pub fn write(&mut self, address: GuestAddress, source: &[u8]) -> Result<(), MemoryError> {
        self.slice_mut(address, source.len())?.copy_from_slice(source);
        Ok(())
    }

    /// Reads a fixed number of bytes, for integers: `u32::from_le_bytes(memory.read_array(a)?)`.
    pub fn read_array<const N: usize>(&self, address: GuestAddress) -> Result<[u8; N], MemoryError> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn range(&self, address: GuestAddress, length: usize) -> Result<std::ops::Range<usize>, MemoryError> {
        let error = MemoryError { start: address.0, length: length as u64 };
        let start = usize::try_from(address.0).map_err(|_| error)?;
        let end = start.checked_add(length).ok_or(error)?;
        if end > self.bytes.len() {
            return Err(error);
        }
        Ok(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_checked_against_the_end_of_ram() {
        let mut ram = [0u8; 16];
        let mut memory = GuestMemory::new(&mut ram);
        memory.write(GuestAddress(12), &[1, 2, 3, 4]).unwrap();
        assert_eq!(memory.read_array::<4>(GuestAddress(12)).unwrap(), [1, 2, 3, 4]);
        assert!(memory.slice(GuestAddress(13), 4).is_err());
        assert!(memory.slice(GuestAddress(u64::MAX), 2).is_err());
        assert_eq!(memory.slice(GuestAddress(16), 0).unwrap(), &[] as &[u8]);
    }
}
