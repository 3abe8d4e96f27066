//! The target's own arithmetic, where it gives what silicon gives and no exception is missed.
//!
//! It is used when rounding is to nearest and operands and result are *plain*: neither NaN, infinite, denormal nor
//! close to it. Then the only exception possible is that of an inexact result, which is looked for only
//! as long as its flag is not set yet. Zeros are admitted where the result cannot be tiny.

use super::env::{Env, PRECISION, is_plain};
use super::format::{Double, Format, Single};
use super::soft;
use crate::simd::lanes::{lane, zip};
use crate::{Cpu, Fault};

/// An operation on two operands.
pub(crate) trait Operation {
    /// Exactly, in every mode.
    fn soft<F: Format>(a: u64, b: u64, env: &mut Env) -> u64;
    fn single(a: f32, b: f32) -> f32;
    fn double(a: f64, b: f64) -> f64;
    /// Whether the plain result `r` is not exact.
    fn is_inexact_single(a: f32, b: f32, r: f32) -> bool;
    fn is_inexact_double(a: f64, b: f64, r: f64) -> bool;
    /// Whether a zero as result is exact for operands that are plain or zero, given whether one of them is zero.
    fn is_zero_exact(zero_operand: bool) -> bool;
    /// Whether a zero as second operand is an exception.
    const ZERO_IS_SPECIAL: bool = false;
}

/// Addition.
pub(crate) struct Add;
/// Subtraction.
pub(crate) struct Sub;
/// Multiplication.
pub(crate) struct Mul;
/// Division.
pub(crate) struct Div;

macro_rules! sum_is_inexact {
    ($name:ident, $type:ty) => {
        /// Whether `r`, the rounded sum, is not the sum: Knuth's two-sum.
        #[inline(always)]
        fn $name(a: $type, b: $type, r: $type) -> bool {
            let virtual_b = r - a;
            (a - (r - virtual_b)) + (b - virtual_b) != 0.0
        }
    };
}
sum_is_inexact!(sum_is_inexact_single, f32);
sum_is_inexact!(sum_is_inexact_double, f64);

/// Whether the rounded product of `a` and `b` is not their product: whether that needs more than 53 bits.
#[inline(always)]
fn product_is_inexact(a: f64, b: f64, r: f64) -> bool {
    const IMPLICIT: u64 = 1 << Double::FRACTION;
    let (a, b, r) = (a.to_bits(), b.to_bits(), r.to_bits());
    if Double::is_zero(r) {
        return false;
    }
    let exponent = |x: u64| (x >> Double::FRACTION) as u32 & 0x7FF;
    let zeros = |x: u64| (x | IMPLICIT).trailing_zeros();
    // The product of the significands has 105 bits, or 106 if that made the exponent larger.
    let carry = exponent(r).wrapping_sub(exponent(a)).wrapping_sub(exponent(b)).wrapping_add(1023);
    105u32.wrapping_add(carry).wrapping_sub(zeros(a) + zeros(b)) > 53
}

