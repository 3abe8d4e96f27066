//! Near branches, loops, BOUND.

use iced_x86::{Code, Instruction, Mnemonic, Register};

use super::moves::condition;
use crate::memory::is_canonical;
use crate::operand::{mask, sign_extend};
use crate::{Cpu, Fault, Handler, Seg};

pub(super) fn handler(code: Code) -> Option<Handler> {
    if code.is_jcc_short_or_near() {
        return Some(jcc);
    }
    Some(match code {
        Code::Jmp_rel8_16
        | Code::Jmp_rel8_32
        | Code::Jmp_rel8_64
        | Code::Jmp_rel16
        | Code::Jmp_rel32_32
        | Code::Jmp_rel32_64 => jmp,
        Code::Jmp_rm16 | Code::Jmp_rm32 | Code::Jmp_rm64 => jmp_indirect,
        Code::Call_rel16 => |cpu, insn| call(cpu, insn, 2),
        Code::Call_rel32_32 => |cpu, insn| call(cpu, insn, 4),
        Code::Call_rel32_64 => |cpu, insn| call(cpu, insn, 8),
        Code::Call_rm16 => |cpu, insn| call_indirect(cpu, insn, 2),
        Code::Call_rm32 => |cpu, insn| call_indirect(cpu, insn, 4),
        Code::Call_rm64 => |cpu, insn| call_indirect(cpu, insn, 8),
        Code::Retnw => |cpu, _| ret(cpu, 2, 0),
        Code::Retnd => |cpu, _| ret(cpu, 4, 0),
        Code::Retnq => |cpu, _| ret(cpu, 8, 0),
        Code::Retnw_imm16 => |cpu, insn| ret(cpu, 2, insn.immediate16()),
        Code::Retnd_imm16 => |cpu, insn| ret(cpu, 4, insn.immediate16()),
        Code::Retnq_imm16 => |cpu, insn| ret(cpu, 8, insn.immediate16()),
        Code::Bound_r16_m1616 | Code::Bound_r32_m3232 => bound,
        _ => {
            let counter = counter(code)?;
            return Some(match (code.mnemonic(), counter) {
                (Mnemonic::Loop, Register::CX) => |cpu, insn| repeat(cpu, insn, Register::CX, always),
                (Mnemonic::Loop, Register::ECX) => |cpu, insn| repeat(cpu, insn, Register::ECX, always),
                (Mnemonic::Loop, _) => |cpu, insn| repeat(cpu, insn, Register::RCX, always),
                (Mnemonic::Loope, Register::CX) => |cpu, insn| repeat(cpu, insn, Register::CX, is_zero),
                (Mnemonic::Loope, Register::ECX) => |cpu, insn| repeat(cpu, insn, Register::ECX, is_zero),
                (Mnemonic::Loope, _) => |cpu, insn| repeat(cpu, insn, Register::RCX, is_zero),
                (Mnemonic::Loopne, Register::CX) => |cpu, insn| repeat(cpu, insn, Register::CX, is_not_zero),
                (Mnemonic::Loopne, Register::ECX) => {
                    |cpu, insn| repeat(cpu, insn, Register::ECX, is_not_zero)
                }
                (Mnemonic::Loopne, _) => |cpu, insn| repeat(cpu, insn, Register::RCX, is_not_zero),
                (_, Register::CX) => |cpu, insn| jump_if_none_left(cpu, insn, Register::CX),
                (_, Register::ECX) => |cpu, insn| jump_if_none_left(cpu, insn, Register::ECX),
                _ => |cpu, insn| jump_if_none_left(cpu, insn, Register::RCX),
            });
        }
    })
}

/// The counter of LOOP and JCXZ.
fn counter(code: Code) -> Option<Register> {
    Some(match code {
        Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX
        | Code::Jcxz_rel8_16
        | Code::Jcxz_rel8_32 => Register::CX,
        Code::Loop_rel8_16_ECX
        | Code::Loop_rel8_32_ECX
        | Code::Loop_rel8_64_ECX
        | Code::Loope_rel8_16_ECX
        | Code::Loope_rel8_32_ECX
        | Code::Loope_rel8_64_ECX
        | Code::Loopne_rel8_16_ECX
        | Code::Loopne_rel8_32_ECX
        | Code::Loopne_rel8_64_ECX
        | Code::Jecxz_rel8_16
        | Code::Jecxz_rel8_32
        | Code::Jecxz_rel8_64 => Register::ECX,
        Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX
        | Code::Jrcxz_rel8_16
        | Code::Jrcxz_rel8_64 => Register::RCX,
        _ => return None,
    })
}

