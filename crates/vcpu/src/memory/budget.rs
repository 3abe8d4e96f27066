//! How many mappings this process's memories may consist of.
//!
//! The kernel refuses everything that needs a mapping more when there are `vm.max_map_count`
//! (Documentation/admin-guide/sysctl/vm.rst): threads, code, even large allocations, without which
//! the whole process ends. So memories leave a part of them alone.

use std::io::{Error, ErrorKind, Result};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::image::MemoryImage;

/// The default of `vm.max_map_count`.
const DEFAULT_LIMIT: usize = 65_530;

/// Mappings of all memories together.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    limit.and_then(|limit| limit.trim().parse().ok()).unwrap_or(DEFAULT_LIMIT)
});

/// Mappings of one memory, given back when this is dropped.
pub(super) struct Share {
    count: usize,
    taken: &'static AtomicUsize,
}

impl Share {
    /// The mappings of a memory with the content of `image`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the others leave too few.
    pub(super) fn of(image: &MemoryImage) -> Result<Self> {
        Self::take(mappings(image), *LIMIT - *LIMIT / 8, &TAKEN)
    }

    fn take(count: usize, available: usize, taken: &'static AtomicUsize) -> Result<Self> {
        let with_these = |others: usize| others.checked_add(count).filter(|sum| *sum <= available);
        match taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_these) {
            Ok(_) => Ok(Self { count, taken }),
            Err(others) => Err(Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "a memory of {count} mappings, where {others} of {available} are taken \
                     (the kernel's vm.max_map_count is {}): close sandboxes, or raise it",
                    *LIMIT
                ),
            )),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// Each extent, what lies between them, and what lies behind the last.
fn mappings(image: &MemoryImage) -> usize {
    let mut end = 0;
    let mut count = 2;
    for extent in image.extents() {
        count += 1 + usize::from(extent.offset != end);
        end = extent.end();
    }
    count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::{Extent, PAGE};

    #[test]
    fn what_one_memory_takes_others_cannot_take_until_it_is_gone() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let take = |count| Share::take(count, 10, &COUNT);
        let first = take(7).unwrap();
        let error = take(4).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("7 of 10"), "{error}");
        assert!(take(usize::MAX).is_err());
        let second = take(3).unwrap();
        assert!(take(1).is_err());
        drop(first);
        assert!(take(7).is_ok());
        drop(second);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn extents_and_what_lies_between_and_behind_them_are_mappings() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(PAGE).unwrap();
        let file = Arc::new(file);
        let image = |pages: &[u64]| {
            let extent =
                |page: &u64| Extent { offset: page * PAGE, length: PAGE, file: file.clone(), file_offset: 0 };
            MemoryImage::new(16 * PAGE, pages.iter().map(extent).collect()).unwrap()
        };
        assert_eq!(mappings(&image(&[])), 2);
        assert_eq!(mappings(&image(&[0, 1, 3, 9])), 2 + 4 + 2);
    }
}
