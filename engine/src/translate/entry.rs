//! From the interpreter into translated code, and what that asks of the interpreter.

#![allow(
    unsafe_code,
    reason = "blocks and micro-operations are reached by pointers, translated code by the function table"
)]

use crate::Cpu;
use crate::code::{Block, Uop};
#[cfg(target_arch = "wasm32")]
use crate::code::{Op, Translated};
use crate::interpret::Exit;

#[cfg(target_arch = "wasm32")]
impl Cpu {
    /// Executes the translation of the current block, which has just begun, and what follows; the micro-operation with which
    /// to go on.
    #[inline(always)]
    pub(crate) unsafe fn call_translation(&mut self) -> Result<*const Uop, Exit> {
        // SAFETY: there is a current block. The host has put a function of this type where `translations` says.
        let next = unsafe {
            let translated = (*self.current).translated;
            if translated == Translated::COUNTED {
                self.code.count(&*self.current);
                return Ok(Block::first(self.current));
            }
            if !self.has_code(translated) || !self.may_be_translated(translated.part()) {
                return Ok(Block::first(self.current));
            }
            self.budget += i64::from((*self.current).instructions);
            let place = self.translations.wrapping_add(translated.part()) as usize;
            let function: extern "C" fn(u32) -> u32 = std::mem::transmute(place);
            function(translated.0)
        };
        Exit::place_or_exit(next)
    }

    /// Whether code of a part does what the interpreter would do: it looks into the TLB of one mode only, and does not
    /// look whether alignment or breakpoints are to be checked.
    #[inline(always)]
    fn may_be_translated(&self, part: u32) -> bool {
        Translated::is_for(part, self.mode) && !self.memory.is_checked()
    }

    /// For translated code: executes the general instruction of `uop` in `block`, whose registers, flags and budget are stored.
    /// [`Exit::NONE`] if what follows may be executed.
    pub(crate) fn execute_general(&mut self, uop: *const Uop, block: *const Block) -> Exit {
        // SAFETY: translated code passes places that it was made with.
        unsafe {
            self.current = block;
            if let Err(fault) = self.call_handler(uop) {
                self.fault = fault;
                return Exit::FAILED;
            }
            let ends = (*uop).op == Op::GeneralEnd;
            if self.code.changed && !ends {
                Exit::CHANGED
            } else if self.may_be_translated((*block).translated.part()) {
                Exit::NONE
            } else if ends {
                Exit::CHECK
            } else {
                // The interpreter goes on in the block.
                Exit::going_on(uop.add(1))
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Cpu {
    /// There are none natively, but blocks are counted.
    pub(crate) unsafe fn call_translation(&mut self) -> Result<*const Uop, Exit> {
        // SAFETY: there is a current block.
        unsafe {
            self.code.count(&*self.current);
            Ok(Block::first(self.current))
        }
    }
}
