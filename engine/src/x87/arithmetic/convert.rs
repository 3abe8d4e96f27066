//! Conversions from and to integers and the shorter formats (SDM vol. 1, 8.3.3, 8.5.4 and 8.5.5).

use super::super::env::{Env, INVALID, OVERFLOW, PRECISION, Rounding, UNDERFLOW};
use super::super::f80::{BIAS, Class, F80, INTEGER_BIT};
use super::round::{round_to, shift_sticky};

/// A format in memory.
pub(crate) trait Float {
    /// Bits of the significand, with the one that is not stored.
    const PRECISION: u32;
    /// What is added to exponents.
    const BIAS: i32;
    /// Bits of all.
    const BITS: u32;
}

/// Single precision.
pub(crate) struct Single;
/// Double precision.
pub(crate) struct Double;

impl Float for Single {
    const PRECISION: u32 = 24;
    const BIAS: i32 = 127;
    const BITS: u32 = 32;
}

impl Float for Double {
    const PRECISION: u32 = 53;
    const BIAS: i32 = 1023;
    const BITS: u32 = 64;
}

/// Loads a shorter format; that is exact.
#[inline(always)]
pub(crate) fn from_float<F: Float>(bits: u64, env: &mut Env) -> F80 {
    let negative = bits >> (F::BITS - 1) & 1 != 0;
    let exponent = (bits >> (F::PRECISION - 1)) as i32 & (2 * F::BIAS + 1);
    let fraction = bits << (64 - F::PRECISION) & !INTEGER_BIT;
    if exponent.wrapping_sub(1) as u32 >= 2 * F::BIAS as u32 {
        if exponent != 0 {
            let number = F80::new(negative, 0x7FFF, INTEGER_BIT | fraction);
            return if number.class() == Class::SignallingNan {
                env.before |= INVALID;
                number.quieted()
            } else {
                number
            };
        }
        if fraction == 0 {
            return F80::zero(negative);
        }
        env.note(Class::Denormal);
        let shift = fraction.leading_zeros();
        return F80::new(negative, BIAS - F::BIAS + 1 - shift as i32, fraction << shift);
    }
    F80::new(negative, exponent - F::BIAS + BIAS, INTEGER_BIT | fraction)
}

/// Converts to a shorter format. With overflow or underflow that is not masked there is no result.
#[inline(always)]
pub(crate) fn to_float<F: Float>(a: F80, env: &mut Env) -> u64 {
    let sign = u64::from(a.is_negative()) << (F::BITS - 1);
    let exponent = a.exponent() - BIAS + F::BIAS;
    let extra = 64 - F::PRECISION;
    if a.is_normal() && exponent > 0 && exponent < 2 * F::BIAS && a.significand << F::PRECISION == 0 {
        let fraction = (a.significand & !INTEGER_BIT) >> extra;
        return sign | (exponent as u64) << (F::PRECISION - 1) | fraction;
    }
    to_float_rounded::<F>(a, sign, env)
}

#[inline(never)]
fn to_float_rounded<F: Float>(a: F80, sign: u64, env: &mut Env) -> u64 {
    let infinity = ((2 * F::BIAS + 1) as u64) << (F::PRECISION - 1);
    let extra = 64 - F::PRECISION;
    match a.class() {
        Class::Zero => return sign,
        Class::Infinity => return sign | infinity,
        Class::Normal | Class::Denormal => {}
        _ => {
            let nan = env.nan_of_one(a).unwrap_or(F80::INDEFINITE);
            let sign = u64::from(nan.is_negative()) << (F::BITS - 1);
            return sign | infinity | (nan.significand & !INTEGER_BIT) >> extra;
        }
    }
    let negative = a.is_negative();
    let (exponent, significand) = a.unpack();
    let exponent = exponent - BIAS + F::BIAS;
    let wide = u128::from(significand) << 64;
    let mut rounded = round_to(wide, F::PRECISION, env.rounding, negative);
    let carried = exponent + i32::from(rounded.carry);
    if carried <= 0 {
        rounded = round_to(shift_sticky(wide, (1 - exponent) as u32), F::PRECISION, env.rounding, negative);
        if rounded.inexact {
            env.after |= PRECISION;
        }
        if rounded.inexact || !env.is_masked(UNDERFLOW) {
            env.after |= UNDERFLOW;
        }
        env.rounded_up = rounded.up;
        // A significand that became the smallest normal one carries into the exponent.
        return sign | rounded.significand >> extra;
    }
    if carried > 2 * F::BIAS {
        env.after |= OVERFLOW;
        if env.is_masked(OVERFLOW) || rounded.inexact {
            env.after |= PRECISION;
        }
        env.rounded_up = env.rounding.rounds_up(negative, u64::MAX, true);
        return sign | if env.rounded_up { infinity } else { infinity - 1 };
    }
    if rounded.inexact {
        env.after |= PRECISION;
        env.rounded_up = rounded.up;
    }
    sign | (carried as u64) << (F::PRECISION - 1) | (rounded.significand & !INTEGER_BIT) >> extra
}

/// An integer, which every register can hold.
#[inline]
pub(crate) fn from_integer(value: i64) -> F80 {
    if value == 0 {
        return F80::zero(false);
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    F80::new(value < 0, BIAS + 63 - shift as i32, magnitude << shift)
}

/// The magnitude of a number as an integer, and whether that was inexact and rounded up; `None` if it has more than 64
/// bits or is no number.
pub(crate) fn magnitude(a: F80, rounding: Rounding) -> Option<(u64, bool, bool)> {
    match a.class() {
        Class::Zero => return Some((0, false, false)),
        Class::Normal | Class::Denormal => {}
        _ => return None,
    }
    let (exponent, significand) = a.unpack();
    let above = exponent - BIAS - 63;
    if above > 0 {
        return None;
    }
    let wide = shift_sticky(u128::from(significand) << 64, above.unsigned_abs());
    let rounded = round_to(wide, 64, rounding, a.is_negative());
    (!rounded.carry).then_some((rounded.significand, rounded.inexact, rounded.up))
}

/// Rounds to an integer of `bits` bits with sign.
pub(crate) fn to_integer(a: F80, bits: u32, rounding: Rounding, env: &mut Env) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    let limit = indefinite.unsigned_abs() - u64::from(!a.is_negative());
    match magnitude(a, rounding) {
        Some((magnitude, inexact, up)) if magnitude <= limit => {
            if inexact {
                env.after |= PRECISION;
                env.rounded_up = up;
            }
            if a.is_negative() { (magnitude as i64).wrapping_neg() } else { magnitude as i64 }
        }
        _ => {
            env.before |= INVALID;
            indefinite
        }
    }
}

/// FISTTP's integer of `bits` bits.
pub(crate) fn truncated(a: F80, bits: u32, env: &mut Env) -> i64 {
    to_integer(a, bits, Rounding::Zero, env)
}
