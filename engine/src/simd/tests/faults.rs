//! Exceptions that a test on the processor itself cannot provoke.

use iced_x86::{Decoder, DecoderOptions};

use super::cpu;
use crate::simd::handler;
use crate::state::{cr0, cr4};
use crate::{Cpu, Fault};

fn execute(cpu: &mut Cpu, bytes: &[u8]) -> Result<(), Fault> {
    let insn = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
    handler(insn.code()).expect("a handler")(cpu, &insn)
}

const PADDB_XMM: &[u8] = &[0x66, 0x0F, 0xFC, 0xC1];
const PADDB_MM: &[u8] = &[0x0F, 0xFC, 0xC1];
const DIVPS: &[u8] = &[0x0F, 0x5E, 0xC1];
const EMMS: &[u8] = &[0x0F, 0x77];

#[test]
fn control_registers_decide() {
    let mut cpu = cpu();
    assert_eq!(execute(&mut cpu, PADDB_XMM), Ok(()));
    cpu.cr0 |= cr0::TS;
    assert_eq!(execute(&mut cpu, PADDB_XMM), Err(Fault::NM));
    assert_eq!(execute(&mut cpu, PADDB_MM), Err(Fault::NM));
    assert_eq!(execute(&mut cpu, EMMS), Err(Fault::NM));
    cpu.cr4 = 0;
    assert_eq!(execute(&mut cpu, PADDB_XMM), Err(Fault::UD));
    cpu.cr0 = cr0::PE | cr0::EM;
    assert_eq!(execute(&mut cpu, PADDB_MM), Err(Fault::UD));
    cpu.cr0 = cr0::PE;
    assert_eq!(execute(&mut cpu, PADDB_MM), Ok(()));
}

#[test]
fn unmasked_exceptions_leave_the_destination_alone() {
    let mut cpu = cpu();
    // 1/0, 0/0, denormal/3, 1/3: the exceptions of operands come before those of results.
    cpu.xmm[0] = 0x3F80_0000_0000_0001_0000_0000_3F80_0000;
    cpu.xmm[1] = 0x4040_0000_4040_0000_0000_0000_0000_0000;
    let before = cpu.xmm;
    cpu.mxcsr = 0x1F80 & !(4 << 7);
    assert_eq!(execute(&mut cpu, DIVPS), Err(Fault::XM));
    assert_eq!((cpu.xmm, cpu.mxcsr & 0x3F), (before, 7));
    // Only inexact results are unmasked.
    cpu.mxcsr = 0x1F80 & !(0x20 << 7);
    assert_eq!(execute(&mut cpu, DIVPS), Err(Fault::XM));
    assert_eq!((cpu.xmm, cpu.mxcsr & 0x3F), (before, 0x37));
    cpu.cr4 &= !cr4::OSXMMEXCPT;
    assert_eq!(execute(&mut cpu, DIVPS), Err(Fault::UD));
    cpu.mxcsr = 0x1F80;
    assert_eq!(execute(&mut cpu, DIVPS), Ok(()));
    assert_ne!(cpu.xmm, before);
}
