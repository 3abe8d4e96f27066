//! Conversions by the target's own, for operands that can have no exception but an inexact result.

use super::env::{PRECISION, is_plain};
use super::format::{Double, Format, Single};
use crate::Cpu;

/// A lane's result, and whether it is inexact.
type Quick<R> = Option<(R, bool)>;

/// All lanes; `None` if the exact way has to be taken.
#[inline(always)]
pub(super) fn lanes<T: Copy, R: Copy + Default, const N: usize>(
    cpu: &mut Cpu,
    lanes: [T; N],
    f: impl Fn(T) -> Quick<R>,
) -> Option<[R; N]> {
    if !is_plain(cpu.mxcsr) {
        return None;
    }
    let mut results = [R::default(); N];
    let mut any = false;
    for (result, lane) in results.iter_mut().zip(lanes) {
        let (value, inexact) = f(lane)?;
        *result = value;
        any |= inexact;
    }
    if any {
        cpu.mxcsr |= PRECISION;
    }
    Some(results)
}

/// To a signed integer of 32 or 64 bits.
#[inline(always)]
pub(super) fn to_integer<F: Format>(x: u64, bits: u32, truncate: bool) -> Quick<i64> {
    if !F::is_plain(x) && !F::is_zero(x) {
        return None;
    }
    let number = if F::BITS == 64 { f64::from_bits(x) } else { f64::from(f32::from_bits(x as u32)) };
    let whole = if truncate { number.trunc() } else { number.round_ties_even() };
    let limit = if bits == 32 { 2_147_483_648.0 } else { 9_223_372_036_854_775_808.0 };
    (-limit..limit).contains(&whole).then_some((whole as i64, whole != number))
}

/// Binary64 to binary32.
#[inline(always)]
pub(super) fn narrow(x: u64) -> Quick<u32> {
    let wide = f64::from_bits(x);
    let result = wide as f32;
    let bits = result.to_bits();
    if Double::is_zero(x) || (Double::is_plain(x) && Single::is_plain(bits.into())) {
        return Some((bits, f64::from(result) != wide));
    }
    None
}

/// Binary32 to binary64.
#[inline(always)]
pub(super) fn widen(x: u32) -> Quick<u64> {
    let simple = Single::is_plain(x.into()) || Single::is_zero(x.into());
    simple.then(|| (f64::from(f32::from_bits(x)).to_bits(), false))
}

/// A 32-bit integer to binary32.
#[inline(always)]
pub(super) fn single_from_integer(x: i32) -> Quick<u32> {
    let result = x as f32;
    Some((result.to_bits(), f64::from(result) != f64::from(x)))
}
