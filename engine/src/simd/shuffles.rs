//! Lanes in another order: shuffles, unpacking, blends, widening (SDM vol. 1, 11.4.2, 12.6, 12.10).

use std::array::from_fn;

use iced_x86::{Code, Instruction};

use super::lanes::{HalfLanes, Lanes, V, interleave_high, interleave_low, lane, lane_mut};
use super::operands::destination;
use super::{binary, binary_mmx, mm, xmm};
use crate::{Cpu, Fault, Handler};

pub(super) fn handler(code: Code) -> Option<Handler> {
    unpack(code).or_else(|| shuffle(code)).or_else(|| blend(code)).or_else(|| widen(code))
}

fn unpack(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Punpcklbw_xmm_xmmm128 => xmm!(u8, u8, interleave_low),
        Punpcklwd_xmm_xmmm128 => xmm!(u16, u16, interleave_low),
        Punpckldq_xmm_xmmm128 | Unpcklps_xmm_xmmm128 => xmm!(u32, u32, interleave_low),
        Punpcklqdq_xmm_xmmm128 | Unpcklpd_xmm_xmmm128 => xmm!(u64, u64, interleave_low),
        Punpckhbw_xmm_xmmm128 => xmm!(u8, u8, interleave_high),
        Punpckhwd_xmm_xmmm128 => xmm!(u16, u16, interleave_high),
        Punpckhdq_xmm_xmmm128 | Unpckhps_xmm_xmmm128 => xmm!(u32, u32, interleave_high),
        Punpckhqdq_xmm_xmmm128 | Unpckhpd_xmm_xmmm128 => xmm!(u64, u64, interleave_high),
        Punpcklbw_mm_mmm32 => mm!(u8, u8, interleave_low),
        Punpcklwd_mm_mmm32 => mm!(u16, u16, interleave_low),
        Punpckldq_mm_mmm32 => mm!(u32, u32, interleave_low),
        Punpckhbw_mm_mmm64 => mm!(u8, u8, interleave_high),
        Punpckhwd_mm_mmm64 => mm!(u16, u16, interleave_high),
        Punpckhdq_mm_mmm64 => mm!(u32, u32, interleave_high),
        _ => return None,
    })
}

/// `f(destination, source, immediate)` on XMM lanes.
#[inline(always)]
fn with_immediate<A: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, A, usize) -> A,
) -> Result<(), Fault> {
    let immediate = usize::from(insn.immediate8());
    binary(cpu, insn, |a, b| f(a, b, immediate))
}

#[inline(always)]
fn with_immediate_mmx<A: HalfLanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, A, usize) -> A,
) -> Result<(), Fault> {
    let immediate = usize::from(insn.immediate8());
    binary_mmx(cpu, insn, |a, b| f(a, b, immediate))
}

#[inline(always)]
fn shuffle_bytes<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    b.map(|index| if index & 0x80 == 0 { lane(&a, index.into()) } else { 0 })
}

/// Bytes `at` and following of `high:low`.
#[inline(always)]
fn align<const N: usize>(high: [u8; N], low: [u8; N], at: usize) -> [u8; N] {
    from_fn(|i| match i.wrapping_add(at) {
        k if k < N => lane(&low, k),
        k if k < N << 1 => lane(&high, k),
        _ => 0,
    })
}

/// Four lanes chosen by pairs of bits of the immediate.
#[inline(always)]
fn choose<T: Copy>(lanes: [T; 4], immediate: usize) -> [T; 4] {
    from_fn(|i| lane(&lanes, immediate >> (i << 1)))
}

fn shuffle(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pshufb_xmm_xmmm128 => |cpu, insn| binary::<[u8; 16], _>(cpu, insn, shuffle_bytes_16),
        Pshufb_mm_mmm64 => |cpu, insn| binary_mmx::<[u8; 8], _>(cpu, insn, shuffle_bytes),
        Pshufd_xmm_xmmm128_imm8 => |cpu, insn| with_immediate(cpu, insn, |_, s: [u32; 4], i| choose(s, i)),
        Pshufw_mm_mmm64_imm8 => |cpu, insn| with_immediate_mmx(cpu, insn, |_, s: [u16; 4], i| choose(s, i)),
        Pshuflw_xmm_xmmm128_imm8 => |cpu, insn| {
            with_immediate(cpu, insn, |_, s: [u64; 2], i| [choose(<[u16; 4]>::of(s[0]), i).pack(), s[1]])
        },
        Pshufhw_xmm_xmmm128_imm8 => |cpu, insn| {
            with_immediate(cpu, insn, |_, s: [u64; 2], i| [s[0], choose(<[u16; 4]>::of(s[1]), i).pack()])
        },
        Shufps_xmm_xmmm128_imm8 => |cpu, insn| {
            with_immediate(cpu, insn, |d: [u32; 4], s, i| {
                [lane(&d, i), lane(&d, i >> 2), lane(&s, i >> 4), lane(&s, i >> 6)]
            })
        },
        Shufpd_xmm_xmmm128_imm8 => {
            |cpu, insn| with_immediate(cpu, insn, |d: [u64; 2], s, i| [lane(&d, i), lane(&s, i >> 1)])
        }
        Palignr_xmm_xmmm128_imm8 => |cpu, insn| with_immediate::<[u8; 16]>(cpu, insn, align),
        Palignr_mm_mmm64_imm8 => |cpu, insn| with_immediate_mmx::<[u8; 8]>(cpu, insn, align),
        Insertps_xmm_xmmm32_imm8 => insert_single,
        _ => return None,
    })
}

