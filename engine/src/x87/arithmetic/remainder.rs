//! FPREM and FPREM1 (SDM vol. 2).

use super::super::env::Env;
use super::super::f80::{Class, F80};
use super::basic::divide_wide;
use super::round::round;

/// A remainder, perhaps a partial one.
pub(crate) struct Remainder {
    pub(crate) value: F80,
    pub(crate) quotient: Quotient,
}

/// What is known of the quotient.
pub(crate) enum Quotient {
    /// There is none: an operand is no number, or the operation is invalid.
    None,
    /// The reduction is not complete (C2).
    Partial,
    /// Its low bits.
    Bits(u8),
}

/// The remainder of `a / b`; with `nearest` (FPREM1) that of the quotient rounded to nearest, otherwise truncated.
pub(crate) fn remainder(a: F80, b: F80, nearest: bool, env: &mut Env) -> Remainder {
    let complete = |value| Remainder { value, quotient: Quotient::Bits(0) };
    if let Some(nan) = env.nan_of_two(a, b) {
        return Remainder { value: nan, quotient: Quotient::None };
    }
    let (class_a, class_b) = (a.class(), b.class());
    if class_a == Class::Infinity || class_b == Class::Zero {
        return Remainder { value: env.invalid(), quotient: Quotient::None };
    }
    env.note(class_a);
    env.note(class_b);
    if class_a == Class::Zero {
        return complete(a);
    }
    let ((exponent_a, significand), (exponent_b, divisor)) = (a.unpack(), b.unpack());
    let distance = exponent_a - exponent_b;
    let negative = a.is_negative();
    if class_b == Class::Infinity || distance < -1 {
        return complete(finish(negative, exponent_a, significand, env));
    }
    if distance >= 64 {
        // Takes at least 32 off the distance.
        let (_, rest) = reduce(significand, divisor, (distance & 31 | 32) as u32);
        let value = finish(negative, exponent_a - (distance & 31 | 32), rest, env);
        return Remainder { value, quotient: Quotient::Partial };
    }
    if distance == -1 {
        // |a| < |b|: the quotient is 0 or, to nearest, 1 if |a| > |b| / 2.
        if !nearest || significand <= divisor {
            return complete(finish(negative, exponent_a, significand, env));
        }
        let rest = (u128::from(divisor) << 1).wrapping_sub(u128::from(significand)) as u64;
        return Remainder { value: finish(!negative, exponent_a, rest, env), quotient: Quotient::Bits(1) };
    }
    let (mut quotient, mut rest) = reduce(significand, divisor, distance as u32);
    let mut negative_rest = negative;
    if nearest {
        let other = divisor.wrapping_sub(rest);
        if rest > other || (rest == other && quotient & 1 != 0) {
            quotient = quotient.wrapping_add(1);
            rest = other;
            negative_rest = !negative;
        }
    }
    let value = if rest == 0 { F80::zero(negative) } else { finish(negative_rest, exponent_b, rest, env) };
    Remainder { value, quotient: Quotient::Bits(quotient as u8 & 7) }
}

/// Quotient (its low 64 bits) and remainder of `significand` * 2^`shift` by `divisor`; both have their highest bit set,
/// `shift` is below 64.
fn reduce(significand: u64, divisor: u64, shift: u32) -> (u64, u64) {
    let (first, rest) =
        if significand >= divisor { (1, significand.wrapping_sub(divisor)) } else { (0, significand) };
    let wide = u128::from(rest) << (shift & 63);
    let (quotient, rest) = divide_wide((wide >> 64) as u64, wide as u64, divisor);
    (quotient.wrapping_add(first << (shift & 63)), rest)
}

/// `rest` * 2^(exponent - bias - 63), which is exact.
fn finish(negative: bool, exponent: i32, rest: u64, env: &mut Env) -> F80 {
    if rest == 0 {
        return F80::zero(negative);
    }
    let shift = rest.leading_zeros();
    let exponent = exponent - shift as i32;
    round(negative, exponent, u128::from(rest << shift) << 64, env)
}
