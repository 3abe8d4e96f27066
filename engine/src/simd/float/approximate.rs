//! RCPPS, RSQRTPS and their scalar forms.
//!
//! The manual gives a bound of the relative error, 1.5 * 2^-12, and every processor has values of its own. Here
//! they are the correctly rounded result of 13 bits of the correctly rounded quotient or root, an error of at most 2^-13:
//! the same on every host. No exceptions; denormal operands are zeros, denormal results too.

use iced_x86::{Code, Instruction};

use super::format::{Format, Single};
use crate::simd::lanes::Lanes;
use crate::simd::operands::destination;
use crate::{Cpu, Fault, Handler};

/// Rounds to 12 bits of fraction; the carry may go into the exponent. Tiny results are zeros.
fn shortened(x: f64) -> u32 {
    const CUT: u32 = 11;
    let bits = (x as f32).to_bits();
    if Single::is_denormal(bits.into()) {
        return bits & 0x8000_0000;
    }
    let odd = bits >> CUT & 1;
    (bits + (1 << (CUT - 1)) - 1 + odd) & !((1 << CUT) - 1)
}

/// 1 / x.
fn reciprocal(x: u32) -> u32 {
    let wide = u64::from(x);
    let sign = x & 0x8000_0000;
    if Single::is_nan(wide) {
        return x | Single::QUIET as u32;
    }
    if Single::is_infinite(wide) {
        return sign;
    }
    if Single::is_zero(wide) || Single::is_denormal(wide) {
        return sign | Single::INFINITY as u32;
    }
    shortened(1.0 / f64::from(f32::from_bits(x)))
}

/// 1 / sqrt(x).
fn reciprocal_root(x: u32) -> u32 {
    let wide = u64::from(x);
    let sign = x & 0x8000_0000;
    if Single::is_nan(wide) {
        return x | Single::QUIET as u32;
    }
    if Single::is_zero(wide) || Single::is_denormal(wide) {
        return sign | Single::INFINITY as u32;
    }
    if sign != 0 {
        return Single::INDEFINITE as u32;
    }
    if Single::is_infinite(wide) {
        return 0;
    }
    shortened(1.0 / f64::from(f32::from_bits(x)).sqrt())
}

#[inline(always)]
fn scalar(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u32) -> u32) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let result = f(cpu.source32(insn)?);
    let to = destination(insn);
    let value = cpu.get_xmm(to).with_low32(result);
    cpu.set_xmm(to, value);
    Ok(())
}

#[inline(always)]
fn packed(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u32) -> u32) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source: [u32; 4] = cpu.source(insn)?.lanes();
    cpu.set_xmm(destination(insn), source.map(f).pack());
    Ok(())
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Rcpss_xmm_xmmm32 => |cpu, insn| scalar(cpu, insn, reciprocal),
        Rcpps_xmm_xmmm128 => |cpu, insn| packed(cpu, insn, reciprocal),
        Rsqrtss_xmm_xmmm32 => |cpu, insn| scalar(cpu, insn, reciprocal_root),
        Rsqrtps_xmm_xmmm128 => |cpu, insn| packed(cpu, insn, reciprocal_root),
        _ => return None,
    })
}
