//! MMX, SSE, SSE2, SSE3, SSSE3, SSE4.1, SSE4.2, AES, PCLMULQDQ and SHA instructions.
//!
//! There is no VEX and no EVEX: instructions with these prefixes are #UD.
//!
//! Micro-operations may use [`float::fast`] (`double::<Add>(cpu, a, b)` is ADDSD on bits), [`float::compare`]
//! (`flags_double` is UCOMISD) and [`lanes::V`], once [`Cpu::sse_ready`] has said yes.

mod aes;
mod control;
mod extract;
pub(crate) mod float;
mod integer;
pub(crate) mod lanes;
mod mmx;
mod moves;
mod operands;
mod sha;
mod shifts;
mod shuffles;
mod strings;

use iced_x86::{Code, Instruction};

use crate::{Cpu, Fault, Handler};
pub(crate) use lanes::V;
use lanes::{HalfLanes, Lanes};
use operands::destination;
pub(crate) use operands::{CR0_OFF, CR4_ON};

/// The handler of an instruction of this family.
pub(crate) fn handler(code: Code) -> Option<Handler> {
    moves::handler(code)
        .or_else(|| integer::handler(code))
        .or_else(|| shuffles::handler(code))
        .or_else(|| shifts::handler(code))
        .or_else(|| extract::handler(code))
        .or_else(|| float::handler(code))
        .or_else(|| control::handler(code))
        .or_else(|| strings::handler(code))
        .or_else(|| aes::handler(code))
        .or_else(|| sha::handler(code))
}

/// `destination = f(destination, source)` on XMM registers.
#[inline(always)]
fn binary<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, A) -> R,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = cpu.source(insn)?;
    let to = destination(insn);
    let result = f(cpu.get_xmm(to).lanes(), source.lanes());
    cpu.set_xmm(to, result.pack());
    Ok(())
}

/// As [`binary`], with a source that may lie anywhere.
#[inline(always)]
fn binary_unaligned<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, A) -> R,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = cpu.source_unaligned(insn)?;
    let to = destination(insn);
    let result = f(cpu.get_xmm(to).lanes(), source.lanes());
    cpu.set_xmm(to, result.pack());
    Ok(())
}

/// `destination = f(destination, source)` on MMX registers.
#[inline(always)]
fn binary_mmx<A: HalfLanes, R: HalfLanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, A) -> R,
) -> Result<(), Fault> {
    mmx::ready(cpu)?;
    let source = mmx::source(cpu, insn)?;
    let old = mmx::get(cpu, mmx::number(insn.op0_register()));
    mmx::finish(cpu, insn, f(A::of(old), A::of(source)).pack());
    Ok(())
}

/// A handler of an operation on lanes of 16 bytes.
macro_rules! xmm {
    ($from:ty, $to:ty, $f:expr) => {
        |cpu, insn| {
            crate::simd::binary::<[$from; 16 / size_of::<$from>()], [$to; 16 / size_of::<$to>()]>(
                cpu, insn, $f,
            )
        }
    };
}
/// A handler of an operation on lanes of 8 bytes.
macro_rules! mm {
    ($from:ty, $to:ty, $f:expr) => {
        |cpu, insn| {
            crate::simd::binary_mmx::<[$from; 8 / size_of::<$from>()], [$to; 8 / size_of::<$to>()]>(
                cpu, insn, $f,
            )
        }
    };
}
use {mm, xmm};

#[cfg(test)]
mod tests;