impl Cpu {
    /// Whether a near branch may go to `target`.
    ///
    /// # Errors
    /// #GP(0): beyond the limit of CS, or non-canonical.
    #[inline]
    pub(super) fn check_branch(&self, target: u64) -> Result<(), Fault> {
        let allowed = if self.mode.is_long() {
            is_canonical(target)
        } else {
            target <= u64::from(self.segment(Seg::Cs).limit)
        };
        if allowed { Ok(()) } else { Err(Fault::GP0) }
    }

    /// Goes to `target`.
    #[inline]
    fn branch(&mut self, target: u64) -> Result<(), Fault> {
        self.check_branch(target)?;
        self.rip = target;
        Ok(())
    }
}

fn jcc(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    if condition(cpu, insn) { jmp(cpu, insn) } else { Ok(()) }
}

fn jmp(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let target = cpu.branch_target(insn);
    cpu.branch(target)
}

fn jmp_indirect(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let target = cpu.operand(insn, 0)?;
    cpu.branch(target)
}

fn call(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let target = cpu.branch_target(insn);
    call_to(cpu, target, bytes)
}

fn call_indirect(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let target = cpu.operand(insn, 0)?;
    call_to(cpu, target, bytes)
}

fn call_to(cpu: &mut Cpu, target: u64, bytes: u32) -> Result<(), Fault> {
    cpu.check_branch(target)?;
    cpu.push(cpu.rip, bytes)?;
    cpu.rip = target;
    Ok(())
}

/// RET, with `more` bytes of arguments to drop.
fn ret(cpu: &mut Cpu, bytes: u32, more: u16) -> Result<(), Fault> {
    let target = cpu.top(0, bytes)?;
    cpu.branch(target)?;
    cpu.drop(u64::from(bytes).wrapping_add(u64::from(more)));
    Ok(())
}

fn always(_: &Cpu, _: &Instruction) -> bool {
    true
}

/// Of LOOPE; with F2, AMD's silicon makes it LOOPNE.
fn is_zero(cpu: &Cpu, insn: &Instruction) -> bool {
    cpu.lazy.zero() != insn.has_repne_prefix()
}

/// Of LOOPNE; with F3, AMD's silicon makes it LOOPE.
fn is_not_zero(cpu: &Cpu, insn: &Instruction) -> bool {
    cpu.lazy.zero() == insn.has_rep_prefix()
}

/// LOOP, LOOPE, LOOPNE: `goes_on` is asked while the counter is not used up.
#[inline]
fn repeat(
    cpu: &mut Cpu,
    insn: &Instruction,
    counter: Register,
    goes_on: fn(&Cpu, &Instruction) -> bool,
) -> Result<(), Fault> {
    let left = cpu.register(counter).wrapping_sub(1) & mask(counter.size() as u32);
    if left != 0 && goes_on(cpu, insn) {
        jmp(cpu, insn)?;
    }
    cpu.set_register(counter, left);
    Ok(())
}

/// JCXZ, JECXZ, JRCXZ.
fn jump_if_none_left(cpu: &mut Cpu, insn: &Instruction, counter: Register) -> Result<(), Fault> {
    if cpu.register(counter) == 0 { jmp(cpu, insn) } else { Ok(()) }
}

fn bound(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = insn.op0_register().size() as u32;
    let step = u64::from(bytes);
    let (seg, offset) = cpu.effective_address(insn);
    let linear = cpu.linear(seg, offset, step, false)?;
    let lower = cpu.load_sized(linear, bytes)?;
    let linear = cpu.linear(seg, offset.wrapping_add(step), step, false)?;
    let upper = cpu.load_sized(linear, bytes)?;
    let index = sign_extend(cpu.register(insn.op0_register()), bytes);
    if index < sign_extend(lower, bytes) || index > sign_extend(upper, bytes) {
        return Err(Fault::BR);
    }
    Ok(())
}
