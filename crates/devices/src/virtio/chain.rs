//! A request: the pieces of guest memory one descriptor chain stands for.

use crate::{GuestAddress, GuestMemory, MemoryError};

/// A contiguous piece of a buffer, checked to lie in the guest's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first byte.
    pub address: GuestAddress,
    /// Length in bytes, not zero.
    pub length: u32,
}

/// Pieces of guest memory that together are one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    list: Vec<Segment>,
    length: u64,
}

/// A descriptor chain taken from a queue; to be given back with [`super::Rings::push`].
#[derive(Debug, PartialEq, Eq)]
pub struct Chain {
    pub(super) head: u16,
    /// What the driver sends.
    pub readable: Segments,
    /// Where the device may answer.
    pub writable: Segments,
}

impl Segments {
    pub(super) fn add(&mut self, segment: Segment) {
        self.length += u64::from(segment.length);
        self.list.push(segment);
    }

    /// Length in bytes; at most the size of the guest's RAM.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The pieces of `length` bytes from `offset` on, cut to what there is.
    pub fn range(&self, offset: u64, length: u64) -> impl Iterator<Item = Segment> + '_ {
        let end = offset.saturating_add(length);
        let mut start_of_next = 0u64;
        self.list.iter().filter_map(move |segment| {
            let start = start_of_next;
            start_of_next += u64::from(segment.length);
            let from = offset.max(start);
            let to = end.min(start_of_next);
            // Both differences are at most `segment.length`.
            (from < to).then(|| Segment {
                address: GuestAddress(segment.address.0 + (from - start)),
                length: (to - from) as u32,
            })
        })
    }

    /// Copies bytes from `offset` on into `target` and returns how many there were.
    ///
    /// # Errors
    /// The memory is not the one the chain was taken from.
    pub fn read(
        &self,
        memory: &GuestMemory<'_>,
        offset: u64,
        target: &mut [u8],
    ) -> Result<usize, MemoryError> {
        let mut done = 0;
        for piece in self.range(offset, target.len() as u64) {
            let length = piece.length as usize;
            target[done..done + length].copy_from_slice(memory.slice(piece.address, length)?);
            done += length;
        }
        Ok(done)
    }

    /// Appends all bytes to `target`.
    ///
    /// # Errors
    /// The memory is not the one the chain was taken from.
    pub fn read_all(&self, memory: &GuestMemory<'_>, target: &mut Vec<u8>) -> Result<(), MemoryError> {
        for segment in &self.list {
            target.extend_from_slice(memory.slice(segment.address, segment.length as usize)?);
        }
        Ok(())
    }

    /// Copies `source` to the bytes from `offset` on and returns how many there was room for.
    ///
    /// # Errors
    /// The memory is not the one the chain was taken from.
    pub fn write(
        &self,
        memory: &mut GuestMemory<'_>,
        offset: u64,
        source: &[u8],
    ) -> Result<usize, MemoryError> {
        let mut done = 0;
        for piece in self.range(offset, source.len() as u64) {
            let length = piece.length as usize;
            memory.write(piece.address, &source[done..done + length])?;
            done += length;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(list: &[(u64, u32)]) -> Segments {
        let mut segments = Segments::default();
        for (address, length) in list {
            segments.add(Segment { address: GuestAddress(*address), length: *length });
        }
        segments
    }

    #[test]
    fn ranges_cross_segments() {
        let segments = segments(&[(10, 3), (20, 1), (30, 4)]);
        let range = |offset, length| {
            segments.range(offset, length).map(|piece| (piece.address.0, piece.length)).collect::<Vec<_>>()
        };
        assert_eq!(segments.length(), 8);
        assert_eq!(range(0, 8), [(10, 3), (20, 1), (30, 4)]);
        assert_eq!(range(2, 3), [(12, 1), (20, 1), (30, 1)]);
        assert_eq!(range(3, 1), [(20, 1)]);
        assert_eq!(range(6, u64::MAX), [(32, 2)]);
        assert_eq!(range(8, 1), []);
        assert_eq!(range(u64::MAX, 1), []);
    }

    #[test]
    fn copies_stop_at_the_end() {
        let mut ram: Vec<u8> = (0..40).collect();
        let mut memory = GuestMemory::new(&mut ram);
        let segments = segments(&[(10, 3), (30, 2)]);
        let mut target = [0; 6];
        assert_eq!(segments.read(&memory, 1, &mut target), Ok(4));
        assert_eq!(target, [11, 12, 30, 31, 0, 0]);
        assert_eq!(segments.write(&mut memory, 2, &[91, 92, 93, 94]), Ok(3));
        let mut all = vec![1];
        segments.read_all(&memory, &mut all).unwrap();
        assert_eq!(all, [1, 10, 11, 91, 92, 93]);
    }
}
