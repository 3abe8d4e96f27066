//! The content of a linear memory, as extents of files.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::PAGE;

/// A run of pages that lie in a file.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where it belongs in memory: a wasm offset, page-aligned.
    pub offset: u64,
    /// Its length in bytes, whole pages.
    pub length: u64,
    /// The file that holds it. Nobody may write to it any more.
    pub file: Arc<File>,
    /// Where it lies in the file, page-aligned.
    pub file_offset: u64,
}

impl Extent {
    /// First wasm offset after the extent.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The part of it from `start` to `end` (wasm offsets inside it).
    fn part(&self, start: u64, end: u64) -> Self {
        Self {
            offset: start,
            length: end - start,
            file_offset: self.file_offset + (start - self.offset),
            ..self.clone()
        }
    }
}

/// A file in memory that an image was captured into.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) file: Arc<File>,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// The content of a linear memory at one moment.
#[derive(Clone, Debug)]
pub struct MemoryImage {
    size: u64,
    extents: Vec<Extent>,
    /// Those of the extents' files that are in memory.
    layers: Vec<Layer>,
}

impl MemoryImage {
    /// `size` bytes of zeros.
    pub fn zeroed(size: u64) -> Self {
        Self { size, extents: Vec::new(), layers: Vec::new() }
    }

