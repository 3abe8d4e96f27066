//! Instructions between registers, compared with the processor that the tests run on.

#![allow(unsafe_code, reason = "inline assembly")]
#![cfg(target_arch = "x86_64")]

mod faults;
mod floats;
mod integers;

use std::arch::asm;

use iced_x86::{Decoder, DecoderOptions};

use super::{handler, mmx};
use crate::state::{cr0, cr4};
use crate::{Cpu, flag};

/// The registers that the instructions under test use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct State {
    /// XMM0 to XMM2.
    xmm: [u128; 3],
    /// MM0 and MM1.
    mm: [u64; 2],
    rax: u64,
    rdx: u64,
    mxcsr: u32,
    reserved: u32,
    flags: u64,
    rcx: u64,
}

/// An instruction of the processor: it runs on a state; its bytes are at the address returned.
struct Native {
    text: &'static str,
    run: fn(&mut State) -> *const u8,
}

macro_rules! native {
    ($($text:expr),* $(,)?) => {
        &[$($crate::simd::tests::Native {
            text: $text,
            run: |state| {
                let at: *const u8;
                // SAFETY: only registers and `state` are touched; all of them are declared.
                unsafe {
                    std::arch::asm!(
                        "lea r8, [rip + 2f]",
                        "movdqu xmm0, [rdi]",
                        "movdqu xmm1, [rdi + 16]",
                        "movdqu xmm2, [rdi + 32]",
                        "movq mm0, [rdi + 48]",
                        "movq mm1, [rdi + 56]",
                        "mov rax, [rdi + 64]",
                        "mov rdx, [rdi + 72]",
                        "mov rcx, [rdi + 96]",
                        "ldmxcsr [rdi + 80]",
                        "2:",
                        $text,
                        "pushfq",
                        "pop r9",
                        "stmxcsr [rdi + 80]",
                        "mov [rdi + 88], r9",
                        "movdqu [rdi], xmm0",
                        "movdqu [rdi + 16], xmm1",
                        "movdqu [rdi + 32], xmm2",
                        "movq [rdi + 48], mm0",
                        "movq [rdi + 56], mm1",
                        "mov [rdi + 64], rax",
                        "mov [rdi + 72], rdx",
                        "mov [rdi + 96], rcx",
                        "emms",
                        in("rdi") state,
                        out("r8") at,
                        out("r9") _, out("rax") _, out("rcx") _, out("rdx") _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _,
                        out("mm0") _, out("mm1") _,
                    );
                }
                at
            },
        }),*]
    };
}
use native;

/// An instruction with several immediates.
macro_rules! immediates {
    ($text:literal: $($immediate:literal),*) => {
        crate::simd::tests::native![$(concat!($text, ", ", stringify!($immediate))),*]
    };
}
use immediates;

/// A small generator of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

thread_local! {
    /// One for all comparisons of a test: a CPU's memory is never given back.
    static CPU: std::cell::RefCell<Box<Cpu>> = std::cell::RefCell::new(cpu());
}

fn cpu() -> Box<Cpu> {
    let mut cpu = Cpu::new(4096).expect("memory");
    cpu.cr0 = cr0::PE;
    cpu.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT;
    cpu
}

/// How many differences are printed before the test is given up.
const ENOUGH: usize = 12;

/// Compares `instruction` on the states that `make` gives; returns the number of differences.
fn compare(
    cpu: &mut Cpu,
    instruction: &Native,
    cases: usize,
    mut make: impl FnMut(&mut Random) -> State,
) -> usize {
    // SAFETY: changes MXCSR to what it always is.
    let restore = || unsafe { asm!("ldmxcsr [{}]", in(reg) &0x1F80u32) };
    let mut random = Random(7);
    let mut different = 0;
    for _ in 0..cases {
        let before = make(&mut random);
        let mut expected = before;
        let code = (instruction.run)(&mut expected);
        restore();
        expected.flags &= u64::from(flag::STATUS);
        // SAFETY: the code of the instruction, followed by enough other code.
        let bytes = unsafe { std::slice::from_raw_parts(code, 15) };
        let insn = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        let handler = handler(insn.code()).unwrap_or_else(|| panic!("no handler of {}", instruction.text));
        cpu.xmm[..3].copy_from_slice(&before.xmm);
        (0..2).for_each(|i| mmx::set(cpu, i, before.mm[i]));
        (cpu.regs[0], cpu.regs[2], cpu.regs[1]) = (before.rax, before.rdx, before.rcx);
        cpu.mxcsr = before.mxcsr;
        cpu.set_flags(flag::ONE);
        let result = handler(cpu, &insn);
        let sets_flags =
            ["ptest", "comis", "pcmpestr", "pcmpistr"].iter().any(|t| instruction.text.contains(t));
        let actual = State {
            xmm: [cpu.xmm[0], cpu.xmm[1], cpu.xmm[2]],
            mm: [mmx::get(cpu, 0), mmx::get(cpu, 1)],
            rax: cpu.regs[0],
            rdx: cpu.regs[2],
            rcx: cpu.regs[1],
            mxcsr: cpu.mxcsr,
            reserved: 0,
            flags: if sets_flags { u64::from(cpu.flags() & flag::STATUS) } else { expected.flags },
        };
        if result.is_err() || actual != expected {
            different += 1;
            if different <= 2 {
                println!(
                    "{}: {result:?}\n  before   {before:x?}\n  expected {expected:x?}\n  actual   {actual:x?}",
                    instruction.text
                );
            }
        }
    }
    different
}

/// Compares all of a list.
fn compare_all(list: &[Native], cases: usize, mut make: impl FnMut(&mut Random) -> State) {
    let mut bad = Vec::new();
    for instruction in list {
        let different = CPU.with_borrow_mut(|cpu| compare(cpu, instruction, cases, &mut make));
        if different != 0 {
            bad.push(format!("{}: {different}", instruction.text));
            if bad.len() >= ENOUGH {
                break;
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Every instruction of the extensions that CPUID announces is there.
#[test]
fn nothing_is_missing() {
    use iced_x86::{Code, CpuidFeature, EncodingKind};
    let ours = [
        CpuidFeature::MMX,
        CpuidFeature::SSE,
        CpuidFeature::SSE2,
        CpuidFeature::SSE3,
        CpuidFeature::SSSE3,
        CpuidFeature::SSE4_1,
        CpuidFeature::SSE4_2,
        CpuidFeature::AES,
        CpuidFeature::PCLMULQDQ,
        CpuidFeature::SHA,
    ];
    let missing: Vec<Code> = Code::values()
        .filter(|code| code.encoding() == EncodingKind::Legacy)
        .filter(|code| code.cpuid_features().iter().any(|feature| ours.contains(feature)))
        .filter(|code| code.mnemonic() != iced_x86::Mnemonic::Fisttp)
        .filter(|&code| crate::general::handler(code).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
