//! Rounding, and the four operations and square root, exactly and in every mode.

use super::env::{Env, INVALID, OVERFLOW, PRECISION, Rounding, UNDERFLOW, ZERO_DIVIDE};
use super::format::{Format, Number, flushed, nan_of, note_denormal, zero};

/// Whether the magnitude is to be increased, given the bits cut off (of `width` bits) and the lowest bit kept.
fn rounds_up(rounding: Rounding, negative: bool, rest: u64, width: u32, odd: bool) -> bool {
    match rounding {
        Rounding::Nearest => {
            let half = 1u64.checked_shl(width.wrapping_sub(1)).unwrap_or(0);
            rest > half || (rest == half && odd)
        }
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
        Rounding::Zero => false,
    }
}

/// `value` without its low `width` bits (at most 63), rounded; and whether that was inexact.
pub(super) fn shift_rounded(value: u64, width: u32, rounding: Rounding, negative: bool) -> (u64, bool) {
    if width == 0 {
        return (value, false);
    }
    let rest = value & ((1 << width) - 1);
    let kept = value >> width;
    let up = rounds_up(rounding, negative, rest, width, kept & 1 != 0);
    (kept + u64::from(up), rest != 0)
}

/// `value >> shift`, with the bits that fall out noted in bit 0.
pub(super) fn shift_sticky(value: u64, shift: u32) -> u64 {
    match shift {
        0 => value,
        1..64 => value >> shift | u64::from(value << (64 - shift) != 0),
        _ => u64::from(value != 0),
    }
}

/// The nearest number of the format; tininess is detected after rounding.
pub(super) fn round<F: Format>(number: Number, env: &mut Env) -> u64 {
    let Number { negative, exponent, significand } = number;
    let extra = 63 - F::FRACTION;
    let sign = zero::<F>(negative);
    let (rounded, inexact) = shift_rounded(significand, extra, env.rounding, negative);
    let carried = exponent + (rounded >> (F::FRACTION + 1)) as i32;
    if carried < F::MIN_EXPONENT {
        if !env.is_masked(UNDERFLOW) {
            env.raise_after(UNDERFLOW | if inexact { PRECISION } else { 0 });
            return sign;
        }
        if env.flushes_to_zero() {
            env.raise_after(UNDERFLOW | PRECISION);
            return sign;
        }
        let shift = F::MIN_EXPONENT.wrapping_sub(exponent) as u32;
        let (denormal, inexact) =
            shift_rounded(shift_sticky(significand, shift), extra, env.rounding, negative);
        if inexact {
            env.raise_after(UNDERFLOW | PRECISION);
        }
        return sign | denormal;
    }
    if carried > F::BIAS {
        let inexact = inexact || env.is_masked(OVERFLOW);
        env.raise_after(OVERFLOW | if inexact { PRECISION } else { 0 });
        let to_infinity = match env.rounding {
            Rounding::Nearest => true,
            Rounding::Down => negative,
            Rounding::Up => !negative,
            Rounding::Zero => false,
        };
        return sign | if to_infinity { F::INFINITY } else { F::INFINITY - 1 };
    }
    if inexact {
        env.raise_after(PRECISION);
    }
    // The carry of a significand that became 2.0 goes into the exponent, where it belongs; a number below the
    // smallest normal one that was rounded up to it has the exponent 0 before.
    let biased = (exponent + F::BIAS - 1) as u64;
    sign | biased.wrapping_shl(F::FRACTION).wrapping_add(rounded)
}

/// `a + b`.
pub(super) fn add<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    if let Some(nan) = nan_of::<F>(a, b, env) {
        return nan;
    }
    let (a, b) = (flushed::<F>(a, env), flushed::<F>(b, env));
    if F::is_infinite(a) && F::is_infinite(b) && a != b {
        env.raise_before(INVALID);
        return F::INDEFINITE;
    }
    note_denormal::<F>(a, env);
    note_denormal::<F>(b, env);
    if F::is_infinite(a) {
        return a;
    }
    if F::is_infinite(b) {
        return b;
    }
    match (F::is_zero(a), F::is_zero(b)) {
        (true, true) if a == b => return a,
        (true, true) => return zero::<F>(env.rounding == Rounding::Down),
        (true, false) => return round::<F>(Number::of::<F>(b), env),
        (false, true) => return round::<F>(Number::of::<F>(a), env),
        (false, false) => {}
    }
    let (mut a, mut b) = (Number::of::<F>(a), Number::of::<F>(b));
    if a.exponent < b.exponent {
        (a, b) = (b, a);
    }
    // The operands have 53 bits at most, so 62 more are enough for what is shifted out to be only sticky.
    let large = u128::from(a.significand) << 62;
    let aligned = u128::from(b.significand) << 62;
    let distance = (a.exponent - b.exponent) as u32;
    let small = match aligned.checked_shr(distance) {
        Some(shifted) => shifted | u128::from(shifted << distance != aligned),
        None => 1,
    };
    let (negative, sum) = if a.negative == b.negative {
        (a.negative, large + small)
    } else if large >= small {
        (a.negative, large - small)
    } else {
        (b.negative, small - large)
    };
    if sum == 0 {
        return zero::<F>(env.rounding == Rounding::Down);
    }
    round::<F>(Number::of_wide(negative, a.exponent + 2, sum), env)
}

