//! What all instructions share: whether they may run, their operands, and the pointers they leave.

use iced_x86::{Instruction, Register};

use super::f80::F80;
use super::fpu::Fpu;
use crate::state::cr0;
use crate::{Cpu, Fault, Seg};

/// *i* of an operand `ST(i)`.
#[inline(always)]
pub(super) fn index(register: Register) -> u8 {
    (register as u32).wrapping_sub(Register::ST0 as u32) as u8 & 7
}

impl Cpu {
    /// #NM, and #MF for an exception of an earlier instruction (SDM vol. 1, 8.7).
    #[inline(always)]
    pub(crate) fn x87_ready(&self) -> Result<(), Fault> {
        if self.cr0 & (cr0::EM | cr0::TS) != 0 || self.fpu.pending {
            return self.x87_not_ready();
        }
        Ok(())
    }

    #[cold]
    fn x87_not_ready(&self) -> Result<(), Fault> {
        self.x87_present()?;
        // Without NE it would be an external interrupt, which this machine does not have.
        if self.fpu.pending && self.cr0 & cr0::NE != 0 { Err(Fault::MF) } else { Ok(()) }
    }

    /// #NM of the instructions that do not wait.
    #[inline(always)]
    pub(crate) fn x87_present(&self) -> Result<(), Fault> {
        if self.cr0 & (cr0::EM | cr0::TS) != 0 { Err(Fault::NM) } else { Ok(()) }
    }

    /// Notes where the instruction is; for those without memory operand.
    #[inline(always)]
    pub(super) fn note_instruction(&mut self, insn: &Instruction) {
        self.fpu.pointers.ip = self.rip.wrapping_sub(insn.len() as u64);
        self.fpu.pointers.cs = self.segment(Seg::Cs).selector;
    }

    /// Notes where instruction and operand are.
    #[inline(always)]
    pub(super) fn note_operand(&mut self, insn: &Instruction, seg: Seg, offset: u64) {
        self.note_instruction(insn);
        self.fpu.pointers.dp = offset;
        self.fpu.pointers.ds = self.segment(seg).selector;
    }

    /// If the instruction has raised an exception that is not masked: notes its opcode, too.
    #[inline(always)]
    pub(super) fn note_exception(&mut self) {
        if self.fpu.pending {
            self.note_opcode();
        }
    }

    #[cold]
    fn note_opcode(&mut self) {
        let mut at = self.fpu.pointers.ip;
        let mut next = |cpu: &mut Self| {
            let byte = cpu.read::<u8>(Seg::Cs, at).unwrap_or_default();
            at = at.wrapping_add(1);
            byte
        };
        for _ in 0..15 {
            let byte = next(self);
            if byte & 0xF8 == 0xD8 {
                let modrm = next(self);
                self.fpu.pointers.opcode = u16::from(byte & 7) << 8 | u16::from(modrm);
                return;
            }
        }
    }

    /// The memory operand of an instruction that waits.
    #[inline(always)]
    pub(super) fn load_operand<T: crate::Value>(&mut self, insn: &Instruction) -> Result<T, Fault> {
        self.x87_ready()?;
        let (seg, offset) = self.effective_address(insn);
        let value = self.read(seg, offset)?;
        self.note_operand(insn, seg, offset);
        Ok(value)
    }

    /// Ten bytes of memory.
    pub(super) fn load_ten(&mut self, insn: &Instruction) -> Result<u128, Fault> {
        self.x87_ready()?;
        let (seg, offset) = self.effective_address(insn);
        let low: u64 = self.read(seg, offset)?;
        let high: u16 = self.read(seg, offset.wrapping_add(8))?;
        self.note_operand(insn, seg, offset);
        Ok(u128::from(high) << 64 | u128::from(low))
    }

    /// Stores an operand; without `stores`, because of an exception, it only has to be possible.
    #[inline(always)]
    pub(super) fn store_operand<T: crate::Value>(
        &mut self,
        seg: Seg,
        offset: u64,
        value: T,
        stores: bool,
    ) -> Result<(), Fault> {
        let linear = self.linear(seg, offset, T::BYTES, true)?;
        if stores { self.store(linear, value) } else { self.load_for_update::<T>(linear).map(|_| ()) }
    }

    /// Stores ten bytes, or none.
    pub(super) fn store_ten(
        &mut self,
        seg: Seg,
        offset: u64,
        value: u128,
        stores: bool,
    ) -> Result<(), Fault> {
        let linear = self.linear(seg, offset, 8, true)?;
        self.load_for_update::<u64>(linear)?;
        let high = self.linear(seg, offset.wrapping_add(8), 2, true)?;
        self.load_for_update::<u16>(high)?;
        if !stores {
            return Ok(());
        }
        self.store(linear, value as u64)?;
        self.store(high, (value >> 64) as u16)
    }
}

impl Fpu {
    /// Pushes the masked response to stack overflow if it is masked.
    #[cold]
    pub(super) fn overflow_stack(&mut self) {
        if self.stack_fault(true) {
            self.push(F80::INDEFINITE);
        }
    }
}
