//! The two binary formats, and values taken apart.

use super::env::{DENORMAL, Env, INVALID};

/// A format: its bits are kept in the low end of a `u64`.
pub(crate) trait Format: Copy {
    /// Bits of the fraction.
    const FRACTION: u32;
    /// Bits of the whole.
    const BITS: u32;

    const SIGN: u64 = 1 << (Self::BITS - 1);
    const MAX_EXPONENT: u64 = (1 << (Self::BITS - 1 - Self::FRACTION)) - 1;
    const BIAS: i32 = (Self::MAX_EXPONENT >> 1) as i32;
    const FRACTION_MASK: u64 = (1 << Self::FRACTION) - 1;
    const INFINITY: u64 = Self::MAX_EXPONENT << Self::FRACTION;
    const QUIET: u64 = 1 << (Self::FRACTION - 1);
    /// The default NaN.
    const INDEFINITE: u64 = Self::SIGN | Self::INFINITY | Self::QUIET;
    /// Exponent of the smallest normal number.
    const MIN_EXPONENT: i32 = 1 - Self::BIAS;

    #[inline(always)]
    fn magnitude(x: u64) -> u64 {
        x & (Self::SIGN - 1)
    }
    #[inline(always)]
    fn is_nan(x: u64) -> bool {
        Self::magnitude(x) > Self::INFINITY
    }
    #[inline(always)]
    fn is_signaling(x: u64) -> bool {
        Self::is_nan(x) && x & Self::QUIET == 0
    }
    #[inline(always)]
    fn is_infinite(x: u64) -> bool {
        Self::magnitude(x) == Self::INFINITY
    }
    #[inline(always)]
    fn is_zero(x: u64) -> bool {
        Self::magnitude(x) == 0
    }
    #[inline(always)]
    fn is_denormal(x: u64) -> bool {
        Self::magnitude(x).wrapping_sub(1) < Self::FRACTION_MASK
    }
    #[inline(always)]
    fn is_negative(x: u64) -> bool {
        x & Self::SIGN != 0
    }
    /// Neither NaN, infinite, zero, denormal nor the smallest normal number and its neighbours.
    #[inline(always)]
    fn is_plain(x: u64) -> bool {
        ((x >> Self::FRACTION) & Self::MAX_EXPONENT).wrapping_sub(2) < Self::MAX_EXPONENT - 2
    }
}

/// Binary32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single;
/// Binary64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Double;

impl Format for Single {
    const FRACTION: u32 = 23;
    const BITS: u32 = 32;
}

impl Format for Double {
    const FRACTION: u32 = 52;
    const BITS: u32 = 64;
}

/// A finite number that is not zero: `significand * 2^(exponent - 63)`, the highest bit of the significand set.
/// Bit 0 of the significand may stand for all bits below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(super) negative: bool,
    pub(super) exponent: i32,
    pub(super) significand: u64,
}

impl Number {
    /// From a finite number that is not zero.
    pub(super) fn of<F: Format>(x: u64) -> Self {
        let fraction = x & F::FRACTION_MASK;
        let exponent = (x >> F::FRACTION) & F::MAX_EXPONENT;
        let significand = if exponent == 0 { fraction } else { fraction | 1 << F::FRACTION };
        let shift = significand.leading_zeros() & 63;
        Self {
            negative: F::is_negative(x),
            exponent: exponent.max(1) as i32 - F::BIAS + 63 - F::FRACTION as i32 - shift as i32,
            significand: significand << shift,
        }
    }

    /// From `significand * 2^(exponent - 127)`, not zero.
    pub(super) fn of_wide(negative: bool, exponent: i32, significand: u128) -> Self {
        let shift = significand.leading_zeros() & 127;
        let significand = significand << shift;
        let sticky = u64::from(significand as u64 != 0);
        Self { negative, exponent: exponent - shift as i32, significand: (significand >> 64) as u64 | sticky }
    }
}

/// A signed zero.
pub(super) fn zero<F: Format>(negative: bool) -> u64 {
    if negative { F::SIGN } else { 0 }
}

/// The operands' NaN that an operation returns, if there is one: the first, made quiet (SDM vol. 1, table 4-7).
#[inline]
pub(super) fn nan_of<F: Format>(a: u64, b: u64, env: &mut Env) -> Option<u64> {
    if !F::is_nan(a) && !F::is_nan(b) {
        return None;
    }
    if F::is_signaling(a) || F::is_signaling(b) {
        env.raise_before(INVALID);
    }
    Some(if F::is_nan(a) { a } else { b } | F::QUIET)
}

/// A denormal operand as zero, if the mode says so.
#[inline]
pub(super) fn flushed<F: Format>(x: u64, env: &Env) -> u64 {
    if env.denormals_are_zeros() && F::is_denormal(x) { x & F::SIGN } else { x }
}

/// Tells of a denormal operand.
#[inline]
pub(super) fn note_denormal<F: Format>(x: u64, env: &mut Env) {
    if F::is_denormal(x) {
        env.raise_before(DENORMAL);
    }
}
