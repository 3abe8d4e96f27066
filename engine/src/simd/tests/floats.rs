//! Floating point: edge operands in all modes of MXCSR.

use super::{Random, State, compare_all, immediates, native};
use crate::testing::is_on_intel;

const SINGLES: &[u32] = &[
    0,
    1,
    2,
    3,
    0x7F_FFFF,
    0x40_0000,
    0x80_0000,
    0x80_0001,
    0xFF_FFFF,
    0x100_0000,
    0x3F80_0000,
    0x3F80_0001,
    0x3F7F_FFFF,
    0x3F00_0000,
    0x3EFF_FFFF,
    0x3FC0_0000,
    0x4000_0000,
    0x4020_0000,
    0x4040_0000,
    0x4B00_0000,
    0x4B7F_FFFF,
    0x4B80_0000,
    0x4AFF_FFFF,
    0x4EFF_FFFF,
    0x4F00_0000,
    0x4F7F_FFFF,
    0x4F80_0000,
    0x5EFF_FFFF,
    0x5F00_0000,
    0x7F00_0000,
    0x7F7F_FFFF,
    0x7F80_0000,
    0x7F80_0001,
    0x7FA5_A5A5,
    0x7FC0_0000,
    0x7FC1_2345,
    0x3300_0000,
    0x3380_0000,
    0x3400_0000,
    0x1F80_0000,
    0x2000_0000,
    0x5F80_0000,
    0x3F35_04F3,
    0x3DCC_CCCD,
];

const DOUBLES: &[u64] = &[
    0,
    1,
    2,
    3,
    0xF_FFFF_FFFF_FFFF,
    0x8_0000_0000_0000,
    0x10_0000_0000_0000,
    0x10_0000_0000_0001,
    0x1F_FFFF_FFFF_FFFF,
    0x20_0000_0000_0000,
    0x3FF0_0000_0000_0000,
    0x3FF0_0000_0000_0001,
    0x3FEF_FFFF_FFFF_FFFF,
    0x3FE0_0000_0000_0000,
    0x3FDF_FFFF_FFFF_FFFF,
    0x3FF8_0000_0000_0000,
    0x4000_0000_0000_0000,
    0x4004_0000_0000_0000,
    0x4008_0000_0000_0000,
    0x4330_0000_0000_0000,
    0x4330_0000_0000_0001,
    0x4340_0000_0000_0000,
    0x41DF_FFFF_FFC0_0000,
    0x41E0_0000_0000_0000,
    0x41DF_FFFF_FFE0_0000,
    0x41E0_0000_0010_0000,
    0x41DF_FFFF_FFDF_FFFF,
    0x43DF_FFFF_FFFF_FFFF,
    0x43E0_0000_0000_0000,
    0x7FD0_0000_0000_0000,
    0x7FEF_FFFF_FFFF_FFFF,
    0x7FF0_0000_0000_0000,
    0x7FF0_0000_0000_0001,
    0x7FF4_5A5A_5A5A_5A5A,
    0x7FF8_0000_0000_0000,
    0x7FF8_1234_5678_9ABC,
    // Around the limits of binary32.
    0x47EF_FFFF_E000_0000,
    0x47EF_FFFF_EFFF_FFFF,
    0x47EF_FFFF_F000_0000,
    0x3810_0000_0000_0000,
    0x380F_FFFF_FFFF_FFFF,
    0x380F_FFFF_E000_0000,
    0x380F_FFFF_F000_0000,
    0x380F_FFFF_EFFF_FFFF,
    0x36A0_0000_0000_0000,
    0x3690_0000_0000_0000,
    0x3690_0000_0000_0001,
    0x3CA0_0000_0000_0000,
    0x3CB0_0000_0000_0000,
    0x1FF0_0000_0000_0000,
    0x2000_0000_0000_0000,
    0x5FF0_0000_0000_0000,
    0x3FE6_A09E_667F_3BCD,
];

