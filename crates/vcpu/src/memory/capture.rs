//! Taking the image of a live memory, at the cost of what was written to it.

use std::fs::File;
use std::io::{Result, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use super::PAGE;
use super::image::{Extent, Layer, MemoryImage};

/// Bits of an entry of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_OR_SHARED: u64 = 1 << 61;

/// Unchanged or zero pages between two changed ones that are stored with them, to save extents.
const LARGEST_GAP: usize = 4;

/// Files in memory that an image may need; when there are more, the smaller half becomes one.
const MOST_LAYERS: usize = 16;

const PAGE_BYTES: usize = PAGE as usize;

impl MemoryImage {
    /// The image of `memory`, a memory that was mapped from `base` (or made empty, with a zeroed
    /// base) and written to since. What was not written is shared with `base`.
    ///
    /// # Errors
    /// Those of making and writing a file in memory.
    pub(crate) fn capture(memory: &[u8], base: &MemoryImage) -> Result<MemoryImage> {
        let size = memory.len() as u64;
        let changed = changed_pages(memory)?;
        let is_zero = |page: &usize| page_of(memory, *page).iter().all(|byte| *byte == 0);
        let (zeroed, mut changed): (Vec<usize>, Vec<usize>) = changed.into_iter().partition(is_zero);
        let zeroed = runs(&zeroed, 0);
        let (stored, below) = loop {
            let stored = runs(&changed, LARGEST_GAP);
            let below = base.without(size, &ranges(&stored, &zeroed));
            let mut worn = worn(&below);
            if worn.is_empty() {
                break (stored, below);
            }
            changed.append(&mut worn);
            changed.sort_unstable();
        };
        let (layer, extents) = store(memory, &stored)?;
        Ok(below.with_layer(layer, extents))
    }
}

/// Pages of `image` that move on into the layer above it, so that a long row of images, each captured
/// from a memory that was mapped from the one before, keeps neither pages nor files that none of them
/// needs: those of layers that are hidden for the most part and, of many layers, the smallest.
fn worn(image: &MemoryImage) -> Vec<usize> {
    let mut layers: Vec<_> = image.layers().collect();
    layers.sort_unstable_by_key(|(_, needed)| *needed);
    let too_many = if layers.len() > MOST_LAYERS { layers.len() - MOST_LAYERS / 2 } else { 0 };
    let worn: Vec<_> = layers
        .iter()
        .enumerate()
        .filter(|(rank, (layer, needed))| *rank < too_many || needed * 2 < layer.size)
        .map(|(_, (layer, _))| &layer.file)
        .collect();
    let extents = image.extents().iter();
    extents
        .filter(|extent| worn.iter().any(|file| Arc::ptr_eq(file, &extent.file)))
        .flat_map(|extent| (extent.offset / PAGE) as usize..(extent.end() / PAGE) as usize)
        .collect()
}

/// Ranges of pages that hold all of `pages`, which are in order; up to `gap` others between two of
/// them belong to their range.
fn runs(pages: &[usize], gap: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &page in pages {
        match runs.last_mut() {
            Some(run) if page - run.end <= gap => run.end = page + 1,
            _ => runs.push(page..page + 1),
        }
    }
    runs
}

/// The ranges of bytes in two lists of pages, in order.
fn ranges(stored: &[Range<usize>], zeroed: &[Range<usize>]) -> Vec<(u64, u64)> {
    let bytes = |run: &Range<usize>| (run.start as u64 * PAGE, run.end as u64 * PAGE);
    let mut ranges: Vec<_> = stored.iter().chain(zeroed).map(bytes).collect();
    ranges.sort_unstable();
    ranges
}

/// Writes `runs` of pages into a new file in memory.
fn store(memory: &[u8], runs: &[Range<usize>]) -> Result<(Layer, Vec<Extent>)> {
    let mut file = File::from(memfd_create("wasm-sandbox-memory", MemfdFlags::CLOEXEC)?);
    for run in runs {
        file.write_all(&memory[run.start * PAGE_BYTES..run.end * PAGE_BYTES])?;
    }
    let file = Arc::new(file);
    let mut size = 0;
    let extents = runs
        .iter()
        .map(|run| {
            let length = run.len() as u64 * PAGE;
            let offset = run.start as u64 * PAGE;
            let extent = Extent { offset, length, file: file.clone(), file_offset: size };
            size += length;
            extent
        })
        .collect();
    Ok((Layer { file, size }, extents))
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
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each memory is mapped from the image of the one before.
        #[test]
        fn a_long_row_of_images_keeps_what_it_needs_and_little_more(
            steps in prop::collection::vec(prop::collection::vec((0..96usize, 0..3u8), 0..40), 1..60),
        ) {
            let mut image = MemoryImage::zeroed(96 * PAGE);
            for step in steps {
                let mut memory = mapped(&image);
                for (page, value) in step {
                    bytes(&mut memory)[page * PAGE_BYTES..][..PAGE_BYTES].fill(value);
                }
                image = MemoryImage::capture(bytes(&mut memory), &image).unwrap();
                prop_assert!(bytes(&mut mapped(&image)) == bytes(&mut memory));
                prop_assert!(image.layers().count() <= MOST_LAYERS + 1);
                prop_assert!(image.layers().all(|(layer, needed)| needed > 0 && needed * 2 >= layer.size));
            }
        }
    }
}
