//! Conversions and rounding to integral values (SDM vol. 1, 10.4.4, 11.4.1.6, 12.8.5).

use iced_x86::{Code, Instruction};

use super::env::{Env, Rounding};
use super::format::{Double, Format, Single};
use super::integers::{from_integer, narrow, to_integer, to_integral, widen};
use super::lanewise::{packed, scalar, scalar_source, set_scalar};
use super::quick;
use crate::simd::lanes::{HalfLanes, Lanes, V};
use crate::simd::mmx;
use crate::simd::operands::destination;
use crate::{Cpu, Fault, Handler};

/// CVTSI2SD and CVTSI2SS.
#[inline(always)]
fn from_general<F: Format>(cpu: &mut Cpu, insn: &Instruction, bits: u32) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.operand(insn, 1)?;
    let value = if bits == 32 { i64::from(value as i32) } else { value as i64 };
    let magnitude = value.unsigned_abs();
    let used = 64 - (magnitude.leading_zeros() + magnitude.trailing_zeros()).min(64);
    if F::BITS == 64 && used <= 53 {
        set_scalar::<F>(cpu, insn, (value as f64).to_bits());
        return Ok(());
    }
    if F::BITS == 32 && used <= 24 {
        set_scalar::<F>(cpu, insn, (value as f32).to_bits().into());
        return Ok(());
    }
    let mut env = Env::new(cpu.mxcsr);
    let result = from_integer::<F>(value, &mut env);
    env.commit(cpu)?;
    set_scalar::<F>(cpu, insn, result);
    Ok(())
}

/// The way of rounding: MXCSR's, or always towards zero.
fn rounding(env: &Env, truncate: bool) -> Rounding {
    if truncate { Rounding::Zero } else { env.rounding }
}

/// CVTSD2SI, CVTTSD2SI and those of binary32.
#[inline(always)]
fn to_general<F: Format>(cpu: &mut Cpu, insn: &Instruction, bits: u32, truncate: bool) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let x = scalar_source::<F>(cpu, insn)?;
    if let Some([whole]) = quick::lanes(cpu, [x], |x| quick::to_integer::<F>(x, bits, truncate)) {
        cpu.set_register(insn.op0_register(), whole as u64);
        return Ok(());
    }
    let mut env = Env::new(cpu.mxcsr);
    let result = to_integer::<F>(x, bits, rounding(&env, truncate), &mut env);
    env.commit(cpu)?;
    cpu.set_register(insn.op0_register(), result);
    Ok(())
}

/// CVTSS2SD.
fn single_to_double(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let x = cpu.source32(insn)?;
    let result = if Single::is_plain(x.into()) {
        f64::from(f32::from_bits(x)).to_bits()
    } else {
        let mut env = Env::new(cpu.mxcsr);
        let result = widen(x.into(), &mut env);
        env.commit(cpu)?;
        result
    };
    set_scalar::<Double>(cpu, insn, result);
    Ok(())
}

/// CVTSD2SS.
fn double_to_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let x = cpu.source64(insn)?;
    let result = if let Some([result]) = quick::lanes(cpu, [x], quick::narrow) {
        result.into()
    } else {
        let mut env = Env::new(cpu.mxcsr);
        let result = narrow(x, &mut env);
        env.commit(cpu)?;
        result
    };
    set_scalar::<Single>(cpu, insn, result);
    Ok(())
}

/// A conversion of all of the source to all of the destination.
#[inline(always)]
fn whole<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    quick: impl FnOnce(&mut Cpu, A) -> Option<R>,
    f: impl FnOnce(A, &mut Env) -> R,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = cpu.source(insn)?;
    finish(cpu, insn, source, quick, f)
}

/// A conversion of the lower half of the source, or of 8 bytes of memory.
#[inline(always)]
fn lower<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    quick: impl FnOnce(&mut Cpu, A) -> Option<R>,
    f: impl FnOnce(A, &mut Env) -> R,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = [cpu.source64(insn)?, 0].pack();
    finish(cpu, insn, source, quick, f)
}

#[inline(always)]
fn finish<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    source: V,
    quick: impl FnOnce(&mut Cpu, A) -> Option<R>,
    f: impl FnOnce(A, &mut Env) -> R,
) -> Result<(), Fault> {
    if let Some(result) = quick(cpu, source.lanes()) {
        cpu.set_xmm(destination(insn), result.pack());
        return Ok(());
    }
    let mut env = Env::new(cpu.mxcsr);
    let result = f(source.lanes(), &mut env);
    env.commit(cpu)?;
    cpu.set_xmm(destination(insn), result.pack());
    Ok(())
}