impl Operation for Add {
    fn soft<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
        soft::add::<F>(a, b, env)
    }
    #[inline(always)]
    fn single(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn double(a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn is_inexact_single(a: f32, b: f32, r: f32) -> bool {
        sum_is_inexact_single(a, b, r)
    }
    #[inline(always)]
    fn is_inexact_double(a: f64, b: f64, r: f64) -> bool {
        sum_is_inexact_double(a, b, r)
    }
    #[inline(always)]
    fn is_zero_exact(_: bool) -> bool {
        true
    }
}

impl Operation for Sub {
    fn soft<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
        soft::sub::<F>(a, b, env)
    }
    #[inline(always)]
    fn single(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn double(a: f64, b: f64) -> f64 {
        a - b
    }
    #[inline(always)]
    fn is_inexact_single(a: f32, b: f32, r: f32) -> bool {
        sum_is_inexact_single(a, -b, r)
    }
    #[inline(always)]
    fn is_inexact_double(a: f64, b: f64, r: f64) -> bool {
        sum_is_inexact_double(a, -b, r)
    }
    #[inline(always)]
    fn is_zero_exact(_: bool) -> bool {
        true
    }
}

impl Operation for Mul {
    fn soft<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
        soft::mul::<F>(a, b, env)
    }
    #[inline(always)]
    fn single(a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn double(a: f64, b: f64) -> f64 {
        a * b
    }
    #[inline(always)]
    fn is_inexact_single(a: f32, b: f32, r: f32) -> bool {
        f64::from(a) * f64::from(b) != f64::from(r)
    }
    #[inline(always)]
    fn is_inexact_double(a: f64, b: f64, r: f64) -> bool {
        product_is_inexact(a, b, r)
    }
    #[inline(always)]
    fn is_zero_exact(zero_operand: bool) -> bool {
        zero_operand
    }
}

impl Operation for Div {
    fn soft<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
        soft::div::<F>(a, b, env)
    }
    #[inline(always)]
    fn single(a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn double(a: f64, b: f64) -> f64 {
        a / b
    }
    #[inline(always)]
    fn is_inexact_single(a: f32, b: f32, r: f32) -> bool {
        f64::from(r) * f64::from(b) != f64::from(a)
    }
    #[inline(always)]
    fn is_inexact_double(a: f64, b: f64, r: f64) -> bool {
        // Exact if the product of quotient and divisor is the dividend, without rounding.
        r * b != a || product_is_inexact(r, b, a)
    }
    #[inline(always)]
    fn is_zero_exact(zero_operand: bool) -> bool {
        zero_operand
    }
    const ZERO_IS_SPECIAL: bool = true;
}

/// Whether the operands and result are such that nothing but inexactness can have happened.
#[inline(always)]
fn is_ordinary<O: Operation, F: Format>(a: u64, b: u64, r: u64) -> bool {
    if F::is_plain(a) && F::is_plain(b) && F::is_plain(r) {
        return true;
    }
    let (zero_a, zero_b) = (F::is_zero(a), F::is_zero(b));
    (zero_a || F::is_plain(a))
        && (F::is_plain(b) || (zero_b && !O::ZERO_IS_SPECIAL))
        && (F::is_plain(r) || (F::is_zero(r) && O::is_zero_exact(zero_a || zero_b)))
}

/// A scalar binary64 operation with all its exceptions.
#[inline(always)]
pub(crate) fn double<O: Operation>(cpu: &mut Cpu, a: u64, b: u64) -> Result<u64, Fault> {
    if is_plain(cpu.mxcsr) {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let r = O::double(x, y);
        if is_ordinary::<O, Double>(a, b, r.to_bits()) {
            if cpu.mxcsr & PRECISION == 0 && O::is_inexact_double(x, y, r) {
                cpu.mxcsr |= PRECISION;
            }
            return Ok(r.to_bits());
        }
    }
    slowly::<O, Double>(cpu, a, b)
}

/// A scalar binary32 operation with all its exceptions.
#[inline(always)]
pub(crate) fn single<O: Operation>(cpu: &mut Cpu, a: u32, b: u32) -> Result<u32, Fault> {
    if is_plain(cpu.mxcsr) {
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        let r = O::single(x, y);
        if is_ordinary::<O, Single>(a.into(), b.into(), r.to_bits().into()) {
            if cpu.mxcsr & PRECISION == 0 && O::is_inexact_single(x, y, r) {
                cpu.mxcsr |= PRECISION;
            }
            return Ok(r.to_bits());
        }
    }
    slowly::<O, Single>(cpu, a.into(), b.into()).map(|r| r as u32)
}

#[inline(never)]
fn slowly<O: Operation, F: Format>(cpu: &mut Cpu, a: u64, b: u64) -> Result<u64, Fault> {
    let mut env = Env::new(cpu.mxcsr);
    let result = O::soft::<F>(a, b, &mut env);
    env.commit(cpu)?;
    Ok(result)
}

/// A packed binary64 operation.
#[inline(always)]
pub(crate) fn doubles<O: Operation>(cpu: &mut Cpu, a: [u64; 2], b: [u64; 2]) -> Result<[u64; 2], Fault> {
    if is_plain(cpu.mxcsr) {
        let r = zip(a, b, |a, b| O::double(f64::from_bits(a), f64::from_bits(b)).to_bits());
        let ([a0, a1], [b0, b1], [r0, r1]) = (a, b, r);
        if is_ordinary::<O, Double>(a0, b0, r0) && is_ordinary::<O, Double>(a1, b1, r1) {
            let inexact =
                |a, b, r| O::is_inexact_double(f64::from_bits(a), f64::from_bits(b), f64::from_bits(r));
            if cpu.mxcsr & PRECISION == 0 && (inexact(a0, b0, r0) || inexact(a1, b1, r1)) {
                cpu.mxcsr |= PRECISION;
            }
            return Ok(r);
        }
    }
    let mut env = Env::new(cpu.mxcsr);
    let result = zip(a, b, |a, b| O::soft::<Double>(a, b, &mut env));
    env.commit(cpu)?;
    Ok(result)
}

/// A packed binary32 operation.
#[inline(always)]
pub(crate) fn singles<O: Operation>(cpu: &mut Cpu, a: [u32; 4], b: [u32; 4]) -> Result<[u32; 4], Fault> {
    if is_plain(cpu.mxcsr) {
        let r = zip(a, b, |a, b| O::single(f32::from_bits(a), f32::from_bits(b)).to_bits());
        let exact = |i: usize| {
            let number = |lanes: &[u32; 4]| f32::from_bits(lane(lanes, i));
            !O::is_inexact_single(number(&a), number(&b), number(&r))
        };
        let wide = |lanes: &[u32; 4], i| u64::from(lane(lanes, i));
        if (0..4).all(|i| is_ordinary::<O, Single>(wide(&a, i), wide(&b, i), wide(&r, i))) {
            if cpu.mxcsr & PRECISION == 0 && !(0..4).all(exact) {
                cpu.mxcsr |= PRECISION;
            }
            return Ok(r);
        }
    }
    let mut env = Env::new(cpu.mxcsr);
    let result = zip(a, b, |a, b| O::soft::<Single>(a.into(), b.into(), &mut env) as u32);
    env.commit(cpu)?;
    Ok(result)
}
