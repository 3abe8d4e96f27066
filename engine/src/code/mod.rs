//! Decoded code: blocks of micro-operations, found by guest-physical address or by instruction pointer.
//!
//! All of it lies in one arena and refers to itself by offsets. When the arena is full everything is
//! thrown away but what was [kept](CodeCache::keep); it can always be made again.

#![allow(unsafe_code, reason = "blocks are variable-sized records in an arena; offsets are made only here")]

mod branch;
mod calls;
mod full;
mod lower;
mod noted;
mod operands;
mod pair;
mod places;
mod select;
mod translated;
mod uop;
mod vector;
mod written;

use crate::host;
use crate::memory::PAGE;
use crate::state::Mode;

pub(crate) use calls::Calls;
use full::Kept;
use noted::NotedPages;
pub(crate) use operands::Form;
pub(crate) use places::CodePlaces;
pub(crate) use select::{FORM, OPERATION};
use translated::Jump;
pub(crate) use translated::{KERNEL, PROGRAMS, Translated};
pub(crate) use uop::{General, Link, Links, Op, Uop};

/// Bytes of the arena.
const ARENA_BYTES: usize = 64 << 20;
/// More blocks than fit into the arena.
const BLOCKS: usize = ARENA_BYTES / size_of::<Block>();
/// Room that must be left before a block is made: more than any block needs.
const BLOCK_ROOM: usize = 64 << 10;
/// Buckets of the table of blocks by physical address.
const BUCKETS: usize = 1 << 16;
/// Entries of the table of blocks by instruction pointer.
const ADDRESSES: usize = 1 << 12;
/// Entries of the table of translated code by instruction pointer.
const JUMPS: usize = 1 << 14;
/// Tells the keys of global pages from others.
const GLOBAL: u32 = 1 << 31;
/// Tells the keys of blocks that [depend on FS and GS](Block::depends_on_segments) from others. No mode has this bit.
const SEGMENTED: u32 = 1 << 6;
/// Generations are counted up to here, so that there is room in a key for the [tag](Translated::tag) of a part.
const LAST_GENERATION: u32 = 1 << 19;

/// Where the arena's first record lies; what is before it looks like a block that is never valid.
const FIRST: usize = size_of::<Block>().next_multiple_of(64);

/// Offset of something in the arena; 0 is nothing.
pub(crate) type Offset = u32;

/// A run of instructions with one entry, ending with a branch or at the end of the page.
#[repr(C)]
pub(crate) struct Block {
    /// Guest-physical address of the first instruction; `u64::MAX` when the block is no longer valid.
    pub(crate) physical: u64,
    /// Guest-physical page of the rest of an instruction that crosses a page, or `u64::MAX`.
    pub(crate) second_page: u64,
    /// Next block in the bucket.
    next: Offset,
    /// Its place in `CodeCache::seen`.
    number: u32,
    pub(crate) mode: Mode,
    /// The bits of `mode` the block depends on.
    pub(crate) mode_mask: u8,
    /// Instructions in it, 1 to 255.
    pub(crate) instructions: u8,
    /// Its translation; none where all is zero.
    pub(crate) translated: Translated,
}

impl Block {
    /// Whether it is right wherever a block of the same page may run.
    pub(crate) fn may_be_linked(&self) -> bool {
        self.second_page == u64::MAX && !self.depends_on_segments()
    }

    /// Whether it is right only for some of what FS and GS may hold.
    pub(crate) fn depends_on_segments(&self) -> bool {
        self.mode_mask & Mode::SEGMENTS != 0
    }

    /// The first micro-operation.
    #[inline(always)]
    pub(crate) fn first(this: *const Self) -> *const Uop {
        // SAFETY: micro-operations follow their block in the arena.
        unsafe { this.add(1).cast() }
    }

    /// The last micro-operation: the links, or a general instruction that ends the block.
    pub(crate) fn last(this: *const Self) -> *const Uop {
        let mut uop = Self::first(this);
        // SAFETY: micro-operations follow their block, and one of these is the last.
        unsafe {
            while !matches!((*uop).op, Op::GeneralEnd | Op::End | Op::Links) {
                uop = uop.add(1);
            }
        }
        uop
    }

    /// The micro-operation with which the block begins: that which calls its translation, if that is `least` or more.
    #[inline(always)]
    pub(crate) fn begin(this: *const Self, least: Translated) -> *const Uop {
        // SAFETY: the caller has a block.
        if unsafe { (*this).translated.0 } < least.0 { Self::first(this) } else { Self::call() }
    }

