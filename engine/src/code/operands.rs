//! Operands of instructions as micro-operations have them.

use iced_x86::{Instruction, MemorySize, OpKind, Register};

use super::Uop;
use super::lower::Lowering;
use crate::Mode;
use crate::operand::{address_bits, full_register, register_offset};
use crate::state::{FS_BASE, GS_BASE, PAGE_REGISTER};

/// What stands in the operands of a two-operand instruction, in the order of the list of operations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    RegisterRegister,
    RegisterImmediate,
    RegisterMemory,
    MemoryRegister,
    MemoryImmediate,
}

impl Form {
    /// All of them, in this order.
    pub(crate) const ALL: [Self; 5] = [
        Self::RegisterRegister,
        Self::RegisterImmediate,
        Self::RegisterMemory,
        Self::MemoryRegister,
        Self::MemoryImmediate,
    ];
}

impl Lowering {
    /// The operands of a two-operand instruction, and the index of their size (0 for 1 byte, 3 for 8).
    pub(super) fn operands(&mut self, insn: &Instruction, uop: &mut Uop) -> Option<(Form, u16)> {
        let first_is_memory = insn.op0_kind() == OpKind::Memory;
        let bytes = if first_is_memory {
            insn.memory_size().size()
        } else if insn.op0_kind() == OpKind::Register {
            insn.op0_register().size()
        } else {
            return None;
        };
        let form = if first_is_memory {
            self.address(insn, uop, true)?;
            match insn.op1_kind() {
                OpKind::Register => {
                    uop.a = register_offset(insn.op1_register())?;
                    Form::MemoryRegister
                }
                _ => {
                    uop.imm = sign_extended(insn.immediate(1), bytes) as i32;
                    Form::MemoryImmediate
                }
            }
        } else {
            uop.a = register_offset(insn.op0_register())?;
            match insn.op1_kind() {
                OpKind::Register => {
                    uop.b = register_offset(insn.op1_register())?;
                    Form::RegisterRegister
                }
                OpKind::Memory => {
                    self.address(insn, uop, false)?;
                    Form::RegisterMemory
                }
                _ => {
                    uop.set_wide_immediate(sign_extended(insn.immediate(1), bytes));
                    Form::RegisterImmediate
                }
            }
        };
        Some((form, size_index(bytes)?))
    }

    /// The memory operand, if micro-operations can form its address.
    pub(super) fn address(&mut self, insn: &Instruction, uop: &mut Uop, write: bool) -> Option<()> {
        if insn.is_ip_rel_memory_operand() {
            if insn.memory_base() != Register::RIP {
                return None;
            }
            // The instruction's own address is its offset in the page.
            uop.base = (PAGE_REGISTER * 8) as u8;
            uop.disp = i32::try_from(insn.memory_displacement64() as i64).ok()?;
        } else {
            if address_bits(insn) != self.mode.bits() {
                return None;
            }
            let displacement = insn.memory_displacement64();
            uop.disp = if self.mode.is_long() {
                i32::try_from(displacement as i64).ok()?
            } else {
                displacement as u32 as i32
            };
            uop.base = (full_register(insn.memory_base()) * 8) as u8;
            let scale = insn.memory_index_scale().trailing_zeros() as u8 & Uop::SCALE;
            uop.index = (full_register(insn.memory_index()) * 8) as u8 | scale;
        }
        if insn.memory_size() == MemorySize::Unknown {
            // LEA: no segment.
            return Some(());
        }
        let (place, bit) = match insn.memory_segment() {
            Register::FS => (FS_BASE, Mode::FS_FLAT),
            Register::GS => (GS_BASE, Mode::GS_FLAT),
            Register::CS if write && !self.mode.is_long() => return None,
            _ => return Some(()),
        };
        if self.mode.0 & bit == 0 || insn.memory_index() != Register::None {
            return None;
        }
        if insn.is_ip_rel_memory_operand() {
            return None;
        }
        if !self.mode.is_long() {
            self.mode_mask |= bit;
        }
        uop.index = (place * 8) as u8;
        Some(())
    }
}

/// 0, 1, 2, 3 for 1, 2, 4, 8 bytes.
pub(super) fn size_index(bytes: usize) -> Option<u16> {
    match bytes {
        1 => Some(0),
        2 => Some(1),
        4 => Some(2),
        8 => Some(3),
        _ => None,
    }
}

/// Bytes of a push in 32-bit and 64-bit code.
pub(super) fn stack_bytes(wide: bool) -> usize {
    if wide { 8 } else { 4 }
}

fn sign_extended(value: u64, bytes: usize) -> i64 {
    crate::operand::sign_extend(value, bytes as u32)
}
