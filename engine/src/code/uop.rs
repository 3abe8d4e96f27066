//! Micro-operations.

use iced_x86::Instruction;

use crate::Handler;

/// What a micro-operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Op {
    /// A [`General`] instruction; `a` is its length, `imm` the offset of the record.
    General,
    /// A general instruction that ends its block.
    GeneralEnd,
    /// The block ends here without a branch; the next instruction is at `offset`.
    End,
}

/// A micro-operation: an instruction, or two that belong together, with its operands ready.
/// Registers are byte offsets into `Cpu::regs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Uop {
    pub(crate) op: Op,
    /// Offset of the instruction in its page, 0 to 4095 (4096 and above: in the next page).
    pub(crate) offset: u16,
    /// First register, or a condition.
    pub(crate) a: u8,
    /// Second register.
    pub(crate) b: u8,
    /// Base register of an address.
    pub(crate) base: u8,
    /// Index register of an address.
    pub(crate) index: u8,
    /// Shift of the index, 0 to 3.
    pub(crate) scale: u8,
    /// Segment (`Seg`) of an address.
    pub(crate) seg: u8,
    /// Instructions of the block before this one.
    pub(crate) ordinal: u8,
    /// Free.
    pub(crate) c: u8,
    /// Displacement of an address; the target of a branch, relative to the start of the page.
    pub(crate) disp: i32,
    /// Immediate operand, or links to other blocks.
    pub(crate) imm: i64,
}

/// The record of a general instruction. Its `ip` is its offset in its page.
#[repr(C)]
pub(crate) struct General {
    pub(crate) handler: Handler,
    pub(crate) insn: Instruction,
}