    /// A memory of `size` bytes (whole pages) made of `extents`; what they do not cover is zero.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] if they are not page-aligned, in order, apart, inside the memory,
    /// or reach beyond the end of their file.
    pub fn new(size: u64, extents: Vec<Extent>) -> Result<Self> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidData, format!("a memory image {what}"));
        if !size.is_multiple_of(PAGE) {
            return Err(invalid("is not a number of whole pages"));
        }
        let mut free_from = 0;
        for extent in &extents {
            let Extent { offset, length, file, file_offset } = extent;
            if [offset, length, file_offset].iter().any(|number| !number.is_multiple_of(PAGE)) || *length == 0
            {
                return Err(invalid("has an extent that is not page-aligned"));
            }
            let end = offset.checked_add(*length).filter(|end| *end <= size);
            let file_end = file_offset.checked_add(*length);
            let (Some(end), Some(file_end)) = (end, file_end) else {
                return Err(invalid("has an extent outside of memory"));
            };
            if *offset < free_from {
                return Err(invalid("has extents that overlap"));
            }
            if file.metadata()?.len() < file_end {
                return Err(invalid("is cut short"));
            }
            free_from = end;
        }
        Ok(Self { size, extents, layers: Vec::new() })
    }

    /// Size of the memory in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The extents, by offset.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Bytes that are not known to be zero.
    pub fn stored_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }

    /// Writes the extents' bytes one after the other.
    ///
    /// # Errors
    /// Those of reading the files and of `target`.
    pub fn write_to(&self, target: &mut impl Write) -> Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for extent in &self.extents {
            let mut done = 0;
            while done < extent.length {
                let piece = &mut buffer[..(extent.length - done).min(1 << 20) as usize];
                extent.file.read_exact_at(piece, extent.file_offset + done)?;
                target.write_all(piece)?;
                done += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// What is left of this image of a memory that has grown to `size` when there is nothing in `holes`,
    /// ranges of bytes in order.
    pub(super) fn without(&self, size: u64, holes: &[(u64, u64)]) -> Self {
        let mut extents = Vec::with_capacity(self.extents.len() + holes.len());
        let mut next_hole = 0;
        for extent in &self.extents {
            let mut start = extent.offset;
            while next_hole < holes.len() && holes[next_hole].1 <= start {
                next_hole += 1;
            }
            for &(hole_start, hole_end) in &holes[next_hole..] {
                if hole_start >= extent.end() {
                    break;
                }
                if hole_start > start {
                    extents.push(extent.part(start, hole_start));
                }
                start = start.max(hole_end);
            }
            if start < extent.end() {
                extents.push(extent.part(start, extent.end()));
            }
        }
        let uses = |file: &Arc<File>| extents.iter().any(|extent| Arc::ptr_eq(&extent.file, file));
        let layers = self.layers.iter().filter(|layer| uses(&layer.file)).cloned().collect();
        Self { size, extents, layers }
    }

    /// This image with the extents of `layer`, where it has none.
    pub(super) fn with_layer(mut self, layer: Layer, mut extents: Vec<Extent>) -> Self {
        if !extents.is_empty() {
            self.layers.push(layer);
            self.extents.append(&mut extents);
            self.extents.sort_unstable_by_key(|extent| extent.offset);
        }
        self
    }

    /// The files in memory that the image needs, each with how many bytes of it are needed.
    pub(super) fn layers(&self) -> impl Iterator<Item = (&Layer, u64)> {
        self.layers.iter().map(|layer| {
            let in_it = self.extents.iter().filter(|extent| Arc::ptr_eq(&extent.file, &layer.file));
            (layer, in_it.map(|extent| extent.length).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn pages(content: &[u8]) -> Vec<u8> {
        content.iter().flat_map(|byte| [*byte; PAGE as usize]).collect()
    }

    /// One byte a page.
    fn read(image: &MemoryImage) -> Vec<u8> {
        let mut content = vec![0; (image.size() / PAGE) as usize];
        for extent in image.extents() {
            for page in 0..extent.length / PAGE {
                let mut byte = [0];
                extent.file.read_exact_at(&mut byte, extent.file_offset + page * PAGE).unwrap();
                content[(extent.offset / PAGE + page) as usize] = byte[0];
            }
        }
        content
    }

    #[test]
    fn what_is_not_aligned_or_not_there_is_refused() {
        let file = file(&pages(&[1, 2]));
        let extent = |offset, length, file_offset| Extent { offset, length, file: file.clone(), file_offset };
        let image = |extents| MemoryImage::new(8 * PAGE, extents);
        assert!(image(vec![extent(0, PAGE, 0), extent(PAGE, PAGE, PAGE)]).is_ok());
        assert!(image(vec![extent(1, PAGE, 0)]).is_err());
        assert!(image(vec![extent(0, 0, 0)]).is_err());
        assert!(image(vec![extent(0, 3 * PAGE, 0)]).is_err());
        assert!(image(vec![extent(8 * PAGE, PAGE, 0)]).is_err());
        assert!(image(vec![extent(PAGE, PAGE, 0), extent(0, PAGE, PAGE)]).is_err());
        assert!(image(vec![extent(u64::MAX / PAGE * PAGE, PAGE, 0)]).is_err());
    }

    proptest! {
        #[test]
        fn an_overlay_reads_as_if_written(
            base in prop::collection::vec(0u8..3, 24),
            layer in prop::collection::vec(prop::option::of(0u8..9), 24),
        ) {
            let extents = |content: &[Option<u8>]| -> Vec<Extent> {
                let all = file(&pages(&content.iter().map(|byte| byte.unwrap_or(0)).collect::<Vec<_>>()));
                (0..content.len() as u64)
                    .filter(|page| content[*page as usize].is_some_and(|byte| byte > 0))
                    .map(|page| Extent { offset: page * PAGE, length: PAGE, file: all.clone(), file_offset: page * PAGE })
                    .collect()
            };
            let size = 24 * PAGE;
            let base_options: Vec<_> = base.iter().map(|byte| Some(*byte)).collect();
            let below = MemoryImage::new(size, extents(&base_options)).unwrap();
            let zeroed = (0..24)
                .filter(|page| layer[*page as usize] == Some(0))
                .map(|page| (page * PAGE, (page + 1) * PAGE));
            let changed = extents(&layer);
            let mut holes: Vec<_> = changed.iter().map(|extent| (extent.offset, extent.end())).chain(zeroed).collect();
            holes.sort_unstable();
            let file = changed.first().map_or_else(|| file(&[]), |extent| extent.file.clone());
            let above = below.without(size, &holes).with_layer(Layer { file, size }, changed);
            let expected: Vec<u8> = base.iter().zip(&layer).map(|(old, new)| new.unwrap_or(*old)).collect();
            prop_assert_eq!(read(&above), expected);
            prop_assert!(MemoryImage::new(size, above.extents().to_vec()).is_ok());
        }
    }
}