fn single(random: &mut Random) -> u32 {
    let any = random.next() as u32;
    let chosen = SINGLES[random.below(SINGLES.len())];
    match any % 8 {
        0 => random.next() as u32,
        // Of moderate size.
        1 => (random.next() as u32 & 0x87FF_FFFF) | 0x3800_0000,
        2 => ((random.next() % 200) as i32 - 100) as f32 as u32 as f32 as u32,
        3 => (((random.next() % 200) as f32 - 100.0) / 4.0).to_bits(),
        4 => chosen.wrapping_add((any >> 8 & 3) as i32 as u32).wrapping_sub(1) ^ (any & 0x8000_0000),
        _ => chosen ^ (any & 0x8000_0000),
    }
}

fn double(random: &mut Random) -> u64 {
    let any = random.next();
    let chosen = DOUBLES[random.below(DOUBLES.len())];
    match any % 8 {
        0 => random.next(),
        1 => (random.next() & 0x80FF_FFFF_FFFF_FFFF) | 0x3F00_0000_0000_0000,
        2 => f64::from(single(random) as f32).to_bits(),
        3 => (((random.next() % 200) as f64 - 100.0) / 4.0).to_bits(),
        4 => chosen.wrapping_add(any >> 8 & 3).wrapping_sub(1) ^ (any & (1 << 63)),
        5 => u64::from(single(random)) << 29 | 0x3800_0000_0000_0000,
        _ => chosen ^ (any & (1 << 63)),
    }
}

fn singles(random: &mut Random) -> u128 {
    (0..4).fold(0, |all, _| all << 32 | u128::from(single(random)))
}

fn doubles(random: &mut Random) -> u128 {
    (0..2).fold(0, |all, _| all << 64 | u128::from(double(random)))
}

/// All masked; any rounding, DAZ, FTZ and flags.
fn mxcsr(random: &mut Random) -> u32 {
    let any = random.next() as u32;
    match any % 4 {
        0 => 0x1F80,
        1 => 0x1FA0,
        _ => 0x1F80 | (random.next() as u32 & 0xE040),
    }
}

fn of_singles(random: &mut Random) -> State {
    let rax = if random.next() & 1 == 0 { random.next() } else { single(random).into() };
    let mm = [random.next(), random.next() >> random.below(64)];
    State { xmm: [singles(random), singles(random), 0], mm, rax, mxcsr: mxcsr(random), ..State::default() }
}

fn of_doubles(random: &mut Random) -> State {
    let rax = random.next() >> random.below(64);
    State { xmm: [doubles(random), doubles(random), 0], rax, mxcsr: mxcsr(random), ..of_singles(random) }
}

const CASES: usize = if cfg!(debug_assertions) { 4_000 } else { 100_000 };

#[test]
fn singles_arithmetic() {
    let list = native![
        "addss xmm0, xmm1",
        "subss xmm0, xmm1",
        "mulss xmm0, xmm1",
        "divss xmm0, xmm1",
        "sqrtss xmm0, xmm1",
        "minss xmm0, xmm1",
        "maxss xmm0, xmm1",
        "addps xmm0, xmm1",
        "subps xmm0, xmm1",
        "mulps xmm0, xmm1",
        "divps xmm0, xmm1",
        "sqrtps xmm0, xmm1",
        "minps xmm0, xmm1",
        "maxps xmm0, xmm1",
        "addsubps xmm0, xmm1",
        "haddps xmm0, xmm1",
        "hsubps xmm0, xmm1",
        "comiss xmm0, xmm1",
        "ucomiss xmm0, xmm1",
    ];
    compare_all(list, CASES, of_singles);
}

#[test]
fn doubles_arithmetic() {
    let list = native![
        "addsd xmm0, xmm1",
        "subsd xmm0, xmm1",
        "mulsd xmm0, xmm1",
        "divsd xmm0, xmm1",
        "sqrtsd xmm0, xmm1",
        "minsd xmm0, xmm1",
        "maxsd xmm0, xmm1",
        "addpd xmm0, xmm1",
        "subpd xmm0, xmm1",
        "mulpd xmm0, xmm1",
        "divpd xmm0, xmm1",
        "sqrtpd xmm0, xmm1",
        "minpd xmm0, xmm1",
        "maxpd xmm0, xmm1",
        "addsubpd xmm0, xmm1",
        "haddpd xmm0, xmm1",
        "hsubpd xmm0, xmm1",
        "comisd xmm0, xmm1",
        "ucomisd xmm0, xmm1",
    ];
    compare_all(list, CASES, of_doubles);
}

