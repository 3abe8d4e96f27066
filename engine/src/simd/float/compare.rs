//! Comparisons, minimum and maximum.

use iced_x86::{Code, Instruction};

use super::env::{Env, INVALID};
use super::format::{Double, Format, Single, flushed, note_denormal};
use super::lanewise::{packed, scalar};
use crate::flags::{FlagsFrom, LazyFlags};
use crate::simd::operands::destination;
use crate::{Cpu, Fault, Handler, flag};

/// How two numbers relate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    Equal,
    Greater,
    Unordered,
}

/// Compares, with DAZ and the denormal flag, but without a look at NaNs' flags.
fn order<F: Format>(a: u64, b: u64, env: &mut Env) -> Order {
    if F::is_nan(a) || F::is_nan(b) {
        return Order::Unordered;
    }
    let (a, b) = (flushed::<F>(a, env), flushed::<F>(b, env));
    note_denormal::<F>(a, env);
    note_denormal::<F>(b, env);
    // As integers in the same order; both zeros are 0.
    let key = |x: u64| {
        let magnitude = F::magnitude(x) as i64;
        if F::is_negative(x) { magnitude.wrapping_neg() } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        std::cmp::Ordering::Less => Order::Less,
        std::cmp::Ordering::Equal => Order::Equal,
        std::cmp::Ordering::Greater => Order::Greater,
    }
}

/// Tells of NaNs: all of them in a signaling comparison, else only signaling ones.
fn note_nans<F: Format>(a: u64, b: u64, signaling: bool, env: &mut Env) {
    let bad = |x: u64| if signaling { F::is_nan(x) } else { F::is_signaling(x) };
    if bad(a) || bad(b) {
        env.raise_before(INVALID);
    }
}

/// CMPPS and its like: all ones or zero (SDM vol. 2, CMPPD, table 3-1).
pub(super) fn compare<F: Format>(a: u64, b: u64, predicate: u8, env: &mut Env) -> u64 {
    note_nans::<F>(a, b, matches!(predicate & 3, 1 | 2), env);
    let order = order::<F>(a, b, env);
    let holds = match predicate & 3 {
        0 => order == Order::Equal,
        1 => order == Order::Less,
        2 => matches!(order, Order::Less | Order::Equal),
        _ => order == Order::Unordered,
    };
    if holds != (predicate & 4 != 0) { F::SIGN | (F::SIGN - 1) } else { 0 }
}

/// MIN and MAX: the second operand if one is a NaN or both are zeros.
pub(super) fn extremum<F: Format>(a: u64, b: u64, maximum: bool, env: &mut Env) -> u64 {
    note_nans::<F>(a, b, true, env);
    let wanted = if maximum { Order::Greater } else { Order::Less };
    let first = order::<F>(a, b, env) == wanted;
    flushed::<F>(if first { a } else { b }, env)
}

/// COMIS and UCOMIS: ZF, PF and CF.
fn flags<F: Format>(cpu: &mut Cpu, a: u64, b: u64, signaling: bool) -> Result<(), Fault> {
    let mut env = Env::new(cpu.mxcsr);
    note_nans::<F>(a, b, signaling, &mut env);
    let order = order::<F>(a, b, &mut env);
    env.commit(cpu)?;
    let value = match order {
        Order::Unordered => flag::ZF | flag::PF | flag::CF,
        Order::Greater => 0,
        Order::Less => flag::CF,
        Order::Equal => flag::ZF,
    };
    set_flags(cpu, value);
    Ok(())
}

/// Sets all status flags.
#[inline(always)]
fn set_flags(cpu: &mut Cpu, value: u32) {
    cpu.lazy = LazyFlags { from: FlagsFrom::Bits, a: value.into(), b: 0, result: 0 };
}

/// EFLAGS of a comparison of two numbers that are plain or zero.
#[inline(always)]
fn ordinary_flags(cpu: &mut Cpu, less: bool, equal: bool) {
    let less = if less { flag::CF } else { 0 };
    set_flags(cpu, less | if equal { flag::ZF } else { 0 });
}

/// COMISD and UCOMISD.
#[inline(always)]
pub(crate) fn flags_double(cpu: &mut Cpu, a: u64, b: u64, signaling: bool) -> Result<(), Fault> {
    let simple = |x: u64| Double::is_plain(x) || Double::is_zero(x);
    if simple(a) && simple(b) {
        let (a, b) = (f64::from_bits(a), f64::from_bits(b));
        ordinary_flags(cpu, a < b, a == b);
        return Ok(());
    }
    flags::<Double>(cpu, a, b, signaling)
}

/// COMISS and UCOMISS.
#[inline(always)]
pub(crate) fn flags_single(cpu: &mut Cpu, a: u32, b: u32, signaling: bool) -> Result<(), Fault> {
    let simple = |x: u32| Single::is_plain(x.into()) || Single::is_zero(x.into());
    if simple(a) && simple(b) {
        let (a, b) = (f32::from_bits(a), f32::from_bits(b));
        ordinary_flags(cpu, a < b, a == b);
        return Ok(());
    }
    flags::<Single>(cpu, a.into(), b.into(), signaling)
}

fn doubles(cpu: &mut Cpu, insn: &Instruction, signaling: bool) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source64(insn)?;
    let a = cpu.get_xmm(destination(insn)).low();
    flags_double(cpu, a, b, signaling)
}

fn singles(cpu: &mut Cpu, insn: &Instruction, signaling: bool) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source32(insn)?;
    let a = cpu.get_xmm(destination(insn)).low32();
    flags_single(cpu, a, b, signaling)
}

macro_rules! extrema {
    ($shape:ident, $format:ty, $maximum:literal) => {
        |cpu, insn| $shape::<$format>(cpu, insn, |a, b, env| extremum::<$format>(a, b, $maximum, env))
    };
}

macro_rules! comparison {
    ($shape:ident, $format:ty) => {
        |cpu, insn| {
            let predicate = insn.immediate8();
            $shape::<$format>(cpu, insn, |a, b, env| compare::<$format>(a, b, predicate, env))
        }
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Ucomisd_xmm_xmmm64 => |cpu, insn| doubles(cpu, insn, false),
        Comisd_xmm_xmmm64 => |cpu, insn| doubles(cpu, insn, true),
        Ucomiss_xmm_xmmm32 => |cpu, insn| singles(cpu, insn, false),
        Comiss_xmm_xmmm32 => |cpu, insn| singles(cpu, insn, true),
        Minps_xmm_xmmm128 => extrema!(packed, Single, false),
        Minpd_xmm_xmmm128 => extrema!(packed, Double, false),
        Minss_xmm_xmmm32 => extrema!(scalar, Single, false),
        Minsd_xmm_xmmm64 => extrema!(scalar, Double, false),
        Maxps_xmm_xmmm128 => extrema!(packed, Single, true),
        Maxpd_xmm_xmmm128 => extrema!(packed, Double, true),
        Maxss_xmm_xmmm32 => extrema!(scalar, Single, true),
        Maxsd_xmm_xmmm64 => extrema!(scalar, Double, true),
        Cmpps_xmm_xmmm128_imm8 => comparison!(packed, Single),
        Cmppd_xmm_xmmm128_imm8 => comparison!(packed, Double),
        Cmpss_xmm_xmmm32_imm8 => comparison!(scalar, Single),
        Cmpsd_xmm_xmmm64_imm8 => comparison!(scalar, Double),
        _ => return None,
    })
}
