//! Operations on lanes of a format, lane by lane and without a fast path.

use std::array::from_fn;

use iced_x86::Instruction;

use super::env::Env;
use super::format::Format;
use crate::simd::lanes::{Lanes, V, lane};
use crate::simd::operands::destination;
use crate::{Cpu, Fault};

/// The lanes of a format, each in a `u64`; there are two or four of them.
#[inline(always)]
pub(super) fn unpack<F: Format>(value: V) -> [u64; 4] {
    if F::BITS == 32 {
        value.lanes::<[u32; 4]>().map(u64::from)
    } else {
        let [low, high] = value.lanes::<[u64; 2]>();
        [low, high, 0, 0]
    }
}

/// The other way round.
#[inline(always)]
pub(super) fn pack<F: Format>(lanes: [u64; 4]) -> V {
    if F::BITS == 32 { lanes.map(|lane| lane as u32).pack() } else { [lanes[0], lanes[1]].pack() }
}

/// How many lanes a format has in 16 bytes.
#[inline(always)]
pub(super) fn count<F: Format>() -> usize {
    (128 / F::BITS) as usize
}

/// `destination = f(destination, source)` on all lanes.
#[inline(always)]
pub(super) fn packed<F: Format>(
    cpu: &mut Cpu,
    insn: &Instruction,
    mut f: impl FnMut(u64, u64, &mut Env) -> u64,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = unpack::<F>(cpu.source(insn)?);
    let to = destination(insn);
    let old = unpack::<F>(cpu.get_xmm(to));
    let mut env = Env::new(cpu.mxcsr);
    let result: [u64; 4] =
        from_fn(|i| if i < count::<F>() { f(lane(&old, i), lane(&source, i), &mut env) } else { 0 });
    env.commit(cpu)?;
    cpu.set_xmm(to, pack::<F>(result));
    Ok(())
}

/// Operand 1: a lane of an XMM register or as many bytes of memory.
#[inline(always)]
pub(super) fn scalar_source<F: Format>(cpu: &mut Cpu, insn: &Instruction) -> Result<u64, Fault> {
    if F::BITS == 32 { cpu.source32(insn).map(u64::from) } else { cpu.source64(insn) }
}

/// Writes the lowest lane of operand 0.
#[inline(always)]
pub(super) fn set_scalar<F: Format>(cpu: &mut Cpu, insn: &Instruction, value: u64) {
    let to = destination(insn);
    let old = cpu.get_xmm(to);
    cpu.set_xmm(to, if F::BITS == 32 { old.with_low32(value as u32) } else { old.with_low(value) });
}

/// `destination = f(destination, source)` on the lowest lane.
#[inline(always)]
pub(super) fn scalar<F: Format>(
    cpu: &mut Cpu,
    insn: &Instruction,
    mut f: impl FnMut(u64, u64, &mut Env) -> u64,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = scalar_source::<F>(cpu, insn)?;
    let [old, ..] = unpack::<F>(cpu.get_xmm(destination(insn)));
    let mut env = Env::new(cpu.mxcsr);
    let result = f(old, source, &mut env);
    env.commit(cpu)?;
    set_scalar::<F>(cpu, insn, result);
    Ok(())
}
