//! Integer instructions.

use super::{Random, State, compare_all, immediates, native};

/// A value whose lanes are often special: zeros, ones, extremes.
fn value(random: &mut Random) -> u64 {
    let any = random.next();
    match any % 4 {
        0 => random.next(),
        1 => {
            const BYTES: [u64; 8] = [0, 1, 0x7F, 0x80, 0x81, 0xFF, 0xFE, 0x40];
            (0..8).fold(0, |all, i| all << 8 | BYTES[(any >> (8 + 3 * i)) as usize & 7])
        }
        2 => {
            const WORDS: [u64; 8] = [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0xFF, 0x100];
            (0..4).fold(0, |all, i| all << 16 | WORDS[(any >> (8 + 3 * i)) as usize & 7])
        }
        _ => {
            const DWORDS: [u64; 8] = [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF, 0x8000, 0x10];
            (0..2).fold(0, |all, i| all << 32 | DWORDS[(any >> (8 + 3 * i)) as usize & 7])
        }
    }
}

fn wide(random: &mut Random) -> u128 {
    u128::from(value(random)) << 64 | u128::from(value(random))
}

fn any(random: &mut Random) -> State {
    let a = wide(random);
    // Often equal lanes.
    let mixed = wide(random);
    let b = if random.next() & 1 == 0 { wide(random) } else { (a & mixed) | (wide(random) & !mixed) };
    State {
        xmm: [a, b, wide(random)],
        mm: [value(random), value(random)],
        rax: value(random),
        rdx: value(random),
        mxcsr: 0x1F80,
        ..State::default()
    }
}

/// Small counts.
fn counts(random: &mut Random) -> State {
    let count = if random.next() & 7 == 0 { wide(random) } else { u128::from(random.next() % 70) };
    let state = any(random);
    State { xmm: [state.xmm[0], count, 0], mm: [state.mm[0], count as u64], ..state }
}

const CASES: usize = if cfg!(debug_assertions) { 1000 } else { 10_000 };

/// The same instruction for both kinds of registers.
macro_rules! both {
    ($($name:literal),* $(,)?) => {
        native![$(concat!($name, " xmm0, xmm1"), concat!($name, " mm0, mm1")),*]
    };
}

#[test]
fn mmx_and_sse2() {
    let list = both![
        "paddb",
        "paddw",
        "paddd",
        "paddq",
        "psubb",
        "psubw",
        "psubd",
        "psubq",
        "paddsb",
        "paddsw",
        "paddusb",
        "paddusw",
        "psubsb",
        "psubsw",
        "psubusb",
        "psubusw",
        "pavgb",
        "pavgw",
        "pmullw",
        "pmulhw",
        "pmulhuw",
        "pmuludq",
        "pmaddwd",
        "psadbw",
        "pcmpeqb",
        "pcmpeqw",
        "pcmpeqd",
        "pcmpgtb",
        "pcmpgtw",
        "pcmpgtd",
        "pminub",
        "pmaxub",
        "pminsw",
        "pmaxsw",
        "pand",
        "pandn",
        "por",
        "pxor",
        "packsswb",
        "packssdw",
        "packuswb",
        "punpcklbw",
        "punpcklwd",
        "punpckldq",
        "punpckhbw",
        "punpckhwd",
        "punpckhdq",
    ];
    compare_all(list, CASES, any);
}

#[test]
fn ssse3() {
    let list = both![
        "pshufb",
        "phaddw",
        "phaddd",
        "phaddsw",
        "phsubw",
        "phsubd",
        "phsubsw",
        "pmaddubsw",
        "psignb",
        "psignw",
        "psignd",
        "pmulhrsw",
        "pabsb",
        "pabsw",
        "pabsd",
    ];
    compare_all(list, CASES, any);
    compare_all(immediates!("palignr xmm0, xmm1": 0, 1, 5, 8, 15, 16, 17, 24, 31, 32, 33, 255), CASES, any);
    compare_all(immediates!("palignr mm0, mm1": 0, 1, 5, 7, 8, 9, 15, 16, 17, 255), CASES, any);
}

