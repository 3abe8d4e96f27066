//! The state of the x87 FPU (SDM vol. 1, 8.1).

use super::env::{Env, INVALID, STACK_FAULT};
use super::f80::F80;

/// Condition codes of the status word.
pub(crate) mod condition {
    pub(crate) const C0: u16 = 1 << 8;
    pub(crate) const C1: u16 = 1 << 9;
    pub(crate) const C2: u16 = 1 << 10;
    pub(crate) const C3: u16 = 1 << 14;
    pub(crate) const ALL: u16 = C0 | C1 | C2 | C3;
}

/// ES and B of the status word.
const SUMMARY: u16 = 0x8080;
/// Exceptions of the status word, without the stack fault.
const EXCEPTIONS: u16 = 0x3F;

/// Instruction and operand of the last instruction that was not a control instruction (SDM vol. 1, 8.1.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointers {
    pub(crate) ip: u64,
    pub(crate) dp: u64,
    pub(crate) cs: u16,
    pub(crate) ds: u16,
    /// 11 bits; kept only for instructions that raise an exception that is not masked, as processors do since the
    /// Pentium 4 (SDM vol. 1, 8.1.9).
    pub(crate) opcode: u16,
}

/// State of the x87 FPU, whose significands are the MMX registers.
#[derive(Clone, Debug)]
pub struct Fpu {
    /// By their own numbers, not relative to the top.
    registers: [F80; 8],
    /// Control word.
    control: u16,
    /// Exception flags and condition codes of the status word.
    status: u16,
    /// Number of the register that is ST(0).
    top: u8,
    /// Bit *n*: register *n* is not empty.
    filled: u8,
    /// An exception that is not masked is waiting for the next instruction.
    pub(crate) pending: bool,
    pub(crate) pointers: Pointers,
}

impl Default for Fpu {
    /// After reset (SDM vol. 3, table 9-1).
    fn default() -> Self {
        Self {
            registers: [F80::zero(false); 8],
            control: 0x40,
            status: 0,
            top: 0,
            filled: 0xFF,
            pending: false,
            pointers: Pointers::default(),
        }
    }
}

impl Fpu {
    /// FNINIT.
    pub(crate) fn initialize(&mut self) {
        let registers = self.registers;
        *self = Self { registers, control: 0x37F, filled: 0, ..Self::default() };
    }

    /// The number of `ST(i)`.
    #[inline(always)]
    fn number(&self, i: u8) -> usize {
        usize::from(self.top.wrapping_add(i) & 7)
    }

    /// A register by its own number, whose low three bits count.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "three bits make no more than eight numbers")]
    fn register(&self, number: usize) -> &F80 {
        &self.registers[number & 7]
    }

    /// As [`Fpu::register`], to be changed.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "three bits make no more than eight numbers")]
    fn register_mut(&mut self, number: usize) -> &mut F80 {
        &mut self.registers[number & 7]
    }

    /// `ST(i)`, whether it is empty or not.
    #[inline(always)]
    pub(crate) fn st(&self, i: u8) -> F80 {
        *self.register(self.number(i))
    }

    /// Whether `ST(i)` is empty.
    #[inline(always)]
    pub(crate) fn is_empty(&self, i: u8) -> bool {
        self.filled >> self.number(i) & 1 == 0
    }

    /// Writes `ST(i)`, which is no longer empty.
    #[inline(always)]
    pub(crate) fn set_st(&mut self, i: u8, value: F80) {
        let number = self.number(i);
        *self.register_mut(number) = value;
        self.filled |= 1 << number;
    }

    /// Makes `ST(i)` empty.
    #[inline(always)]
    pub(crate) fn free(&mut self, i: u8) {
        self.filled &= !(1 << self.number(i));
    }

    /// Pops.
    #[inline(always)]
    pub(crate) fn pop(&mut self) {
        self.free(0);
        self.turn(1);
    }

    /// Adds to the number of the top register.
    #[inline(always)]
    pub(crate) fn turn(&mut self, by: u8) {
        self.top = self.top.wrapping_add(by) & 7;
    }

