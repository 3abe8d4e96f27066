//! What decoded code knows of translations: which blocks have one, how often blocks are executed, and where code leads to that
//! goes to an address.

#![allow(
    unsafe_code,
    reason = "blocks and entries of tables are reached by pointers that are made from numbers in bounds"
)]

use super::{Block, CodeCache, JUMPS, Link, Member, Offset};
use crate::memory::PAGE;
use crate::state::Mode;

/// The part with the kernel's code, and that with the code of programs. Parts after that have code of programs that was
/// translated later.
pub(crate) const KERNEL: u32 = 1;
/// See [`KERNEL`].
pub(crate) const PROGRAMS: u32 = 2;

/// Where the translation of a block is: the part, a module, in the highest four bits, 0 if there is none; a function of
/// its table in 16 bits; an entry of that in the lowest 12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Translated(pub(crate) u32);

impl Translated {
    /// Not translated.
    pub(crate) const NONE: Self = Self(0);
    /// The least that is.
    pub(crate) const SOME: Self = Self(1);
    /// More than any: nothing is executed by its translation for a while.
    pub(crate) const LATER: Self = Self(u32::MAX);
    /// Not translated, and it is counted how often the block is executed.
    pub(crate) const COUNTED: Self = Self::new(15, 0, 0);
    /// How many functions and entries there can be.
    pub(crate) const FUNCTIONS: u32 = 1 << (Self::PART_SHIFT - Self::FUNCTION_SHIFT);
    pub(crate) const ENTRIES: u32 = 1 << Self::FUNCTION_SHIFT;
    /// The lowest bit of a key that generations leave free.
    const TAG_SHIFT: u32 = super::LAST_GENERATION.trailing_zeros() + 8;
    /// Where the part and the function are.
    pub(crate) const PART_SHIFT: u32 = 28;
    pub(crate) const FUNCTION_SHIFT: u32 = 12;

    /// In part `part`, which is not 0.
    pub(crate) const fn new(part: u32, function: u32, entry: u32) -> Self {
        Self(
            part << Self::PART_SHIFT
                | (function & (Self::FUNCTIONS - 1)) << Self::FUNCTION_SHIFT
                | entry & (Self::ENTRIES - 1),
        )
    }

    /// Whether code of part `part` is made for a mode: that of the kernel, or of programs.
    pub(crate) const fn is_for(part: u32, mode: Mode) -> bool {
        (part == KERNEL) == (mode.0 & Mode::USER == 0)
    }

    /// Whether there is a translation.
    pub(crate) const fn is_some(self) -> bool {
        self.0 != Self::NONE.0 && self.0 != Self::COUNTED.0
    }

    /// What the keys of a part's [`Jump`]s have beside that of the blocks, so that each part goes to its own functions only.
    pub(crate) const fn tag(part: u32) -> u32 {
        part.saturating_sub(PROGRAMS) << Self::TAG_SHIFT
    }

    pub(crate) const fn part(self) -> u32 {
        self.0 >> Self::PART_SHIFT
    }

    pub(crate) const fn function(self) -> u32 {
        self.0 >> Self::FUNCTION_SHIFT & (Self::FUNCTIONS - 1)
    }

    pub(crate) const fn entry(self) -> u32 {
        self.0 & (Self::ENTRIES - 1)
    }
}

/// Where translated code leads to that goes to an address: one look instead of several at blocks all over the arena.
#[repr(C)]
pub(super) struct Jump {
    /// The instruction pointer.
    pub(super) rip: u64,
    /// As in `Seen`, with the [tag](Translated::tag) of the part.
    pub(super) key: u32,
    pub(super) translated: Translated,
}

impl CodeCache {
    /// Counts an execution of a block.
    pub(crate) fn count(&mut self, block: &Block) {
        // SAFETY: blocks are numbered by `insert`, and there are no more than BLOCKS.
        let count = unsafe { &mut *self.counts.add(block.number as usize) };
        *count = count.saturating_add(1);
    }

    /// Whether new blocks are counted.
    pub(crate) fn counts(&self) -> bool {
        self.untranslated == Translated::COUNTED
    }

    /// How often a block was executed while that was counted.
    pub(crate) fn count_of(&self, block: &Block) -> u32 {
        // SAFETY: as above.
        unsafe { *self.counts.add(block.number as usize) }
    }

    /// Ends the counting: all blocks count as not translated, and forget their numbers.
    pub(crate) fn end_counting(&mut self, blocks: &[Offset]) {
        self.untranslated = Translated::NONE;
        // SAFETY: they are blocks.
        unsafe {
            for block in blocks {
                (*self.at::<Block>(*block)).translated = Translated::NONE;
            }
            self.counts.write_bytes(0, self.blocks as usize + 1);
        }
        self.clear_jumps();
    }

    /// Forgets where translated code leads to.
    pub(super) fn clear_jumps(&mut self) {
        // SAFETY: the tables have these many entries.
        unsafe {
            self.jumps.write_bytes(0, JUMPS);
            self.jump_blocks.write_bytes(0, JUMPS);
        }
    }

    /// What was at `rip` when it was found last, or 0.
    pub(crate) fn likely(&self, rip: u64) -> Offset {
        // SAFETY: `jump` points into the table.
        let (jump, block) = unsafe { (&*self.jump(rip), *self.jump_block(rip)) };
        if jump.rip == rip && block != Link::NONE { block.offset() } else { self.noted(rip) }
    }

    pub(super) fn jump(&self, rip: u64) -> *mut Jump {
        // SAFETY: the index is below JUMPS.
        unsafe { self.jumps.add(jump_index(rip)) }
    }

    /// Where the block is noted that belongs to `jump`.
    pub(super) fn jump_block(&self, rip: u64) -> *mut Link {
        // SAFETY: the index is below JUMPS.
        unsafe { self.jump_blocks.add(jump_index(rip)) }
    }

    /// All blocks there are, in the order in which they were made.
    pub(crate) fn all(&self) -> Vec<Offset> {
        let pages = 0..self.page_count as u64;
        let mut all: Vec<Offset> = pages.flat_map(|page| self.blocks_of_page(page)).collect();
        // SAFETY: they are blocks.
        all.sort_unstable_by_key(|block| unsafe { (*self.at::<Block>(*block)).number });
        all
    }

    /// The blocks that begin in a page of RAM.
    pub(crate) fn blocks_of_page(&self, page: u64) -> Vec<Offset> {
        let mut blocks = Vec::new();
        if page >= self.page_count as u64 {
            return blocks;
        }
        // SAFETY: it is one of the pages; members are what `join` made, and their blocks what `insert` made.
        unsafe {
            let mut member = (*self.pages.add(page as usize)).members;
            while member != 0 {
                let Member { block, next } = *self.at::<Member>(member);
                // Others are listed where they begin.
                if (*self.at::<Block>(block)).physical / PAGE == page {
                    blocks.push(block);
                }
                member = next;
            }
        }
        blocks
    }
}

fn jump_index(rip: u64) -> usize {
    ((rip ^ (rip >> 12)) as usize) % JUMPS
}
