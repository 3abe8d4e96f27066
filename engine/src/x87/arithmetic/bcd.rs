//! Packed decimal integers of 18 digits (SDM vol. 1, 4.7).

use super::super::env::{Env, INVALID, PRECISION};
use super::super::f80::F80;
use super::convert::{from_integer, magnitude};

/// What invalid operations store.
const INDEFINITE: u128 = 0xFFFF_C000_0000_0000_0000;
/// One more than the largest.
const LIMIT: u64 = 1_000_000_000_000_000_000;

/// FBLD: digits above 9 count as what they are.
pub(crate) fn from_bcd(bits: u128) -> F80 {
    let value = (0..18).rev().fold(0u64, |value, digit| {
        value.wrapping_mul(10).wrapping_add((bits >> (4 * digit)) as u64 & 15)
    });
    let number = from_integer(value as i64);
    if bits >> 79 & 1 != 0 { number.negated() } else { number }
}

/// FBSTP.
pub(crate) fn to_bcd(a: F80, env: &mut Env) -> u128 {
    let Some((mut value, inexact, up)) = magnitude(a, env.rounding).filter(|(value, ..)| *value < LIMIT) else {
        env.before |= INVALID;
        return INDEFINITE;
    };
    if inexact {
        env.after |= PRECISION;
        env.rounded_up = up;
    }
    let mut bits = u128::from(a.is_negative()) << 79;
    for digit in 0..18 {
        bits |= u128::from(value % 10) << (4 * digit);
        value /= 10;
    }
    bits
}