#[test]
fn dot_products() {
    compare_all(
        immediates!("dpps xmm0, xmm1": 0xFF, 0xF1, 0x7F, 0x35, 0x81, 0x4F, 0x00, 0x2A),
        CASES,
        |random| comparable(random, of_singles, |xmm| xmm.to_le_bytes().as_chunks().0.iter().any(is_nan)),
    );
    compare_all(immediates!("dppd xmm0, xmm1": 0x33, 0x31, 0x12, 0x23, 0x00, 0x3F), CASES, |random| {
        let is_nan = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes).is_nan();
        comparable(random, of_doubles, |xmm| xmm.to_le_bytes().as_chunks().0.iter().any(is_nan))
    });
}

fn is_nan(bytes: &[u8; 4]) -> bool {
    f32::from_le_bytes(*bytes).is_nan()
}

/// Intel's processors choose another one of several NaNs.
fn comparable(
    random: &mut Random,
    mut make: impl FnMut(&mut Random) -> State,
    has_nan: impl Fn(&u128) -> bool,
) -> State {
    loop {
        let state = make(random);
        if !is_on_intel() || !state.xmm[..2].iter().any(&has_nan) {
            return state;
        }
    }
}

#[test]
fn comparisons() {
    compare_all(immediates!("cmpps xmm0, xmm1": 0, 1, 2, 3, 4, 5, 6, 7), CASES, of_singles);
    compare_all(immediates!("cmpss xmm0, xmm1": 0, 1, 2, 3, 4, 5, 6, 7), CASES, of_singles);
    compare_all(immediates!("cmppd xmm0, xmm1": 0, 1, 2, 3, 4, 5, 6, 7), CASES, of_doubles);
    compare_all(immediates!("cmpsd xmm0, xmm1": 0, 1, 2, 3, 4, 5, 6, 7), CASES, of_doubles);
}

#[test]
fn rounding() {
    compare_all(immediates!("roundps xmm0, xmm1": 0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12), CASES, of_singles);
    compare_all(immediates!("roundss xmm0, xmm1": 0, 1, 2, 3, 4, 8, 12), CASES, of_singles);
    compare_all(immediates!("roundpd xmm0, xmm1": 0, 1, 2, 3, 4, 8, 12), CASES, of_doubles);
    compare_all(immediates!("roundsd xmm0, xmm1": 0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12), CASES, of_doubles);
}

#[test]
fn conversions_of_singles() {
    let list = native![
        "cvtss2sd xmm0, xmm1",
        "cvtps2pd xmm0, xmm1",
        "cvtps2dq xmm0, xmm1",
        "cvttps2dq xmm0, xmm1",
        "cvtss2si eax, xmm1",
        "cvtss2si rax, xmm1",
        "cvttss2si eax, xmm1",
        "cvttss2si rax, xmm1",
        "cvtps2pi mm0, xmm1",
        "cvttps2pi mm0, xmm1",
        "cvtsi2ss xmm0, eax",
        "cvtsi2ss xmm0, rax",
        "cvtdq2ps xmm0, xmm1",
        "cvtdq2pd xmm0, xmm1",
        "cvtpi2ps xmm0, mm1",
        "cvtpi2pd xmm0, mm1",
    ];
    compare_all(list, CASES, of_singles);
}

#[test]
fn conversions_of_doubles() {
    let list = native![
        "cvtsd2ss xmm0, xmm1",
        "cvtpd2ps xmm0, xmm1",
        "cvtpd2dq xmm0, xmm1",
        "cvttpd2dq xmm0, xmm1",
        "cvtsd2si eax, xmm1",
        "cvtsd2si rax, xmm1",
        "cvttsd2si eax, xmm1",
        "cvttsd2si rax, xmm1",
        "cvtpd2pi mm0, xmm1",
        "cvttpd2pi mm0, xmm1",
        "cvtsi2sd xmm0, eax",
        "cvtsi2sd xmm0, rax",
        "cvtsi2ss xmm0, rax",
    ];
    compare_all(list, CASES, of_doubles);
}
