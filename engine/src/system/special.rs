//! Control and debug registers.

use iced_x86::{Instruction, Register as R};

use super::registers::privileged;
use crate::operand::mask;
use crate::paging::PHYSICAL_BITS;
use crate::state::{cr0, cr4, efer};
use crate::{Cpu, Fault, Seg, Segment};

pub(super) fn read_control(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = match insn.op1_register() {
        R::CR0 => cpu.cr0,
        R::CR2 => cpu.cr2,
        R::CR3 => cpu.cr3,
        R::CR4 => cpu.cr4,
        R::CR8 => cpu.cr8,
        _ => return Err(Fault::UD),
    };
    cpu.set_operand(insn, 0, value)
}

pub(super) fn write_control(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.operand(insn, 1)?;
    match insn.op0_register() {
        R::CR0 => write_cr0(cpu, value),
        R::CR2 => {
            cpu.cr2 = value;
            Ok(())
        }
        R::CR3 => {
            if cpu.long_mode_active() && value >> PHYSICAL_BITS != 0 {
                return Err(Fault::GP0);
            }
            cpu.cr3 = value;
            cpu.flush_translations(false);
            Ok(())
        }
        R::CR4 => write_cr4(cpu, value),
        R::CR8 => {
            if value > 15 {
                return Err(Fault::GP0);
            }
            cpu.cr8 = value;
            Ok(())
        }
        _ => Err(Fault::UD),
    }
}

fn write_cr0(cpu: &mut Cpu, value: u64) -> Result<(), Fault> {
    const CACHE_DISABLE: u64 = 1 << 30;
    const NOT_WRITE_THROUGH: u64 = 1 << 29;
    let known = cr0::PE
        | cr0::MP
        | cr0::EM
        | cr0::TS
        | cr0::ET
        | cr0::NE
        | cr0::WP
        | cr0::AM
        | cr0::PG
        | CACHE_DISABLE
        | NOT_WRITE_THROUGH;
    if value >> 32 != 0
        || (value & cr0::PG != 0 && value & cr0::PE == 0)
        || (value & NOT_WRITE_THROUGH != 0 && value & CACHE_DISABLE == 0)
    {
        return Err(Fault::GP0);
    }
    // Protected mode cannot be left: there is no real mode here.
    if value & cr0::PE == 0 {
        return Err(Fault::GP0);
    }
    let turns_on = value & cr0::PG != 0 && cpu.cr0 & cr0::PG == 0;
    let turns_off = value & cr0::PG == 0 && cpu.cr0 & cr0::PG != 0;
    if turns_on && cpu.efer & efer::LME != 0 {
        if cpu.cr4 & cr4::PAE == 0 || cpu.segment(Seg::Cs).has(Segment::LONG) {
            return Err(Fault::GP0);
        }
        cpu.efer |= efer::LMA;
    }
    if turns_off {
        if cpu.mode.is_long() {
            return Err(Fault::GP0);
        }
        cpu.efer &= !efer::LMA;
    }
    cpu.cr0 = (value & known) | cr0::ET;
    cpu.paging_changed();
    cpu.update_mode();
    cpu.update_checks();
    Ok(())
}

fn write_cr4(cpu: &mut Cpu, value: u64) -> Result<(), Fault> {
    // Bits 0 and 1 (virtual-8086 mode) and 6 and 8 can be set without effect.
    let known = cr4::TSD
        | cr4::DE
        | cr4::PSE
        | cr4::PAE
        | cr4::PGE
        | cr4::OSFXSR
        | cr4::OSXMMEXCPT
        | cr4::UMIP
        | cr4::FSGSBASE
        | cr4::SMEP
        | 0x143;
    if value & !known != 0 || (cpu.long_mode_active() && value & cr4::PAE == 0) {
        return Err(Fault::GP0);
    }
    cpu.cr4 = value;
    cpu.paging_changed();
    Ok(())
}

/// The number of a debug register; 4 and 5 are 6 and 7 unless CR4.DE says they do not exist.
fn debug_index(cpu: &mut Cpu, register: R) -> Result<usize, Fault> {
    privileged(cpu)?;
    let index = (register as usize).wrapping_sub(R::DR0 as usize);
    match index {
        4 | 5 if cpu.cr4 & cr4::DE != 0 => Err(Fault::UD),
        0..=7 => {
            cpu.detect_debug_access()?;
            Ok(if matches!(index, 4 | 5) { index | 2 } else { index })
        }
        _ => Err(Fault::UD),
    }
}

pub(super) fn read_debug(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let index = debug_index(cpu, insn.op1_register())?;
    let value = cpu.dr.get(index).copied().unwrap_or_default();
    cpu.set_operand(insn, 0, value)
}

pub(super) fn write_debug(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let index = debug_index(cpu, insn.op0_register())?;
    let value = cpu.operand(insn, 1)? & mask(if cpu.mode.is_long() { 8 } else { 4 });
    let value = match index {
        6 if value >> 32 != 0 => return Err(Fault::GP0),
        7 if value >> 32 != 0 => return Err(Fault::GP0),
        6 => (value & 0xE00F) | 0xFFFF_0FF0,
        7 => (value & 0xFFFF_23FF) | 0x400,
        _ => value,
    };
    if let Some(register) = cpu.dr.get_mut(index) {
        *register = value;
    }
    cpu.update_checks();
    Ok(())
}
