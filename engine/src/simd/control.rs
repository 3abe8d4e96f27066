//! MXCSR, cache hints and fences.

use iced_x86::{Code, Instruction};

use super::float::VALID;
use crate::{Cpu, Fault, Handler};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Ldmxcsr_m32 => load,
        Stmxcsr_m32 => |cpu, insn| {
            cpu.sse_ready()?;
            cpu.set_operand(insn, 0, cpu.mxcsr.into())
        },
        Prefetchnta_m8 | Prefetcht0_m8 | Prefetcht1_m8 | Prefetcht2_m8 => nothing,
        // Faults as a load does.
        Clflush_m8 => |cpu, insn| {
            let (seg, offset) = cpu.effective_address(insn);
            cpu.read::<u8>(seg, offset).map(drop)
        },
        Lfence | Lfence_E9 | Lfence_EA | Lfence_EB | Lfence_EC | Lfence_ED | Lfence_EE | Lfence_EF => nothing,
        Mfence | Mfence_F1 | Mfence_F2 | Mfence_F3 | Mfence_F4 | Mfence_F5 | Mfence_F6 | Mfence_F7 => nothing,
        Sfence | Sfence_F9 | Sfence_FA | Sfence_FB | Sfence_FC | Sfence_FD | Sfence_FE | Sfence_FF => nothing,
        _ => return None,
    })
}

/// Memory is always in order, and there is no cache.
fn nothing(_: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    Ok(())
}

/// LDMXCSR: #GP(0) if a bit that does not exist is set; bit 17, AMD's misaligned mode, is one of these, as the mask that
/// FXSAVE stores says.
fn load(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.operand(insn, 0)? as u32;
    if value & !VALID != 0 {
        return Err(Fault::GP0);
    }
    cpu.mxcsr = value;
    Ok(())
}
