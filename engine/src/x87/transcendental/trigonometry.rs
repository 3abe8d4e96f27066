//! FSIN, FCOS, FSINCOS, FPTAN: reduction by a pi of 66 bits, as silicon does it (SDM vol. 1, 8.3.8).

use super::super::env::Env;
use super::super::f80::{BIAS, Class, F80};
use super::wide::{ONE, Wide, factorial_reciprocals, mul_high, series};

/// Half of the pi of 66 bits, times 2^65.
const HALF_PI: u128 = 0x3_243F_6A88_85A3_08D3;
const SINE: [u128; 18] = factorial_reciprocals(2, 1);
const COSINE: [u128; 18] = factorial_reciprocals(2, 0);

/// An angle: `quadrant` right angles and a rest of at most half of one, with its sign.
struct Angle {
    quadrant: u8,
    negative: bool,
    rest: Wide,
}

/// Whether FSIN and the others take a number: below 2^63.
pub(super) fn is_in_range(a: F80) -> bool {
    a.exponent() < BIAS + 63 || !matches!(a.class(), Class::Normal)
}

/// What the special operands of all four give.
fn special(a: F80, env: &mut Env) -> Option<F80> {
    if let Some(nan) = env.nan_of_one(a) {
        return Some(nan);
    }
    if a.class() == Class::Infinity {
        return Some(env.invalid());
    }
    env.note(a.class());
    None
}

/// Reduces a finite number other than 0, whose sign is left to the caller.
fn reduce(a: F80) -> Angle {
    let whole = Wide::of(a);
    if whole.exponent < -1 {
        return Angle { quadrant: 0, negative: false, rest: whole };
    }
    let scaled = whole.fixed(65);
    let (mut quotient, mut rest) = (scaled / HALF_PI, scaled % HALF_PI);
    let mut negative = false;
    if rest > HALF_PI / 2 {
        (quotient, rest, negative) = (quotient + 1, HALF_PI - rest, true);
    }
    Angle { quadrant: quotient as u8 & 3, negative, rest: Wide::new(62, rest.max(1)) }
}

/// Sine and cosine of at most pi/4.
fn sine_and_cosine(rest: Wide) -> (Wide, Wide) {
    let fixed = rest.fixed(128);
    let square = mul_high(fixed, fixed);
    // Both are below 1, however little.
    let factor = series(&SINE, square, true).min(ONE - 1);
    let cosine = series(&COSINE, square, true).min(ONE - 1);
    (rest.mul(Wide::new(0, factor)), Wide::new(0, cosine))
}

/// The sine, or the cosine, of any number.
fn part(a: F80, env: &mut Env, is_cosine: bool) -> F80 {
    if let Some(result) = special(a, env) {
        return result;
    }
    if a.class() == Class::Zero {
        return if is_cosine { F80::ONE } else { a };
    }
    let angle = reduce(a);
    let (sine, cosine) = sine_and_cosine(angle.rest);
    let odd = angle.quadrant & 1 != 0;
    if is_cosine {
        let negative = (angle.quadrant.wrapping_add(1) & 2 != 0) ^ (angle.negative && odd);
        if odd { sine } else { cosine }.round(negative, env)
    } else {
        let negative = (angle.quadrant & 2 != 0) ^ (angle.negative && !odd) ^ a.is_negative();
        if odd { cosine } else { sine }.round(negative, env)
    }
}

/// FSIN.
pub(super) fn sin(a: F80, env: &mut Env) -> F80 {
    part(a, env, false)
}

/// FCOS.
pub(super) fn cos(a: F80, env: &mut Env) -> F80 {
    part(a, env, true)
}

/// FPTAN, without the 1 that it pushes.
pub(super) fn tan(a: F80, env: &mut Env) -> F80 {
    if let Some(result) = special(a, env) {
        return result;
    }
    if a.class() == Class::Zero {
        return a;
    }
    let angle = reduce(a);
    let (sine, cosine) = sine_and_cosine(angle.rest);
    let odd = angle.quadrant & 1 != 0;
    let result = match odd {
        true => cosine.div(sine),
        // More than the angle, however little.
        false if angle.rest.exponent < -64 => angle.rest,
        false => sine.div(cosine),
    };
    result.round(odd ^ angle.negative ^ a.is_negative(), env)
}
