//! The translator: from blocks of micro-operations to WebAssembly, ahead of time.
//!
//! What a prepared snapshot has executed often is translated, one function for the blocks of a page that lead to each other, in two
//! modules: the *parts*, the kernel's and the programs'. Between blocks of a function code goes by branches of WebAssembly; to another
//! page by a tail call, if that is still what it was when both blocks met; everywhere else by [`dispatch`]. Translated code does
//! what the interpreter does, block by block and with the same count of instructions, and leaves all that is rare to it: it
//! returns the micro-operation with which the interpreter goes on. So it can be thrown away, or be absent, at any time.

#[allow(
    clippy::indexing_slicing,
    reason = "numbers of operations are cut to the length of their family before they are used as an index"
)]
mod uops;

mod body;
mod dispatch;
mod entry;
mod find;
mod flags;
mod helpers;
mod later;
mod linear;
mod page;
mod places;
mod regions;

use crate::Cpu;
use crate::code::{Block, KERNEL, Offset, Op, PROGRAMS, Translated};
use crate::memory::PAGE;
use crate::state::Mode;
pub(crate) use later::Later;
use page::Piece;
use places::Places;

/// A page of code in one mode: its number in RAM, and what of the mode makes other code of the same bytes.
type PageKey = (u64, u8);

/// The page of a block.
fn page_of(block: &Block) -> PageKey {
    (block.physical / PAGE, block.mode.0 & Mode::ALWAYS)
}

/// The code of one page, in one mode.
struct Code {
    /// All blocks, sorted by their address.
    blocks: Vec<Offset>,
    /// What each function for it has.
    functions: Vec<Vec<Piece>>,
}

impl Cpu {
    /// Translates the blocks that were executed at least `least` times since [`Cpu::renew_code`]. `function` gets the bodies of one
    /// part's functions, in their order, before those of the next (see `helpers`), and where in them are branches that are
    /// hardly ever taken.
    pub fn translate_code(&mut self, least: u32, mut function: impl FnMut(u32, &[u8], &[u32])) {
        let all = self.code.all();
        let chosen: Vec<Offset> =
            all.iter().copied().filter(|block| self.executions(*block) >= least).collect();
        self.code.end_counting(&all);
        self.later = Later::default();
        let parts = [KERNEL, PROGRAMS].map(|part| (part, self.code_of(part, &chosen)));
        for (part, pages) in &parts {
            self.number(*part, pages);
        }
        self.code.keep();
        for (part, pages) in parts {
            self.write_part(part, &pages, |body, unlikely| function(part, body, unlikely));
        }
    }

    /// The functions of a part whose blocks are numbered.
    fn write_part(&self, part: u32, pages: &[Code], mut function: impl FnMut(&[u8], &[u32])) {
        let places = Places::new(self);
        let mut function = |(body, unlikely): (Vec<u8>, Vec<u32>)| function(&body, &unlikely);
        let functions = pages.iter().map(|page| page.functions.len() as u32).sum();
        function(dispatch::dispatch(places, part, functions));
        let entries = self.memory.entries_of(part != KERNEL) as usize as u32;
        let (call, ram) = (Block::call() as usize as u32, self.memory.ram() as usize as u32);
        function(find::find(places, part, find::Finding { call, entries, ram }));
        function(dispatch::enter(functions));
        function(dispatch::then(places));
        for Code { blocks, functions } in pages {
            for pieces in functions {
                function(page::page(self, places, part, blocks, pieces));
            }
        }
    }

    /// How often a block was executed.
    #[allow(unsafe_code)]
    fn executions(&self, block: Offset) -> u32 {
        // SAFETY: it is a block.
        self.code.count_of(unsafe { &*self.code.at::<Block>(block) })
    }

    /// Tells blocks where their translation will be.
    #[allow(unsafe_code)]
    fn number(&mut self, part: u32, pages: &[Code]) {
        for (number, pieces) in pages.iter().flat_map(|page| &page.functions).enumerate() {
            for (entry, piece) in pieces.iter().enumerate() {
                if piece.first == 0 {
                    // SAFETY: it is a block.
                    let block = unsafe { &mut *self.code.at::<Block>(piece.block) };
                    block.translated = Translated::new(part, number as u32, entry as u32);
                }
            }
        }
    }

    /// The code of a part, page by page, in the order in which pages were first executed.
    #[allow(unsafe_code)]
    fn code_of(&self, part: u32, chosen: &[Offset]) -> Vec<Code> {
        // SAFETY: they are blocks.
        let at = |block: Offset| unsafe { &*self.code.at::<Block>(block) };
        let mut pages: Vec<Code> = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        for &offset in chosen {
            let block = at(offset);
            if !Translated::is_for(part, block.mode) || !is_worth_it(block) {
                continue;
            }
            let next = pages.len();
            let number = *known.entry(page_of(block)).or_insert(next);
            if number == next {
                pages.push(Code { blocks: Vec::new(), functions: Vec::new() });
            }
            if let Some(page) = pages.get_mut(number) {
                page.blocks.push(offset);
            }
        }
        let mut room = Translated::FUNCTIONS as usize;
        for Code { blocks, functions } in &mut pages {
            blocks.sort_unstable_by_key(|block| at(*block).physical);
            *functions = regions::regions(&self.code, blocks);
            // Code beyond these limits stays untranslated.
            functions.retain(|pieces| pieces.len() <= Translated::ENTRIES as usize);
            functions.truncate(room);
            room = room.saturating_sub(functions.len());
        }
        pages
    }
}

/// Whether a block consists of more than instructions that have to be executed by their handlers.
#[allow(unsafe_code)]
fn is_worth_it(block: &Block) -> bool {
    // SAFETY: micro-operations follow it.
    let first = unsafe { &*Block::first(block) };
    let is_flat = block.mode.0 & Mode::FLAT != 0 && block.mode.bits() != 16;
    is_flat && !matches!(first.op, Op::GeneralEnd | Op::End | Op::Links)
}
