//! Model-specific registers and the time-stamp counter.

use iced_x86::{Instruction, Mnemonic as M, Register as R};

use super::registers::privileged;
use crate::memory::is_canonical;
use crate::state::{cr0, cr4, efer};
use crate::{Cpu, Fault, Handler, Seg, host};

pub(super) fn handler(mnemonic: M) -> Option<Handler> {
    Some(match mnemonic {
        M::Rdmsr => rdmsr,
        M::Wrmsr => wrmsr,
        M::Rdtsc => rdtsc,
        M::Rdtscp => rdtscp,
        M::Rdpid => rdpid,
        _ => return None,
    })
}

/// Numbers of the registers (SDM vol. 4, table 2-2).
mod number {
    pub(super) const TSC: u32 = 0x10;
    pub(super) const PLATFORM_ID: u32 = 0x17;
    pub(super) const TSC_ADJUST: u32 = 0x3B;
    pub(super) const MICROCODE: u32 = 0x8B;
    pub(super) const SYSENTER_CS: u32 = 0x174;
    pub(super) const SYSENTER_ESP: u32 = 0x175;
    pub(super) const SYSENTER_EIP: u32 = 0x176;
    pub(super) const MISC_ENABLE: u32 = 0x1A0;
    pub(super) const PAT: u32 = 0x277;
    pub(super) const EFER: u32 = 0xC000_0080;
    pub(super) const STAR: u32 = 0xC000_0081;
    pub(super) const LSTAR: u32 = 0xC000_0082;
    pub(super) const CSTAR: u32 = 0xC000_0083;
    pub(super) const FMASK: u32 = 0xC000_0084;
    pub(super) const FS_BASE: u32 = 0xC000_0100;
    pub(super) const GS_BASE: u32 = 0xC000_0101;
    pub(super) const KERNEL_GS_BASE: u32 = 0xC000_0102;
    pub(super) const TSC_AUX: u32 = 0xC000_0103;
}

impl Cpu {
    /// The time-stamp counter: machine time in nanoseconds.
    fn time_stamp(&mut self) -> u64 {
        self.publish_instructions();
        host::now().wrapping_add(self.msr.tsc_offset)
    }

    fn read_msr(&mut self, which: u32) -> Result<u64, Fault> {
        Ok(match which {
            number::TSC => self.time_stamp(),
            number::TSC_ADJUST => self.msr.tsc_offset,
            number::PLATFORM_ID => 0,
            // As if microcode had been loaded, in the upper half.
            number::MICROCODE => 1 << 32,
            number::SYSENTER_CS => self.msr.sysenter_cs,
            number::SYSENTER_ESP => self.msr.sysenter_esp,
            number::SYSENTER_EIP => self.msr.sysenter_eip,
            number::MISC_ENABLE => self.msr.misc_enable,
            number::PAT => self.msr.pat,
            number::EFER => self.efer,
            number::STAR => self.msr.star,
            number::LSTAR => self.msr.lstar,
            number::CSTAR => self.msr.cstar,
            number::FMASK => self.msr.fmask,
            number::FS_BASE => self.segment(Seg::Fs).base,
            number::GS_BASE => self.segment(Seg::Gs).base,
            number::KERNEL_GS_BASE => self.msr.kernel_gs_base,
            number::TSC_AUX => self.msr.tsc_aux,
            _ => return Err(Fault::GP0),
        })
    }

    fn write_msr(&mut self, which: u32, value: u64) -> Result<(), Fault> {
        let canonical = if is_canonical(value) { Ok(value) } else { Err(Fault::GP0) };
        match which {
            number::TSC => {
                let now = self.time_stamp();
                self.msr.tsc_offset = self.msr.tsc_offset.wrapping_add(value.wrapping_sub(now));
            }
            number::TSC_ADJUST => self.msr.tsc_offset = value,
            number::MICROCODE => {}
            number::SYSENTER_CS => self.msr.sysenter_cs = value,
            number::SYSENTER_ESP => self.msr.sysenter_esp = canonical?,
            number::SYSENTER_EIP => self.msr.sysenter_eip = canonical?,
            number::MISC_ENABLE => self.msr.misc_enable = value,
            number::PAT => {
                if value.to_le_bytes().iter().any(|kind| *kind > 7 || matches!(kind, 2 | 3)) {
                    return Err(Fault::GP0);
                }
                self.msr.pat = value;
            }
            number::EFER => self.write_efer(value)?,
            number::STAR => self.msr.star = value,
            number::LSTAR => self.msr.lstar = canonical?,
            number::CSTAR => self.msr.cstar = canonical?,
            number::FMASK => self.msr.fmask = value & u64::from(u32::MAX),
            number::FS_BASE => self.segment_mut(Seg::Fs).base = canonical?,
            number::GS_BASE => self.segment_mut(Seg::Gs).base = canonical?,
            number::KERNEL_GS_BASE => self.msr.kernel_gs_base = canonical?,
            number::TSC_AUX => self.msr.tsc_aux = value & u64::from(u32::MAX),
            _ => return Err(Fault::GP0),
        }
        Ok(())
    }

    fn write_efer(&mut self, value: u64) -> Result<(), Fault> {
        let known = efer::SCE | efer::LME | efer::LMA | efer::NXE;
        if value & !known != 0 || ((value ^ self.efer) & efer::LME != 0 && self.cr0 & cr0::PG != 0) {
            return Err(Fault::GP0);
        }
        // LMA follows from LME and CR0.PG.
        self.efer = (value & !efer::LMA) | (self.efer & efer::LMA);
        self.paging_changed();
        Ok(())
    }
}

fn set_pair(cpu: &mut Cpu, value: u64) {
    cpu.set_register(R::EAX, value);
    cpu.set_register(R::EDX, value >> 32);
}

fn rdmsr(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.read_msr(cpu.register(R::ECX) as u32)?;
    set_pair(cpu, value);
    Ok(())
}

fn wrmsr(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.register(R::EDX) << 32 | cpu.register(R::EAX);
    cpu.write_msr(cpu.register(R::ECX) as u32, value)
}

fn may_read_time(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cpl != 0 && cpu.cr4 & cr4::TSD != 0 { Err(Fault::GP0) } else { Ok(()) }
}

fn rdtsc(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    may_read_time(cpu)?;
    let time = cpu.time_stamp();
    set_pair(cpu, time);
    Ok(())
}

fn rdtscp(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    rdtsc(cpu, insn)?;
    cpu.set_register(R::ECX, cpu.msr.tsc_aux);
    Ok(())
}

fn rdpid(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.msr.tsc_aux;
    cpu.set_register(insn.op0_register(), value);
    Ok(())
}
