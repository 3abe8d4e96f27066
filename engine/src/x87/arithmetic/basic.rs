//! The four operations and the square root (SDM vol. 1, 8.3.5).

use super::super::env::{Env, Rounding, ZERO_DIVIDE};
use super::super::f80::{BIAS, Class, F80, INTEGER_BIT};
use super::round::{round, shift_sticky};

/// `a + b`.
#[inline]
pub(crate) fn add(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() { add_finite(a, b, env) } else { add_special(a, b, env) }
}

/// `a - b`.
#[inline]
pub(crate) fn sub(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() {
        return add_finite(a, b.negated(), env);
    }
    match env.nan_of_two(a, b) {
        Some(nan) => nan,
        None => add_special(a, b.negated(), env),
    }
}

/// The sum of two finite numbers that are not 0.
#[inline(always)]
fn add_finite(a: F80, b: F80, env: &mut Env) -> F80 {
    let (mut negative, other) = (a.is_negative(), b.is_negative());
    let ((mut exponent, mut large), (mut lower, mut small)) = (a.unpack(), b.unpack());
    if exponent < lower || (exponent == lower && large < small) {
        (exponent, lower) = (lower, exponent);
        (large, small) = (small, large);
        if negative != other {
            negative = other;
        }
    }
    let distance = exponent.wrapping_sub(lower) as u32;
    let (large, small) = (u128::from(large) << 63, shift_sticky(u128::from(small) << 63, distance));
    let sum = if a.is_negative() == b.is_negative() {
        large.wrapping_add(small)
    } else {
        large.wrapping_sub(small)
    };
    if sum == 0 {
        return F80::zero(env.rounding == Rounding::Down);
    }
    let shift = sum.leading_zeros();
    round(negative, exponent + 1 - shift as i32, sum << shift, env)
}

#[inline(never)]
fn add_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(a, b) {
        return nan;
    }
    let (class_a, class_b) = (a.class(), b.class());
    env.note(class_a);
    env.note(class_b);
    match (class_a, class_b) {
        (Class::Infinity, Class::Infinity) if a != b => env.invalid(),
        (Class::Infinity, _) => a,
        (_, Class::Infinity) => b,
        (Class::Zero, Class::Zero) if a == b => a,
        (Class::Zero, Class::Zero) => F80::zero(env.rounding == Rounding::Down),
        (Class::Zero, _) => rounded(b, env),
        (_, Class::Zero) => rounded(a, env),
        _ => add_finite(a, b, env),
    }
}

/// A finite number that is not 0, rounded as precision control says.
pub(crate) fn rounded(a: F80, env: &mut Env) -> F80 {
    let (exponent, significand) = a.unpack();
    round(a.is_negative(), exponent, u128::from(significand) << 64, env)
}

/// `a * b`.
#[inline]
pub(crate) fn mul(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() { mul_finite(a, b, env) } else { mul_special(a, b, env) }
}

#[inline(always)]
fn mul_finite(a: F80, b: F80, env: &mut Env) -> F80 {
    let ((exponent_a, significand_a), (exponent_b, significand_b)) = (a.unpack(), b.unpack());
    let product = u128::from(significand_a) * u128::from(significand_b);
    let shift = product.leading_zeros() & 1;
    let exponent = exponent_a + exponent_b - BIAS + 1 - shift as i32;
    round(a.is_negative() != b.is_negative(), exponent, product << shift, env)
}

#[inline(never)]
fn mul_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(a, b) {
        return nan;
    }
    let (class_a, class_b) = (a.class(), b.class());
    env.note(class_a);
    env.note(class_b);
    let negative = a.is_negative() != b.is_negative();
    match (class_a, class_b) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => env.invalid(),
        (Class::Infinity, _) | (_, Class::Infinity) => F80::infinity(negative),
        (Class::Zero, _) | (_, Class::Zero) => F80::zero(negative),
        _ => mul_finite(a, b, env),
    }
}

/// `a / b`.
#[inline]
pub(crate) fn div(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() { div_finite(a, b, env) } else { div_special(a, b, env) }
}

