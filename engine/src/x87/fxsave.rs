//! FXSAVE and FXRSTOR (SDM vol. 1, 10.5).

use iced_x86::{Code, Instruction};

use super::f80::F80;
use super::fpu::Pointers;
use crate::state::{cr0, cr4};
use crate::{Cpu, Fault, Handler, flag};

/// Bits of MXCSR that exist; also what the image says of them.
const MXCSR_MASK: u32 = 0xFFFF;
/// Bytes of the image that are written; software may use the rest.
const WRITTEN: usize = 416;
/// Where ST(0) lies.
const REGISTERS: usize = 32;
/// Where XMM0 lies.
const XMM: usize = 160;

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fxsave_m512byte => |cpu, insn| save(cpu, insn, false),
        Fxsave64_m512byte => |cpu, insn| save(cpu, insn, true),
        Fxrstor_m512byte => |cpu, insn| restore(cpu, insn, false),
        Fxrstor64_m512byte => |cpu, insn| restore(cpu, insn, true),
        _ => return None,
    })
}

/// Where place `i` of 16 bytes lies, counted from `first`.
fn place(first: usize, i: usize) -> usize {
    first.wrapping_add(i << 4)
}

fn number(image: &[u8; 512], at: usize, bytes: usize) -> u128 {
    let bytes = image.get(at..at.wrapping_add(bytes)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

fn put(image: &mut [u8; 512], at: usize, bytes: usize, value: u128) {
    for (place, byte) in image.iter_mut().skip(at).take(bytes).zip(value.to_le_bytes()) {
        *place = byte;
    }
}

impl Cpu {
    /// The image FXSAVE writes; with `wide` pointers of 64 bits.
    pub(crate) fn fx_state(&self, wide: bool) -> [u8; 512] {
        let mut image = [0; 512];
        let fpu = &self.fpu;
        let Pointers { ip, dp, cs, ds, opcode } = fpu.pointers;
        put(&mut image, 0, 2, fpu.control().into());
        put(&mut image, 2, 2, fpu.status().into());
        put(&mut image, 4, 1, fpu.abridged_tags().into());
        put(&mut image, 6, 2, opcode.into());
        if wide {
            put(&mut image, 8, 8, ip.into());
            put(&mut image, 16, 8, dp.into());
        } else {
            put(&mut image, 8, 4, ip.into());
            put(&mut image, 12, 2, cs.into());
            put(&mut image, 16, 4, dp.into());
            put(&mut image, 20, 2, ds.into());
        }
        put(&mut image, 24, 4, self.mxcsr.into());
        put(&mut image, 28, 4, MXCSR_MASK.into());
        for i in 0..8 {
            put(&mut image, place(REGISTERS, usize::from(i)), 10, fpu.st(i).bits());
        }
        for (register, i) in self.xmm.iter().zip(0..) {
            put(&mut image, place(XMM, i), 16, *register);
        }
        image
    }

    /// Sets the state from such an image; XMM registers from `xmm` on stay as they are.
    pub(crate) fn set_fx_state(&mut self, image: &[u8; 512], wide: bool, xmm: usize) {
        let fpu = &mut self.fpu;
        fpu.set_control(number(image, 0, 2) as u16);
        fpu.set_status(number(image, 2, 2) as u16);
        fpu.set_abridged_tags(number(image, 4, 1) as u8);
        let pointer = if wide { 8 } else { 4 };
        let selector = |at| if wide { 0 } else { number(image, at, 2) as u16 };
        fpu.pointers = Pointers {
            opcode: number(image, 6, 2) as u16 & 0x7FF,
            ip: number(image, 8, pointer) as u64,
            cs: selector(12),
            dp: number(image, 16, pointer) as u64,
            ds: selector(20),
        };
        for i in 0..8 {
            fpu.load_st(i, F80::from_bits(number(image, place(REGISTERS, usize::from(i)), 10)));
        }
        self.mxcsr = number(image, 24, 4) as u32 & MXCSR_MASK;
        for (register, i) in self.xmm.iter_mut().zip(0..).take(xmm) {
            *register = number(image, place(XMM, i), 16);
        }
    }

    /// How many XMM registers the present mode has.
    fn xmm_count(&self) -> usize {
        if self.mode.is_long() { 16 } else { 8 }
    }

    /// #NM, #GP for an operand that is not aligned to 16 bytes, and the operand's linear address.
    fn fx_operand(&mut self, insn: &Instruction, write: bool) -> Result<u64, Fault> {
        if self.cr0 & (cr0::EM | cr0::TS) != 0 {
            return Err(Fault::NM);
        }
        let (seg, offset) = self.effective_address(insn);
        let linear = self.linear(seg, offset, 512, write)?;
        if linear & 15 != 0 {
            let checked = self.memory.is_checked() && self.cpl == 3 && self.system_flags & flag::AC != 0;
            return Err(if checked { Fault::AC0 } else { Fault::GP0 });
        }
        // As silicon: the last byte first.
        self.probe(linear.wrapping_add(511) & self.address_mask, 1, write)?;
        self.probe(linear, 1, write)?;
        Ok(linear)
    }
}

fn save(cpu: &mut Cpu, insn: &Instruction, wide: bool) -> Result<(), Fault> {
    let linear = cpu.fx_operand(insn, true)?;
    let image = cpu.fx_state(wide);
    let end = if cpu.cr4 & cr4::OSFXSR == 0 { XMM } else { place(XMM, cpu.xmm_count()) };
    cpu.store_bytes(linear, image.get(..end.min(WRITTEN)).unwrap_or_default())
}

fn restore(cpu: &mut Cpu, insn: &Instruction, wide: bool) -> Result<(), Fault> {
    let linear = cpu.fx_operand(insn, false)?;
    let mut image = [0; 512];
    cpu.load_bytes(linear, &mut image)?;
    let mxcsr = number(&image, 24, 4) as u32;
    if mxcsr & !MXCSR_MASK != 0 {
        return Err(Fault::GP0);
    }
    let before = cpu.mxcsr;
    let sse = cpu.cr4 & cr4::OSFXSR != 0;
    let count = if sse { cpu.xmm_count() } else { 0 };
    cpu.set_fx_state(&image, wide, count);
    if !sse {
        cpu.mxcsr = before;
    }
    Ok(())
}
