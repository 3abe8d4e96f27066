//! Control instructions without images of the state (SDM vol. 1, 8.3.11).

use iced_x86::{Code, Instruction, OpKind};

use super::access::index;
use super::fpu::condition::C1;
use crate::state::cr0;
use crate::{Cpu, Fault, Handler};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Wait => |cpu, _| {
            if cpu.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
                return Err(Fault::NM);
            }
            if cpu.fpu.pending && cpu.cr0 & cr0::NE != 0 { Err(Fault::MF) } else { Ok(()) }
        },
        Fnop => |cpu, insn| {
            cpu.x87_ready()?;
            cpu.note_instruction(insn);
            Ok(())
        },
        Fnclex => |cpu, _| {
            cpu.x87_present()?;
            cpu.fpu.clear_exceptions();
            Ok(())
        },
        Fninit => |cpu, _| {
            cpu.x87_present()?;
            cpu.fpu.initialize();
            Ok(())
        },
        // What the 8087 and the 80287 needed.
        Fneni | Fndisi | Fnsetpm => |cpu, _| cpu.x87_present(),
        Fldcw_m2byte => |cpu, insn| {
            cpu.x87_ready()?;
            let (seg, offset) = cpu.effective_address(insn);
            let control = cpu.read::<u16>(seg, offset)?;
            cpu.fpu.set_control(control);
            Ok(())
        },
        Fnstcw_m2byte => |cpu, insn| {
            cpu.x87_present()?;
            store(cpu, insn, cpu.fpu.control())
        },
        Fnstsw_m2byte | Fnstsw_AX => |cpu, insn| {
            cpu.x87_present()?;
            store(cpu, insn, cpu.fpu.status())
        },
        Ffree_sti => |cpu, insn| {
            cpu.x87_ready()?;
            cpu.note_instruction(insn);
            cpu.fpu.free(index(insn.op0_register()));
            cpu.fpu.set_conditions(C1, 0);
            Ok(())
        },
        Ffreep_sti => |cpu, insn| {
            cpu.x87_ready()?;
            cpu.note_instruction(insn);
            cpu.fpu.free(index(insn.op0_register()));
            cpu.fpu.set_conditions(C1, 0);
            cpu.fpu.pop();
            Ok(())
        },
        Fincstp => |cpu, insn| turn(cpu, insn, 1),
        Fdecstp => |cpu, insn| turn(cpu, insn, 7),
        _ => return None,
    })
}

fn turn(cpu: &mut Cpu, insn: &Instruction, by: u8) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    cpu.fpu.turn(by);
    cpu.fpu.set_conditions(C1, 0);
    Ok(())
}

fn store(cpu: &mut Cpu, insn: &Instruction, word: u16) -> Result<(), Fault> {
    if insn.op0_kind() == OpKind::Register {
        cpu.set_register(insn.op0_register(), word.into());
        return Ok(());
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, word)
}