/// CVTPS2DQ and CVTTPS2DQ.
fn singles_to_integers(cpu: &mut Cpu, insn: &Instruction, truncate: bool) -> Result<(), Fault> {
    let quick = |lane: u32| quick::to_integer::<Single>(lane.into(), 32, truncate);
    whole(
        cpu,
        insn,
        |cpu, x: [u32; 4]| quick::lanes(cpu, x, quick).map(|lanes| lanes.map(|lane| lane as u32)),
        |x, env| {
            let rounding = rounding(env, truncate);
            x.map(|lane| to_integer::<Single>(lane.into(), 32, rounding, env) as u32)
        },
    )
}

/// CVTPD2DQ and CVTTPD2DQ.
fn packed_doubles_to_integers(cpu: &mut Cpu, insn: &Instruction, truncate: bool) -> Result<(), Fault> {
    let quick = |lane: u64| quick::to_integer::<Double>(lane, 32, truncate);
    whole(
        cpu,
        insn,
        |cpu, x: [u64; 2]| quick::lanes(cpu, x, quick).map(|[a, b]| [a as u32, b as u32, 0, 0]),
        |x, env| {
            let [a, b] = doubles_to_integers(x, truncate, env);
            [a, b, 0, 0]
        },
    )
}

/// Binary64 lanes to 32-bit integers.
fn doubles_to_integers(x: [u64; 2], truncate: bool, env: &mut Env) -> [u32; 2] {
    let rounding = rounding(env, truncate);
    x.map(|lane| to_integer::<Double>(lane, 32, rounding, env) as u32)
}

/// Conversions of an XMM operand to integers in an MMX register.
fn to_mmx(cpu: &mut Cpu, insn: &Instruction, double: bool, truncate: bool) -> Result<(), Fault> {
    cpu.sse_ready()?;
    mmx::ready(cpu)?;
    let mut env = Env::new(cpu.mxcsr);
    let result = if double {
        let source = cpu.source(insn)?.lanes();
        doubles_to_integers(source, truncate, &mut env)
    } else {
        let low = <[u32; 2]>::of(cpu.source64(insn)?);
        let rounding = rounding(&env, truncate);
        low.map(|lane| to_integer::<Single>(lane.into(), 32, rounding, &mut env) as u32)
    };
    // Also if there is an exception.
    mmx::enter(cpu);
    env.commit(cpu)?;
    mmx::finish(cpu, insn, result.pack());
    Ok(())
}

/// CVTPI2PS and CVTPI2PD.
fn from_mmx(cpu: &mut Cpu, insn: &Instruction, double: bool) -> Result<(), Fault> {
    cpu.sse_ready()?;
    // With its operand in memory it leaves the x87 state alone.
    let uses_mmx = insn.op1_kind() == iced_x86::OpKind::Register;
    if uses_mmx {
        mmx::ready(cpu)?;
    }
    let source = <[i32; 2]>::of(mmx::source(cpu, insn)?);
    let mut env = Env::new(cpu.mxcsr);
    let to = destination(insn);
    let result = if double {
        source.map(|lane| from_integer::<Double>(lane.into(), &mut env)).pack()
    } else {
        let low = source.map(|lane| from_integer::<Single>(lane.into(), &mut env) as u32);
        cpu.get_xmm(to).with_low(low.pack())
    };
    if uses_mmx {
        // Also if there is an exception.
        mmx::enter(cpu);
    }
    env.commit(cpu)?;
    cpu.set_xmm(to, result);
    Ok(())
}

/// What the immediate of ROUNDSD and its like says: rounding, and whether to be silent about inexact results
/// (SDM vol. 2, ROUNDPD, table 4-18).
fn round_mode(insn: &Instruction, env: &Env) -> (Rounding, bool) {
    let immediate = u32::from(insn.immediate8());
    let rounding = if immediate & 4 != 0 { env.rounding } else { Rounding::from_bits(immediate) };
    (rounding, immediate & 8 != 0)
}