    /// What calls the translation of the current block.
    #[inline(always)]
    pub(crate) fn call() -> *const Uop {
        static CALL: Uop =
            Uop { op: Op::Translated, offset: 0, a: 0, b: 0, base: 0, index: 0, disp: 0, imm: 0 };
        &raw const CALL
    }

    /// Its place in `CodeCache::seen`.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

/// Where a block was executed last. What changes at every switch of address space is apart from the blocks, whose pages
/// would otherwise all be written to, and be the greater part of what snapshots and forks have to copy.
#[derive(Clone, Copy)]
#[repr(C)]
struct Seen {
    /// The instruction pointer.
    rip: u64,
    /// While this is one of the keys of the cache, the block is what is found at `rip`.
    key: u32,
}

/// One element of the list of blocks that have bytes in a page.
#[repr(C)]
struct Member {
    block: Offset,
    next: Offset,
}

/// What is known of the code in one page of RAM.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct CodePage {
    /// Bit *n*: bytes 64·n to 64·n+63 are part of a decoded instruction.
    granules: u64,
    members: Offset,
    /// Writes to the page that met no code.
    writes: u32,
}

/// All decoded code.
pub(crate) struct CodeCache {
    pub(crate) arena: *mut u8,
    used: usize,
    /// By the number of the block; number 0 is no block's.
    seen: *mut Seen,
    /// Blocks that were made since the arena was empty.
    blocks: u32,
    /// What stays when the arena is full.
    kept: Kept,
    /// How often it has been full.
    pub(crate) clears: u32,
    pages: *mut CodePage,
    page_count: usize,
    buckets: *mut Offset,
    /// The block executed last at an instruction pointer with these low bits; 0 is none.
    addresses: *mut Offset,
    /// Translated code at an instruction pointer.
    jumps: *mut Jump,
    /// The blocks that were found there last, whatever the keys: apart, so that more of the above is in the processor's caches.
    jump_blocks: *mut Link,
    /// How often blocks were executed that are [counted](Translated::COUNTED), by their numbers.
    counts: *mut u32,
    /// What new blocks begin with: whether they are counted.
    untranslated: Translated,
    /// Counts what made addresses mean something else.
    generation: u32,
    /// Counts what made addresses in global pages mean something else.
    global_generation: u32,
    /// Linear pages with addresses that are noted: as long as the generation, and the global one, last.
    noted: NotedPages,
    global_noted: NotedPages,
    mode: Mode,
    /// Blocks are what is at their instruction pointers if they have this: generation and mode, without what FS and GS hold.
    /// That changes often: a kernel has what its programs have there.
    pub(crate) key: u32,
    /// The same for blocks in global pages.
    pub(crate) global_key: u32,
    /// The same for blocks that depend on FS and GS, with the whole mode.
    pub(crate) segmented_key: u32,
    /// The block being executed is to be left after this instruction: it may have been thrown away, or an event waits.
    pub(crate) changed: bool,
    /// Where calls will return to.
    pub(crate) calls: Calls,
}

impl CodeCache {
    /// An empty cache for a machine with this much RAM.
    pub(crate) fn new(ram_bytes: usize) -> Option<Self> {
        let page_count = ram_bytes.div_ceil(PAGE as usize);
        Some(Self {
            arena: host::allocate_zeroed(ARENA_BYTES)?,
            used: FIRST,
            seen: host::allocate_zeroed(BLOCKS * size_of::<Seen>())?.cast(),
            blocks: 0,
            kept: Kept::NOTHING,
            clears: 0,
            pages: host::allocate_zeroed(page_count * size_of::<CodePage>())?.cast(),
            page_count,
            buckets: host::allocate_zeroed(BUCKETS * size_of::<Offset>())?.cast(),
            addresses: host::allocate_zeroed(ADDRESSES * size_of::<Offset>())?.cast(),
            jumps: host::allocate_zeroed(JUMPS * size_of::<Jump>())?.cast(),
            jump_blocks: host::allocate_zeroed(JUMPS * size_of::<Link>())?.cast(),
            counts: host::allocate_zeroed(BLOCKS * size_of::<u32>())?.cast(),
            untranslated: Translated::NONE,
            generation: 1,
            global_generation: 1,
            noted: NotedPages::anywhere(),
            global_noted: NotedPages::none(),
            mode: Mode::default(),
            key: 1 << 8,
            global_key: GLOBAL | 1 << 8,
            segmented_key: SEGMENTED | 1 << 8,
            changed: false,
            calls: Calls::default(),
        })
    }

