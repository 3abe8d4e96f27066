//! Modes going into an operation, exceptions coming out of it (SDM vol. 1, 8.1.5 and 8.4).

use super::f80::{Class, F80};

/// Exception flags of the status word, and masks of the control word.
pub(crate) const INVALID: u16 = 1;
pub(crate) const DENORMAL: u16 = 1 << 1;
pub(crate) const ZERO_DIVIDE: u16 = 1 << 2;
pub(crate) const OVERFLOW: u16 = 1 << 3;
pub(crate) const UNDERFLOW: u16 = 1 << 4;
pub(crate) const PRECISION: u16 = 1 << 5;
/// Stack fault; comes with [`INVALID`].
pub(crate) const STACK_FAULT: u16 = 1 << 6;

/// Rounding control (SDM vol. 1, 8.1.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Nearest,
    Down,
    Up,
    Zero,
}

impl Rounding {
    /// Whether a magnitude is to be increased; `rest` is what is cut off, in units of 2^-64 of the last place, and
    /// not 0.
    #[inline(always)]
    pub(crate) fn rounds_up(self, negative: bool, rest: u64, odd: bool) -> bool {
        match self {
            Self::Nearest => rest > 1 << 63 || (rest == 1 << 63 && odd),
            Self::Down => negative,
            Self::Up => !negative,
            Self::Zero => false,
        }
    }
}

/// Modes and exceptions of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    /// Rounding control.
    pub(crate) rounding: Rounding,
    /// Bits of results: 24, 53 or 64.
    pub(crate) precision: u32,
    /// Exceptions that are masked.
    masks: u16,
    /// Exceptions of the operands: if one of them is not masked, nothing happens.
    pub(crate) before: u16,
    /// Exceptions of the result.
    pub(crate) after: u16,
    /// Whether the result was rounded away from zero; goes to C1.
    pub(crate) rounded_up: bool,
}

impl Env {
    /// For operations that round as precision control says: the basic four and the square root.
    #[inline(always)]
    pub(crate) fn new(control: u16) -> Self {
        let precision = match control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Self { precision, ..Self::extended(control) }
    }

    /// For operations that always have 64 bits.
    #[inline(always)]
    pub(crate) fn extended(control: u16) -> Self {
        let rounding = match control >> 10 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        };
        Self { rounding, precision: 64, masks: control, before: 0, after: 0, rounded_up: false }
    }

    /// Whether an exception is masked.
    #[inline(always)]
    pub(crate) fn is_masked(&self, exception: u16) -> bool {
        self.masks & exception != 0
    }

    /// An invalid operation, and what comes of it.
    #[cold]
    pub(crate) fn invalid(&mut self) -> F80 {
        self.before |= INVALID;
        F80::INDEFINITE
    }

    /// Notes a denormal operand.
    #[inline(always)]
    pub(crate) fn note(&mut self, class: Class) {
        if class == Class::Denormal {
            self.before |= DENORMAL;
        }
    }

    /// Whether an exception of the operands prevents the operation.
    #[inline(always)]
    pub(crate) fn is_prevented(&self) -> bool {
        self.before & !self.masks & 0x3F != 0
    }

    /// The result if the operand is a NaN or no number.
    pub(crate) fn nan_of_one(&mut self, a: F80) -> Option<F80> {
        match a.class() {
            Class::Unsupported => Some(self.invalid()),
            Class::SignallingNan => {
                self.before |= INVALID;
                Some(a.quieted())
            }
            Class::QuietNan => Some(a),
            _ => None,
        }
    }

    /// The result if an operand is a NaN or no number (SDM vol. 1, table 4-7).
    pub(crate) fn nan_of_two(&mut self, a: F80, b: F80) -> Option<F80> {
        let (class_a, class_b) = (a.class(), b.class());
        if class_a == Class::Unsupported || class_b == Class::Unsupported {
            return Some(self.invalid());
        }
        let is_nan = |class| matches!(class, Class::QuietNan | Class::SignallingNan);
        if class_a == Class::SignallingNan || class_b == Class::SignallingNan {
            self.before |= INVALID;
        }
        let chosen = match (is_nan(class_a), is_nan(class_b)) {
            (false, false) => return None,
            (true, false) => a,
            (false, true) => b,
            (true, true) if class_a != class_b => {
                if class_a == Class::QuietNan { a } else { b }
            }
            (true, true) => match a.significand.cmp(&b.significand) {
                std::cmp::Ordering::Greater => a,
                std::cmp::Ordering::Less => b,
                std::cmp::Ordering::Equal if a.is_negative() => b,
                std::cmp::Ordering::Equal => a,
            },
        };
        Some(chosen.quieted())
    }
}