/// `(high * 2^64 + low) / divisor` and the remainder; `high < divisor`, and the divisor's highest bit is set.
/// In two steps of 32 bits, since targets divide no wider numbers than 64 bits.
#[inline]
pub(crate) fn divide_wide(high: u64, low: u64, divisor: u64) -> (u64, u64) {
    let (upper, lower) = (divisor >> 32, divisor & 0xFFFF_FFFF);
    let digit = |high: u64, next: u64| {
        let mut digit = high.checked_div(upper).unwrap_or(0);
        let mut rest = high.wrapping_sub(digit.wrapping_mul(upper));
        while digit >> 32 != 0 || digit.wrapping_mul(lower) > (rest << 32 | next) {
            digit = digit.wrapping_sub(1);
            rest = rest.wrapping_add(upper);
            if rest >> 32 != 0 {
                break;
            }
        }
        let remainder = (high << 32 | next).wrapping_sub(digit.wrapping_mul(divisor));
        (digit, remainder)
    };
    let (first, rest) = digit(high, low >> 32);
    let (second, rest) = digit(rest, low & 0xFFFF_FFFF);
    (first << 32 | second, rest)
}

#[inline(always)]
fn div_finite(a: F80, b: F80, env: &mut Env) -> F80 {
    let ((exponent_a, dividend), (exponent_b, divisor)) = (a.unpack(), b.unpack());
    let mut exponent = exponent_a - exponent_b + BIAS;
    let (quotient, remainder) = if dividend >= divisor {
        divide_wide(dividend >> 1, dividend << 63, divisor)
    } else {
        exponent -= 1;
        divide_wide(dividend, 0, divisor)
    };
    // Only how the rest compares with one half matters.
    let rest = match remainder {
        0 => 0,
        _ if remainder > divisor >> 1 => 3 << 62,
        _ if remainder << 1 == divisor => 1 << 63,
        _ => 1 << 62,
    };
    round(a.is_negative() != b.is_negative(), exponent, u128::from(quotient) << 64 | rest, env)
}

#[inline(never)]
fn div_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(a, b) {
        return nan;
    }
    let (class_a, class_b) = (a.class(), b.class());
    let negative = a.is_negative() != b.is_negative();
    match (class_a, class_b) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => return env.invalid(),
        (Class::Infinity, Class::Zero) => return F80::infinity(negative),
        (_, Class::Zero) => {
            env.before |= ZERO_DIVIDE;
            return F80::infinity(negative);
        }
        _ => {}
    }
    env.note(class_a);
    env.note(class_b);
    match (class_a, class_b) {
        (Class::Infinity, _) => F80::infinity(negative),
        (_, Class::Infinity) | (Class::Zero, _) => F80::zero(negative),
        _ => div_finite(a, b, env),
    }
}

/// The square root.
pub(crate) fn sqrt(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_one(a) {
        return nan;
    }
    let class = a.class();
    if class == Class::Zero {
        return a;
    }
    if a.is_negative() {
        return env.invalid();
    }
    env.note(class);
    if class == Class::Infinity {
        return a;
    }
    let (exponent, significand) = a.unpack();
    let unbiased = exponent - BIAS;
    let radicand = u128::from(significand) << (63 + (unbiased & 1));
    let root = root_of(radicand);
    let remainder = radicand.wrapping_sub(u128::from(root) * u128::from(root));
    let rest = match remainder {
        0 => 0,
        _ if remainder > u128::from(root) => 3 << 62,
        _ => 1 << 62,
    };
    round(false, (unbiased >> 1) + BIAS, u128::from(root) << 64 | rest, env)
}

/// The integer part of the root of a number of 127 or 128 bits.
fn root_of(radicand: u128) -> u64 {
    let (high, low) = ((radicand >> 64) as u64, radicand as u64);
    // An estimate of 53 bits from the float unit, one step of Newton's, and what is left to correct.
    let estimate = (high as f64).sqrt() * 4_294_967_296.0;
    let estimate = (estimate as u64).max(INTEGER_BIT);
    let quotient = if high >= estimate { u64::MAX } else { divide_wide(high, low, estimate).0 };
    let mut root = ((u128::from(estimate) + u128::from(quotient)) >> 1) as u64;
    while u128::from(root) * u128::from(root) > radicand {
        root = root.wrapping_sub(1);
    }
    while root != u64::MAX && u128::from(root + 1) * u128::from(root + 1) <= radicand {
        root += 1;
    }
    root
}
