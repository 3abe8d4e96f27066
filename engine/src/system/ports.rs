//! I/O ports.

use iced_x86::{Instruction, Mnemonic as M, OpKind, Register as R};

use super::descriptors::is_beyond;
use crate::operand::{mask, ones};
use crate::{Cpu, Fault, Handler, Seg, flag, host};

pub(super) fn handler(mnemonic: M) -> Option<Handler> {
    Some(match mnemonic {
        M::In => input,
        M::Out => output,
        M::Insb | M::Insw | M::Insd => input_string,
        M::Outsb | M::Outsw | M::Outsd => output_string,
        _ => return None,
    })
}

/// By IOPL, or by the bitmap in the TSS (SDM vol. 1, 19.5).
fn check(cpu: &mut Cpu, port: u16, bytes: u32) -> Result<(), Fault> {
    if u32::from(cpu.cpl) <= (cpu.system_flags & flag::IOPL) >> 12 {
        return Ok(());
    }
    // Only a 32-bit or 64-bit TSS has a bitmap.
    if cpu.tr.attributes & 0xD != 9 || cpu.tr.limit < 103 {
        return Err(Fault::GP0);
    }
    let map: u16 = cpu.load_system(cpu.tr.base.wrapping_add(102))?;
    let at = u64::from(map).wrapping_add(u64::from(port / 8));
    if is_beyond(u64::from(cpu.tr.limit), at, 2) {
        return Err(Fault::GP0);
    }
    let bits: u16 = cpu.load_system(cpu.tr.base.wrapping_add(at))?;
    let wanted = ones(bytes) << (port % 8);
    if u64::from(bits) & wanted != 0 { Err(Fault::GP0) } else { Ok(()) }
}

fn read(cpu: &mut Cpu, port: u16, bytes: u32) -> u32 {
    cpu.publish_instructions();
    host::port_read(u32::from(port), bytes)
}

fn write(cpu: &mut Cpu, port: u16, bytes: u32, value: u32) {
    cpu.publish_instructions();
    host::port_write(u32::from(port), bytes, value & mask(bytes) as u32);
    cpu.leave_soon();
}

fn port(cpu: &mut Cpu, insn: &Instruction, n: u32) -> u16 {
    if insn.op_kind(n) == OpKind::Immediate8 {
        u16::from(insn.immediate8())
    } else {
        cpu.register(R::DX) as u16
    }
}

fn input(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let register = insn.op0_register();
    let (port, bytes) = (port(cpu, insn, 1), register.size() as u32);
    check(cpu, port, bytes)?;
    let value = read(cpu, port, bytes);
    cpu.set_register(register, u64::from(value));
    cpu.leave_soon();
    Ok(())
}

fn output(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let register = insn.op1_register();
    let (port, bytes) = (port(cpu, insn, 0), register.size() as u32);
    check(cpu, port, bytes)?;
    write(cpu, port, bytes, cpu.register(register) as u32);
    Ok(())
}

/// Size of an element, index register, and count register of INS and OUTS.
fn string(insn: &Instruction, memory: u32) -> (u32, R, R) {
    let bytes = match insn.mnemonic() {
        M::Insb | M::Outsb => 1,
        M::Insw | M::Outsw => 2,
        _ => 4,
    };
    match insn.op_kind(memory) {
        OpKind::MemoryESDI => (bytes, R::DI, R::CX),
        OpKind::MemorySegSI => (bytes, R::SI, R::CX),
        OpKind::MemoryESRDI => (bytes, R::RDI, R::RCX),
        OpKind::MemorySegRSI => (bytes, R::RSI, R::RCX),
        OpKind::MemoryESEDI => (bytes, R::EDI, R::ECX),
        _ => (bytes, R::ESI, R::ECX),
    }
}

fn repeats(insn: &Instruction) -> bool {
    insn.has_rep_prefix() || insn.has_repne_prefix()
}

/// After one element: index and count move on; more elements come by executing the instruction again.
fn next(cpu: &mut Cpu, insn: &Instruction, bytes: u32, index: R, count: R) -> Result<(), Fault> {
    let step =
        if cpu.system_flags & flag::DF != 0 { u64::from(bytes).wrapping_neg() } else { u64::from(bytes) };
    cpu.set_register(index, cpu.register(index).wrapping_add(step));
    if repeats(insn) {
        let left = cpu.register(count).wrapping_sub(1) & mask(count.size() as u32);
        cpu.set_register(count, left);
        if left != 0 {
            return Err(Fault::Repeat);
        }
    }
    Ok(())
}

fn input_string(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bytes, index, count) = string(insn, 0);
    let port = cpu.register(R::DX) as u16;
    check(cpu, port, bytes)?;
    if repeats(insn) && cpu.register(count) == 0 {
        return Ok(());
    }
    let linear = cpu.linear(Seg::Es, cpu.register(index), u64::from(bytes), true)?;
    cpu.probe(linear, bytes, true)?;
    let value = read(cpu, port, bytes);
    cpu.store_sized(linear, u64::from(value), bytes)?;
    cpu.leave_soon();
    next(cpu, insn, bytes, index, count)
}

fn output_string(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bytes, index, count) = string(insn, 1);
    let port = cpu.register(R::DX) as u16;
    check(cpu, port, bytes)?;
    if repeats(insn) && cpu.register(count) == 0 {
        return Ok(());
    }
    let seg = crate::operand::segment_of(insn.memory_segment());
    let value = cpu.read_sized(seg, cpu.register(index), bytes)?;
    write(cpu, port, bytes, value as u32);
    next(cpu, insn, bytes, index, count)
}