#[test]
fn shifts() {
    compare_all(both!["psllw", "pslld", "psllq", "psrlw", "psrld", "psrlq", "psraw", "psrad"], CASES, counts);
    macro_rules! by {
        ($($name:literal),*) => {$(
            compare_all(immediates!($name: 0, 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255), CASES, any);
        )*};
    }
    by![
        "psllw xmm0",
        "pslld xmm0",
        "psllq xmm0",
        "psrlw xmm0",
        "psrld xmm0",
        "psrlq xmm0",
        "psraw xmm0",
        "psrad xmm0"
    ];
    by![
        "psllw mm0",
        "pslld mm0",
        "psllq mm0",
        "psrlw mm0",
        "psrld mm0",
        "psrlq mm0",
        "psraw mm0",
        "psrad mm0"
    ];
    by!["pslldq xmm0", "psrldq xmm0"];
}

#[test]
fn shuffles() {
    macro_rules! by {
        ($($name:literal),*) => {$(
            compare_all(immediates!($name: 0, 1, 2, 3, 0x1B, 0x39, 0x4E, 0x93, 0xE4, 0xFF, 0x5A, 0xA7), CASES, any);
        )*};
    }
    by![
        "pshufd xmm0, xmm1",
        "pshuflw xmm0, xmm1",
        "pshufhw xmm0, xmm1",
        "shufps xmm0, xmm1",
        "shufpd xmm0, xmm1"
    ];
    by![
        "pshufw mm0, mm1",
        "pblendw xmm0, xmm1",
        "blendps xmm0, xmm1",
        "blendpd xmm0, xmm1",
        "insertps xmm0, xmm1"
    ];
    by!["pinsrw xmm0, eax", "pinsrw mm0, eax", "pextrw eax, xmm1", "pextrw eax, mm1", "pinsrb xmm0, eax"];
    by!["pinsrd xmm0, eax", "pinsrq xmm0, rax", "pextrb eax, xmm1", "pextrd eax, xmm1", "pextrq rax, xmm1"];
    by!["extractps eax, xmm1"];
    let list = native![
        "unpcklps xmm0, xmm1",
        "unpcklpd xmm0, xmm1",
        "unpckhps xmm0, xmm1",
        "unpckhpd xmm0, xmm1",
        "punpcklqdq xmm0, xmm1",
        "punpckhqdq xmm0, xmm1",
        "movsldup xmm0, xmm1",
        "movshdup xmm0, xmm1",
        "movddup xmm0, xmm1",
        "movhlps xmm0, xmm1",
        "movlhps xmm0, xmm1",
        "pblendvb xmm1, xmm2, xmm0",
        "blendvps xmm1, xmm2, xmm0",
        "blendvpd xmm1, xmm2, xmm0",
    ];
    compare_all(list, CASES, any);
}

#[test]
fn sse4() {
    let list = native![
        "pmovsxbw xmm0, xmm1",
        "pmovsxbd xmm0, xmm1",
        "pmovsxbq xmm0, xmm1",
        "pmovsxwd xmm0, xmm1",
        "pmovsxwq xmm0, xmm1",
        "pmovsxdq xmm0, xmm1",
        "pmovzxbw xmm0, xmm1",
        "pmovzxbd xmm0, xmm1",
        "pmovzxbq xmm0, xmm1",
        "pmovzxwd xmm0, xmm1",
        "pmovzxwq xmm0, xmm1",
        "pmovzxdq xmm0, xmm1",
        "pmuldq xmm0, xmm1",
        "pmulld xmm0, xmm1",
        "pcmpeqq xmm0, xmm1",
        "pcmpgtq xmm0, xmm1",
        "packusdw xmm0, xmm1",
        "pminsb xmm0, xmm1",
        "pminsd xmm0, xmm1",
        "pminuw xmm0, xmm1",
        "pminud xmm0, xmm1",
        "pmaxsb xmm0, xmm1",
        "pmaxsd xmm0, xmm1",
        "pmaxuw xmm0, xmm1",
        "pmaxud xmm0, xmm1",
        "phminposuw xmm0, xmm1",
        "ptest xmm0, xmm1",
    ];
    compare_all(list, CASES, any);
}

