//! Faults, and that they change nothing.

use iced_x86::{Decoder, DecoderOptions};

use super::super::handler;
use crate::state::{cr0, cr4};
use crate::{Boot, Cpu, Fault, TableRegister};

/// Flat 32-bit code with 64 KiB of RAM.
fn cpu() -> Box<Cpu> {
    let mut cpu = Cpu::new(1 << 16).expect("memory");
    cpu.boot(Boot { long_mode: false, rip: 0x1000, rsi: 0, cr3: 0, gdtr: TableRegister::default() });
    cpu.cr0 |= cr0::NE | cr0::MP;
    cpu.cr4 |= cr4::OSFXSR;
    cpu
}

fn run(cpu: &mut Cpu, code: &[u8]) -> Result<(), Fault> {
    let insn = Decoder::new(32, code, DecoderOptions::NONE).decode();
    let handler = handler(insn.code()).expect("a handler");
    let before = cpu.fx_state(true);
    cpu.rip = 0x1000 + code.len() as u64;
    let result = handler(cpu, &insn);
    if result.is_err() {
        assert_eq!(before, cpu.fx_state(true), "{code:x?}");
    }
    result
}

const FNINIT: [u8; 2] = [0xDB, 0xE3];
const FLD1: [u8; 2] = [0xD9, 0xE8];
const FLDZ: [u8; 2] = [0xD9, 0xEE];
const FDIVP: [u8; 2] = [0xDE, 0xF9];
const FNSTSW_AX: [u8; 2] = [0xDF, 0xE0];
const FNCLEX: [u8; 2] = [0xDB, 0xE2];
const WAIT: [u8; 1] = [0x9B];
/// At 0x2000.
const FLDCW: [u8; 6] = [0xD9, 0x2D, 0, 0x20, 0, 0];
const FSTP: [u8; 6] = [0xDD, 0x1D, 0, 0x20, 0, 0];
const FXSAVE: [u8; 7] = [0x0F, 0xAE, 0x05, 0, 0x20, 0, 0];
const FXRSTOR: [u8; 7] = [0x0F, 0xAE, 0x0D, 0, 0x20, 0, 0];

#[test]
fn an_exception_waits_for_the_next_instruction_that_waits() {
    let mut cpu = cpu();
    cpu.ram()[0x1000..0x1002].copy_from_slice(&FDIVP);
    cpu.ram()[0x2000..0x2002].copy_from_slice(&0x037Bu16.to_le_bytes());
    for code in [&FNINIT[..], &FLDCW, &FLD1, &FLDZ, &FDIVP] {
        assert_eq!(run(&mut cpu, code), Ok(()));
    }
    for code in [&FLD1[..], &FSTP, &FLDCW, &WAIT] {
        assert_eq!(run(&mut cpu, code), Err(Fault::MF));
    }
    assert_eq!(run(&mut cpu, &FNSTSW_AX), Ok(()));
    // ZE, ES and B, and both numbers are still there.
    assert_eq!(cpu.regs[0], 0xB084);
    assert_eq!(run(&mut cpu, &FXSAVE), Ok(()));
    // The pointers are those of the division.
    assert_eq!(cpu.ram()[0x2006..0x200C], [0xF9, 6, 0, 0x10, 0, 0]);
    assert_eq!(run(&mut cpu, &FNCLEX), Ok(()));
    assert_eq!(run(&mut cpu, &FLD1), Ok(()));
}

#[test]
fn without_the_fpu_there_is_nm() {
    let mut cpu = cpu();
    cpu.cr0 |= cr0::TS;
    for code in [&FNINIT[..], &FLD1, &FSTP, &FLDCW, &WAIT, &FNSTSW_AX, &FNCLEX, &FXSAVE, &FXRSTOR] {
        assert_eq!(run(&mut cpu, code), Err(Fault::NM), "{code:x?}");
    }
    cpu.cr0 &= !cr0::MP;
    assert_eq!(run(&mut cpu, &WAIT), Ok(()));
    cpu.cr0 = cpu.cr0 & !cr0::TS | cr0::EM;
    assert_eq!(run(&mut cpu, &FLD1), Err(Fault::NM));
    assert_eq!(run(&mut cpu, &WAIT), Ok(()));
}

#[test]
fn images_are_checked() {
    let mut cpu = cpu();
    assert_eq!(run(&mut cpu, &FNINIT), Ok(()));
    assert_eq!(run(&mut cpu, &FLD1), Ok(()));
    cpu.xmm[7] = 77;
    assert_eq!(run(&mut cpu, &FXSAVE), Ok(()));
    let image = cpu.fx_state(false);
    assert_eq!(cpu.ram()[0x2000..0x21A0], image[..0x1A0]);
    assert_eq!(run(&mut cpu, &FNINIT), Ok(()));
    cpu.xmm[7] = 0;
    assert_eq!(run(&mut cpu, &FXRSTOR), Ok(()));
    assert_eq!((cpu.fx_state(false), cpu.xmm[7]), (image, 77));
    // A reserved bit of MXCSR.
    cpu.ram()[0x201A] = 1;
    assert_eq!(run(&mut cpu, &FXRSTOR), Err(Fault::GP0));
    // Alignment.
    assert_eq!(run(&mut cpu, &[0x0F, 0xAE, 0x05, 8, 0x20, 0, 0]), Err(Fault::GP0));
}

#[test]
fn mmx_registers_are_significands() {
    let mut cpu = cpu();
    assert_eq!(run(&mut cpu, &FNINIT), Ok(()));
    assert_eq!(run(&mut cpu, &FLD1), Ok(()));
    assert_eq!(cpu.fpu.mmx(7), 1 << 63);
    cpu.fpu.enter_mmx();
    cpu.fpu.set_mmx(3, 5);
    let image = cpu.fx_state(false);
    assert_eq!((image[3] & 0x38, image[4]), (0, 0xFF));
    assert_eq!(image[32 + 48..42 + 48], [5, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
    cpu.fpu.leave_mmx();
    assert_eq!(cpu.fx_state(false)[4], 0);
}
