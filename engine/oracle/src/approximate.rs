//! Instructions whose results are approximations, and how far they may be off.

use crate::case::Case;
use crate::undefined::instruction_at;
use iced_x86::Mnemonic;

/// What an approximation may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// Nothing.
    Exact,
    /// The last place of x87 registers: transcendentals are exact to less than one unit (SDM vol. 1, 8.3.10).
    LastPlace,
    /// A relative error of 1.5 * 2^-12 in both (SDM vol. 2, "RCPPS", "RSQRTPS").
    Reciprocal,
}

/// How exact the results of a case are.
pub fn tolerance(case: &Case) -> Tolerance {
    let mut start = 0;
    while start < case.code.len() {
        let instruction = instruction_at(case, case.state.rip + start as u64);
        match instruction.mnemonic() {
            Mnemonic::Rcpps | Mnemonic::Rcpss | Mnemonic::Rsqrtps | Mnemonic::Rsqrtss => {
                return Tolerance::Reciprocal;
            }
            Mnemonic::Fsin
            | Mnemonic::Fcos
            | Mnemonic::Fsincos
            | Mnemonic::Fptan
            | Mnemonic::Fpatan
            | Mnemonic::F2xm1
            | Mnemonic::Fyl2x
            | Mnemonic::Fyl2xp1 => return Tolerance::LastPlace,
            _ => start += instruction.len().max(1),
        }
    }
    Tolerance::Exact
}

impl Tolerance {
    /// Whether two x87 registers are equal enough.
    pub fn accepts_st(self, native: &[u8; 10], engine: &[u8; 10]) -> bool {
        if native == engine {
            return true;
        }
        let number = |bytes: &[u8; 10]| {
            let mut wide = [0; 16];
            wide[..10].copy_from_slice(bytes);
            // The integer bit is taken out, so that neighbours are neighbours across powers of two.
            let value = u128::from_le_bytes(wide);
            (value >> 64 << 63 | value & u128::from(u64::MAX >> 1)) as i128
        };
        self == Self::LastPlace && (number(native) - number(engine)).abs() <= 2
    }

    /// Whether two XMM registers are equal enough.
    pub fn accepts_xmm(self, native: u128, engine: u128) -> bool {
        if native == engine {
            return true;
        }
        self == Self::Reciprocal
            && (0..4).all(|lane| {
                let (native, engine) = ((native >> (32 * lane)) as u32, (engine >> (32 * lane)) as u32);
                let (expected, got) = (f32::from_bits(native), f32::from_bits(engine));
                native == engine
                    || (f64::from(expected) - f64::from(got)).abs() <= f64::from(expected).abs() * 7.5e-4
            })
    }
}