    /// The record at an offset that came from this cache.
    #[inline(always)]
    pub(crate) fn at<T>(&self, offset: Offset) -> *mut T {
        // SAFETY: offsets are made by `allocate`, which keeps within the arena.
        unsafe { self.arena.add(offset as usize).cast() }
    }

    /// The offset of a record that `at` gave.
    pub(crate) fn offset_of<T>(&self, record: *const T) -> Offset {
        (record as usize).wrapping_sub(self.arena as usize) as Offset
    }

    fn address(&self, rip: u64) -> *mut Offset {
        let index = ((rip ^ (rip >> 12)) as usize) % ADDRESSES;
        // SAFETY: the index is below ADDRESSES.
        unsafe { self.addresses.add(index) }
    }

    /// What may be the block at `rip`, or 0.
    #[inline(always)]
    pub(crate) fn noted(&self, rip: u64) -> Offset {
        // SAFETY: `address` points into the table.
        unsafe { *self.address(rip) }
    }

    /// Whether `block`, from `at`, is what is at `rip`.
    #[inline(always)]
    pub(crate) fn is_valid(&self, block: *const Block, rip: u64) -> bool {
        // SAFETY: the offset given to `at` was that of a block, or 0, where there is what looks like one.
        let seen = unsafe { *self.seen_of(block) };
        seen.rip == rip
            && (seen.key == self.key || seen.key == self.global_key || seen.key == self.segmented_key)
    }

    /// Whether `block` was executed last in a global page.
    pub(crate) fn is_global(&self, block: &Block) -> bool {
        // SAFETY: it is a block of this cache.
        unsafe { (*self.seen_of(block)).key & GLOBAL != 0 }
    }

    /// Where `block`, from `at`, was executed last.
    #[inline(always)]
    unsafe fn seen_of(&self, block: *const Block) -> *mut Seen {
        // SAFETY: the caller has a block; it was numbered by `insert`, and there are no more than BLOCKS.
        unsafe { self.seen.add((*block).number as usize) }
    }

    /// Instruction pointers mean something else now: all of them, or, unless `global`, those in pages that are not global.
    pub(crate) fn forget_addresses(&mut self, global: bool) {
        self.generation += 1;
        self.noted.clear();
        if global {
            self.global_generation += 1;
            self.global_noted.clear();
        }
        if self.generation.max(self.global_generation) == LAST_GENERATION {
            // No key of the past may count again. The blocks stay, and their translations.
            // SAFETY: blocks are numbered up to this, and the table has as many entries.
            unsafe {
                self.seen.write_bytes(0, self.blocks as usize + 1);
                self.jumps.write_bytes(0, JUMPS);
            }
            (self.generation, self.global_generation) = (1, 1);
        }
        self.set_mode(self.mode);
    }

    /// The page around `linear` means something else now.
    pub(crate) fn forget_page_addresses(&mut self, linear: u64) {
        if self.global_noted.has(linear) {
            self.forget_addresses(true);
        } else if self.noted.has(linear) {
            self.forget_addresses(false);
        }
    }

