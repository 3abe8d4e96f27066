//! Address space of a linear memory. The only place that maps memory.
#![allow(unsafe_code)]

use std::io::Result;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use super::budget::Share;
use super::image::MemoryImage;

/// A reservation of address space, with an accessible beginning.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    reserved: usize,
    accessible: AtomicUsize,
    _share: Option<Share>,
}

// SAFETY: the mapping is owned; access to its bytes goes through wasmtime, which guards it.
unsafe impl Send for Mapping {}
// SAFETY: as above; `grow_to` adds pages that nobody has a reference to yet.
unsafe impl Sync for Mapping {}

/// Address space of a 32-bit linear memory with the guard wasmtime wants behind it.
const LINEAR_MEMORY: usize = (4 << 30) + (64 << 20);

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

impl Mapping {
    /// A fresh 32-bit linear memory with the content of `image`.
    pub(crate) fn of(image: &MemoryImage) -> Result<Arc<Self>> {
        let mut mapping = Self::reserve(LINEAR_MEMORY)?;
        mapping.map(image)?;
        Ok(Arc::new(mapping))
    }

    /// Reserves `reserved` bytes (whole pages) that nobody can access.
    pub(crate) fn reserve(reserved: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing else.
        let base = unsafe {
            mmap_anonymous(null_mut(), reserved, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { base, reserved, accessible: AtomicUsize::new(0), _share: None })
    }

    /// Makes the first `size` bytes accessible; new ones are zero.
    pub(crate) fn grow_to(&self, size: usize) -> Result<()> {
        if size > self.reserved {
            return Err(rustix::io::Errno::NOMEM.into());
        }
        let accessible = self.accessible();
        if size > accessible {
            // SAFETY: the range lies inside the reservation (checked above), which this owns.
            unsafe {
                let start = self.base.as_ptr().add(accessible);
                mprotect(start.cast(), size - accessible, MprotectFlags::READ | MprotectFlags::WRITE)?;
            }
            self.accessible.store(size, Ordering::Release);
        }
        Ok(())
    }

    /// Maps `image` copy-on-write over the beginning of a mapping nobody uses yet.
    pub(crate) fn map(&mut self, image: &MemoryImage) -> Result<()> {
        let size = usize::try_from(image.size()).map_err(|_| rustix::io::Errno::NOMEM)?;
        self._share = Some(Share::of(image)?);
        self.grow_to(size)?;
        for extent in image.extents() {
            let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
            // SAFETY: `MemoryImage` keeps extents inside its size, which is inside the reservation;
            // the image's files are never written again, and `&mut self` means that nobody holds a
            // reference into the mapping.
            unsafe {
                let start = self.base.as_ptr().add(extent.offset as usize);
                mmap(
                    start.cast(),
                    extent.length as usize,
                    READ_WRITE,
                    flags,
                    &*extent.file,
                    extent.file_offset,
                )?;
            }
        }
        Ok(())
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub(crate) fn accessible(&self) -> usize {
        self.accessible.load(Ordering::Acquire)
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole reservation is owned by this and nobody refers to it any more. An error
        // could only mean that it is not mapped, which leaves nothing to do.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}
