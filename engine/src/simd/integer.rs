//! Arithmetic, comparisons and logic on lanes of integers (SDM vol. 1, 9.4, 11.4.2, 12.5, 12.9).

#![allow(
    clippy::arithmetic_side_effects,
    reason = "lanes are widened before they are added or multiplied; what may wrap or saturate says so"
)]

use iced_x86::Code;

use super::lanes::{each, lane, narrow, neighbours, pairs, saturated, unary};
use super::{mm, xmm};
use crate::Handler;

/// Instructions that exist for MMX and for XMM registers: lanes of the operands, lanes of the result, operation.
macro_rules! table {
    ($code:expr; $($mmx:ident $xmm:ident $from:ty, $to:ty, $f:expr;)*) => {
        Some(match $code {
            $(
                Code::$mmx => mm!($from, $to, $f),
                Code::$xmm => xmm!($from, $to, $f),
            )*
            _ => return None,
        })
    };
}

/// Instructions that exist for XMM registers only.
macro_rules! table_xmm {
    ($code:expr; $($xmm:ident $from:ty, $to:ty, $f:expr;)*) => {
        Some(match $code {
            $(Code::$xmm => xmm!($from, $to, $f),)*
            _ => return None,
        })
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    add_and_subtract(code)
        .or_else(|| multiply(code))
        .or_else(|| compare(code))
        .or_else(|| logic(code))
        .or_else(|| horizontal(code))
        .or_else(|| packs(code))
        .or_else(|| sse4(code))
}

fn add_and_subtract(code: Code) -> Option<Handler> {
    table! { code;
        Paddb_mm_mmm64 Paddb_xmm_xmmm128 u8, u8, each(u8::wrapping_add);
        Paddw_mm_mmm64 Paddw_xmm_xmmm128 u16, u16, each(u16::wrapping_add);
        Paddd_mm_mmm64 Paddd_xmm_xmmm128 u32, u32, each(u32::wrapping_add);
        Paddq_mm_mmm64 Paddq_xmm_xmmm128 u64, u64, each(u64::wrapping_add);
        Psubb_mm_mmm64 Psubb_xmm_xmmm128 u8, u8, each(u8::wrapping_sub);
        Psubw_mm_mmm64 Psubw_xmm_xmmm128 u16, u16, each(u16::wrapping_sub);
        Psubd_mm_mmm64 Psubd_xmm_xmmm128 u32, u32, each(u32::wrapping_sub);
        Psubq_mm_mmm64 Psubq_xmm_xmmm128 u64, u64, each(u64::wrapping_sub);
        Paddsb_mm_mmm64 Paddsb_xmm_xmmm128 i8, i8, each(i8::saturating_add);
        Paddsw_mm_mmm64 Paddsw_xmm_xmmm128 i16, i16, each(i16::saturating_add);
        Paddusb_mm_mmm64 Paddusb_xmm_xmmm128 u8, u8, each(u8::saturating_add);
        Paddusw_mm_mmm64 Paddusw_xmm_xmmm128 u16, u16, each(u16::saturating_add);
        Psubsb_mm_mmm64 Psubsb_xmm_xmmm128 i8, i8, each(i8::saturating_sub);
        Psubsw_mm_mmm64 Psubsw_xmm_xmmm128 i16, i16, each(i16::saturating_sub);
        Psubusb_mm_mmm64 Psubusb_xmm_xmmm128 u8, u8, each(u8::saturating_sub);
        Psubusw_mm_mmm64 Psubusw_xmm_xmmm128 u16, u16, each(u16::saturating_sub);
        Pavgb_mm_mmm64 Pavgb_xmm_xmmm128 u8, u8, each(|a, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8);
        Pavgw_mm_mmm64 Pavgw_xmm_xmmm128 u16, u16, each(|a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16);
        Pabsb_mm_mmm64 Pabsb_xmm_xmmm128 i8, u8, unary(i8::unsigned_abs);
        Pabsw_mm_mmm64 Pabsw_xmm_xmmm128 i16, u16, unary(i16::unsigned_abs);
        Pabsd_mm_mmm64 Pabsd_xmm_xmmm128 i32, u32, unary(i32::unsigned_abs);
        Psignb_mm_mmm64 Psignb_xmm_xmmm128 i8, i8, each(|a: i8, b: i8| a.wrapping_mul(b.signum()));
        Psignw_mm_mmm64 Psignw_xmm_xmmm128 i16, i16, each(|a: i16, b: i16| a.wrapping_mul(b.signum()));
        Psignd_mm_mmm64 Psignd_xmm_xmmm128 i32, i32, each(|a: i32, b: i32| a.wrapping_mul(b.signum()));
    }
}

fn multiply(code: Code) -> Option<Handler> {
    table! { code;
        Pmullw_mm_mmm64 Pmullw_xmm_xmmm128 i16, i16, each(i16::wrapping_mul);
        Pmulhw_mm_mmm64 Pmulhw_xmm_xmmm128 i16, i16, each(|a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16);
        Pmulhuw_mm_mmm64 Pmulhuw_xmm_xmmm128 u16, u16, each(|a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16);
        Pmulhrsw_mm_mmm64 Pmulhrsw_xmm_xmmm128 i16, i16,
            each(|a, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16);
        Pmuludq_mm_mmm64 Pmuludq_xmm_xmmm128 u32, u64, pairs(|a: [u32; 2], b: [u32; 2]| u64::from(a[0]) * u64::from(b[0]));
        Pmaddwd_mm_mmm64 Pmaddwd_xmm_xmmm128 i16, i32, pairs(|a: [i16; 2], b: [i16; 2]| {
            (i32::from(a[0]) * i32::from(b[0])).wrapping_add(i32::from(a[1]) * i32::from(b[1]))
        });
        Pmaddubsw_mm_mmm64 Pmaddubsw_xmm_xmmm128 u8, i16, pairs(|[a0, a1]: [u8; 2], [b0, b1]: [u8; 2]| {
            let product = |a: u8, b: u8| i32::from(a) * i32::from(b as i8);
            (product(a0, b0) + product(a1, b1)).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
        });
    }
}

/// All ones if `holds`.
macro_rules! when {
    ($type:ty, $f:expr) => {
        each(|a: $type, b: $type| if $f(&a, &b) { !0 } else { 0 })
    };
}

fn compare(code: Code) -> Option<Handler> {
    table! { code;
        Pcmpeqb_mm_mmm64 Pcmpeqb_xmm_xmmm128 u8, u8, when!(u8, u8::eq);
        Pcmpeqw_mm_mmm64 Pcmpeqw_xmm_xmmm128 u16, u16, when!(u16, u16::eq);
        Pcmpeqd_mm_mmm64 Pcmpeqd_xmm_xmmm128 u32, u32, when!(u32, u32::eq);
        Pcmpgtb_mm_mmm64 Pcmpgtb_xmm_xmmm128 i8, i8, when!(i8, i8::gt);
        Pcmpgtw_mm_mmm64 Pcmpgtw_xmm_xmmm128 i16, i16, when!(i16, i16::gt);
        Pcmpgtd_mm_mmm64 Pcmpgtd_xmm_xmmm128 i32, i32, when!(i32, i32::gt);
        Pminub_mm_mmm64 Pminub_xmm_xmmm128 u8, u8, each(|a: u8, b: u8| a.min(b));
        Pmaxub_mm_mmm64 Pmaxub_xmm_xmmm128 u8, u8, each(|a: u8, b: u8| a.max(b));
        Pminsw_mm_mmm64 Pminsw_xmm_xmmm128 i16, i16, each(|a: i16, b: i16| a.min(b));
        Pmaxsw_mm_mmm64 Pmaxsw_xmm_xmmm128 i16, i16, each(|a: i16, b: i16| a.max(b));
    }
}

fn logic(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pand_xmm_xmmm128 | Andps_xmm_xmmm128 | Andpd_xmm_xmmm128 => xmm!(u64, u64, each(|a, b| a & b)),
        Pandn_xmm_xmmm128 | Andnps_xmm_xmmm128 | Andnpd_xmm_xmmm128 => {
            xmm!(u64, u64, each(|a: u64, b| !a & b))
        }
        Por_xmm_xmmm128 | Orps_xmm_xmmm128 | Orpd_xmm_xmmm128 => xmm!(u64, u64, each(|a, b| a | b)),
        Pxor_xmm_xmmm128 | Xorps_xmm_xmmm128 | Xorpd_xmm_xmmm128 => xmm!(u64, u64, each(|a, b| a ^ b)),
        Pand_mm_mmm64 => mm!(u64, u64, each(|a, b| a & b)),
        Pandn_mm_mmm64 => mm!(u64, u64, each(|a: u64, b| !a & b)),
        Por_mm_mmm64 => mm!(u64, u64, each(|a, b| a | b)),
        Pxor_mm_mmm64 => mm!(u64, u64, each(|a, b| a ^ b)),
        _ => return None,
    })
}