    /// The mode in which blocks are looked for from now on.
    #[inline]
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        let common = u32::from(mode.0 & !Mode::SEGMENTS);
        self.key = self.generation << 8 | common;
        self.global_key = GLOBAL | self.global_generation << 8 | common;
        self.segmented_key = SEGMENTED | self.generation << 8 | u32::from(mode.0);
    }

    /// Notes that `rip`, at `linear`, leads to `block`, for as long as addresses (of global pages) mean what they do.
    pub(crate) fn note_address(&mut self, rip: u64, linear: u64, block: Offset, global: bool) {
        // SAFETY: it is a block.
        let depends_on_segments = unsafe { (*self.at::<Block>(block)).depends_on_segments() };
        let (key, noted) = match (depends_on_segments, global) {
            (true, _) => (self.segmented_key, &mut self.noted),
            (false, true) => (self.global_key, &mut self.global_noted),
            (false, false) => (self.key, &mut self.noted),
        };
        noted.note(linear);
        // SAFETY: `address` points into the table; it is a block.
        unsafe {
            *self.address(rip) = block;
            self.seen_of(self.at(block)).write(Seen { rip, key });
            let translated = (*self.at::<Block>(block)).translated;
            let part = translated.part();
            if translated.is_some() && Translated::is_for(part, self.mode) {
                self.jump(rip).write(Jump { rip, key: key ^ Translated::tag(part), translated });
                *self.jump_block(rip) = Link::new(block, false);
            }
        }
    }

    fn page(&mut self, physical: u64) -> Option<&mut CodePage> {
        let index = (physical / PAGE) as usize;
        // SAFETY: just checked to be one of the pages.
        (index < self.page_count).then(|| unsafe { &mut *self.pages.add(index) })
    }

    /// Whether code was decoded from the page around `physical`.
    pub(crate) fn has_code(&mut self, physical: u64) -> bool {
        self.page(physical).is_some_and(|page| page.members != 0)
    }

    fn bucket(&self, physical: u64) -> *mut Offset {
        let index = ((physical ^ (physical >> 16)) as usize) % BUCKETS;
        // SAFETY: the index is below BUCKETS.
        unsafe { self.buckets.add(index) }
    }

    /// The block that starts at `physical` in this mode; it may be `likely`, a block or 0.
    pub(crate) fn find(&self, physical: u64, likely: Offset) -> Option<Offset> {
        let mode = self.mode.0;
        let fits = |block: &Block| block.physical == physical && (block.mode.0 ^ mode) & block.mode_mask == 0;
        // SAFETY: buckets hold offsets of blocks.
        unsafe {
            if likely != 0 && fits(&*self.at::<Block>(likely)) {
                return Some(likely);
            }
            let mut offset = *self.bucket(physical);
            while offset != 0 {
                let block = &*self.at::<Block>(offset);
                if fits(block) {
                    return Some(offset);
                }
                offset = block.next;
            }
        }
        None
    }

    /// Room for `bytes` bytes, 8-byte aligned; there is always some after `make_room`.
    fn allocate(&mut self, bytes: usize) -> Offset {
        let bytes = bytes.next_multiple_of(8);
        let offset = self.used.min(ARENA_BYTES - bytes);
        self.used = offset + bytes;
        offset as Offset
    }

    /// Makes a block of `uops`, which belong to `instructions` instructions and come from `bytes` bytes of code.
    pub(crate) fn insert(&mut self, mut block: Block, bytes: u64, uops: &[Uop]) -> Offset {
        let offset = self.allocate(size_of::<Block>() + size_of_val(uops));
        let (physical, second_page) = (block.physical, block.second_page);
        let bucket = self.bucket(physical);
        self.blocks += 1;
        block.number = self.blocks;
        block.translated = self.untranslated;
        // SAFETY: just allocated and numbered; the bucket is one of the table's.
        unsafe {
            block.next = *bucket;
            *bucket = offset;
            self.seen_of(&raw const block).write(Seen { rip: 0, key: 0 });
            let place = self.at::<Block>(offset);
            place.write(block);
            place.add(1).cast::<Uop>().copy_from_nonoverlapping(uops.as_ptr(), uops.len());
        }
        let in_page = physical % PAGE;
        self.join(physical, in_page, (in_page + bytes).min(PAGE), offset);
        if second_page != u64::MAX {
            self.join(second_page, 0, (in_page + bytes).saturating_sub(PAGE).max(1), offset);
        }
        offset
    }

    /// Notes that bytes `from..to` of the page around `physical` belong to a block.
    fn join(&mut self, physical: u64, from: u64, to: u64, block: Offset) {
        let member = self.allocate(size_of::<Member>());
        let Some(page) = self.page(physical) else { return };
        for granule in from / 64..to.div_ceil(64).min(64) {
            page.granules |= 1 << granule;
        }
        let next = std::mem::replace(&mut page.members, member);
        // SAFETY: just allocated.
        unsafe { self.at::<Member>(member).write(Member { block, next }) };
    }
}

#[cfg(test)]
impl Block {
    /// A block of one instruction.
    pub(crate) fn sample(physical: u64) -> Self {
        Self {
            physical,
            second_page: u64::MAX,
            next: 0,
            number: 0,
            mode: Mode::default(),
            mode_mask: Mode::ALWAYS,
            instructions: 1,
            translated: Translated::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_generations_start_again_blocks_stay_and_no_address_leads_to_them() {
        let mut cache = CodeCache::new(1 << 20).unwrap();
        let block = cache.insert(Block::sample(0x5000), 1, &[]);
        let (one, other) = (0x1000, 0xC000_0000);
        for (address, global) in [(one, false), (other, true)] {
            // In the first of all generations.
            cache.note_address(address, address, block, global);
            assert!(cache.is_valid(cache.at(block), address));
            cache.generation = LAST_GENERATION - 1;
            cache.forget_addresses(global);
            assert!(!cache.is_valid(cache.at(block), address), "{address:#x}");
            assert_eq!(cache.find(0x5000, 0), Some(block));
            assert_eq!(cache.generation, 1);
        }
    }
}
