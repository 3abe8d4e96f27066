//! MMX registers, which are the significands of the x87 registers (SDM vol. 1, 9.6).

use iced_x86::{Instruction, OpKind, Register};

use crate::state::cr0;
use crate::{Cpu, Fault};

/// Number of an MMX register.
#[inline(always)]
pub(super) fn number(register: Register) -> usize {
    (register as usize).wrapping_sub(Register::MM0 as usize) & 7
}

/// #UD, #NM and #MF of every MMX instruction.
#[inline]
pub(super) fn ready(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cr0 & cr0::EM != 0 {
        return Err(Fault::UD);
    }
    cpu.x87_ready()
}

/// What every MMX instruction does to the x87 state: TOP = 0, all tags valid.
#[inline]
pub(super) fn enter(cpu: &mut Cpu) {
    cpu.fpu.enter_mmx();
}

/// EMMS: all tags empty.
pub(super) fn leave(cpu: &mut Cpu) {
    cpu.fpu.leave_mmx();
}

/// An MMX register.
#[inline]
pub(super) fn get(cpu: &Cpu, number: usize) -> u64 {
    cpu.fpu.mmx(number)
}

/// Writes an MMX register; its exponent and sign become all ones.
#[inline]
pub(super) fn set(cpu: &mut Cpu, number: usize, value: u64) {
    cpu.fpu.set_mmx(number, value);
}

/// Operand 1: an MMX register or 8 bytes of memory.
#[inline]
pub(super) fn source(cpu: &mut Cpu, insn: &Instruction) -> Result<u64, Fault> {
    if insn.op1_kind() == OpKind::Register {
        return Ok(get(cpu, number(insn.op1_register())));
    }
    cpu.operand(insn, 1)
}

/// An instruction's whole effect on the x87 state: the result goes to operand 0.
#[inline]
pub(super) fn finish(cpu: &mut Cpu, insn: &Instruction, value: u64) {
    enter(cpu);
    set(cpu, number(insn.op0_register()), value);
}