    /// Pushes onto a register that is empty.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: F80) {
        self.turn(7);
        self.set_st(0, value);
    }

    /// Control word.
    #[inline(always)]
    pub(crate) fn control(&self) -> u16 {
        self.control
    }

    /// Sets the control word; bit 6 is always set, the reserved ones never.
    pub(crate) fn set_control(&mut self, control: u16) {
        self.control = control & 0x1F3F | 0x40;
        self.summarize();
    }

    /// Status word.
    pub(crate) fn status(&self) -> u16 {
        self.status | u16::from(self.top) << 11 | if self.pending { SUMMARY } else { 0 }
    }

    /// Sets the status word; its summary follows from exceptions and masks.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status & (EXCEPTIONS | STACK_FAULT | condition::ALL);
        self.top = (status >> 11) as u8 & 7;
        self.summarize();
    }

    /// FNCLEX.
    pub(crate) fn clear_exceptions(&mut self) {
        self.status &= condition::ALL;
        self.pending = false;
    }

    fn summarize(&mut self) {
        self.pending = self.status & !self.control & EXCEPTIONS != 0;
    }

    /// Sets the condition codes that are in `mask`.
    #[inline(always)]
    pub(crate) fn set_conditions(&mut self, mask: u16, conditions: u16) {
        self.status = self.status & !mask | conditions & mask;
    }

    /// Notes the exceptions of an operation, and in C1 how it was rounded. Whether it is to be completed.
    #[inline(always)]
    pub(crate) fn commit(&mut self, env: &Env) -> bool {
        self.status &= !condition::C1;
        if env.before | env.after == 0 {
            return true;
        }
        let prevented = env.is_prevented();
        self.status |= env.before;
        if !prevented {
            self.status |= env.after | u16::from(env.rounded_up) << 9;
        }
        self.summarize();
        !prevented
    }

    /// Stack underflow, or `overflow`. Whether the masked response is to follow.
    #[cold]
    pub(crate) fn stack_fault(&mut self, overflow: bool) -> bool {
        self.set_conditions(condition::C1, if overflow { condition::C1 } else { 0 });
        self.status |= INVALID | STACK_FAULT;
        self.summarize();
        self.control & INVALID != 0
    }

    /// Whether exceptions of this kind are masked.
    pub(crate) fn is_masked(&self, exceptions: u16) -> bool {
        !self.control & exceptions == 0
    }

    /// The registers that are not empty, by their own numbers, as FXSAVE stores them.
    pub(crate) fn abridged_tags(&self) -> u8 {
        self.filled
    }

    /// Sets what [`Fpu::abridged_tags`] gives.
    pub(crate) fn set_abridged_tags(&mut self, tags: u8) {
        self.filled = tags;
    }

    /// The tag word: valid, zero, special or empty for each register (SDM vol. 1, 8.1.7).
    pub(crate) fn tag_word(&self) -> u16 {
        let tag = |n: usize| {
            let register = self.register(n);
            match self.filled >> n & 1 {
                0 => 3,
                _ if register.is_normal() => 0,
                _ if register.magnitude() == F80::zero(false) => 1,
                _ => 2,
            }
        };
        (0..8).fold(0, |word, n| word | tag(n) << (n << 1))
    }

    /// Sets the tag word; only empty or not is kept.
    pub(crate) fn set_tag_word(&mut self, word: u16) {
        self.filled = (0..8).fold(0, |filled, n| filled | u8::from(word >> (n << 1) & 3 != 3) << n);
    }

    /// Sets `ST(i)` without making it valid.
    pub(crate) fn load_st(&mut self, i: u8, value: F80) {
        *self.register_mut(self.number(i)) = value;
    }

    /// What every MMX instruction but EMMS does: TOP = 0, all tags valid (SDM vol. 1, 9.6.2).
    #[inline]
    pub fn enter_mmx(&mut self) {
        self.top = 0;
        self.filled = 0xFF;
    }

    /// EMMS: all registers are empty. TOP becomes 0 as with every MMX instruction.
    #[inline]
    pub fn leave_mmx(&mut self) {
        self.top = 0;
        self.filled = 0;
    }

    /// An MMX register: the significand of the register of the same number.
    #[inline]
    pub fn mmx(&self, number: usize) -> u64 {
        self.register(number).significand
    }

    /// Writes an MMX register; sign and exponent become ones (SDM vol. 1, 9.6.2).
    #[inline]
    pub fn set_mmx(&mut self, number: usize, value: u64) {
        *self.register_mut(number) = F80 { significand: value, sign_exponent: 0xFFFF };
    }
}
