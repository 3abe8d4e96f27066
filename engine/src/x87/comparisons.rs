//! Comparison and classification (SDM vol. 1, 8.3.6).

use iced_x86::{Code, Instruction};

use super::access::index;
use super::arithmetic::{Relation, compare};
use super::env::{DENORMAL, Env};
use super::f80::{Class, F80};
use super::fpu::condition::{self, C0, C2, C3};
use super::operations::{double, is_number, long, short, single};
use crate::{Cpu, Fault, Handler, flag};

macro_rules! memory {
    ($load:ident, $pops:expr) => {
        |cpu, insn| {
            let (value, is_denormal) = $load(cpu, insn)?;
            with_memory(cpu, value, is_denormal, $pops)
        }
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fcom_st0_sti | Fcom_st0_sti_DCD0 => |cpu, insn| registers(cpu, insn, false, 0),
        Fcomp_st0_sti | Fcomp_st0_sti_DCD8 | Fcomp_st0_sti_DED0 => {
            |cpu, insn| registers(cpu, insn, false, 1)
        }
        Fcompp => |cpu, insn| two(cpu, insn, false),
        Fucom_st0_sti => |cpu, insn| registers(cpu, insn, true, 0),
        Fucomp_st0_sti => |cpu, insn| registers(cpu, insn, true, 1),
        Fucompp => |cpu, insn| two(cpu, insn, true),
        Fcom_m32fp => memory!(single, 0),
        Fcomp_m32fp => memory!(single, 1),
        Fcom_m64fp => memory!(double, 0),
        Fcomp_m64fp => memory!(double, 1),
        Ficom_m16int => memory!(short, 0),
        Ficomp_m16int => memory!(short, 1),
        Ficom_m32int => memory!(long, 0),
        Ficomp_m32int => memory!(long, 1),
        Ftst => |cpu, insn| {
            cpu.x87_ready()?;
            cpu.note_instruction(insn);
            with_memory(cpu, F80::zero(false), false, 0)
        },
        Fcomi_st0_sti => |cpu, insn| to_flags(cpu, insn, false, false),
        Fcomip_st0_sti => |cpu, insn| to_flags(cpu, insn, false, true),
        Fucomi_st0_sti => |cpu, insn| to_flags(cpu, insn, true, false),
        Fucomip_st0_sti => |cpu, insn| to_flags(cpu, insn, true, true),
        Fxam => examine,
        _ => return None,
    })
}

/// The relation of ST(0) and `b`, noting exceptions; and whether registers are to be popped. An exception that is not
/// masked prevents only that.
#[inline(always)]
fn relation(cpu: &mut Cpu, b: Option<F80>, is_denormal: bool, quiet: bool) -> (Relation, bool) {
    let fpu = &mut cpu.fpu;
    let Some(b) = b.filter(|_| !fpu.is_empty(0)) else {
        return (Relation::Unordered, fpu.stack_fault(false));
    };
    let mut env = Env::extended(fpu.control());
    let a = fpu.st(0);
    let relation = compare(a, b, quiet, &mut env);
    if is_denormal && is_number(a) {
        env.before |= DENORMAL;
    }
    (relation, fpu.commit(&env))
}

fn finish(cpu: &mut Cpu, (relation, completed): (Relation, bool), pops: u8) {
    let conditions = match relation {
        Relation::Greater => 0,
        Relation::Less => C0,
        Relation::Equal => C3,
        Relation::Unordered => C0 | C2 | C3,
    };
    cpu.fpu.set_conditions(C0 | C2 | C3, conditions);
    if completed {
        for _ in 0..pops {
            cpu.fpu.pop();
        }
    }
    cpu.note_exception();
}

#[inline(always)]
fn registers(cpu: &mut Cpu, insn: &Instruction, quiet: bool, pops: u8) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op1_register());
    let b = (!cpu.fpu.is_empty(i)).then(|| cpu.fpu.st(i));
    let relation = relation(cpu, b, false, quiet);
    finish(cpu, relation, pops);
    Ok(())
}

/// FCOMPP, FUCOMPP.
fn two(cpu: &mut Cpu, insn: &Instruction, quiet: bool) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let b = (!cpu.fpu.is_empty(1)).then(|| cpu.fpu.st(1));
    let relation = relation(cpu, b, false, quiet);
    finish(cpu, relation, 2);
    Ok(())
}

#[inline(always)]
fn with_memory(cpu: &mut Cpu, value: F80, is_denormal: bool, pops: u8) -> Result<(), Fault> {
    let relation = relation(cpu, Some(value), is_denormal, false);
    finish(cpu, relation, pops);
    Ok(())
}

/// FCOMI and its kin: ZF, PF, CF.
#[inline(always)]
fn to_flags(cpu: &mut Cpu, insn: &Instruction, quiet: bool, pop: bool) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op1_register());
    let b = (!cpu.fpu.is_empty(i)).then(|| cpu.fpu.st(i));
    // C1 stays (AMD), unless a register is empty.
    let c1 = cpu.fpu.status() & condition::C1;
    let (relation, completed) = relation(cpu, b, false, quiet);
    if b.is_some() && !cpu.fpu.is_empty(0) {
        cpu.fpu.set_conditions(condition::C1, c1);
    }
    let flags = match relation {
        Relation::Greater => 0,
        Relation::Less => flag::CF,
        Relation::Equal => flag::ZF,
        Relation::Unordered => flag::ZF | flag::PF | flag::CF,
    };
    cpu.set_status_flags(flag::STATUS, flags);
    if completed && pop {
        cpu.fpu.pop();
    }
    cpu.note_exception();
    Ok(())
}

/// FXAM: the class in C3, C2 and C0, the sign in C1.
fn examine(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    let value = fpu.st(0);
    let class = match value.class() {
        _ if fpu.is_empty(0) => C3 | C0,
        Class::Unsupported => 0,
        Class::QuietNan | Class::SignallingNan => C0,
        Class::Normal => C2,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
        Class::Denormal => C3 | C2,
    };
    let sign = if value.is_negative() { condition::C1 } else { 0 };
    fpu.set_conditions(condition::ALL, class | sign);
    Ok(())
}
