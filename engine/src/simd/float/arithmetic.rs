//! Addition, subtraction, multiplication, division, square root; horizontal forms and dot products.

use iced_x86::{Code, Instruction};

use super::env::{Env, PRECISION, is_plain};
use super::fast::{self, Add, Div, Mul, Operation, Sub};
use super::format::{Double, Format, Single};
use super::lanewise::{packed, scalar, set_scalar};
use super::soft;
use crate::simd::lanes::{Lanes, lane};
use crate::simd::operands::destination;
use crate::{Cpu, Fault, Handler};

/// ADDSD and its like.
#[inline(always)]
fn scalar_double<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source64(insn)?;
    let to = destination(insn);
    let old = cpu.get_xmm(to);
    let result = fast::double::<O>(cpu, old.low(), b)?;
    cpu.set_xmm(to, old.with_low(result));
    Ok(())
}

#[inline(always)]
fn scalar_single<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source32(insn)?;
    let to = destination(insn);
    let old = cpu.get_xmm(to);
    let result = fast::single::<O>(cpu, old.low32(), b)?;
    cpu.set_xmm(to, old.with_low32(result));
    Ok(())
}

#[inline(always)]
fn packed_double<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a = cpu.get_xmm(to).lanes();
    let result = fast::doubles::<O>(cpu, a, b)?;
    cpu.set_xmm(to, result.pack());
    Ok(())
}

#[inline(always)]
fn packed_single<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a = cpu.get_xmm(to).lanes();
    let result = fast::singles::<O>(cpu, a, b)?;
    cpu.set_xmm(to, result.pack());
    Ok(())
}

/// SQRTSD.
fn sqrt_double(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let x = cpu.source64(insn)?;
    if is_plain(cpu.mxcsr) && Double::is_plain(x) && !Double::is_negative(x) {
        let root = f64::from_bits(x).sqrt();
        if cpu.mxcsr & PRECISION == 0 && Div::is_inexact_double(f64::from_bits(x), root, root) {
            cpu.mxcsr |= PRECISION;
        }
        set_scalar::<Double>(cpu, insn, root.to_bits());
        return Ok(());
    }
    scalar::<Double>(cpu, insn, |_, x, env| soft::sqrt::<Double>(x, env))
}

/// SQRTSS.
fn sqrt_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let x = cpu.source32(insn)?;
    if is_plain(cpu.mxcsr) && Single::is_plain(x.into()) && !Single::is_negative(x.into()) {
        let root = f32::from_bits(x).sqrt();
        if cpu.mxcsr & PRECISION == 0 && Div::is_inexact_single(f32::from_bits(x), root, root) {
            cpu.mxcsr |= PRECISION;
        }
        set_scalar::<Single>(cpu, insn, root.to_bits().into());
        return Ok(());
    }
    scalar::<Single>(cpu, insn, |_, x, env| soft::sqrt::<Single>(x, env))
}

macro_rules! operations {
    ($code:expr; $($op:ident $ps:ident $pd:ident $ss:ident $sd:ident;)*) => {
        match $code {
            $(
                Code::$ps => Some(packed_single::<$op>),
                Code::$pd => Some(packed_double::<$op>),
                Code::$ss => Some(scalar_single::<$op>),
                Code::$sd => Some(scalar_double::<$op>),
            )*
            _ => None,
        }
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    basic(code).or_else(|| other(code))
}

fn basic(code: Code) -> Option<Handler> {
    operations! { code;
        Add Addps_xmm_xmmm128 Addpd_xmm_xmmm128 Addss_xmm_xmmm32 Addsd_xmm_xmmm64;
        Sub Subps_xmm_xmmm128 Subpd_xmm_xmmm128 Subss_xmm_xmmm32 Subsd_xmm_xmmm64;
        Mul Mulps_xmm_xmmm128 Mulpd_xmm_xmmm128 Mulss_xmm_xmmm32 Mulsd_xmm_xmmm64;
        Div Divps_xmm_xmmm128 Divpd_xmm_xmmm128 Divss_xmm_xmmm32 Divsd_xmm_xmmm64;
    }
}

fn other(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Sqrtsd_xmm_xmmm64 => sqrt_double,
        Sqrtss_xmm_xmmm32 => sqrt_single,
        Sqrtpd_xmm_xmmm128 => {
            |cpu, insn| packed::<Double>(cpu, insn, |_, x, env| soft::sqrt::<Double>(x, env))
        }
        Sqrtps_xmm_xmmm128 => {
            |cpu, insn| packed::<Single>(cpu, insn, |_, x, env| soft::sqrt::<Single>(x, env))
        }
        Addsubps_xmm_xmmm128 => |cpu, insn| alternating::<Single>(cpu, insn),
        Addsubpd_xmm_xmmm128 => |cpu, insn| alternating::<Double>(cpu, insn),
        Haddps_xmm_xmmm128 => horizontal_single::<Add>,
        Hsubps_xmm_xmmm128 => horizontal_single::<Sub>,
        Haddpd_xmm_xmmm128 => horizontal_double::<Add>,
        Hsubpd_xmm_xmmm128 => horizontal_double::<Sub>,
        Dpps_xmm_xmmm128_imm8 => dot_single,
        Dppd_xmm_xmmm128_imm8 => dot_double,
        _ => return None,
    })
}

