//! Translating what programs execute often that nobody executed when the machine was prepared, while the guest runs.
//!
//! Where a run of the CPU ends in code of a program that is not translated, that is a *sample*. When there are enough, the host is
//! told; it has the pages translated where most of them were, compiles that on another thread, and says when it is there.
//! Each time makes a part of its own. The more parts there are, the more samples it takes: a machine has room for twelve, and
//! what has been hot for minutes is worth more than what was for a moment.

#![allow(unsafe_code, reason = "blocks are reached by offsets into the arena")]

use std::collections::BTreeMap;

use super::{Code, PageKey, page_of};
use crate::Cpu;
use crate::code::{Block, Offset, PROGRAMS, Translated};

/// Samples for the first part. One is about half a millisecond of interpreting.
const FIRST_SAMPLES: u32 = 64;

/// What was sampled, and what is being compiled.
pub(crate) struct Later {
    /// How often each page was met.
    samples: BTreeMap<PageKey, u32>,
    /// How often any was.
    count: u32,
    /// How many are enough.
    enough: u32,
    /// The blocks that are being compiled, with their numbers and where their translations will be.
    blocks: Vec<(Offset, u32, Translated)>,
    /// How often the arena had been full.
    clears: u32,
}

impl Default for Later {
    fn default() -> Self {
        Self { samples: BTreeMap::new(), count: 0, enough: FIRST_SAMPLES, blocks: Vec::new(), clears: 0 }
    }
}

impl Later {
    /// Forgets the samples; the pages with at least `least` of them.
    fn take(&mut self, least: u32) -> Vec<PageKey> {
        self.count = 0;
        let samples = std::mem::take(&mut self.samples).into_iter();
        samples.filter(|(_, count)| *count >= least).map(|(page, _)| page).collect()
    }

    /// The next time takes twice as many samples.
    const fn wait_longer(&mut self) {
        self.enough = self.enough.saturating_mul(2);
    }
}

impl Cpu {
    /// Takes a sample, if the CPU is at code of a program that is not translated.
    pub(crate) fn sample(&mut self) {
        if self.translations == 0 || !Translated::is_for(PROGRAMS, self.mode) {
            return;
        }
        self.code.set_mode(self.mode);
        let block = self.code.at::<Block>(self.code.noted(self.rip));
        // SAFETY: what is noted is a block, or looks like one.
        let block = unsafe { &*block };
        if !self.code.is_valid(block, self.rip) || !self.is_interpreted(block) {
            return;
        }
        let samples = self.later.samples.entry(page_of(block)).or_default();
        *samples = samples.saturating_add(1);
        self.later.count = self.later.count.saturating_add(1);
        self.shared.wants_translation = (self.later.count >= self.later.enough).into();
    }

    /// Translates pages of programs that have at least `least` samples, as part `part`; `function` gets the functions, as in
    /// [`Cpu::translate_code`]. None if there is nothing to translate. With 0, all there is counts.
    pub fn translate_later(&mut self, part: u32, least: u32, function: impl FnMut(&[u8], &[u32])) {
        self.shared.wants_translation = 0;
        let pages = self.later.take(least);
        let mut blocks = if least == 0 { self.code.all() } else { self.blocks_of(&pages) };
        blocks.retain(|offset| {
            // SAFETY: it is a block.
            let block = unsafe { &*self.code.at::<Block>(*offset) };
            self.is_interpreted(block) && Translated::is_for(part, block.mode)
        });
        let pages = self.code_of(part, &blocks);
        self.number(part, &pages);
        if pages.iter().any(|page| !page.functions.is_empty()) {
            self.write_part(part, &pages, function);
        } else {
            self.later.wait_longer();
        }
        self.later.clears = self.code.clears;
        self.later.blocks = self.take_numbers(&pages);
    }

    /// All blocks of some pages of code.
    fn blocks_of(&self, pages: &[PageKey]) -> Vec<Offset> {
        let mut blocks = Vec::new();
        for page in pages {
            let mut all = self.code.blocks_of_page(page.0);
            // SAFETY: they are blocks.
            all.retain(|offset| page_of(unsafe { &*self.code.at::<Block>(*offset) }) == *page);
            blocks.append(&mut all);
        }
        blocks
    }

    /// Takes the places of translations back that are not there yet.
    fn take_numbers(&mut self, pages: &[Code]) -> Vec<(Offset, u32, Translated)> {
        let pieces = pages.iter().flat_map(|page| page.functions.iter().flatten());
        let take = |offset: Offset| {
            // SAFETY: it is a block.
            let block = unsafe { &mut *self.code.at::<Block>(offset) };
            (offset, block.number(), std::mem::replace(&mut block.translated, Translated::NONE))
        };
        pieces.filter(|piece| piece.first == 0).map(|piece| take(piece.block)).collect()
    }

    /// What was translated last, as part `part`, is compiled: blocks that are still there are executed by it from now on.
    pub fn use_later_translation(&mut self, part: u32) {
        self.parts |= 1 << part;
        let blocks = std::mem::take(&mut self.later.blocks);
        if self.later.clears != self.code.clears {
            return;
        }
        for (offset, number, translated) in blocks {
            // SAFETY: it was a block, and the arena has not been used anew since.
            let block = unsafe { &mut *self.code.at::<Block>(offset) };
            if block.physical != u64::MAX && block.number() == number {
                block.translated = translated;
            }
        }
        self.code.keep();
        self.later.take(0);
        self.later.wait_longer();
    }

    /// Whether a block is interpreted, and will be unless it is translated later.
    fn is_interpreted(&self, block: &Block) -> bool {
        block.translated != Translated::COUNTED && !self.has_code(block.translated)
    }

    /// Whether there is machine code for a block.
    pub(crate) const fn has_code(&self, translated: Translated) -> bool {
        self.parts & 1 << translated.part() != 0
    }
}
