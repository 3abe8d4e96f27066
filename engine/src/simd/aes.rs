//! AES (SDM vol. 1, 12.13; FIPS 197) and carry-less multiplication (12.13.3).

use std::array::from_fn;

use iced_x86::Code;

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

fn shift_rows(s: State) -> State {
    from_fn(|i| s[(i + 4 * (i % 4)) % 16])
}

fn shift_rows_back(s: State) -> State {
    from_fn(|i| s[(i + 12 * (i % 4)) % 16])
}

fn substitute(s: State) -> State {
    s.map(|byte| SUBSTITUTE[usize::from(byte)])
}

fn substitute_back(s: State) -> State {
    s.map(|byte| SUBSTITUTE_BACK[usize::from(byte)])
}

/// Each column times a circulant matrix with this first row.
fn mix(s: State, row: [u8; 4]) -> State {
    from_fn(|i| {
        let column = i / 4 * 4;
        (0..4).fold(0, |sum, k| sum ^ multiply(s[column + (i + k) % 4], row[k]))
    })
}

const FORTH: [u8; 4] = [2, 3, 1, 1];
const BACK: [u8; 4] = [14, 11, 13, 9];

fn add(a: State, b: State) -> State {
    from_fn(|i| a[i] ^ b[i])
}

/// SubWord of a column.
fn substitute_word(word: u32) -> u32 {
    u32::from_le_bytes(word.to_le_bytes().map(|byte| SUBSTITUTE[usize::from(byte)]))
}

/// The product of two polynomials over GF(2).
fn carry_less(a: u64, b: u64) -> u128 {
    (0..64).filter(|i| b >> i & 1 != 0).fold(0, |product, i| product ^ u128::from(a) << i)
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Aesenc_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(mix(substitute(shift_rows(s)), FORTH), key)),
        Aesenclast_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(substitute(shift_rows(s)), key)),
        Aesdec_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(mix(substitute_back(shift_rows_back(s)), BACK), key)),
        Aesdeclast_xmm_xmmm128 => xmm!(u8, u8, |s, key| add(substitute_back(shift_rows_back(s)), key)),
        Aesimc_xmm_xmmm128 => xmm!(u8, u8, |_, s| mix(s, BACK)),
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
                let product = carry_less(a[immediate & 1], b[immediate >> 4 & 1]);
                [product as u64, (product >> 64) as u64]
            })
        },
        _ => return None,
    })
}
