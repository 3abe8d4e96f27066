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

const CASES: usize = if cfg!(debug_assertions) { 2000 } else { 20_000 };

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
