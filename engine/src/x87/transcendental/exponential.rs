//! F2XM1, FYL2X, FYL2XP1 (SDM vol. 2).

use super::super::arithmetic::{from_integer, mul};
use super::super::env::{Env, PRECISION, UNDERFLOW, ZERO_DIVIDE};
use super::super::f80::{BIAS, Class, F80, INTEGER_BIT};
use super::wide::{ONE, Wide, factorial_reciprocals, mul_high, odd_reciprocals, series};

const LN_2: Wide = Wide { exponent: -1, mantissa: 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF };
const LOG2_E: Wide = Wide { exponent: 0, mantissa: 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88 };
/// The root of 2 and of 1/2 as mantissas.
const ROOT_2: u128 = 0xB504_F333_F9DE_6484_597D_89B3_754A_BE9F;
const EXPONENTIAL: [u128; 33] = factorial_reciprocals(1, 1);
const AREA_TANGENT: [u128; 27] = odd_reciprocals();

/// F2XM1; what is beyond 1 is left as it is, where nothing is specified.
pub(super) fn exp2m1(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_one(a) {
        return nan;
    }
    let class = a.class();
    env.note(class);
    let negative = a.is_negative();
    match class {
        Class::Zero => return a,
        Class::Infinity => return if negative { F80::ONE.negated() } else { a },
        _ => {}
    }
    if a.exponent() >= BIAS {
        env.after |= PRECISION;
        return match a.sign_exponent {
            0xBFFF if a.significand == INTEGER_BIT => F80::new(true, BIAS - 1, INTEGER_BIT),
            _ => a,
        };
    }
    let y = Wide::of(a).mul(LN_2);
    let factor = series(&EXPONENTIAL, y.fixed(128), negative);
    y.mul(Wide::new(0, factor)).round(negative, env)
}

/// The logarithm to base 2 of (1 + t) / (1 - t), `t` being `numerator / denominator` and at most 0.172.
fn log2_of_ratio(numerator: Wide, denominator: Wide) -> Wide {
    let t = numerator.div(denominator);
    let fixed = t.fixed(128);
    let factor = series(&AREA_TANGENT, mul_high(fixed, fixed), false);
    let doubled = Wide { exponent: t.exponent + 1, ..t };
    doubled.mul(Wide::new(0, factor)).mul(LOG2_E)
}

/// Sign and magnitude of the logarithm to base 2 of a number that is no power of 2.
fn log2(x: Wide) -> (bool, Wide) {
    // A mantissa between the roots of 1/2 and 2.
    let above = x.mantissa > ROOT_2;
    let power = x.exponent + i32::from(above);
    let (distance, sum) = if above {
        // The mantissa is one of a number below 1: 1 - m and 1 + m, each halved.
        let half = x.mantissa >> 1;
        (ONE.wrapping_sub(half), ONE.wrapping_add(half))
    } else {
        (x.mantissa.wrapping_sub(ONE), (x.mantissa >> 1).wrapping_add(ONE >> 1))
    };
    let logarithm = if above {
        log2_of_ratio(Wide::new(0, distance.max(1)), Wide::new(0, sum))
    } else {
        log2_of_ratio(Wide::new(0, distance.max(1)), Wide::new(1, sum))
    };
    if power == 0 {
        return (above, logarithm);
    }
    let whole = u128::from(power.unsigned_abs()) << 111;
    let fraction = logarithm.fixed(111);
    let negative = power < 0;
    let total = if negative == above { whole.wrapping_add(fraction) } else { whole.wrapping_sub(fraction) };
    (negative, Wide::new(16, total))
}

/// `y` times the logarithm of a power of 2. Silicon does not notice that this is exact.
fn power_of_two(exponent: i32, y: F80, env: &mut Env) -> F80 {
    let result = mul(y, from_integer(exponent.into()), env);
    env.after |= PRECISION | if result.exponent() == 0 { UNDERFLOW } else { 0 };
    result
}

/// FYL2X: `y` * log2(`x`).
pub(super) fn y_log2_x(x: F80, y: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(x, y) {
        return nan;
    }
    let (class_x, class_y) = (x.class(), y.class());
    let negative = y.is_negative();
    match (class_x, class_y) {
        (Class::Zero, Class::Zero) => return env.invalid(),
        (Class::Zero, Class::Infinity) => return F80::infinity(!negative),
        (Class::Zero, _) => {
            env.before |= ZERO_DIVIDE;
            return F80::infinity(!negative);
        }
        _ if x.is_negative() => return env.invalid(),
        (Class::Infinity, Class::Zero) => return env.invalid(),
        (_, Class::Infinity) if x == F80::ONE => return env.invalid(),
        _ => {}
    }
    env.note(class_x);
    env.note(class_y);
    let below_one = x.exponent() < BIAS;
    match (class_x, class_y) {
        (Class::Infinity, _) => return F80::infinity(negative),
        (_, Class::Infinity) => return F80::infinity(negative ^ below_one),
        (_, Class::Zero) => return F80::zero(negative ^ below_one),
        _ if x == F80::ONE => return F80::zero(negative),
        _ => {}
    }
    let value = Wide::of(x);
    if value.mantissa == ONE {
        return power_of_two(value.exponent, y, env);
    }
    let (negative_log, logarithm) = log2(value);
    logarithm.mul(Wide::of(y)).round(negative ^ negative_log, env)
}

/// FYL2XP1: `y` * log2(`x` + 1).
pub(super) fn y_log2_x1(x: F80, y: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(x, y) {
        return nan;
    }
    let (class_x, class_y) = (x.class(), y.class());
    let negative = x.is_negative() != y.is_negative();
    match (class_x, class_y) {
        (Class::Zero, Class::Infinity) | (Class::Infinity, Class::Zero) => return env.invalid(),
        (Class::Infinity, _) if x.is_negative() => return env.invalid(),
        _ => {}
    }
    env.note(class_x);
    env.note(class_y);
    match (class_x, class_y) {
        (Class::Zero, _) | (_, Class::Zero) => return F80::zero(negative),
        (Class::Infinity, _) | (_, Class::Infinity) => return F80::infinity(negative),
        _ => {}
    }
    let distance = Wide::of(x);
    if distance.exponent >= -2 {
        if x.is_negative() && distance.exponent >= 0 {
            // Nothing is specified from here on; this is what silicon does.
            env.after |= PRECISION;
            return x;
        }
        let sum = match distance.exponent {
            ..63 if x.is_negative() => Wide::new(63, (ONE >> 63).wrapping_sub(distance.fixed(64))),
            ..63 => Wide::new(63, (ONE >> 63).wrapping_add(distance.fixed(64))),
            _ => distance,
        };
        if sum.mantissa == ONE {
            return power_of_two(sum.exponent, y, env);
        }
        let (negative_log, logarithm) = log2(sum);
        return logarithm.mul(Wide::of(y)).round(negative_log != y.is_negative(), env);
    }
    // x / (2 + x)
    let fixed = distance.fixed(126);
    let sum = if x.is_negative() { ONE.wrapping_sub(fixed) } else { ONE.wrapping_add(fixed) };
    log2_of_ratio(distance, Wide::new(1, sum)).mul(Wide::of(y)).round(negative, env)
}