#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn shuffle_bytes_16(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    // Any index above 15 gives 0; the bits that do not count are masked out.
    super::lanes::swizzle(a, b.map(|index| index & 0x8F))
}

#[cfg(not(target_arch = "wasm32"))]
use shuffle_bytes as shuffle_bytes_16;

/// INSERTPS: a lane of the source into a lane of the destination, then zeros.
fn insert_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let immediate = usize::from(insn.immediate8());
    let moved = if insn.op1_kind() == iced_x86::OpKind::Register {
        let lanes: [u32; 4] = cpu.source(insn)?.lanes();
        lane(&lanes, immediate >> 6)
    } else {
        cpu.source32(insn)?
    };
    let to = destination(insn);
    let mut lanes: [u32; 4] = cpu.get_xmm(to).lanes();
    *lane_mut(&mut lanes, immediate >> 4) = moved;
    let lanes: [u32; 4] = from_fn(|i| if immediate >> i & 1 != 0 { 0 } else { lane(&lanes, i) });
    cpu.set_xmm(to, lanes.pack());
    Ok(())
}

/// Lanes whose bit in the immediate is set come from the source.
#[inline(always)]
fn by_bits<T: Copy, const N: usize>(a: [T; N], b: [T; N], immediate: usize) -> [T; N] {
    from_fn(|i| if immediate >> i & 1 != 0 { lane(&b, i) } else { lane(&a, i) })
}

/// Lanes whose highest bit in XMM0 is set come from the source.
#[inline(always)]
fn by_signs<T: Copy, const N: usize>(
    cpu: &mut Cpu,
    insn: &Instruction,
    is_set: impl Fn(T) -> bool,
) -> Result<(), Fault>
where
    [T; N]: Lanes,
{
    cpu.sse_ready()?;
    let source: [T; N] = cpu.source(insn)?.lanes();
    let signs: [T; N] = cpu.get_xmm(0).lanes();
    let to = destination(insn);
    let old: [T; N] = cpu.get_xmm(to).lanes();
    let result: [T; N] = from_fn(|i| if is_set(lane(&signs, i)) { lane(&source, i) } else { lane(&old, i) });
    cpu.set_xmm(to, result.pack());
    Ok(())
}

fn blend(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pblendw_xmm_xmmm128_imm8 => |cpu, insn| with_immediate::<[u16; 8]>(cpu, insn, by_bits),
        Blendps_xmm_xmmm128_imm8 => |cpu, insn| with_immediate::<[u32; 4]>(cpu, insn, by_bits),
        Blendpd_xmm_xmmm128_imm8 => |cpu, insn| with_immediate::<[u64; 2]>(cpu, insn, by_bits),
        Pblendvb_xmm_xmmm128 => |cpu, insn| by_signs::<i8, 16>(cpu, insn, |x| x < 0),
        Blendvps_xmm_xmmm128 => |cpu, insn| by_signs::<i32, 4>(cpu, insn, |x| x < 0),
        Blendvpd_xmm_xmmm128 => |cpu, insn| by_signs::<i64, 2>(cpu, insn, |x| x < 0),
        _ => return None,
    })
}

/// PMOVSX and PMOVZX: lanes from the low end of the source, wider.
#[inline(always)]
fn widened<A: Lanes, R: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A) -> R,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let source = if insn.op1_kind() == iced_x86::OpKind::Register {
        cpu.source(insn)?
    } else {
        V::new(u128::from(cpu.operand(insn, 1)?))
    };
    cpu.set_xmm(destination(insn), f(source.lanes()).pack());
    Ok(())
}

macro_rules! widening {
    ($code:expr; $($name:ident $from:ty, $to:ty;)*) => {
        Some(match $code {
            $(Code::$name => |cpu, insn| {
                const FROM: usize = 16 / size_of::<$from>();
                const TO: usize = 16 / size_of::<$to>();
                widened::<[$from; FROM], [$to; TO]>(cpu, insn, |s| from_fn(|i| <$to>::from(lane(&s, i))))
            },)*
            _ => return None,
        })
    };
}

fn widen(code: Code) -> Option<Handler> {
    widening! { code;
        Pmovsxbw_xmm_xmmm64 i8, i16;
        Pmovsxbd_xmm_xmmm32 i8, i32;
        Pmovsxbq_xmm_xmmm16 i8, i64;
        Pmovsxwd_xmm_xmmm64 i16, i32;
        Pmovsxwq_xmm_xmmm32 i16, i64;
        Pmovsxdq_xmm_xmmm64 i32, i64;
        Pmovzxbw_xmm_xmmm64 u8, u16;
        Pmovzxbd_xmm_xmmm32 u8, u32;
        Pmovzxbq_xmm_xmmm16 u8, u64;
        Pmovzxwd_xmm_xmmm64 u16, u32;
        Pmovzxwq_xmm_xmmm32 u16, u64;
        Pmovzxdq_xmm_xmmm64 u32, u64;
    }
}
