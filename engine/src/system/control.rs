//! Interrupt flag, halts, and small privileged instructions.

use iced_x86::{Instruction, Mnemonic as M, Register as R};

use super::registers::privileged;
use crate::{Cpu, Fault, Handler, flag, host};

pub(super) fn handler(mnemonic: M) -> Option<Handler> {
    Some(match mnemonic {
        M::Cli => cli,
        M::Sti => sti,
        M::Popf => |cpu, _| popf(cpu, 2),
        M::Popfd => |cpu, _| popf(cpu, 4),
        M::Popfq => |cpu, _| popf(cpu, 8),
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
    let flags = cpu.top(0, bytes)? as u32;
    cpu.drop(u64::from(bytes));
    let (cpl, iopl) = (cpu.cpl, cpu.system_flags & flag::IOPL);
    cpu.set_flags_with_privilege(flags, bytes, cpl, iopl, false);
    admit_interrupt(cpu);
    if cpu.system_flags & flag::TF != 0 {
        // The next instruction is a single step.
        cpu.code.changed = true;
    }
    Ok(())
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
