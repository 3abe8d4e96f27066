//! Exchanges. There is one CPU, so nothing has to be done for LOCK.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use crate::operand::sign_extend;
use crate::{Cpu, Fault, Handler, Seg, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Xchg => xchg,
        Mnemonic::Xadd => xadd,
        Mnemonic::Cmpxchg8b => cmpxchg8b,
        Mnemonic::Cmpxchg16b => cmpxchg16b,
        Mnemonic::Cmpxchg => match code {
            Code::Cmpxchg_rm8_r8 => |cpu, insn| cmpxchg(cpu, insn, Register::AL),
            Code::Cmpxchg_rm16_r16 => |cpu, insn| cmpxchg(cpu, insn, Register::AX),
            Code::Cmpxchg_rm32_r32 => |cpu, insn| cmpxchg(cpu, insn, Register::EAX),
            Code::Cmpxchg_rm64_r64 => |cpu, insn| cmpxchg(cpu, insn, Register::RAX),
            _ => return None,
        },
        _ => return None,
    })
}

fn xchg(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let other = insn.op1_register();
    let new = cpu.register(other);
    cpu.modify(insn, |cpu, old| {
        cpu.set_register(other, old);
        new
    })
}

fn xadd(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let other = insn.op1_register();
    let b = sign_extend(cpu.register(other), bytes);
    cpu.modify(insn, |cpu, old| {
        let a = sign_extend(old, bytes);
        let result = sign_extend(a.wrapping_add(b) as u64, bytes);
        cpu.flags_add(a, b, result, false);
        cpu.set_register(other, old);
        result as u64
    })
}

/// A destination in memory is written in any case, with what it held if the comparison fails; one of 32 bits in a
/// register keeps its upper half then.
fn cmpxchg(cpu: &mut Cpu, insn: &Instruction, accumulator: Register) -> Result<(), Fault> {
    let bytes = accumulator.size() as u32;
    let new = cpu.register(insn.op1_register());
    let expected = cpu.register(accumulator);
    if insn.op0_kind() == OpKind::Register {
        let old = cpu.register(insn.op0_register());
        cpu.compare(sign_extend(expected, bytes), sign_extend(old, bytes), bytes);
        if old == expected {
            cpu.set_register(insn.op0_register(), new);
        } else {
            cpu.set_register(accumulator, old);
        }
        return Ok(());
    }
    cpu.modify(insn, |cpu, old| {
        cpu.compare(sign_extend(expected, bytes), sign_extend(old, bytes), bytes);
        if old == expected {
            new
        } else {
            cpu.set_register(accumulator, old);
            old
        }
    })
}

/// Two registers of 4 bytes as one number.
fn pair32(cpu: &Cpu, high: Register, low: Register) -> u64 {
    cpu.register(high) << 32 | cpu.register(low)
}

fn cmpxchg8b(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (seg, offset) = cpu.effective_address(insn);
    let linear = cpu.linear(seg, offset, 8, true)?;
    let old = cpu.load_to_write(linear, 8)?;
    let equal = old == pair32(cpu, Register::EDX, Register::EAX);
    let new = if equal { pair32(cpu, Register::ECX, Register::EBX) } else { old };
    cpu.store(linear, new)?;
    if !equal {
        cpu.set_register(Register::EAX, old);
        cpu.set_register(Register::EDX, old >> 32);
    }
    cpu.set_status_flags(flag::ZF, if equal { flag::ZF } else { 0 });
    Ok(())
}

fn cmpxchg16b(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let pair = |cpu: &Cpu, high, low| u128::from(cpu.register(high)) << 64 | u128::from(cpu.register(low));
    let (seg, offset) = cpu.effective_address(insn);
    // Alignment comes before everything else.
    let base = if matches!(seg, Seg::Fs | Seg::Gs) { cpu.segment(seg).base } else { 0 };
    if base.wrapping_add(offset) & 15 != 0 {
        return Err(Fault::GP0);
    }
    let linear = cpu.linear(seg, offset, 16, true)?;
    let old: u128 = cpu.load_for_update(linear)?;
    let equal = old == pair(cpu, Register::RDX, Register::RAX);
    let new = if equal { pair(cpu, Register::RCX, Register::RBX) } else { old };
    cpu.store(linear, new)?;
    if !equal {
        cpu.set_register(Register::RAX, old as u64);
        cpu.set_register(Register::RDX, (old >> 64) as u64);
    }
    cpu.set_status_flags(flag::ZF, if equal { flag::ZF } else { 0 });
    Ok(())
}
