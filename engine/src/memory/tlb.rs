//! A direct-mapped TLB that leads from linear pages straight to host memory.

/// Entries of a TLB.
const ENTRIES: usize = 1024;
/// Filled entries that are remembered one by one; with more, all are cleared.
const REMEMBERED: usize = 192;
/// A tag that no page has.
const NONE: u64 = u64::MAX;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

/// One linear page. A tag is the page's linear address, or a value that never matches when that kind of access
/// has to take the slow path.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) execute: u64,
    /// Added to a linear address it gives the host's address (wrapping).
    pub(crate) addend: usize,
}

impl Entry {
    /// A linear address, shifted to the right and masked, is the distance of its entry from the first, in bytes.
    pub(crate) const SHIFT: i32 = 12 - size_of::<Self>().trailing_zeros() as i32;
    /// See [`Entry::SHIFT`].
    pub(crate) const MASK: i32 = ((ENTRIES - 1) * size_of::<Self>()) as i32;
    /// Where in an entry things are, in bytes.
    pub(crate) const READ: u32 = std::mem::offset_of!(Self, read) as u32;
    pub(crate) const WRITE: u32 = std::mem::offset_of!(Self, write) as u32;
    pub(crate) const EXECUTE: u32 = std::mem::offset_of!(Self, execute) as u32;
    pub(crate) const ADDEND: u32 = std::mem::offset_of!(Self, addend) as u32;
}

const EMPTY: Entry = Entry { read: NONE, write: NONE, execute: NONE, addend: 0 };

/// One privilege level's translations.
pub(crate) struct Tlb {
    entries: Box<[Entry; ENTRIES]>,
    /// Whether an entry is of a global page.
    global: Box<[bool; ENTRIES]>,
    /// Indices filled since the last flush with entries that are not global.
    filled: Vec<u16>,
    overflowed: bool,
}

impl Tlb {
    pub(crate) fn new() -> Self {
        Self {
            entries: Box::new([EMPTY; ENTRIES]),
            global: Box::new([false; ENTRIES]),
            filled: Vec::with_capacity(REMEMBERED),
            overflowed: false,
        }
    }

    /// The entry that `linear` would have.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "the index is below ENTRIES by its computation")]
    pub(crate) fn entry(&self, linear: u64) -> &Entry {
        &self.entries[Self::index(linear)]
    }

    /// Where the entries begin, for the interpreter's loop.
    pub(crate) fn as_ptr(&self) -> *const Entry {
        self.entries.as_ptr()
    }

    /// Whether both addresses can be translated at the same time.
    #[inline(always)]
    pub(crate) fn are_apart(one: u64, other: u64) -> bool {
        (one ^ other) >> 12 == 0 || Self::index(one) != Self::index(other)
    }

    const fn index(linear: u64) -> usize {
        (linear >> 12) as usize % ENTRIES
    }

    #[allow(clippy::indexing_slicing, reason = "the index is below ENTRIES by its computation")]
    pub(crate) fn fill(&mut self, linear: u64, entry: Entry, global: bool) {
        let index = Self::index(linear);
        self.entries[index] = entry;
        self.global[index] = global;
        if !global {
            if self.filled.len() < REMEMBERED {
                self.filled.push(index as u16);
            } else {
                self.overflowed = true;
            }
        }
    }

    /// Whether `linear` is known to be in a global page.
    #[allow(clippy::indexing_slicing, reason = "the index is below ENTRIES by its computation")]
    pub(crate) fn is_global(&self, linear: u64) -> bool {
        let index = Self::index(linear);
        self.entries[index].read == linear & !super::PAGE_MASK && self.global[index]
    }

    /// Forgets everything that is not global.
    #[allow(clippy::indexing_slicing, reason = "remembered indices are below ENTRIES")]
    pub(crate) fn flush(&mut self) {
        if self.overflowed {
            self.flush_all();
        } else {
            for index in self.filled.drain(..) {
                self.entries[usize::from(index)] = EMPTY;
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn flush_all(&mut self) {
        self.entries.fill(EMPTY);
        self.filled.clear();
        self.overflowed = false;
    }

    /// Forgets one page.
    #[allow(clippy::indexing_slicing, reason = "the index is below ENTRIES by its computation")]
    pub(crate) fn flush_page(&mut self, linear: u64) {
        self.entries[Self::index(linear)] = EMPTY;
    }

    /// Sends writes to the page at `host` the slow way: it contains code now.
    pub(crate) fn protect(&mut self, host: usize) {
        for entry in self.entries.iter_mut() {
            if entry.write != NONE && (entry.write as usize).wrapping_add(entry.addend) == host {
                entry.write = NONE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(linear: u64) -> Entry {
        Entry { read: linear, write: linear, execute: linear, addend: 0x1000 }
    }

    #[test]
    fn a_flush_keeps_global_pages_only() {
        let mut tlb = Tlb::new();
        tlb.fill(0x5000, entry(0x5000), false);
        tlb.fill(0x6000, entry(0x6000), true);
        tlb.flush();
        assert_eq!(tlb.entry(0x5123).read, NONE);
        assert_eq!(tlb.entry(0x6123).read, 0x6000);
        tlb.flush_all();
        assert_eq!(tlb.entry(0x6123).read, NONE);
    }

    #[test]
    fn pages_with_code_lose_only_their_write_tag() {
        let mut tlb = Tlb::new();
        tlb.fill(0x5000, entry(0x5000), false);
        tlb.protect(0x6000);
        assert_eq!((tlb.entry(0x5000).read, tlb.entry(0x5000).write), (0x5000, NONE));
    }
}