/// `a - b`.
pub(super) fn sub<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    if let Some(nan) = nan_of::<F>(a, b, env) {
        return nan;
    }
    add::<F>(a, b ^ F::SIGN, env)
}

/// `a * b`.
pub(super) fn mul<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    if let Some(nan) = nan_of::<F>(a, b, env) {
        return nan;
    }
    let (a, b) = (flushed::<F>(a, env), flushed::<F>(b, env));
    let negative = F::is_negative(a ^ b);
    let infinite = F::is_infinite(a) || F::is_infinite(b);
    let is_zero = F::is_zero(a) || F::is_zero(b);
    if infinite && is_zero {
        env.raise_before(INVALID);
        return F::INDEFINITE;
    }
    note_denormal::<F>(a, env);
    note_denormal::<F>(b, env);
    if infinite {
        return zero::<F>(negative) | F::INFINITY;
    }
    if is_zero {
        return zero::<F>(negative);
    }
    let (a, b) = (Number::of::<F>(a), Number::of::<F>(b));
    let product = u128::from(a.significand) * u128::from(b.significand);
    round::<F>(Number::of_wide(negative, a.exponent + b.exponent + 1, product), env)
}

/// `a / b`.
pub(super) fn div<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    if let Some(nan) = nan_of::<F>(a, b, env) {
        return nan;
    }
    let (a, b) = (flushed::<F>(a, env), flushed::<F>(b, env));
    let negative = F::is_negative(a ^ b);
    if (F::is_infinite(a) && F::is_infinite(b)) || (F::is_zero(a) && F::is_zero(b)) {
        env.raise_before(INVALID);
        return F::INDEFINITE;
    }
    if F::is_zero(b) && !F::is_infinite(a) {
        env.raise_before(ZERO_DIVIDE);
        return zero::<F>(negative) | F::INFINITY;
    }
    note_denormal::<F>(a, env);
    note_denormal::<F>(b, env);
    if F::is_infinite(a) {
        return zero::<F>(negative) | F::INFINITY;
    }
    if F::is_infinite(b) || F::is_zero(a) {
        return zero::<F>(negative);
    }
    let (a, b) = (Number::of::<F>(a), Number::of::<F>(b));
    let (dividend, divisor) = (u128::from(a.significand) << 63, u128::from(b.significand));
    // The divisor is never 0.
    let quotient = dividend.checked_div(divisor).unwrap_or_default();
    let sticky = u128::from(quotient.wrapping_mul(divisor) != dividend);
    // 63 or 64 bits, and below them the remainder.
    let number = Number::of_wide(negative, a.exponent - b.exponent + 63, quotient << 1 | sticky);
    round::<F>(number, env)
}

/// The square root.
pub(super) fn sqrt<F: Format>(x: u64, env: &mut Env) -> u64 {
    if let Some(nan) = nan_of::<F>(x, x, env) {
        return nan;
    }
    let x = flushed::<F>(x, env);
    if F::is_zero(x) {
        return x;
    }
    if F::is_negative(x) {
        env.raise_before(INVALID);
        return F::INDEFINITE;
    }
    note_denormal::<F>(x, env);
    if F::is_infinite(x) {
        return x;
    }
    let number = Number::of::<F>(x);
    let odd = number.exponent & 1;
    let radicand = u128::from(number.significand) << (63 + odd);
    let root = radicand.isqrt();
    let sticky = u64::from(root.wrapping_mul(root) != radicand);
    let significand = root as u64 | sticky;
    round::<F>(Number { negative: false, exponent: (number.exponent - odd) / 2, significand }, env)
}
