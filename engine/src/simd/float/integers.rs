//! Numbers to integers and back, to integral values, and between the formats.

use super::env::{DENORMAL, Env, INVALID, PRECISION, Rounding};
use super::format::{Double, Format, Number, Single, flushed, zero};
use super::soft;

/// What an invalid conversion to an integer gives: the integer indefinite.
fn indefinite(bits: u32) -> u64 {
    1 << (bits - 1)
}

/// The magnitude of a finite number of less than 2^64 rounded to an integer, and whether that was inexact.
fn integral(number: Number, rounding: Rounding) -> (u64, bool) {
    let width = (63 - number.exponent).max(0) as u32;
    let (significand, width) = if width > 62 {
        (soft::shift_sticky(number.significand, width - 62), 62)
    } else {
        (number.significand, width)
    };
    soft::shift_rounded(significand, width, rounding, number.negative)
}

/// To a signed integer of 32 or 64 bits, zero-extended.
pub(super) fn to_integer<F: Format>(x: u64, bits: u32, rounding: Rounding, env: &mut Env) -> u64 {
    let x = flushed::<F>(x, env);
    if F::is_zero(x) {
        return 0;
    }
    if F::is_nan(x) || F::is_infinite(x) {
        env.raise_before(INVALID);
        return indefinite(bits);
    }
    let number = Number::of::<F>(x);
    if number.exponent > 63 {
        env.raise_before(INVALID);
        return indefinite(bits);
    }
    let (magnitude, inexact) = integral(number, rounding);
    let limit = indefinite(bits) - u64::from(!number.negative);
    if magnitude > limit {
        env.raise_before(INVALID);
        return indefinite(bits);
    }
    if inexact {
        env.raise_after(PRECISION);
    }
    let value = if number.negative { magnitude.wrapping_neg() } else { magnitude };
    if bits == 32 { value & 0xFFFF_FFFF } else { value }
}

/// From a signed integer.
pub(super) fn from_integer<F: Format>(value: i64, env: &mut Env) -> u64 {
    if value == 0 {
        return 0;
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    let number = Number { negative: value < 0, exponent: 63 - shift as i32, significand: magnitude << shift };
    soft::round::<F>(number, env)
}

/// To an integral value of the same format (ROUNDSD and its like); `silent` leaves the precision exception out.
pub(super) fn to_integral<F: Format>(x: u64, rounding: Rounding, silent: bool, env: &mut Env) -> u64 {
    if F::is_nan(x) {
        if F::is_signaling(x) {
            env.raise_before(INVALID);
        }
        return x | F::QUIET;
    }
    let x = flushed::<F>(x, env);
    if F::is_zero(x) || F::is_infinite(x) {
        return x;
    }
    let number = Number::of::<F>(x);
    if number.exponent >= F::FRACTION as i32 {
        return x;
    }
    let (magnitude, inexact) = integral(number, rounding);
    if inexact && !silent {
        env.raise_after(PRECISION);
    }
    let sign = zero::<F>(number.negative);
    if magnitude == 0 {
        return sign;
    }
    // Exact, as there are fewer bits than the fraction has.
    from_integer::<F>(magnitude as i64, env) | sign
}

/// Binary32 to binary64.
pub(super) fn widen(x: u64, env: &mut Env) -> u64 {
    let sign = (x & Single::SIGN) << 32;
    if Single::is_nan(x) {
        if Single::is_signaling(x) {
            env.raise_before(INVALID);
        }
        return sign | Double::INFINITY | Double::QUIET | (x & Single::FRACTION_MASK) << 29;
    }
    let x = flushed::<Single>(x, env);
    if Single::is_zero(x) {
        return sign;
    }
    if Single::is_infinite(x) {
        return sign | Double::INFINITY;
    }
    if Single::is_denormal(x) {
        env.raise_before(DENORMAL);
    }
    soft::round::<Double>(Number::of::<Single>(x), env)
}

/// Binary64 to binary32.
pub(super) fn narrow(x: u64, env: &mut Env) -> u64 {
    let sign = (x & Double::SIGN) >> 32;
    if Double::is_nan(x) {
        if Double::is_signaling(x) {
            env.raise_before(INVALID);
        }
        return sign | Single::INFINITY | Single::QUIET | (x & Double::FRACTION_MASK) >> 29;
    }
    let x = flushed::<Double>(x, env);
    if Double::is_zero(x) {
        return sign;
    }
    if Double::is_infinite(x) {
        return sign | Single::INFINITY;
    }
    if Double::is_denormal(x) {
        env.raise_before(DENORMAL);
    }
    soft::round::<Single>(Number::of::<Double>(x), env)
}