/// ADDSUBPS and ADDSUBPD: even lanes are subtracted.
fn alternating<F: Format>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let mut odd = false;
    packed::<F>(cpu, insn, |a, b, env| {
        let result = if odd { soft::add::<F>(a, b, env) } else { soft::sub::<F>(a, b, env) };
        odd = !odd;
        result
    })
}

fn horizontal_single<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b: [u32; 4] = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a: [u32; 4] = cpu.get_xmm(to).lanes();
    let result = fast::singles::<O>(cpu, [a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])?;
    cpu.set_xmm(to, result.pack());
    Ok(())
}

fn horizontal_double<O: Operation>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let b: [u64; 2] = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a: [u64; 2] = cpu.get_xmm(to).lanes();
    let result = fast::doubles::<O>(cpu, [a[0], b[0]], [a[1], b[1]])?;
    cpu.set_xmm(to, result.pack());
    Ok(())
}

/// DPPS: products chosen by the upper half of the immediate, their sum into lanes chosen by the lower one. Each step
/// has its exceptions: products, sums of pairs, their sum (SDM vol. 2, DPPS).
fn dot_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let immediate = insn.immediate8();
    let b: [u32; 4] = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a: [u32; 4] = cpu.get_xmm(to).lanes();
    let mut env = Env::new(cpu.mxcsr);
    let products: [u64; 4] = std::array::from_fn(|i| {
        let chosen = immediate >> (4 + i) & 1 != 0;
        if chosen { soft::mul::<Single>(lane(&a, i).into(), lane(&b, i).into(), &mut env) } else { 0 }
    });
    env.commit(cpu)?;
    let mut env = Env::new(cpu.mxcsr);
    let low = soft::add::<Single>(products[0], products[1], &mut env);
    let high = soft::add::<Single>(products[2], products[3], &mut env);
    env.commit(cpu)?;
    let mut env = Env::new(cpu.mxcsr);
    let sum = soft::add::<Single>(low, high, &mut env);
    env.commit(cpu)?;
    let result: [u32; 4] = std::array::from_fn(|i| if immediate >> i & 1 != 0 { sum as u32 } else { 0 });
    cpu.set_xmm(to, result.pack());
    Ok(())
}

/// DPPD.
fn dot_double(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let immediate = insn.immediate8();
    let b: [u64; 2] = cpu.source(insn)?.lanes();
    let to = destination(insn);
    let a: [u64; 2] = cpu.get_xmm(to).lanes();
    let mut env = Env::new(cpu.mxcsr);
    let products: [u64; 2] = std::array::from_fn(|i| {
        let chosen = immediate >> (4 + i) & 1 != 0;
        if chosen { soft::mul::<Double>(lane(&a, i), lane(&b, i), &mut env) } else { 0 }
    });
    env.commit(cpu)?;
    let mut env = Env::new(cpu.mxcsr);
    let sum = soft::add::<Double>(products[0], products[1], &mut env);
    env.commit(cpu)?;
    let result: [u64; 2] = std::array::from_fn(|i| if immediate >> i & 1 != 0 { sum } else { 0 });
    cpu.set_xmm(to, result.pack());
    Ok(())
}
