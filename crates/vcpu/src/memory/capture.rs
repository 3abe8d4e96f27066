//! Taking the image of a live memory, at the cost of what was written to it.

use std::fs::File;
use std::io::{Result, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use super::PAGE;
use super::image::{Extent, MemoryImage};

/// Bits of an entry of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_OR_SHARED: u64 = 1 << 61;

/// Unchanged or zero pages between two changed ones that are stored with them, to save extents.
const LARGEST_GAP: usize = 4;

const PAGE_BYTES: usize = PAGE as usize;

impl MemoryImage {
    /// The image of `memory`, a memory that was mapped from `base` (or made empty, with a zeroed
    /// base) and written to since. What was not written is shared with `base`.
    ///
    /// # Errors
    /// Those of making and writing a file in memory.
    pub(crate) fn capture(memory: &[u8], base: &MemoryImage) -> Result<MemoryImage> {
        let changed = changed_pages(memory)?;
        let is_zero = |page: usize| page_of(memory, page).iter().all(|byte| *byte == 0);
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut zeroed = Vec::new();
        for page in changed {
            if is_zero(page) {
                let offset = page as u64 * PAGE;
                zeroed.push((offset, offset + PAGE));
                continue;
            }
            match runs.last_mut() {
                Some((_, end)) if page - *end <= LARGEST_GAP => *end = page + 1,
                _ => runs.push((page, page + 1)),
            }
        }
        let file = Arc::new(store(memory, &runs)?);
        let mut file_offset = 0;
        let extents = runs
            .iter()
            .map(|(start, end)| {
                let length = (end - start) as u64 * PAGE;
                let extent = Extent { offset: *start as u64 * PAGE, length, file: file.clone(), file_offset };
                file_offset += length;
                extent
            })
            .collect();
        Ok(base.overlaid(memory.len() as u64, extents, &zeroed))
    }
}

fn store(memory: &[u8], runs: &[(usize, usize)]) -> Result<File> {
    let mut file = File::from(memfd_create("wasm-sandbox-memory", MemfdFlags::CLOEXEC)?);
    for (start, end) in runs {
        file.write_all(&memory[start * PAGE_BYTES..end * PAGE_BYTES])?;
    }
    Ok(file)
}

fn page_of(memory: &[u8], page: usize) -> &[u8] {
    &memory[page * PAGE_BYTES..(page + 1) * PAGE_BYTES]
}

/// Pages of `memory` that are no longer those of the files it was mapped from. Without
/// /proc/self/pagemap that cannot be told: then all of them.
fn changed_pages(memory: &[u8]) -> Result<Vec<usize>> {
    let pages = memory.len() / PAGE_BYTES;
    let mut entries = vec![0; pages * size_of::<u64>()];
    let first = memory.as_ptr() as u64 / PAGE * size_of::<u64>() as u64;
    let read = File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entries, first));
    if let Err(error) = read {
        tracing::warn!(%error, "no /proc/self/pagemap: a snapshot takes all of memory");
        return Ok((0..pages).collect());
    }
    let (entries, _) = entries.as_chunks::<{ size_of::<u64>() }>();
    let is_changed = |entry: &[u8; 8]| {
        let flags = u64::from_le_bytes(*entry);
        flags & (PRESENT | SWAPPED) != 0 && flags & FILE_OR_SHARED == 0
    };
    Ok(entries.iter().enumerate().filter(|(_, entry)| is_changed(entry)).map(|(page, _)| page).collect())
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::memory::Mapping;

    fn bytes(mapping: &mut Mapping) -> &mut [u8] {
        // SAFETY: the accessible part is mapped read-write and borrowed through `mapping`.
        unsafe { std::slice::from_raw_parts_mut(mapping.base(), mapping.accessible()) }
    }

    fn mapped(image: &MemoryImage) -> Mapping {
        let mut mapping = Mapping::reserve(1 << 20).unwrap();
        mapping.map(image).unwrap();
        mapping
    }

    #[test]
    fn a_captured_memory_maps_as_it_was() {
        let mut first = mapped(&MemoryImage::zeroed(64 * PAGE));
        bytes(&mut first)[5] = 7;
        bytes(&mut first)[40 * PAGE_BYTES..42 * PAGE_BYTES].fill(9);
        let image = MemoryImage::capture(bytes(&mut first), &MemoryImage::zeroed(64 * PAGE)).unwrap();
        assert_eq!(image.stored_bytes(), 3 * PAGE);
        let mut second = mapped(&image);
        assert!(bytes(&mut second) == bytes(&mut first));
    }

    #[test]
    fn a_second_capture_stores_only_what_changed() {
        let mut first = mapped(&MemoryImage::zeroed(64 * PAGE));
        bytes(&mut first)[..50 * PAGE_BYTES].fill(3);
        let base = MemoryImage::capture(bytes(&mut first), &MemoryImage::zeroed(64 * PAGE)).unwrap();
        let mut second = mapped(&base);
        let sum: usize = bytes(&mut second).iter().map(|byte| usize::from(*byte)).sum();
        assert_eq!(sum, 50 * PAGE_BYTES * 3);
        bytes(&mut second)[10 * PAGE_BYTES] = 4;
        bytes(&mut second)[20 * PAGE_BYTES..21 * PAGE_BYTES].fill(0);
        let image = MemoryImage::capture(bytes(&mut second), &base).unwrap();
        let new: u64 = image
            .extents()
            .iter()
            .filter(|extent| !Arc::ptr_eq(&extent.file, &base.extents()[0].file))
            .map(|extent| extent.length)
            .sum();
        assert_eq!((new, image.stored_bytes()), (PAGE, 49 * PAGE));
        let mut third = mapped(&image);
        assert!(bytes(&mut third) == bytes(&mut second));
    }
}
