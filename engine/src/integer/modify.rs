//! Operands that are read and written.

use iced_x86::{Instruction, OpKind};

use crate::operand::{memory_bytes, sign_extend};
use crate::{Cpu, Fault};

impl Cpu {
    /// Loads what is going to be stored to: all faults are those of a write, and come now.
    ///
    /// # Errors
    /// As `Cpu::store`.
    pub(super) fn load_to_write(&mut self, linear: u64, bytes: u32) -> Result<u64, Fault> {
        match bytes {
            1 => self.load_for_update::<u8>(linear).map(u64::from),
            2 => self.load_for_update::<u16>(linear).map(u64::from),
            4 => self.load_for_update::<u32>(linear).map(u64::from),
            _ => self.load_for_update::<u64>(linear),
        }
    }

    /// Replaces the first operand by what `change` makes of it (zero-extended). By then nothing can fail any more.
    #[inline]
    pub(super) fn modify(
        &mut self,
        insn: &Instruction,
        change: impl FnOnce(&mut Self, u64) -> u64,
    ) -> Result<(), Fault> {
        if insn.op0_kind() == OpKind::Register {
            let register = insn.op0_register();
            let old = self.register(register);
            let new = change(self, old);
            self.set_register(register, new);
            return Ok(());
        }
        let bytes = memory_bytes(insn);
        let (seg, offset) = self.effective_address(insn);
        let linear = self.linear(seg, offset, u64::from(bytes), true)?;
        let old = self.load_to_write(linear, bytes)?;
        let new = change(self, old);
        self.store_sized(linear, new, bytes)
    }

    /// Operand `n`, sign-extended from `bytes` bytes.
    #[inline]
    pub(super) fn signed_operand(&mut self, insn: &Instruction, n: u32, bytes: u32) -> Result<i64, Fault> {
        self.operand(insn, n).map(|value| sign_extend(value, bytes))
    }
}