macro_rules! round {
    ($shape:ident, $format:ty) => {
        |cpu, insn| {
            $shape::<$format>(cpu, insn, |_, x, env| {
                let (rounding, silent) = round_mode(insn, env);
                to_integral::<$format>(x, rounding, silent, env)
            })
        }
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    scalars(code).or_else(|| vectors(code))
}

fn scalars(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Cvtsi2ss_xmm_rm32 => |cpu, insn| from_general::<Single>(cpu, insn, 32),
        Cvtsi2ss_xmm_rm64 => |cpu, insn| from_general::<Single>(cpu, insn, 64),
        Cvtsi2sd_xmm_rm32 => |cpu, insn| from_general::<Double>(cpu, insn, 32),
        Cvtsi2sd_xmm_rm64 => |cpu, insn| from_general::<Double>(cpu, insn, 64),
        Cvttss2si_r32_xmmm32 => |cpu, insn| to_general::<Single>(cpu, insn, 32, true),
        Cvttss2si_r64_xmmm32 => |cpu, insn| to_general::<Single>(cpu, insn, 64, true),
        Cvttsd2si_r32_xmmm64 => |cpu, insn| to_general::<Double>(cpu, insn, 32, true),
        Cvttsd2si_r64_xmmm64 => |cpu, insn| to_general::<Double>(cpu, insn, 64, true),
        Cvtss2si_r32_xmmm32 => |cpu, insn| to_general::<Single>(cpu, insn, 32, false),
        Cvtss2si_r64_xmmm32 => |cpu, insn| to_general::<Single>(cpu, insn, 64, false),
        Cvtsd2si_r32_xmmm64 => |cpu, insn| to_general::<Double>(cpu, insn, 32, false),
        Cvtsd2si_r64_xmmm64 => |cpu, insn| to_general::<Double>(cpu, insn, 64, false),
        Cvtss2sd_xmm_xmmm32 => single_to_double,
        Cvtsd2ss_xmm_xmmm64 => double_to_single,
        Roundss_xmm_xmmm32_imm8 => round!(scalar, Single),
        Roundsd_xmm_xmmm64_imm8 => round!(scalar, Double),
        _ => return None,
    })
}

fn vectors(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Roundps_xmm_xmmm128_imm8 => round!(packed, Single),
        Roundpd_xmm_xmmm128_imm8 => round!(packed, Double),
        Cvtps2pd_xmm_xmmm64 => |cpu, insn| {
            lower(
                cpu,
                insn,
                |cpu, x: [u32; 4]| quick::lanes(cpu, [x[0], x[1]], quick::widen),
                |x, env| [widen(x[0].into(), env), widen(x[1].into(), env)],
            )
        },
        Cvtpd2ps_xmm_xmmm128 => |cpu, insn| {
            whole(
                cpu,
                insn,
                |cpu, x: [u64; 2]| quick::lanes(cpu, x, quick::narrow).map(|[a, b]| [a, b, 0, 0]),
                |x, env| [narrow(x[0], env) as u32, narrow(x[1], env) as u32, 0, 0],
            )
        },
        Cvtdq2ps_xmm_xmmm128 => |cpu, insn| {
            whole(
                cpu,
                insn,
                |cpu, x: [i32; 4]| quick::lanes(cpu, x, quick::single_from_integer),
                |x, env| x.map(|lane| from_integer::<Single>(lane.into(), env) as u32),
            )
        },
        Cvtdq2pd_xmm_xmmm64 => |cpu, insn| {
            // Always exact.
            let convert = |x: [i32; 4]| [f64::from(x[0]).to_bits(), f64::from(x[1]).to_bits()];
            lower(cpu, insn, |_, x| Some(convert(x)), |x, _| convert(x))
        },
        Cvtps2dq_xmm_xmmm128 => |cpu, insn| singles_to_integers(cpu, insn, false),
        Cvttps2dq_xmm_xmmm128 => |cpu, insn| singles_to_integers(cpu, insn, true),
        Cvtpd2dq_xmm_xmmm128 => |cpu, insn| packed_doubles_to_integers(cpu, insn, false),
        Cvttpd2dq_xmm_xmmm128 => |cpu, insn| packed_doubles_to_integers(cpu, insn, true),
        Cvtpi2ps_xmm_mmm64 => |cpu, insn| from_mmx(cpu, insn, false),
        Cvtpi2pd_xmm_mmm64 => |cpu, insn| from_mmx(cpu, insn, true),
        Cvtps2pi_mm_xmmm64 => |cpu, insn| to_mmx(cpu, insn, false, false),
        Cvttps2pi_mm_xmmm64 => |cpu, insn| to_mmx(cpu, insn, false, true),
        Cvtpd2pi_mm_xmmm128 => |cpu, insn| to_mmx(cpu, insn, true, false),
        Cvttpd2pi_mm_xmmm128 => |cpu, insn| to_mmx(cpu, insn, true, true),
        _ => return None,
    })
}
