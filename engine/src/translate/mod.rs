//! The translator: from blocks of micro-operations to WebAssembly, ahead of time.
//!
//! What a prepared snapshot has decoded is translated as a whole, one function for each page of code, in two modules: the
//! *parts*, the kernel's and the programs'. Between blocks of a page code goes by branches of WebAssembly; to another page by a
//! tail call, if the page is still what it was when both blocks met; everywhere else by [`dispatch`]. Translated code does
//! what the interpreter does, block by block and with the same count of instructions, and leaves all that is rare to it: it
//! returns the micro-operation with which the interpreter goes on. So it can be thrown away, or be absent, at any time.

#[allow(
    clippy::indexing_slicing,
    reason = "numbers of operations are cut to the length of their family before they are used as an index"
)]
mod uops;

mod body;
mod dispatch;
mod flags;
mod helpers;
mod page;
mod places;

use crate::Cpu;
use crate::code::{Block, Offset, Op, Translated};
use crate::memory::PAGE;
use crate::state::Mode;
use places::Places;

/// The kernel's code.
const KERNEL: u32 = 1;
/// The code of programs.
const PROGRAMS: u32 = 2;
/// How many parts there are.
pub(crate) const PARTS: u32 = 2;

impl Cpu {
    /// Translates all code that is decoded now. `function` gets the bodies of one part's functions, in their order, before
    /// those of the next: see `helpers`.
    #[allow(unsafe_code)]
    pub fn translate_code(&mut self, mut function: impl FnMut(u32, &[u8])) {
        let parts = [KERNEL, PROGRAMS].map(|part| (part, self.pages_of(part)));
        for (part, pages) in &parts {
            for (number, blocks) in pages.iter().enumerate() {
                for (entry, block) in blocks.iter().enumerate() {
                    // SAFETY: it is a block.
                    let block = unsafe { &mut *self.code.at::<Block>(*block) };
                    block.translated = Translated::new(*part, number as u32, entry as u32);
                }
            }
        }
        let places = Places::new(self);
        for (part, pages) in parts {
            function(part, &dispatch::dispatch(places, part, Block::call() as usize as u32));
            function(part, &dispatch::back(places));
            function(part, &dispatch::enter());
            for blocks in pages {
                function(part, &page::page(self, places, part, &blocks));
            }
        }
    }

    /// The blocks of a part, page by page: pages in the order in which they were first executed, blocks by their address.
    #[allow(unsafe_code)]
    fn pages_of(&self, part: u32) -> Vec<Vec<Offset>> {
        // SAFETY: they are blocks.
        let at = |block: Offset| unsafe { &*self.code.at::<Block>(block) };
        let mut pages: Vec<Vec<Offset>> = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        for offset in self.code.all() {
            let block = at(offset);
            let is_user = block.mode.0 & Mode::USER != 0;
            if is_user != (part == PROGRAMS) || !is_worth_it(block) {
                continue;
            }
            let next = pages.len();
            let number = *known.entry((block.physical / PAGE, block.mode.0 & Mode::ALWAYS)).or_insert(next);
            if number == next {
                pages.push(Vec::new());
            }
            if let Some(page) = pages.get_mut(number) {
                page.push(offset);
            }
        }
        pages.truncate(Translated::FUNCTIONS as usize);
        for blocks in &mut pages {
            blocks.sort_unstable_by_key(|block| at(*block).physical);
            blocks.truncate(Translated::ENTRIES as usize);
        }
        pages
    }
}

/// Whether a block consists of more than instructions that have to be executed by their handlers.
#[allow(unsafe_code)]
fn is_worth_it(block: &Block) -> bool {
    // SAFETY: micro-operations follow it.
    let first = unsafe { &*Block::first(block) };
    !matches!(first.op, Op::GeneralEnd | Op::End | Op::Links)
}