/// Sum of the absolute differences of 8 bytes.
fn absolute_differences<const N: usize, const M: usize>(a: [u8; N], b: [u8; N]) -> [u64; M] {
    std::array::from_fn(|i| (8 * i..8 * i + 8).map(|k| u64::from(lane(&a, k).abs_diff(lane(&b, k)))).sum())
}

fn horizontal(code: Code) -> Option<Handler> {
    table! { code;
        Phaddw_mm_mmm64 Phaddw_xmm_xmmm128 i16, i16, neighbours(i16::wrapping_add);
        Phaddd_mm_mmm64 Phaddd_xmm_xmmm128 i32, i32, neighbours(i32::wrapping_add);
        Phaddsw_mm_mmm64 Phaddsw_xmm_xmmm128 i16, i16, neighbours(i16::saturating_add);
        Phsubw_mm_mmm64 Phsubw_xmm_xmmm128 i16, i16, neighbours(i16::wrapping_sub);
        Phsubd_mm_mmm64 Phsubd_xmm_xmmm128 i32, i32, neighbours(i32::wrapping_sub);
        Phsubsw_mm_mmm64 Phsubsw_xmm_xmmm128 i16, i16, neighbours(i16::saturating_sub);
        Psadbw_mm_mmm64 Psadbw_xmm_xmmm128 u8, u64, absolute_differences;
    }
}

