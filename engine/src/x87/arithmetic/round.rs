//! Rounding to the precision of the destination, overflow and underflow (SDM vol. 1, 8.5.4 to 8.5.6).

use super::super::env::{Env, OVERFLOW, PRECISION, Rounding, UNDERFLOW};
use super::super::f80::{F80, INTEGER_BIT, MAX_EXPONENT};

/// What exponents are changed by when overflow or underflow is not masked.
const BIAS_ADJUSTMENT: i32 = 24_576;

/// `value >> shift`, with the bits that fall out noted in bit 0.
#[inline(always)]
pub(crate) fn shift_sticky(value: u128, shift: u32) -> u128 {
    match shift {
        0 => value,
        1..128 => value >> shift | u128::from(value << (128 - shift) != 0),
        _ => u128::from(value != 0),
    }
}

/// A significand of `precision` bits.
pub(crate) struct Rounded {
    /// The bits at the upper end of 64; 0 instead of a carry out of them.
    pub(crate) significand: u64,
    /// It became 2.0.
    pub(crate) carry: bool,
    pub(crate) inexact: bool,
    pub(crate) up: bool,
}

/// The upper `precision` (1 to 64) bits of `wide`, rounded.
pub(crate) fn round_to(wide: u128, precision: u32, rounding: Rounding, negative: bool) -> Rounded {
    let unit = 1u64.wrapping_shl(64u32.wrapping_sub(precision));
    let high = (wide >> 64) as u64;
    let kept = high & unit.wrapping_neg();
    // What is cut off, shifted so that the last place kept is 2^64; what does not fit is sticky.
    let cut = wide.wrapping_shl(precision);
    let rest = (cut >> 64) as u64 | u64::from(cut as u64 != 0);
    if rest == 0 {
        return Rounded { significand: kept, carry: false, inexact: false, up: false };
    }
    let up = rounding.rounds_up(negative, rest, kept & unit != 0);
    let (significand, carry) = if up { kept.overflowing_add(unit) } else { (kept, false) };
    Rounded { significand, carry, inexact: true, up }
}

/// The number `wide` * 2^(exponent - bias - 127) in a register. The highest bit of `wide` is set, its lowest may
/// stand for more behind it.
#[inline(always)]
pub(crate) fn round(negative: bool, exponent: i32, wide: u128, env: &mut Env) -> F80 {
    if env.precision == 64 && exponent > 0 && exponent < MAX_EXPONENT - 1 {
        let (significand, rest) = ((wide >> 64) as u64, wide as u64);
        if rest == 0 {
            return F80::new(negative, exponent, significand);
        }
        env.after |= PRECISION;
        if !env.rounding.rounds_up(negative, rest, significand & 1 != 0) {
            return F80::new(negative, exponent, significand);
        }
        env.rounded_up = true;
        let (significand, carry) = significand.overflowing_add(1);
        return if carry {
            F80::new(negative, exponent + 1, INTEGER_BIT)
        } else {
            F80::new(negative, exponent, significand)
        };
    }
    round_anywhere(negative, exponent, wide, env)
}

#[inline(never)]
fn round_anywhere(negative: bool, exponent: i32, wide: u128, env: &mut Env) -> F80 {
    let rounded = round_to(wide, env.precision, env.rounding, negative);
    let significand = if rounded.carry { INTEGER_BIT } else { rounded.significand };
    let mut carried = exponent.saturating_add(i32::from(rounded.carry));
    if carried <= 0 {
        if env.is_masked(UNDERFLOW) {
            return denormalize(negative, exponent, wide, env);
        }
        env.after |= UNDERFLOW;
        carried = carried.saturating_add(BIAS_ADJUSTMENT);
        if carried <= 0 {
            // FSCALE only: still too small.
            env.after |= PRECISION;
            return F80::zero(negative);
        }
    } else if carried >= MAX_EXPONENT {
        env.after |= OVERFLOW;
        if env.is_masked(OVERFLOW) {
            return overflowed(negative, env);
        }
        carried = carried.saturating_sub(BIAS_ADJUSTMENT);
        if carried >= MAX_EXPONENT {
            // FSCALE only: still too large.
            env.after |= PRECISION;
            env.rounded_up = true;
            return F80::infinity(negative);
        }
    }
    if rounded.inexact {
        env.after |= PRECISION;
        env.rounded_up = rounded.up;
    }
    F80::new(negative, carried, significand)
}

/// Masked underflow: tininess is detected after rounding, loss of accuracy as inexactness.
fn denormalize(negative: bool, exponent: i32, wide: u128, env: &mut Env) -> F80 {
    let shift = 1i32.saturating_sub(exponent) as u32;
    let rounded = round_to(shift_sticky(wide, shift), env.precision, env.rounding, negative);
    if rounded.inexact {
        env.after |= UNDERFLOW | PRECISION;
        env.rounded_up = rounded.up;
    }
    F80::new(negative, i32::from(rounded.significand & INTEGER_BIT != 0), rounded.significand)
}

/// Masked overflow: infinity, or the largest number if rounding is not away from zero.
fn overflowed(negative: bool, env: &mut Env) -> F80 {
    env.after |= PRECISION;
    env.rounded_up = env.rounding.rounds_up(negative, u64::MAX, true);
    if env.rounded_up {
        return F80::infinity(negative);
    }
    let unit = 1u64.wrapping_shl(64u32.wrapping_sub(env.precision));
    F80::new(negative, MAX_EXPONENT - 1, unit.wrapping_neg())
}
