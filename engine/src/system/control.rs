//! Interrupt flag, halts, and small privileged instructions.

use iced_x86::{Instruction, Mnemonic as M, Register as R};

use super::registers::privileged;
use crate::state::RSP;
use crate::{Cpu, Fault, Handler, Seg, flag, host};

pub(super) fn handler(mnemonic: M) -> Option<Handler> {
    Some(match mnemonic {
        M::Cli => cli,
        M::Sti => sti,
        M::Popf => popf16,
        M::Popfd => popf32,
        M::Popfq => popf64,
        M::Hlt => hlt,
        M::Invd | M::Wbinvd => write_back,
        M::Rdpmc => rdpmc,
        M::Rdrand | M::Rdseed => random,
        M::Cpuid => super::cpuid::cpuid,
        _ => return None,
    })
}

fn may_change_interrupts(cpu: &Cpu) -> Result<(), Fault> {
    if u32::from(cpu.cpl) <= (cpu.system_flags & flag::IOPL) >> 12 { Ok(()) } else { Err(Fault::GP0) }
}

fn cli(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    may_change_interrupts(cpu)?;
    cpu.system_flags &= !flag::IF;
    Ok(())
}

fn sti(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    may_change_interrupts(cpu)?;
    if cpu.system_flags & flag::IF == 0 {
        cpu.system_flags |= flag::IF;
        cpu.interrupt_shadow = true;
        admit_interrupt(cpu);
    }
    Ok(())
}

/// Leaves the block being executed if an interrupt waits to be let in.
fn admit_interrupt(cpu: &mut Cpu) {
    if cpu.shared.has_interrupt() && cpu.system_flags & flag::IF != 0 {
        cpu.code.changed = true;
    }
}

fn popf(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    let mask = cpu.stack_mask();
    let offset = cpu.regs[RSP] & mask;
    let flags = match bytes {
        2 => u32::from(cpu.read::<u16>(Seg::Ss, offset)?),
        4 => cpu.read::<u32>(Seg::Ss, offset)?,
        _ => cpu.read::<u64>(Seg::Ss, offset)? as u32,
    };
    let pointer = cpu.regs[RSP].wrapping_add(u64::from(bytes));
    cpu.regs[RSP] = (cpu.regs[RSP] & !mask) | (pointer & mask);
    let (cpl, iopl) = (cpu.cpl, cpu.system_flags & flag::IOPL);
    cpu.set_flags_with_privilege(flags, bytes, cpl, iopl, false);
    admit_interrupt(cpu);
    if cpu.system_flags & flag::TF != 0 {
        // The next instruction is a single step.
        cpu.code.changed = true;
    }
    Ok(())
}

fn popf16(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    popf(cpu, 2)
}

fn popf32(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    popf(cpu, 4)
}

fn popf64(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    popf(cpu, 8)
}

fn hlt(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    // The shadow of an STI before it ends here.
    cpu.interrupt_shadow = false;
    Err(Fault::Halt)
}

/// There is no cache to write back.
fn write_back(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)
}

/// There are no performance counters.
fn rdpmc(_: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    Err(Fault::GP0)
}

fn random(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.publish_instructions();
    let register: R = insn.op0_register();
    cpu.set_register(register, host::random());
    cpu.set_status_flags(flag::STATUS, flag::CF);
    Ok(())
}