fn packs(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Packsswb_mm_mmm64 => mm!(i16, i8, narrow(|x: i16| x.clamp(-0x80, 0x7F) as i8)),
        Packssdw_mm_mmm64 => mm!(i32, i16, narrow(|x: i32| x.clamp(-0x8000, 0x7FFF) as i16)),
        Packuswb_mm_mmm64 => mm!(i16, u8, narrow(|x: i16| x.clamp(0, 0xFF) as u8)),
        Packsswb_xmm_xmmm128 => xmm!(i16, i8, saturated::words_to_i8),
        Packssdw_xmm_xmmm128 => xmm!(i32, i16, saturated::dwords_to_i16),
        Packuswb_xmm_xmmm128 => xmm!(i16, u8, saturated::words_to_u8),
        Packusdw_xmm_xmmm128 => xmm!(i32, u16, saturated::dwords_to_u16),
        _ => return None,
    })
}

/// The smallest word and where it is (PHMINPOSUW).
fn minimum_position(_: [u16; 8], words: [u16; 8]) -> [u16; 8] {
    let mut best = (words[0], 0);
    for (i, &word) in words.iter().enumerate().skip(1) {
        if word < best.0 {
            best = (word, i as u16);
        }
    }
    [best.0, best.1, 0, 0, 0, 0, 0, 0]
}

/// MPSADBW: sums of the absolute differences of 4 bytes of the source and 8 places of the destination.
fn multiple_differences(a: [u8; 16], b: [u8; 16], immediate: u8) -> [u16; 8] {
    let block = usize::from(immediate & 3) * 4;
    let start = usize::from(immediate >> 2 & 1) * 4;
    std::array::from_fn(|i| {
        (0..4).map(|k| u16::from(lane(&a, start + i + k).abs_diff(lane(&b, block + k)))).sum()
    })
}

fn sse4(code: Code) -> Option<Handler> {
    if code == Code::Mpsadbw_xmm_xmmm128_imm8 {
        return Some(|cpu, insn| {
            let immediate = insn.immediate8();
            super::binary(cpu, insn, |a, b| multiple_differences(a, b, immediate))
        });
    }
    table_xmm! { code;
        Pmuldq_xmm_xmmm128 i32, i64, pairs(|a: [i32; 2], b: [i32; 2]| i64::from(a[0]) * i64::from(b[0]));
        Pmulld_xmm_xmmm128 i32, i32, each(i32::wrapping_mul);
        Pcmpeqq_xmm_xmmm128 u64, u64, when!(u64, u64::eq);
        Pcmpgtq_xmm_xmmm128 i64, i64, when!(i64, i64::gt);
        Pminsb_xmm_xmmm128 i8, i8, each(|a: i8, b: i8| a.min(b));
        Pminsd_xmm_xmmm128 i32, i32, each(|a: i32, b: i32| a.min(b));
        Pminuw_xmm_xmmm128 u16, u16, each(|a: u16, b: u16| a.min(b));
        Pminud_xmm_xmmm128 u32, u32, each(|a: u32, b: u32| a.min(b));
        Pmaxsb_xmm_xmmm128 i8, i8, each(|a: i8, b: i8| a.max(b));
        Pmaxsd_xmm_xmmm128 i32, i32, each(|a: i32, b: i32| a.max(b));
        Pmaxuw_xmm_xmmm128 u16, u16, each(|a: u16, b: u16| a.max(b));
        Pmaxud_xmm_xmmm128 u32, u32, each(|a: u32, b: u32| a.max(b));
        Phminposuw_xmm_xmmm128 u16, u16, minimum_position;
    }
}
