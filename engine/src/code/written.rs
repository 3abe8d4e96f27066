//! What becomes of decoded code when RAM is written.

#![allow(unsafe_code, reason = "blocks and lists of them are reached by offsets into the arena")]

use super::{Block, CodeCache, Member, Offset};
use crate::memory::PAGE;

/// Code of a page is forgotten after this many writes beside it: the page is data now.
const WRITES_BESIDE_CODE: u32 = 32;

impl CodeCache {
    /// RAM was written: throws away the code of pages where code was hit. The range lies in one page.
    #[inline]
    pub(crate) fn written(&mut self, physical: u64, bytes: u64) {
        if self.has_code(physical) {
            self.code_page_written(physical, bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn code_page_written(&mut self, physical: u64, bytes: u64) {
        let Some(page) = self.page(physical) else { return };
        let from = physical % PAGE / 64;
        let to = (physical % PAGE + bytes.max(1)).div_ceil(64).min(64);
        let hit = (from..to).any(|granule| page.granules & (1 << granule) != 0);
        page.writes += 1;
        if hit || page.writes > WRITES_BESIDE_CODE {
            self.forget_page(physical);
        }
    }

    /// Throws away all code of a page.
    fn forget_page(&mut self, physical: u64) {
        let Some(page) = self.page(physical) else { return };
        let mut member = std::mem::take(page).members;
        while member != 0 {
            // SAFETY: members and blocks are what `insert` and `join` made.
            let (block, next) = unsafe {
                let member = &*self.at::<Member>(member);
                (member.block, member.next)
            };
            self.forget_block(block);
            member = next;
        }
        self.changed = true;
        self.forget_addresses(true);
    }

    fn forget_block(&mut self, offset: Offset) {
        // SAFETY: buckets and members hold offsets of blocks.
        unsafe {
            let block = &mut *self.at::<Block>(offset);
            if block.physical == u64::MAX {
                return;
            }
            let mut link = self.bucket(block.physical);
            while *link != 0 {
                if *link == offset {
                    *link = block.next;
                    break;
                }
                link = &raw mut (*self.at::<Block>(*link)).next;
            }
            block.physical = u64::MAX;
            (*self.seen_of(block)).key = 0;
        }
    }
}