#[test]
fn moves() {
    let list = native![
        "movss xmm0, xmm1",
        "movsd xmm0, xmm1",
        "movaps xmm0, xmm1",
        "movups xmm0, xmm1",
        "movdqa xmm0, xmm1",
        "movdqu xmm0, xmm1",
        "movq xmm0, xmm1",
        "movd xmm0, eax",
        "movq xmm0, rax",
        "movd eax, xmm1",
        "movq rax, xmm1",
        "movd mm0, eax",
        "movq mm0, rax",
        "movd eax, mm1",
        "movq rax, mm1",
        "movq mm0, mm1",
        "movq2dq xmm0, mm1",
        "movdq2q mm0, xmm1",
        "pmovmskb eax, xmm1",
        "pmovmskb eax, mm1",
        "movmskps eax, xmm1",
        "movmskpd eax, xmm1",
    ];
    compare_all(list, CASES, any);
}

/// All immediates from 0 to 127 with these three high bits fixed.
macro_rules! strings {
    ($($name:literal),*) => {$(
        compare_all(immediates!($name: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), CASES, text);
        compare_all(immediates!($name: 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31), CASES, text);
        compare_all(immediates!($name: 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47), CASES, text);
        compare_all(immediates!($name: 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63), CASES, text);
        compare_all(immediates!($name: 64, 65, 70, 75, 76, 81, 88, 93, 98, 103, 113, 117, 122, 127, 200), CASES, text);
    )*};
}

/// Few different characters, short lengths.
fn text(random: &mut Random) -> State {
    let mut few = |zeros: bool| {
        let any = random.next();
        let set: [u8; 4] = if any & 1 == 0 { [1, 2, 0x80, 3] } else { [0xFF, 0x7F, 1, 0x80] };
        (0..16).fold(0u128, |all, i| {
            let pick = random.next();
            let zero = zeros && pick & 0xF0 == 0;
            let same = i % 2 == 1 && pick & 0x700 != 0;
            let byte = if zero || same { 0 } else { set[pick as usize & 3] };
            all << 8 | u128::from(byte)
        })
    };
    let (a, b) = (few(true), few(true));
    let mut length = || match random.next() % 8 {
        0 => random.next(),
        1 => (random.next() % 40).wrapping_neg(),
        2 => 1 << 31 | random.next() << 32,
        3 => 1 << 63,
        _ => random.next() % 20,
    };
    let (rax, rdx) = (length(), length());
    let b = if random.next() & 3 == 0 { a >> (8 * (random.next() % 4)) } else { b };
    State { xmm: [a, b, 5], rax, rdx, rcx: !0, mxcsr: 0x1F80, ..State::default() }
}

#[test]
fn texts() {
    strings!["pcmpistri xmm0, xmm1", "pcmpistrm xmm0, xmm1", "pcmpestri xmm0, xmm1", "pcmpestrm xmm0, xmm1"];
    strings![".byte 0x66, 0x48, 0x0f, 0x3a, 0x61, 0xc1"];
}

#[test]
fn cryptography() {
    let list = native![
        "aesenc xmm0, xmm1",
        "aesenclast xmm0, xmm1",
        "aesdec xmm0, xmm1",
        "aesdeclast xmm0, xmm1",
        "aesimc xmm0, xmm1",
        "sha1nexte xmm0, xmm1",
        "sha1msg1 xmm0, xmm1",
        "sha1msg2 xmm0, xmm1",
        "sha256rnds2 xmm1, xmm2, xmm0",
        "sha256msg1 xmm0, xmm1",
        "sha256msg2 xmm0, xmm1",
    ];
    compare_all(list, CASES, any);
    compare_all(immediates!("aeskeygenassist xmm0, xmm1": 0, 1, 2, 0x36, 255), CASES, any);
    compare_all(immediates!("pclmulqdq xmm0, xmm1": 0, 1, 16, 17, 255), CASES, any);
    compare_all(immediates!("sha1rnds4 xmm0, xmm1": 0, 1, 2, 3), CASES, any);
    compare_all(immediates!("mpsadbw xmm0, xmm1": 0, 1, 2, 3, 4, 5, 6, 7, 255), CASES, any);
}
