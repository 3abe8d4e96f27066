//! Instructions between registers, compared with the processor that the tests run on.
//!
//! The oracle compares all forms with random states; here are many more operands of the arithmetic.

#![allow(unsafe_code, reason = "inline assembly")]
#![cfg(target_arch = "x86_64")]

mod exact;
mod faults;
mod remainders;
mod transcendental;

use iced_x86::{Decoder, DecoderOptions};

use super::f80::F80;
use super::handler;
use crate::Cpu;
use crate::state::cr0;

/// What an instruction finds and leaves.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Case {
    control: u16,
    /// Before the image is made, which needs exceptions to be cleared.
    status: u16,
    reserved: [u32; 3],
    /// ST(0) and ST(1).
    st: [u128; 2],
    padding: u128,
    /// As FXSAVE writes it.
    image: [u8; 512],
}

impl Case {
    fn new(control: u16, a: F80, b: F80) -> Self {
        let st = [a.bits(), b.bits()];
        Self { control, status: 0, reserved: [0; 3], st, padding: 0, image: [0; 512] }
    }

    /// Tags, and the registers.
    fn registers(&self) -> (u8, [F80; 8]) {
        let register = |i: usize| {
            let bytes = &self.image[32 + 16 * i..42 + 16 * i];
            F80::from_bits(bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte)))
        };
        (self.image[4], std::array::from_fn(register))
    }
}

/// An instruction of the processor: it runs on a case; its bytes are at the address returned.
struct Native {
    text: &'static str,
    run: fn(&mut Case) -> *const u8,
}

macro_rules! native {
    ($($text:expr),* $(,)?) => {
        &[$($crate::x87::tests::Native {
            text: $text,
            run: |case| {
                let at: *const u8;
                // SAFETY: only registers and `case` are touched; all of them are declared.
                unsafe {
                    std::arch::asm!(
                        "lea r8, [rip + 2f]",
                        "fninit",
                        "fldz", "fldz", "fldz", "fldz", "fldz", "fldz", "fldz", "fldz",
                        "fninit",
                        "fldcw [rdi]",
                        "fld tbyte ptr [rdi + 32]",
                        "fld tbyte ptr [rdi + 16]",
                        "2:",
                        $text,
                        "fnstsw [rdi + 2]",
                        "fnclex",
                        "fxsave64 [rdi + 64]",
                        "fninit",
                        in("rdi") case,
                        out("r8") at,
                        out("rax") _,
                        out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                        out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    );
                }
                at
            },
        }),*]
    };
}
use native;

/// A small generator of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mostly edges.
    fn number(&mut self) -> F80 {
        let exponent = match self.below(12) {
            0 => 0,
            1 => 1 + self.below(70),
            2 => 0x7FFF,
            3 => 0x7FFE - self.below(70),
            4 | 5 => 0x3FFF,
            6 => 0x3FFF + self.below(66),
            7 => 0x3FFF - self.below(66),
            8 => 0x3FFF + self.below(16_500) - 8250,
            9 => 0x3FFF + self.below(4),
            10 => 0x3FFF - self.below(4),
            _ => self.below(0x8000),
        };
        let fraction = match self.below(9) {
            0 | 1 => 0,
            2 => 1,
            3 => u64::MAX >> 1,
            4 => 1 << self.below(63),
            5 => self.next() << self.below(64),
            6 => (1 << self.below(63)) - 1,
            7 => (self.next() & 0xFF).wrapping_neg(),
            _ => self.next(),
        };
        let whole = (exponent != 0) != (self.below(40) == 0);
        let significand = fraction & (u64::MAX >> 1) | u64::from(whole) << 63;
        F80::new(self.next() & 1 != 0, exponent as i32, significand)
    }

    /// Modes; exceptions are masked more often than not.
    fn control(&mut self) -> u16 {
        let modes = 0x40 | (self.next() as u16 & 0xC00) | [0, 0x200, 0x300, 0x300][self.below(4) as usize];
        modes | if self.below(3) == 0 { self.next() as u16 & 0x3F } else { 0x3F }
    }
}

thread_local! {
    /// One for all comparisons of a test: a CPU's memory is never given back.
    static CPU: std::cell::RefCell<Box<Cpu>> = std::cell::RefCell::new(cpu());
}

fn cpu() -> Box<Cpu> {
    let mut cpu = Cpu::new(4096).expect("memory");
    cpu.cr0 = cr0::PE | cr0::NE;
    cpu
}

/// Runs the instruction at `code` on the engine.
fn run(cpu: &mut Cpu, code: *const u8, case: &mut Case) {
    // SAFETY: the code of the instruction, followed by enough other code.
    let bytes = unsafe { std::slice::from_raw_parts(code, 15) };
    let insn = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
    let handler = handler(insn.code()).expect("a handler");
    cpu.fpu.initialize();
    for i in 0..8 {
        cpu.fpu.load_st(i, F80::zero(false));
    }
    cpu.fpu.set_control(case.control);
    cpu.fpu.push(F80::from_bits(case.st[1]));
    cpu.fpu.push(F80::from_bits(case.st[0]));
    handler(cpu, &insn).expect("no fault");
    case.status = cpu.fpu.status();
    case.image = cpu.fx_state(true);
}

/// Cases for each instruction; more with `WASM_SANDBOX_FULL_TESTS`.
fn cases() -> usize {
    if std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some() { 3_000_000 } else { 60_000 }
}
