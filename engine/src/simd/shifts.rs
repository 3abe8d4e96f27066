//! Shifts of lanes (SDM vol. 1, 9.4.6 and 11.4.2).

use iced_x86::{Code, Instruction};

use super::lanes::{HalfLanes, Lanes, V};
use super::mmx;
use super::operands::destination;
use crate::operand::bits_of;
use crate::{Cpu, Fault, Handler};

/// `f(lane, count)` on XMM lanes; the count is in the lower half of operand 1.
#[inline(always)]
fn by_register<T: Copy, const N: usize>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl Fn(T, u64) -> T,
) -> Result<(), Fault>
where
    [T; N]: Lanes,
{
    cpu.sse_ready()?;
    let count = cpu.source(insn)?.low();
    let to = destination(insn);
    let lanes: [T; N] = cpu.get_xmm(to).lanes();
    cpu.set_xmm(to, lanes.map(|lane| f(lane, count)).pack());
    Ok(())
}

#[inline(always)]
fn by_immediate<T: Copy, const N: usize>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl Fn(T, u64) -> T,
) -> Result<(), Fault>
where
    [T; N]: Lanes,
{
    cpu.sse_ready()?;
    let count = u64::from(insn.immediate8());
    let to = destination(insn);
    let lanes: [T; N] = cpu.get_xmm(to).lanes();
    cpu.set_xmm(to, lanes.map(|lane| f(lane, count)).pack());
    Ok(())
}

#[inline(always)]
fn mmx_lanes<T: Copy, const N: usize>(
    cpu: &mut Cpu,
    insn: &Instruction,
    immediate: bool,
    f: impl Fn(T, u64) -> T,
) -> Result<(), Fault>
where
    [T; N]: HalfLanes,
{
    mmx::ready(cpu)?;
    let count = if immediate { u64::from(insn.immediate8()) } else { mmx::source(cpu, insn)? };
    let lanes = <[T; N]>::of(mmx::get(cpu, mmx::number(insn.op0_register())));
    mmx::finish(cpu, insn, lanes.map(|lane| f(lane, count)).pack());
    Ok(())
}

macro_rules! shifts {
    ($left:ident, $right:ident, $arithmetic:ident, $unsigned:ty, $signed:ty) => {
        #[inline(always)]
        fn $left(lane: $unsigned, count: u64) -> $unsigned {
            if count < u64::from(<$unsigned>::BITS) { lane << count } else { 0 }
        }
        #[inline(always)]
        fn $right(lane: $unsigned, count: u64) -> $unsigned {
            if count < u64::from(<$unsigned>::BITS) { lane >> count } else { 0 }
        }
        #[inline(always)]
        fn $arithmetic(lane: $unsigned, count: u64) -> $unsigned {
            (lane as $signed >> count.min(u64::from(<$unsigned>::BITS.wrapping_sub(1)))) as $unsigned
        }
    };
}
shifts!(left16, right16, arithmetic16, u16, i16);
shifts!(left32, right32, arithmetic32, u32, i32);

#[inline(always)]
fn left64(lane: u64, count: u64) -> u64 {
    if count < 64 { lane << count } else { 0 }
}

#[inline(always)]
fn right64(lane: u64, count: u64) -> u64 {
    if count < 64 { lane >> count } else { 0 }
}

/// PSLLDQ and PSRLDQ.
fn whole(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u32) -> u128) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let bytes = u32::from(insn.immediate8());
    let to = destination(insn);
    let value = if bytes < 16 { f(cpu.get_xmm(to).bits(), bits_of(bytes)) } else { 0 };
    cpu.set_xmm(to, V::new(value));
    Ok(())
}

macro_rules! table {
    ($code:expr; $($f:ident $half:literal $full:literal: $mmi:ident $mmr:ident $xi:ident $xr:ident;)*) => {
        Some(match $code {
            Code::Pslldq_xmm_imm8 => |cpu, insn| whole(cpu, insn, |value, bits| value << bits),
            Code::Psrldq_xmm_imm8 => |cpu, insn| whole(cpu, insn, |value, bits| value >> bits),
            $(
                Code::$mmi => |cpu, insn| mmx_lanes::<_, $half>(cpu, insn, true, $f),
                Code::$mmr => |cpu, insn| mmx_lanes::<_, $half>(cpu, insn, false, $f),
                Code::$xi => |cpu, insn| by_immediate::<_, $full>(cpu, insn, $f),
                Code::$xr => |cpu, insn| by_register::<_, $full>(cpu, insn, $f),
            )*
            _ => return None,
        })
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    table! { code;
        left16 4 8: Psllw_mm_imm8 Psllw_mm_mmm64 Psllw_xmm_imm8 Psllw_xmm_xmmm128;
        left32 2 4: Pslld_mm_imm8 Pslld_mm_mmm64 Pslld_xmm_imm8 Pslld_xmm_xmmm128;
        left64 1 2: Psllq_mm_imm8 Psllq_mm_mmm64 Psllq_xmm_imm8 Psllq_xmm_xmmm128;
        right16 4 8: Psrlw_mm_imm8 Psrlw_mm_mmm64 Psrlw_xmm_imm8 Psrlw_xmm_xmmm128;
        right32 2 4: Psrld_mm_imm8 Psrld_mm_mmm64 Psrld_xmm_imm8 Psrld_xmm_xmmm128;
        right64 1 2: Psrlq_mm_imm8 Psrlq_mm_mmm64 Psrlq_xmm_imm8 Psrlq_xmm_xmmm128;
        arithmetic16 4 8: Psraw_mm_imm8 Psraw_mm_mmm64 Psraw_xmm_imm8 Psraw_xmm_xmmm128;
        arithmetic32 2 4: Psrad_mm_imm8 Psrad_mm_mmm64 Psrad_xmm_imm8 Psrad_xmm_xmmm128;
    }
}
