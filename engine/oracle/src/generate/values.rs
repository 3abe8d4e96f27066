//! Operands: mostly values at the edges of something.

use crate::random::Random;

/// What a value is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Integer,
    /// Single precision.
    Float32,
    /// Double precision.
    Float64,
    /// Double extended precision.
    Float80,
    /// Packed decimal digits.
    Decimal,
}

/// An integer of 64 bits; what is shorter takes its low part.
pub fn integer(random: &mut Random) -> u64 {
    let bits = random.pick(&[8u32, 16, 32, 64]);
    let mask = u64::MAX >> (64 - bits);
    match random.below(12) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => mask >> 1,
        4 => (mask >> 1) + 1,
        5 => 1 << random.below(64),
        6 => (1 << random.below(64)) - 1,
        7 => !(1 << random.below(64)),
        8 => random.below(300),
        9 => random.below(300).wrapping_neg(),
        10 => random.next() & mask,
        _ => random.next(),
    }
}

/// A float of `exponent` and `fraction` bits: sign, exponent and fraction, each an edge or not.
fn float(random: &mut Random, exponent_bits: u32, fraction_bits: u32) -> (bool, u64, u64) {
    let highest = (1u64 << exponent_bits) - 1;
    let bias = highest >> 1;
    let mask = u64::MAX >> (64 - fraction_bits);
    let sign = random.one_in(2);
    let edge_fraction = match random.below(7) {
        0 | 1 => 0,
        2 => 1,
        3 => mask,
        4 => 1 << random.below(u64::from(fraction_bits)),
        5 => 1 << (fraction_bits - 1),
        _ => random.next() & mask,
    };
    match random.below(16) {
        0 => (sign, 0, 0),
        1 => (sign, 0, edge_fraction),
        2 => (sign, 0, random.next() & mask),
        3 => (sign, highest, 0),
        // NaNs, quiet or not, with a payload.
        4 => (sign, highest, edge_fraction | 1),
        5 => (sign, highest, random.next() & mask),
        6 => (sign, 1, edge_fraction),
        7 => (sign, highest - 1, edge_fraction),
        // Small integers and halves.
        8 => (
            sign,
            bias + random.below(8),
            (random.next() & mask) >> (fraction_bits - 3) << (fraction_bits - 3),
        ),
        // What just fits into integers, or does not.
        9 => {
            (sign, bias + random.pick(&[7, 14, 15, 16, 30, 31, 32, 62, 63, 64]).min(bias - 1), edge_fraction)
        }
        10 => (sign, bias, edge_fraction),
        11 => (sign, bias - 1, edge_fraction),
        12 => (sign, bias.wrapping_add(random.below(64)).wrapping_sub(32) & highest, random.next() & mask),
        13 => (sign, bias.wrapping_add(random.below(8)).wrapping_sub(4) & highest, edge_fraction),
        _ => (sign, random.next() & highest, random.next() & mask),
    }
}

/// Single precision.
pub fn float32(random: &mut Random) -> u32 {
    let (sign, exponent, fraction) = float(random, 8, 23);
    u32::from(sign) << 31 | (exponent as u32) << 23 | fraction as u32
}

/// Double precision.
pub fn float64(random: &mut Random) -> u64 {
    let (sign, exponent, fraction) = float(random, 11, 52);
    u64::from(sign) << 63 | exponent << 52 | fraction
}

/// Double extended precision; now and then with the wrong integer bit.
pub fn float80(random: &mut Random) -> [u8; 10] {
    let (sign, exponent, fraction) = float(random, 15, 63);
    let whole = (exponent != 0) != random.one_in(24);
    let mantissa = u64::from(whole) << 63 | fraction;
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&mantissa.to_le_bytes());
    bytes[8..].copy_from_slice(&(u16::from(sign) << 15 | exponent as u16).to_le_bytes());
    bytes
}

/// Ten bytes of packed decimal digits, now and then with wrong ones.
fn decimal(random: &mut Random) -> [u8; 10] {
    let mut bytes = std::array::from_fn(|_| (random.below(10) | random.below(10) << 4) as u8);
    bytes[9] = random.pick(&[0, 0x80, 0, 0x80, 0x7F, 0xFF]);
    if random.one_in(8) {
        bytes[random.index(9)] = random.byte();
    }
    if random.one_in(4) {
        bytes[random.index(6)..9].fill(0);
    }
    bytes
}

/// Bytes of values of a kind, as many as asked for.
pub fn bytes(random: &mut Random, kind: Kind, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        match kind {
            Kind::Integer => match random.below(4) {
                0 => bytes.push(integer(random) as u8),
                1 => bytes.extend((integer(random) as u16).to_le_bytes()),
                2 => bytes.extend((integer(random) as u32).to_le_bytes()),
                _ => bytes.extend(integer(random).to_le_bytes()),
            },
            Kind::Float32 => bytes.extend(float32(random).to_le_bytes()),
            Kind::Float64 => bytes.extend(float64(random).to_le_bytes()),
            Kind::Float80 => bytes.extend(float80(random)),
            Kind::Decimal => bytes.extend(decimal(random)),
        }
    }
    bytes.truncate(length);
    bytes
}
