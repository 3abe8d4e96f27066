//! Where decoded code lies, for those who write code that looks into it.

use std::mem::offset_of;

use super::{BUCKETS, Block, CodeCache, JUMPS, Jump, Link, NotedPages, Seen};

/// Addresses and distances, in bytes of linear memory. They stay what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodePlaces {
    /// Where the arena begins.
    pub(crate) arena: u32,
    /// Where the numbers of `Seen` begin.
    pub(crate) seen: u32,
    /// The table of blocks by physical address.
    pub(crate) buckets: u32,
    /// `CodeCache::key`, `CodeCache::global_key` and `CodeCache::segmented_key`.
    pub(crate) key: u32,
    pub(crate) global_key: u32,
    pub(crate) segmented_key: u32,
    /// The table of translated code by instruction pointer.
    pub(crate) jumps: u32,
    /// The blocks that were found there last.
    pub(crate) jump_blocks: u32,
    /// `CodeCache::noted`.
    pub(crate) noted: u32,
    /// `CodeCache::changed`.
    pub(crate) changed: u32,
}

impl CodePlaces {
    /// Bytes of a [`Seen`], and where in it things are.
    pub(crate) const SEEN_BYTES: u32 = size_of::<Seen>() as u32;
    pub(crate) const SEEN_RIP: u32 = offset_of!(Seen, rip) as u32;
    pub(crate) const SEEN_KEY: u32 = offset_of!(Seen, key) as u32;
    /// Where in a block things are.
    pub(crate) const PHYSICAL: u32 = offset_of!(Block, physical) as u32;
    pub(crate) const SECOND_PAGE: u32 = offset_of!(Block, second_page) as u32;
    pub(crate) const MODE: u32 = offset_of!(Block, mode) as u32;
    pub(crate) const MODE_MASK: u32 = offset_of!(Block, mode_mask) as u32;
    pub(crate) const NEXT: u32 = offset_of!(Block, next) as u32;
    pub(crate) const NUMBER: u32 = offset_of!(Block, number) as u32;
    pub(crate) const INSTRUCTIONS: u32 = offset_of!(Block, instructions) as u32;
    pub(crate) const TRANSLATED: u32 = offset_of!(Block, translated) as u32;
    /// Bytes of a [`Jump`], their number, and where in one things are.
    pub(crate) const JUMP_BYTES: u32 = size_of::<Jump>() as u32;
    pub(crate) const JUMPS: u32 = JUMPS as u32;
    pub(crate) const JUMP_RIP: u32 = offset_of!(Jump, rip) as u32;
    pub(crate) const JUMP_KEY: u32 = offset_of!(Jump, key) as u32;
    pub(crate) const JUMP_TRANSLATED: u32 = offset_of!(Jump, translated) as u32;
    /// How many bytes of [`Jump`]s there are to a byte of what is in `jump_blocks`.
    pub(crate) const JUMP_TO_BLOCK: u32 = Self::JUMP_BYTES / size_of::<Link>() as u32;
    /// Words of 64 bits of the filter of noted pages.
    pub(crate) const NOTED: u32 = NotedPages::WORDS;
    /// Buckets of the table of blocks by physical address.
    pub(crate) const BUCKETS: u32 = BUCKETS as u32;
}

impl CodeCache {
    /// Where things are, if the cache itself is at `place`.
    pub(crate) fn places(&self, place: u32) -> CodePlaces {
        let of = |offset: usize| place.wrapping_add(offset as u32);
        CodePlaces {
            arena: self.arena as usize as u32,
            seen: self.seen as usize as u32,
            buckets: self.buckets as usize as u32,
            key: of(offset_of!(CodeCache, key)),
            global_key: of(offset_of!(CodeCache, global_key)),
            segmented_key: of(offset_of!(CodeCache, segmented_key)),
            jumps: self.jumps as usize as u32,
            jump_blocks: self.jump_blocks as usize as u32,
            noted: of(offset_of!(CodeCache, noted)),
            changed: of(offset_of!(CodeCache, changed)),
        }
    }
}
