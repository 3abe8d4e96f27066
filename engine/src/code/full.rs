//! Throwing decoded code away: when the arena is full, and when a machine is prepared.

#![allow(unsafe_code, reason = "blocks and lists of them are reached by offsets into the arena")]

use super::{
    ADDRESSES, ARENA_BYTES, BLOCK_ROOM, BUCKETS, Block, Calls, CodeCache, CodePage, FIRST, Link, Links,
    Member, Offset, Op, Translated,
};

/// More than this of the arena is never kept: the rest would be full again and again.
const MOST_KEPT: usize = ARENA_BYTES / 4 * 3;

/// How much of the arena stays when it is full.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Bytes from its start.
    bytes: usize,
    /// Blocks in them.
    blocks: u32,
}

impl Kept {
    pub(super) const NOTHING: Self = Self { bytes: FIRST, blocks: 0 };
}

impl CodeCache {
    /// Whether a block fits; otherwise everything has been thrown away that was not kept, and it does.
    pub(crate) fn make_room(&mut self) {
        if self.used + BLOCK_ROOM > ARENA_BYTES {
            self.clear();
        }
    }

    /// What there is now will not be thrown away when the arena is full: it is what was translated, and cannot be again.
    pub(crate) fn keep(&mut self) {
        if self.used <= MOST_KEPT {
            self.kept = Kept { bytes: self.used, blocks: self.blocks };
        }
    }

    /// Throws everything away, and gives what it lay in back as zeros. From now on, blocks are counted.
    pub(crate) fn renew(&mut self) {
        self.untranslated = Translated::COUNTED;
        // SAFETY: the arena and the table are in use as far as this.
        unsafe {
            self.arena.write_bytes(0, self.used);
            self.seen.write_bytes(0, self.blocks as usize + 1);
            self.counts.write_bytes(0, self.blocks as usize + 1);
        }
        self.kept = Kept::NOTHING;
        self.clear();
    }

    /// Throws everything away that was not kept.
    fn clear(&mut self) {
        (self.used, self.blocks) = (self.kept.bytes, self.kept.blocks);
        self.calls = Calls::default();
        self.changed = true;
        self.clears = self.clears.wrapping_add(1);
        self.clear_jumps();
        let kept = self.kept.bytes as Offset;
        // SAFETY: the tables have these many entries. Lists begin with what was made last: offsets become smaller on the way,
        // and what is below `kept` stays what it is.
        unsafe {
            std::slice::from_raw_parts_mut(self.addresses, ADDRESSES).fill(0);
            for bucket in std::slice::from_raw_parts_mut(self.buckets, BUCKETS) {
                while *bucket >= kept {
                    *bucket = (*self.arena.add(*bucket as usize).cast::<Block>()).next;
                }
            }
            for page in std::slice::from_raw_parts_mut(self.pages, self.page_count) {
                if page.members < kept {
                    continue;
                }
                while page.members >= kept {
                    page.members = (*self.arena.add(page.members as usize).cast::<Member>()).next;
                }
                if page.members == 0 {
                    *page = CodePage::default();
                }
            }
            for block in self.all() {
                self.forget_links(block, kept);
            }
        }
    }

    /// Where a block leads to is looked for again, if it was at or behind `end`.
    unsafe fn forget_links(&mut self, block: Offset, end: Offset) {
        // SAFETY: the caller has a block; what it ends with has links unless it is a general instruction.
        unsafe {
            let last = Block::last(self.at(block)).cast_mut();
            if (*last).op == Op::GeneralEnd {
                return;
            }
            let links = last.cast::<Links>();
            for link in [&raw mut (*links).taken, &raw mut (*links).other] {
                if (*link).offset() >= end {
                    *link = Link::NONE;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &mut CodeCache, physical: u64) -> Offset {
        let links = Links { op: Op::End, offset: 4, taken: Link::NONE, other: Link::NONE, target: 0 };
        cache.make_room();
        cache.insert(Block::sample(physical), 4, &[links.into()])
    }

    /// Makes blocks in a page of their own until the arena has been full.
    fn fill(cache: &mut CodeCache) {
        while cache.used + BLOCK_ROOM <= ARENA_BYTES {
            insert(cache, 0x7000);
        }
        insert(cache, 0x7000);
    }

    #[test]
    fn what_is_kept_stays_and_leads_to_nothing_else() {
        let mut cache = CodeCache::new(1 << 20).unwrap();
        let [one, other, third] = [0x5000, 0x5010, 0x6000].map(|physical| insert(&mut cache, physical));
        cache.keep();
        // In the page of one that is kept, and in one with none; the third has the same bucket.
        let [near, far] = [0x5020, 0x8000].map(|physical| insert(&mut cache, physical));
        insert(&mut cache, 0x1_6001);
        let links = Block::last(cache.at(one)).cast_mut().cast::<Links>();
        // SAFETY: it is what the block ends with.
        unsafe { ((*links).taken, (*links).other) = (Link::new(near, true), Link::new(other, true)) };
        let third_links = Block::last(cache.at(third)).cast_mut().cast::<Links>();
        // SAFETY: as above.
        unsafe { (*third_links).taken = Link::new(far, false) };
        cache.note_address(0x40_5000, 0x40_5000, one, false);
        cache.note_address(0x40_8000, 0x40_8000, far, false);
        fill(&mut cache);
        assert!(cache.changed);
        for (physical, block) in [(0x5000, one), (0x5010, other), (0x6000, third)] {
            assert_eq!(cache.find(physical, 0), Some(block), "{physical:#x}");
        }
        for gone in [0x5020, 0x8000, 0x1_6001] {
            assert_eq!(cache.find(gone, 0), None, "{gone:#x}");
        }
        // SAFETY: as above.
        let (links, third_links) = unsafe { (*links, *third_links) };
        assert_eq!((links.taken, links.other), (Link::NONE, Link::new(other, true)));
        assert_eq!(third_links.taken, Link::NONE);
        assert!(cache.is_valid(cache.at(one), 0x40_5000), "where it was executed is still known");
        assert_eq!((cache.noted(0x40_5000), cache.noted(0x40_8000)), (0, 0));
        assert!(cache.has_code(0x5000) && cache.has_code(0x7000) && !cache.has_code(0x8000));
        assert_eq!(cache.all().len(), 4, "and one that was made after that");
        // A write is still noticed.
        cache.written(0x5010, 1);
        assert_eq!((cache.find(0x5010, 0), cache.find(0x5000, 0)), (None, None));
        cache.renew();
        assert_eq!(cache.find(0x6000, 0), None, "renewing throws everything away");
        fill(&mut cache);
        assert_eq!(cache.all().len(), 1);
    }
}
