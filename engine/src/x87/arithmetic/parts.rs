//! FRNDINT, FSCALE, FXTRACT (SDM vol. 2).

use super::super::env::{Env, PRECISION, ZERO_DIVIDE};
use super::super::f80::{BIAS, Class, F80, INTEGER_BIT};
use super::convert::from_integer;
use super::round::{round, round_to, shift_sticky};

/// FRNDINT: to an integer as rounding control says.
pub(crate) fn round_to_integer(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_one(a) {
        return nan;
    }
    let class = a.class();
    env.note(class);
    if matches!(class, Class::Infinity | Class::Zero) || a.exponent() >= BIAS + 63 {
        return a;
    }
    let (exponent, significand) = a.unpack();
    let shift = (BIAS + 63 - exponent).unsigned_abs();
    let wide = shift_sticky(u128::from(significand) << 64, shift);
    let rounded = round_to(wide, 64, env.rounding, a.is_negative());
    if rounded.inexact {
        env.after |= PRECISION;
        env.rounded_up = rounded.up;
    }
    // At most 2^63: no carry.
    match rounded.significand.leading_zeros() {
        64 => F80::zero(a.is_negative()),
        shift => F80::new(a.is_negative(), BIAS + 63 - shift as i32, rounded.significand << shift),
    }
}

/// FSCALE: `a` * 2^(integer part of `b`).
pub(crate) fn scale(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(a, b) {
        return nan;
    }
    let (class_a, class_b) = (a.class(), b.class());
    match (class_a, class_b, b.is_negative()) {
        (Class::Zero, Class::Infinity, false) | (Class::Infinity, Class::Infinity, true) => {
            return env.invalid();
        }
        _ => {}
    }
    env.note(class_a);
    env.note(class_b);
    match (class_a, class_b, b.is_negative()) {
        (Class::Zero | Class::Infinity, ..) => return a,
        (_, Class::Infinity, false) => return F80::infinity(a.is_negative()),
        (_, Class::Infinity, true) => return F80::zero(a.is_negative()),
        _ => {}
    }
    let (exponent, significand) = a.unpack();
    let above = b.exponent() - BIAS;
    let by = match above {
        ..0 => 0,
        // Enough to be too large, or too small, for whatever number.
        16.. => 0x1_0000,
        _ => (b.significand >> (63 - above)) as i32,
    };
    let exponent = if b.is_negative() { exponent - by } else { exponent + by };
    round(a.is_negative(), exponent, u128::from(significand) << 64, env)
}

/// FXTRACT: exponent and significand.
pub(crate) fn extract(a: F80, env: &mut Env) -> (F80, F80) {
    if let Some(nan) = env.nan_of_one(a) {
        return (nan, nan);
    }
    let class = a.class();
    env.note(class);
    match class {
        Class::Zero => {
            env.before |= ZERO_DIVIDE;
            (F80::infinity(true), a)
        }
        Class::Infinity => (F80::infinity(false), a),
        _ => {
            let (exponent, significand) = a.unpack();
            let significand = F80::new(a.is_negative(), BIAS, significand | INTEGER_BIT);
            (from_integer(i64::from(exponent - BIAS)), significand)
        }
    }
}
