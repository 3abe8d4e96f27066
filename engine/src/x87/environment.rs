//! FNSTENV, FLDENV, FNSAVE, FRSTOR (SDM vol. 1, 8.1.10; figures 8-9 and 8-11).
//!
//! The forms of real and virtual-8086 mode do not occur here.

use iced_x86::{Code, Instruction};

use super::f80::F80;
use super::fpu::Pointers;
use crate::{Cpu, Fault, Handler, Seg, Value};

/// Longest image.
const LONGEST: usize = 108;

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fnstenv_m14byte => |cpu, insn| store(cpu, insn, Layout::Short, false),
        Fnstenv_m28byte => |cpu, insn| store(cpu, insn, Layout::Long, false),
        Fnsave_m94byte => |cpu, insn| store(cpu, insn, Layout::Short, true),
        Fnsave_m108byte => |cpu, insn| store(cpu, insn, Layout::Long, true),
        Fldenv_m14byte => |cpu, insn| load(cpu, insn, Layout::Short, false),
        Fldenv_m28byte => |cpu, insn| load(cpu, insn, Layout::Long, false),
        Frstor_m94byte => |cpu, insn| load(cpu, insn, Layout::Short, true),
        Frstor_m108byte => |cpu, insn| load(cpu, insn, Layout::Long, true),
        _ => return None,
    })
}

/// The formats of protected mode with 16-bit and 32-bit operands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Short,
    Long,
}

impl Layout {
    /// Bytes of each field of the environment.
    fn field(self) -> usize {
        if self == Self::Short { 2 } else { 4 }
    }

    /// The image's linear address.
    fn find(self, cpu: &mut Cpu, operand: (Seg, u64), bytes: u64, write: bool) -> Result<u64, Fault> {
        match self {
            Self::Short => cpu.image::<u16>(operand, bytes, write),
            Self::Long => cpu.image::<u32>(operand, bytes, write),
        }
    }

    /// Bytes of the seven fields, which the registers come after.
    fn fields(self) -> usize {
        if self == Self::Short { 14 } else { 28 }
    }

    /// Bytes of the image.
    fn bytes(self, with_registers: bool) -> usize {
        self.fields().wrapping_add(if with_registers { 80 } else { 0 })
    }
}

impl Cpu {
    /// The linear address of an image all of whose bytes can be accessed. Silicon looks at the first field of type `T`
    /// and then at the last byte, whose address is reported.
    pub(super) fn image<T: Value>(
        &mut self,
        (seg, offset): (Seg, u64),
        bytes: u64,
        write: bool,
    ) -> Result<u64, Fault> {
        let first = self.linear(seg, offset, T::BYTES, write)?;
        if write {
            self.load_for_update::<T>(first)?;
        } else {
            self.load::<T>(first)?;
        }
        let linear = self.linear(seg, offset, bytes, write)?;
        self.probe(linear.wrapping_add(bytes).wrapping_sub(1) & self.address_mask, 1, write)?;
        Ok(linear)
    }

    /// Reads an image.
    pub(super) fn load_bytes(&mut self, linear: u64, to: &mut [u8]) -> Result<(), Fault> {
        for (place, at) in to.chunks_mut(2).zip((0u64..).step_by(2)) {
            let value: u16 = self.load(linear.wrapping_add(at) & self.address_mask)?;
            place.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    /// Writes an image, which [`Cpu::image`] has found to be possible.
    pub(super) fn store_bytes(&mut self, linear: u64, from: &[u8]) -> Result<(), Fault> {
        for (place, at) in from.chunks(2).zip((0u64..).step_by(2)) {
            let value = place.iter().rev().fold(0u16, |value, byte| value << 8 | u16::from(*byte));
            self.store(linear.wrapping_add(at) & self.address_mask, value)?;
        }
        Ok(())
    }
}

fn store(cpu: &mut Cpu, insn: &Instruction, layout: Layout, with_registers: bool) -> Result<(), Fault> {
    cpu.x87_present()?;
    let operand = cpu.effective_address(insn);
    let bytes = layout.bytes(with_registers);
    let linear = layout.find(cpu, operand, bytes as u64, true)?;
    let fpu = &cpu.fpu;
    let Pointers { ip, dp, cs, ds, opcode } = fpu.pointers;
    let (control, status, tags) = (fpu.control().into(), fpu.status().into(), fpu.tag_word().into());
    let fields: [u32; 7] = match layout {
        Layout::Short => [control, status, tags, ip as u32, cs.into(), dp as u32, ds.into()],
        Layout::Long => {
            let reserved = 0xFFFF_0000;
            let selector = u32::from(cs) | u32::from(opcode) << 16;
            let data = u32::from(ds) | reserved;
            [control | reserved, status | reserved, tags | reserved, ip as u32, selector, dp as u32, data]
        }
    };
    let mut image = [0u8; LONGEST];
    let size = layout.field();
    for (place, field) in image.chunks_mut(size).zip(fields) {
        place.copy_from_slice(field.to_le_bytes().get(..size).unwrap_or_default());
    }
    if with_registers {
        for (place, i) in
            image.get_mut(layout.fields()..bytes).unwrap_or_default().chunks_exact_mut(10).zip(0..)
        {
            place.copy_from_slice(fpu.st(i).bits().to_le_bytes().get(..10).unwrap_or_default());
        }
    }
    cpu.store_bytes(linear, image.get(..bytes).unwrap_or_default())?;
    if with_registers {
        cpu.fpu.initialize();
    } else {
        // All exceptions are masked, after they were stored.
        let control = cpu.fpu.control();
        cpu.fpu.set_control(control | 0x3F);
    }
    Ok(())
}

fn load(cpu: &mut Cpu, insn: &Instruction, layout: Layout, with_registers: bool) -> Result<(), Fault> {
    cpu.x87_ready()?;
    let operand = cpu.effective_address(insn);
    let bytes = layout.bytes(with_registers);
    let linear = layout.find(cpu, operand, bytes as u64, false)?;
    let mut image = [0u8; LONGEST];
    cpu.load_bytes(linear, image.get_mut(..bytes).unwrap_or_default())?;
    let size = layout.field();
    let field = |n: usize| {
        let bytes = image.chunks_exact(size).nth(n).unwrap_or_default();
        bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte))
    };
    let fpu = &mut cpu.fpu;
    fpu.set_control(field(0) as u16);
    fpu.set_status(field(1) as u16);
    fpu.set_tag_word(field(2) as u16);
    fpu.pointers = Pointers {
        ip: field(3).into(),
        cs: field(4) as u16,
        opcode: if layout == Layout::Long { (field(4) >> 16) as u16 & 0x7FF } else { 0 },
        dp: field(5).into(),
        ds: field(6) as u16,
    };
    if with_registers {
        for (place, i) in image.get(layout.fields()..bytes).unwrap_or_default().chunks_exact(10).zip(0..) {
            let bits = place.iter().rev().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
            fpu.load_st(i, F80::from_bits(bits));
        }
    }
    Ok(())
}
