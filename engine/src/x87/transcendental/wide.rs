//! Numbers of 128 bits, for what is rounded to 64 in the end.

use super::super::arithmetic::{divide_wide, round};
use super::super::env::Env;
use super::super::f80::{BIAS, F80};

/// 1 with 127 bits behind the point.
pub(super) const ONE: u128 = 1 << 127;

/// A positive number: `mantissa` * 2^(`exponent` - 127), the mantissa's highest bit set. Relative errors of operations
/// are below 2^-122.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide {
    pub(super) exponent: i32,
    pub(super) mantissa: u128,
}

/// The upper half of a product.
#[inline]
pub(super) fn mul_high(a: u128, b: u128) -> u128 {
    let halves = |x: u128| (u128::from((x >> 64) as u64), u128::from(x as u64));
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let middle = (a1 * b0).wrapping_add((a0 * b0) >> 64);
    let (middle, carry) = middle.overflowing_add(a0 * b1);
    (a1 * b1).wrapping_add(middle >> 64).wrapping_add(u128::from(carry) << 64)
}

impl Wide {
    /// From any mantissa but 0.
    pub(super) fn new(exponent: i32, mantissa: u128) -> Self {
        let shift = mantissa.leading_zeros();
        Self { exponent: exponent.wrapping_sub(shift as i32), mantissa: mantissa.wrapping_shl(shift) }
    }

    /// The magnitude of a finite number that is not 0.
    pub(super) fn of(a: F80) -> Self {
        let (exponent, significand) = a.unpack();
        Self { exponent: exponent - BIAS, mantissa: u128::from(significand) << 64 }
    }

    pub(super) fn mul(self, other: Self) -> Self {
        Self::new(self.exponent + other.exponent + 1, mul_high(self.mantissa, other.mantissa))
    }

    pub(super) fn div(self, other: Self) -> Self {
        // 2^255 / mantissa: 62 bits by division, the rest by a step of Newton's.
        let high = (other.mantissa >> 64) as u64;
        let estimate = u128::from(divide_wide(u64::MAX >> 1, u64::MAX, high).0) << 64;
        let product = mul_high(other.mantissa, estimate);
        let inverse = if product <= ONE {
            estimate.saturating_add(mul_high(estimate, ONE.wrapping_sub(product)) << 1)
        } else {
            estimate.wrapping_sub(mul_high(estimate, product.wrapping_sub(ONE)) << 1)
        };
        Self::new(self.exponent - other.exponent, mul_high(self.mantissa, inverse))
    }

    /// With `bits` (at most 128) bits behind the point; must fit.
    pub(super) fn fixed(self, bits: u32) -> u128 {
        let shift = 127i32.wrapping_sub(self.exponent).wrapping_sub(bits as i32);
        match shift {
            ..0 => self.mantissa.wrapping_shl(shift.unsigned_abs()),
            0..128 => self.mantissa >> shift,
            _ => 0,
        }
    }

    /// Rounds a number that no 64 bits can hold.
    pub(super) fn round(self, negative: bool, env: &mut Env) -> F80 {
        round(negative, self.exponent + BIAS, self.mantissa | 1, env)
    }
}

/// The sum of `coefficients[k]` * z^k, or with alternating signs. Coefficients have 127 bits behind the point, `z`
/// has 128; so has each sum to be below 2.
pub(super) fn series(coefficients: &[u128], z: u128, alternating: bool) -> u128 {
    coefficients.iter().rev().fold(0, |sum, coefficient| {
        let rest = mul_high(sum, z);
        if alternating { coefficient.wrapping_sub(rest) } else { coefficient.wrapping_add(rest) }
    })
}

/// 1 / (2k + 1).
#[allow(clippy::indexing_slicing, reason = "it is the compiler that computes and checks it")]
pub(super) const fn odd_reciprocals<const N: usize>() -> [u128; N] {
    let mut table = [0; N];
    let mut k = 0;
    while k < N {
        table[k] = ONE / (2 * k as u128 + 1);
        k += 1;
    }
    table
}

/// 1 / (`step` * k + `first`)!
#[allow(clippy::indexing_slicing, reason = "it is the compiler that computes and checks it")]
pub(super) const fn factorial_reciprocals<const N: usize>(step: u128, first: u128) -> [u128; N] {
    let mut table = [0; N];
    let (mut k, mut value, mut factor) = (0, ONE, 1);
    while k < N {
        while factor <= step * k as u128 + first {
            value /= factor;
            factor += 1;
        }
        table[k] = value;
        k += 1;
    }
    table
}
