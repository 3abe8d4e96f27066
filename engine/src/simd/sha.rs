//! SHA-1 and SHA-256 (SDM vol. 2, SHA1RNDS4 and following; FIPS 180-4).
//!
//! Memory operands need no alignment, as on AMD's processors.

use iced_x86::Code;

use super::lanes::{Lanes, zip};
use super::operands::destination;
use crate::Handler;

type Words = [u32; 4];

/// SHA1RNDS4: four rounds with one of the four functions. Words are in descending order: lane 3 is A.
fn sha1_rounds(state: Words, message: Words, function: u8) -> Words {
    let k = match function & 3 {
        0 => 0x5A82_7999,
        1 => 0x6ED9_EBA1,
        2 => 0x8F1B_BCDC,
        _ => 0xCA62_C1D6u32,
    };
    let f = |b: u32, c: u32, d: u32| match function & 3 {
        0 => (b & c) ^ (!b & d),
        2 => (b & c) ^ (b & d) ^ (c & d),
        _ => b ^ c ^ d,
    };
    let [mut d, mut c, mut b, mut a] = state;
    // E is in the first message word already.
    let mut e = 0u32;
    for word in message.into_iter().rev() {
        let next =
            f(b, c, d).wrapping_add(a.rotate_left(5)).wrapping_add(word).wrapping_add(e).wrapping_add(k);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    [d, c, b, a]
}

fn sha1_message2(a: Words, b: Words) -> Words {
    let w16 = (a[3] ^ b[2]).rotate_left(1);
    let w17 = (a[2] ^ b[1]).rotate_left(1);
    let w18 = (a[1] ^ b[0]).rotate_left(1);
    let w19 = (a[0] ^ w16).rotate_left(1);
    [w19, w18, w17, w16]
}

fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3
}

fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10
}

/// SHA256RNDS2: two rounds; `cdgh` and `abef` hold the state, `wk` the message with the constants added.
fn sha256_rounds(cdgh: Words, abef: Words, wk: [u32; 2]) -> Words {
    let [mut f, mut e, mut b, mut a] = abef;
    let [mut h, mut g, mut d, mut c] = cdgh;
    for word in wk {
        let sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(sigma1).wrapping_add(choice).wrapping_add(word);
        let sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let t2 = sigma0.wrapping_add(majority);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    [f, e, b, a]
}

fn sha256_message2(a: Words, b: Words) -> Words {
    let w16 = a[0].wrapping_add(small_sigma1(b[2]));
    let w17 = a[1].wrapping_add(small_sigma1(b[3]));
    let w18 = a[2].wrapping_add(small_sigma1(w16));
    let w19 = a[3].wrapping_add(small_sigma1(w17));
    [w16, w17, w18, w19]
}

/// A handler of an operation on words.
macro_rules! anywhere {
    ($f:expr) => {
        |cpu, insn| super::binary_unaligned::<Words, Words>(cpu, insn, $f)
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Sha1rnds4_xmm_xmmm128_imm8 => |cpu, insn| {
            let function = insn.immediate8();
            super::binary_unaligned(cpu, insn, |a: Words, b| sha1_rounds(a, b, function))
        },
        Sha1nexte_xmm_xmmm128 => {
            anywhere!(|a, b| { [b[0], b[1], b[2], b[3].wrapping_add(a[3].rotate_left(30))] })
        }
        Sha1msg1_xmm_xmmm128 => anywhere!(|a, b| [a[0] ^ b[2], a[1] ^ b[3], a[2] ^ a[0], a[3] ^ a[1]]),
        Sha1msg2_xmm_xmmm128 => anywhere!(sha1_message2),
        Sha256rnds2_xmm_xmmm128 => |cpu, insn| {
            cpu.sse_ready()?;
            let abef: Words = cpu.source_unaligned(insn)?.lanes();
            let [w0, w1, ..]: Words = cpu.get_xmm(0).lanes();
            let to = destination(insn);
            let cdgh = cpu.get_xmm(to).lanes();
            cpu.set_xmm(to, sha256_rounds(cdgh, abef, [w0, w1]).pack());
            Ok(())
        },
        Sha256msg1_xmm_xmmm128 => anywhere!(|a, b| {
            let next = [a[1], a[2], a[3], b[0]];
            zip(a, next, |word: u32, next| word.wrapping_add(small_sigma0(next)))
        }),
        Sha256msg2_xmm_xmmm128 => anywhere!(sha256_message2),
        _ => return None,
    })
}
