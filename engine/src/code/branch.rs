//! Picks micro-operations for branches, and fuses them with comparisons.

use iced_x86::{Code, Instruction, MemorySize, Mnemonic, OpKind};

use super::lower::Lowering;
use super::operands::stack_bytes;
use super::{Op, Uop};
use crate::operand::register_offset;

impl Lowering {
    /// Branches; fuses a conditional one with the comparison before it.
    pub(super) fn branch(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let wide = self.mode.is_long();
        let place = u16::from(wide);
        let direct = if wide { OpKind::NearBranch64 } else { OpKind::NearBranch32 };
        let near = insn.op_count() > 0 && insn.op0_kind() == direct;
        if near && wide && i32::try_from(insn.near_branch64() as i64).is_err() {
            // The distance from the page's start has no room.
            return None;
        }
        match insn.mnemonic() {
            Mnemonic::Jmp if near => uop.op = Op::Jmp,
            Mnemonic::Call if near => {
                uop.op = Op::Call32.after(place);
            }
            Mnemonic::Jmp | Mnemonic::Call => {
                let is_call = insn.mnemonic() == Mnemonic::Call;
                match insn.op0_kind() {
                    OpKind::Register if insn.op0_register().size() == stack_bytes(wide) => {
                        uop.op = if is_call { Op::CallR32 } else { Op::JmpR32 }.after(place);
                        uop.a = register_offset(insn.op0_register())?;
                    }
                    OpKind::Memory
                        if insn.memory_size()
                            == if wide { MemorySize::QwordOffset } else { MemorySize::DwordOffset } =>
                    {
                        uop.op = if is_call { Op::CallM32 } else { Op::JmpM32 }.after(place);
                        self.address(insn, &mut uop, false)?;
                    }
                    _ => return None,
                }
            }
            Mnemonic::Ret
                if matches!(
                    insn.code(),
                    Code::Retnd | Code::Retnq | Code::Retnd_imm16 | Code::Retnq_imm16
                ) =>
            {
                if insn.op_count() == 0 {
                    uop.op = Op::Ret32.after(place);
                } else {
                    uop.op = Op::RetI32.after(place);
                    uop.imm = insn.immediate(0) as i32;
                }
            }
            _ if near && insn.is_jcc_short_or_near() => {
                let condition = (insn.condition_code() as u8).checked_sub(1)?;
                uop.op = Op::Jo.after(u16::from(condition));
                if let Some((fused, before)) = self.fused(condition) {
                    self.uops.pop();
                    return Some(Uop { op: fused, ..before });
                }
            }
            _ => return None,
        }
        Some(uop)
    }

    /// The comparison before a conditional branch together with it.
    fn fused(&self, condition: u8) -> Option<(Op, Uop)> {
        let before = *self.uops.last()?;
        // o no b ae e ne be a s ns p np l ge le g, in the order e ne b ae be a l ge le g s ns.
        const COMPARE: [Option<u16>; 16] = [
            None,
            None,
            Some(2),
            Some(3),
            Some(0),
            Some(1),
            Some(4),
            Some(5),
            Some(10),
            Some(11),
            None,
            None,
            Some(6),
            Some(7),
            Some(8),
            Some(9),
        ];
        // In the order e ne s ns le g.
        const TEST: [Option<u16>; 16] = [
            None,
            None,
            None,
            None,
            Some(0),
            Some(1),
            None,
            None,
            Some(2),
            Some(3),
            None,
            None,
            None,
            None,
            Some(4),
            Some(5),
        ];
        let compare = || COMPARE.get(usize::from(condition)).copied().flatten();
        let test = || TEST.get(usize::from(condition)).copied().flatten();
        let op = match before.op {
            Op::CmpRr8 => Op::CmpRr8Je.after(compare()?),
            Op::CmpRr32 => Op::CmpRr32Je.after(compare()?),
            Op::CmpRr64 => Op::CmpRr64Je.after(compare()?),
            Op::CmpRi8 => Op::CmpRi8Je.after(compare()?),
            Op::CmpRi32 => Op::CmpRi32Je.after(compare()?),
            Op::CmpRi64 => Op::CmpRi64Je.after(compare()?),
            Op::CmpRm32 => Op::CmpRm32Je.after(compare()?),
            Op::CmpRm64 => Op::CmpRm64Je.after(compare()?),
            Op::CmpMi8 => Op::CmpMi8Je.after(compare()?),
            Op::CmpMi32 => Op::CmpMi32Je.after(compare()?),
            Op::CmpMi64 => Op::CmpMi64Je.after(compare()?),
            Op::CmpRi16 => Op::CmpRi16Je.after(compare()?),
            Op::CmpMr8 => Op::CmpMr8Je.after(compare()?),
            Op::CmpMr32 => Op::CmpMr32Je.after(compare()?),
            Op::CmpMr64 => Op::CmpMr64Je.after(compare()?),
            Op::AndRi32 => Op::AndRi32Je.after(test().filter(|place| *place < 2)?),
            Op::SubMi32 => Op::SubMi32Je.after(test().filter(|place| *place < 2)?),
            Op::SubMi64 => Op::SubMi64Je.after(test().filter(|place| *place < 2)?),
            Op::TestRr8 => Op::TestRr8Je.after(test()?),
            Op::TestRr32 => Op::TestRr32Je.after(test()?),
            Op::TestRr64 => Op::TestRr64Je.after(test()?),
            Op::TestRi8 => Op::TestRi8Je.after(test()?),
            Op::TestRi32 => Op::TestRi32Je.after(test()?),
            Op::TestRi64 => Op::TestRi64Je.after(test()?),
            Op::TestMi8 => Op::TestMi8Je.after(test().filter(|place| *place < 4)?),
            _ => return None,
        };
        Some((op, before))
    }

    /// Adds a branch and its links. With a fused one the comparison has been counted already.
    pub(super) fn finish_branch(&mut self, insn: &Instruction, uop: Uop, offset: u16) {
        let after = offset.wrapping_add(insn.len() as u16);
        let target = match insn.op0_kind() {
            OpKind::NearBranch32 => insn.near_branch32() as i32,
            OpKind::NearBranch64 => insn.near_branch64() as i32,
            _ => 0,
        };
        self.push(uop);
        self.links(Op::Links, after, target);
    }
}
