//! MXCSR: modes going into an operation, exceptions coming out of it (SDM vol. 1, 10.2.3 and 11.5).

use crate::state::cr4;
use crate::{Cpu, Fault};

/// Exception flags of MXCSR; the masks are 7 bits further up.
pub(super) const INVALID: u32 = 1;
pub(super) const DENORMAL: u32 = 1 << 1;
pub(super) const ZERO_DIVIDE: u32 = 1 << 2;
pub(super) const OVERFLOW: u32 = 1 << 3;
pub(super) const UNDERFLOW: u32 = 1 << 4;
pub(super) const PRECISION: u32 = 1 << 5;

const DENORMALS_ARE_ZEROS: u32 = 1 << 6;
const MASKS: u32 = 7;
const ROUNDING: u32 = 13;
const FLUSH_TO_ZERO: u32 = 1 << 15;
/// Bits of MXCSR that exist.
pub(in crate::simd) const VALID: u32 = 0xFFFF;

/// Rounding control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Nearest,
    Down,
    Up,
    Zero,
}

impl Rounding {
    pub(super) fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// Modes and exceptions of one instruction.
///
/// All lanes of a packed operation are computed with one of these. Exceptions found before the computation (invalid,
/// zero divide, denormal) of any lane come before those found after it (SDM vol. 1, 11.5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    mxcsr: u32,
    pub(super) rounding: Rounding,
    before: u32,
    after: u32,
}

impl Env {
    pub(super) fn new(mxcsr: u32) -> Self {
        Self { mxcsr, rounding: Rounding::from_bits(mxcsr >> ROUNDING), before: 0, after: 0 }
    }

    /// Whether denormal operands count as zeros.
    pub(super) fn denormals_are_zeros(&self) -> bool {
        self.mxcsr & DENORMALS_ARE_ZEROS != 0
    }

    /// Whether tiny results become zeros; not if underflow is unmasked.
    pub(super) fn flushes_to_zero(&self) -> bool {
        self.mxcsr & FLUSH_TO_ZERO != 0 && self.is_masked(UNDERFLOW)
    }

    pub(super) fn is_masked(&self, exception: u32) -> bool {
        self.mxcsr >> MASKS & exception != 0
    }

    /// An exception of the operands.
    pub(super) fn raise_before(&mut self, exceptions: u32) {
        self.before |= exceptions;
    }

    /// An exception of the result.
    pub(super) fn raise_after(&mut self, exceptions: u32) {
        self.after |= exceptions;
    }

    /// Sets the flags. With an exception that is not masked there is no result.
    pub(super) fn commit(self, cpu: &mut Cpu) -> Result<(), Fault> {
        let unmasked = !(self.mxcsr >> MASKS) & 0x3F;
        let all = if self.before & unmasked != 0 { self.before } else { self.before | self.after };
        cpu.mxcsr |= all;
        if all & unmasked == 0 {
            return Ok(());
        }
        Err(if cpu.cr4 & cr4::OSXMMEXCPT != 0 { Fault::XM } else { Fault::UD })
    }
}

/// Whether results of the target's own arithmetic that are neither tiny, huge nor NaN are right: rounding
/// to nearest, and being inexact is no fault.
#[inline(always)]
pub(super) fn is_plain(mxcsr: u32) -> bool {
    mxcsr & (3 << ROUNDING | PRECISION << MASKS) == PRECISION << MASKS
}
