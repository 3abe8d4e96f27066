//! Operands of SSE instructions, and whether there may be any.

use iced_x86::{Instruction, OpKind, Register};

use super::lanes::V;
use crate::state::{cr0, cr4};
use crate::{Cpu, Fault, Seg};

/// Bits of CR0 each of which turns SSE off, and the bit of CR4 that turns it on.
pub(crate) const CR0_OFF: u64 = cr0::EM | cr0::TS;
/// See [`CR0_OFF`].
pub(crate) const CR4_ON: u64 = cr4::OSFXSR;

/// Number of an XMM register.
#[inline(always)]
pub(super) fn xmm_number(register: Register) -> usize {
    (register as usize).wrapping_sub(Register::XMM0 as usize) & 15
}

/// Number of the XMM register that is operand 0.
#[inline(always)]
pub(super) fn destination(insn: &Instruction) -> usize {
    xmm_number(insn.op0_register())
}

impl Cpu {
    /// #UD and #NM of every SSE instruction (SDM vol. 3, 13.1).
    #[inline(always)]
    pub(crate) fn sse_ready(&self) -> Result<(), Fault> {
        if self.cr0 & CR0_OFF | !self.cr4 & CR4_ON != 0 {
            return self.sse_missing();
        }
        Ok(())
    }

    #[cold]
    fn sse_missing(&self) -> Result<(), Fault> {
        let off = self.cr0 & cr0::EM != 0 || self.cr4 & cr4::OSFXSR == 0;
        Err(if off { Fault::UD } else { Fault::NM })
    }

    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "four bits make no more than sixteen numbers")]
    pub(crate) fn get_xmm(&self, number: usize) -> V {
        V::new(self.xmm[number & 15])
    }

    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "four bits make no more than sixteen numbers")]
    pub(crate) fn set_xmm(&mut self, number: usize, value: V) {
        self.xmm[number & 15] = value.bits();
    }

    /// Operand 1 of 16 bytes; in memory it has to be aligned.
    #[inline(always)]
    pub(super) fn source(&mut self, insn: &Instruction) -> Result<V, Fault> {
        if insn.op1_kind() == OpKind::Register {
            return Ok(self.get_xmm(xmm_number(insn.op1_register())));
        }
        self.memory_aligned(insn)
    }

    /// Operand 1 of 16 bytes, anywhere.
    #[inline(always)]
    pub(super) fn source_unaligned(&mut self, insn: &Instruction) -> Result<V, Fault> {
        if insn.op1_kind() == OpKind::Register {
            return Ok(self.get_xmm(xmm_number(insn.op1_register())));
        }
        let (seg, offset) = self.effective_address(insn);
        self.read(seg, offset)
    }

    /// Operand 1: the lower half of an XMM register, or 8 bytes of memory.
    #[inline(always)]
    pub(super) fn source64(&mut self, insn: &Instruction) -> Result<u64, Fault> {
        if insn.op1_kind() == OpKind::Register {
            return Ok(self.get_xmm(xmm_number(insn.op1_register())).low());
        }
        let (seg, offset) = self.effective_address(insn);
        self.read(seg, offset)
    }

    /// Operand 1: the lowest quarter of an XMM register, or 4 bytes of memory.
    #[inline(always)]
    pub(super) fn source32(&mut self, insn: &Instruction) -> Result<u32, Fault> {
        if insn.op1_kind() == OpKind::Register {
            return Ok(self.get_xmm(xmm_number(insn.op1_register())).low32());
        }
        let (seg, offset) = self.effective_address(insn);
        self.read(seg, offset)
    }

    /// The memory operand, which has to be aligned to 16 bytes: #GP(0) (SDM vol. 1, 10.4.1.1).
    #[inline(never)]
    pub(super) fn memory_aligned(&mut self, insn: &Instruction) -> Result<V, Fault> {
        let (seg, offset) = self.effective_address(insn);
        self.check_sixteen(seg, offset)?;
        self.read(seg, offset)
    }

    /// Writes the memory operand, which has to be aligned to 16 bytes.
    #[inline(never)]
    pub(super) fn store_aligned(&mut self, insn: &Instruction, value: V) -> Result<(), Fault> {
        let (seg, offset) = self.effective_address(insn);
        self.check_sixteen(seg, offset)?;
        self.write(seg, offset, value)
    }

    /// Alignment comes before everything else that may be wrong with an address.
    fn check_sixteen(&self, seg: Seg, offset: u64) -> Result<(), Fault> {
        let has_base = !self.mode.is_long() || matches!(seg, Seg::Fs | Seg::Gs);
        let base = if has_base { self.segment(seg).base } else { 0 };
        if base.wrapping_add(offset) & 15 != 0 { Err(Fault::GP0) } else { Ok(()) }
    }
}
