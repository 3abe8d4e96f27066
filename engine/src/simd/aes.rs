//! AES (SDM vol. 1, 12.13; FIPS 197) and carry-less multiplication (12.13.3).

use std::array::from_fn;

use iced_x86::Code;

use super::lanes::{Lanes, lane, lane_mut, zip};
use super::xmm;
use crate::Handler;

/// Product in GF(2^8) with the polynomial of AES.
const fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1B } else { 0 };
        b >>= 1;
    }
    product
}

/// The substitution of bytes (FIPS 197, 5.1.1): inverse, then an affine map.
#[allow(clippy::indexing_slicing, reason = "it is the compiler that computes and checks it")]
const SUBSTITUTE: [u8; 256] = {
    let mut table = [0x63; 256];
    // 3 generates all elements but 0; `inverse` is its inverse's power.
    let (mut x, mut inverse) = (1u8, 1u8);
    loop {
        let i = inverse;
        let affine = i ^ i.rotate_left(1) ^ i.rotate_left(2) ^ i.rotate_left(3) ^ i.rotate_left(4) ^ 0x63;
        table[x as usize] = affine;
        x = multiply(x, 3);
        inverse = multiply(inverse, 0xF6);
        if x == 1 {
            break table;
        }
    }
};

#[allow(clippy::indexing_slicing, reason = "it is the compiler that computes and checks it")]
const SUBSTITUTE_BACK: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[SUBSTITUTE[i] as usize] = i as u8;
        i += 1;
    }
    table
};

type State = [u8; 16];

/// Byte `i` comes from `4 * (i % 4)` bytes further on, of 16: that is `4 * i`.
fn shift_rows(s: State) -> State {
    from_fn(|i| lane(&s, i.wrapping_mul(5)))
}

/// The other way, which is on by `12 * i`.
fn shift_rows_back(s: State) -> State {
    from_fn(|i| lane(&s, i.wrapping_mul(13)))
}

fn substitute(s: State) -> State {
    s.map(|byte| lane(&SUBSTITUTE, usize::from(byte)))
}

fn substitute_back(s: State) -> State {
    s.map(|byte| lane(&SUBSTITUTE_BACK, usize::from(byte)))
}

/// The column that a substituted byte in the first row contributes to MixColumns; those of the other rows are rotated.
const MIXED: [u32; 256] = columns(&SUBSTITUTE, [2, 1, 1, 3]);
/// The same of the inverse.
const MIXED_BACK: [u32; 256] = columns(&SUBSTITUTE_BACK, [14, 9, 13, 11]);

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it is the compiler that computes and checks it"
)]
const fn columns(bytes: &[u8; 256], factors: [u8; 4]) -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = bytes[i];
        table[i] = u32::from_le_bytes([
            multiply(byte, factors[0]),
            multiply(byte, factors[1]),
            multiply(byte, factors[2]),
            multiply(byte, factors[3]),
        ]);
        i += 1;
    }
    table
}

/// Substitutes and mixes all columns.
fn mix(s: State, table: &[u32; 256]) -> State {
    let entry = |i: usize| lane(table, usize::from(lane(&s, i))).rotate_left((i as u32 & 3) << 3);
    let columns: [u32; 4] = from_fn(|c| {
        let i = c << 2;
        entry(i) ^ entry(i | 1) ^ entry(i | 2) ^ entry(i | 3)
    });
    <[u8; 16]>::of(columns.pack())
}

fn add(a: State, b: State) -> State {
    zip(a, b, |a, b| a ^ b)
}

/// SubWord of a column.
fn substitute_word(word: u32) -> u32 {
    u32::from_le_bytes(word.to_le_bytes().map(|byte| lane(&SUBSTITUTE, usize::from(byte))))
}

/// The product of two polynomials over GF(2), four bits of `b` at a time.
fn carry_less(a: u64, b: u64) -> u128 {
    let mut multiples = [0u128; 16];
    for i in 1..16 {
        let half = lane(&multiples, i / 2) << 1;
        *lane_mut(&mut multiples, i) = if i % 2 == 0 { half } else { half ^ u128::from(a) };
    }
    (0..16).rev().fold(0, |product, i| product << 4 ^ lane(&multiples, (b >> (i << 2)) as usize))
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Aesenc_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(mix(shift_rows(s), &MIXED), key)),
        Aesenclast_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(substitute(shift_rows(s)), key)),
        Aesdec_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(mix(shift_rows_back(s), &MIXED_BACK), key)),
        Aesdeclast_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(substitute_back(shift_rows_back(s)), key)),
        Aesimc_xmm_xmmm128 => xmm!(u8, u8, |_, s| mix(substitute(s), &MIXED_BACK)),
        Aeskeygenassist_xmm_xmmm128_imm8 => |cpu, insn| {
            let round = u32::from(insn.immediate8());
            super::binary(cpu, insn, |_, s: [u32; 4]| {
                let (one, three) = (substitute_word(s[1]), substitute_word(s[3]));
                [one, one.rotate_right(8) ^ round, three, three.rotate_right(8) ^ round]
            })
        },
        Pclmulqdq_xmm_xmmm128_imm8 => |cpu, insn| {
            let immediate = usize::from(insn.immediate8());
            super::binary(cpu, insn, |a: [u64; 2], b: [u64; 2]| {
                let product = carry_less(lane(&a, immediate), lane(&b, immediate >> 4));
                [product as u64, (product >> 64) as u64]
            })
        },
        _ => return None,
    })
}
