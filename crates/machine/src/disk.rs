//! The root disk: an image in the zstd seekable format, decompressed frame by frame by the host, so
//! that the emulated CPU never has to.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use zeekstd::{BytesWrapper, SeekTable};

use crate::MachineError;

/// Decompressed frames kept, for all machines of one image together. At 128 KiB a frame: 8 MiB.
const CACHED_FRAMES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Largest frame that is taken, in bytes.
const LARGEST_FRAME: usize = 4 << 20;

/// A read-only disk image, shared by all machines that boot from it.
#[derive(Clone)]
pub struct DiskImage {
    shared: Arc<Mutex<Frames>>,
    size: u64,
}

struct Frames {
    compressed: &'static [u8],
    table: SeekTable,
    cache: LruCache<u32, Arc<[u8]>>,
}

impl DiskImage {
    /// Opens the compressed image `bytes`.
    ///
    /// # Errors
    /// [`MachineError::Disk`] if it is not in the zstd seekable format.
    pub fn open(bytes: &'static [u8]) -> Result<Self, MachineError> {
        let table = SeekTable::from_seekable(&mut BytesWrapper::new(bytes)).map_err(damaged)?;
        let size = table.size_decomp();
        let frames = Frames { compressed: bytes, table, cache: LruCache::new(CACHED_FRAMES) };
        Ok(Self { shared: Arc::new(Mutex::new(frames)), size })
    }

    /// Size of the uncompressed disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `target` with the bytes from `offset` on; past the end there are zeros.
    ///
    /// # Errors
    /// [`MachineError::Disk`] if a frame cannot be decompressed.
    pub fn read_at(&self, mut offset: u64, mut target: &mut [u8]) -> Result<(), MachineError> {
        let mut frames = self.lock();
        while !target.is_empty() {
            if offset >= self.size {
                target.fill(0);
                break;
            }
            let index = frames.table.frame_index_decomp(offset);
            let start = frames.table.frame_start_decomp(index).map_err(damaged)?;
            let frame = frames.frame(index)?;
            let from = (offset - start) as usize;
            let available = frame.get(from..).filter(|rest| !rest.is_empty());
            let available = available.ok_or_else(|| MachineError::Disk("a frame is too short".into()))?;
            let count = available.len().min(target.len());
            let (head, rest) = target.split_at_mut(count);
            head.copy_from_slice(&available[..count]);
            target = rest;
            offset += count as u64;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Frames> {
        // A panic while decoding leaves at worst a cache without the frame.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frames {
    fn frame(&mut self, index: u32) -> Result<Arc<[u8]>, MachineError> {
        if let Some(frame) = self.cache.get(&index) {
            return Ok(frame.clone());
        }
        let start = self.table.frame_start_comp(index).map_err(damaged)?;
        let end = self.table.frame_end_comp(index).map_err(damaged)?;
        let compressed = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let compressed = compressed.and_then(|(start, end)| self.compressed.get(start..end));
        let compressed = compressed.ok_or_else(|| MachineError::Disk("a frame lies outside of it".into()))?;
        let size = self.table.frame_size_decomp(index).map_err(damaged)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= LARGEST_FRAME);
        let mut bytes = vec![0; size.ok_or_else(|| MachineError::Disk("a frame is too large".into()))?];
        let count = zstd_safe::decompress(bytes.as_mut_slice(), compressed)
            .map_err(|code| MachineError::Disk(zstd_safe::get_error_name(code).to_owned()))?;
        if count != bytes.len() {
            return Err(MachineError::Disk("a frame ends early".into()));
        }
        let frame: Arc<[u8]> = bytes.into();
        self.cache.put(index, frame.clone());
        Ok(frame)
    }
}

fn damaged(error: zeekstd::Error) -> MachineError {
    MachineError::Disk(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compressed(content: &[u8]) -> &'static [u8] {
        let mut bytes = Vec::new();
        let mut encoder = zeekstd::EncodeOptions::new()
            .frame_size_policy(zeekstd::FrameSizePolicy::Uncompressed(4096))
            .into_encoder(&mut bytes)
            .unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap();
        bytes.leak()
    }

    #[test]
    fn any_range_reads_as_it_was_written() {
        let content: Vec<u8> = (0..50_000u32).map(|i| ((i * i) >> 7) as u8).collect();
        let disk = DiskImage::open(compressed(&content)).unwrap();
        assert_eq!(disk.size(), 50_000);
        for (offset, length) in [(0, 1), (4095, 2), (100, 20_000), (49_999, 1), (0, 50_000), (8192, 4096)] {
            let mut read = vec![0xAA; length];
            disk.read_at(offset as u64, &mut read).unwrap();
            assert_eq!(read, content[offset..offset + length]);
        }
    }

    #[test]
    fn past_the_end_there_are_zeros() {
        let disk = DiskImage::open(compressed(&[7; 10])).unwrap();
        let mut read = [1; 4];
        disk.read_at(8, &mut read).unwrap();
        assert_eq!(read, [7, 7, 0, 0]);
    }

    #[test]
    fn a_damaged_image_is_an_error() {
        assert!(DiskImage::open(b"not a disk at all, whatever it may be").is_err());
        let good = compressed(&[9; 20_000]);
        let mut bad = good.to_vec();
        bad[6] ^= 0xFF;
        let disk = DiskImage::open(bad.leak()).unwrap();
        assert!(disk.read_at(0, &mut [0; 4096]).is_err());
    }
}
