//! MMX registers, which are the significands of the x87 registers (SDM vol. 1, 9.6).

use std::cell::Cell;

use iced_x86::{Instruction, OpKind, Register};

use crate::state::cr0;
use crate::{Cpu, Fault};

thread_local! {
    static REGISTERS: Cell<[u64; 8]> = const { Cell::new([0; 8]) };
}

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
    if cpu.cr0 & cr0::TS != 0 {
        return Err(Fault::NM);
    }
    Ok(())
}

/// What every MMX instruction does to the x87 state: TOP = 0, all tags valid.
pub(super) fn enter(_cpu: &mut Cpu) {}

/// EMMS: all tags empty.
pub(super) fn leave(_cpu: &mut Cpu) {}

/// An MMX register.
#[inline]
pub(super) fn get(_cpu: &Cpu, number: usize) -> u64 {
    REGISTERS.get()[number & 7]
}

/// Writes an MMX register; its exponent and sign become all ones.
#[inline]
pub(super) fn set(_cpu: &mut Cpu, number: usize, value: u64) {
    let mut registers = REGISTERS.get();
    registers[number & 7] = value;
    REGISTERS.set(registers);
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
