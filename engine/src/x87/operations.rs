//! The basic arithmetic instructions (SDM vol. 1, 8.3.5).

use iced_x86::{Code, Instruction};

use super::access::index;
use super::arithmetic::{
    Double, Float, Quotient, Single, add, div, extract, from_float, from_integer, mul, remainder, round_to_integer, scale,
    sqrt, sub,
};
use super::env::{DENORMAL, Env, INVALID};
use super::f80::F80;
use super::fpu::condition;
use crate::{Cpu, Fault, Handler};

/// `f(ST(0), other)`.
type Binary = fn(F80, F80, &mut Env) -> F80;

fn subr(a: F80, b: F80, env: &mut Env) -> F80 {
    sub(b, a, env)
}

fn divr(a: F80, b: F80, env: &mut Env) -> F80 {
    div(b, a, env)
}

macro_rules! st0_sti {
    ($f:expr) => {
        |cpu, insn| registers(cpu, insn, 0, 0, index(insn.op1_register()), $f, false)
    };
}
macro_rules! sti_st0 {
    ($f:expr, $pop:expr) => {
        |cpu, insn| registers(cpu, insn, index(insn.op0_register()), index(insn.op0_register()), 0, $f, $pop)
    };
}
macro_rules! memory {
    ($load:ident, $f:expr) => {
        |cpu, insn| {
            let (value, is_denormal) = $load(cpu, insn)?;
            with_memory(cpu, value, is_denormal, $f)
        }
    };
}

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fadd_st0_sti => st0_sti!(add),
        Fmul_st0_sti => st0_sti!(mul),
        Fsub_st0_sti => st0_sti!(sub),
        Fsubr_st0_sti => st0_sti!(subr),
        Fdiv_st0_sti => st0_sti!(div),
        Fdivr_st0_sti => st0_sti!(divr),
        Fadd_sti_st0 => sti_st0!(add, false),
        Fmul_sti_st0 => sti_st0!(mul, false),
        Fsub_sti_st0 => sti_st0!(sub, false),
        Fsubr_sti_st0 => sti_st0!(subr, false),
        Fdiv_sti_st0 => sti_st0!(div, false),
        Fdivr_sti_st0 => sti_st0!(divr, false),
        Faddp_sti_st0 => sti_st0!(add, true),
        Fmulp_sti_st0 => sti_st0!(mul, true),
        Fsubp_sti_st0 => sti_st0!(sub, true),
        Fsubrp_sti_st0 => sti_st0!(subr, true),
        Fdivp_sti_st0 => sti_st0!(div, true),
        Fdivrp_sti_st0 => sti_st0!(divr, true),
        Fadd_m32fp => memory!(single, add),
        Fmul_m32fp => memory!(single, mul),
        Fsub_m32fp => memory!(single, sub),
        Fsubr_m32fp => memory!(single, subr),
        Fdiv_m32fp => memory!(single, div),
        Fdivr_m32fp => memory!(single, divr),
        Fadd_m64fp => memory!(double, add),
        Fmul_m64fp => memory!(double, mul),
        Fsub_m64fp => memory!(double, sub),
        Fsubr_m64fp => memory!(double, subr),
        Fdiv_m64fp => memory!(double, div),
        Fdivr_m64fp => memory!(double, divr),
        Fiadd_m16int => memory!(short, add),
        Fimul_m16int => memory!(short, mul),
        Fisub_m16int => memory!(short, sub),
        Fisubr_m16int => memory!(short, subr),
        Fidiv_m16int => memory!(short, div),
        Fidivr_m16int => memory!(short, divr),
        Fiadd_m32int => memory!(long, add),
        Fimul_m32int => memory!(long, mul),
        Fisub_m32int => memory!(long, sub),
        Fisubr_m32int => memory!(long, subr),
        Fidiv_m32int => memory!(long, div),
        Fidivr_m32int => memory!(long, divr),
        Fsqrt => |cpu, insn| unary(cpu, insn, Env::new, sqrt),
        Frndint => |cpu, insn| unary(cpu, insn, Env::extended, round_to_integer),
        Fabs => |cpu, insn| unary(cpu, insn, Env::extended, |a, _| a.magnitude()),
        Fchs => |cpu, insn| unary(cpu, insn, Env::extended, |a, _| a.negated()),
        Fscale => scale_st0,
        Fprem => |cpu, insn| partial_remainder(cpu, insn, false),
        Fprem1 => |cpu, insn| partial_remainder(cpu, insn, true),
        Fxtract => extract_st0,
        _ => return None,
    })
}

/// A number in memory without its exceptions: a signalling NaN stays one. And whether it was denormal.
#[inline(always)]
fn widen<F: Float>(bits: u64) -> (F80, bool) {
    let mut env = Env::extended(0);
    let value = from_float::<F>(bits, &mut env);
    if env.before == INVALID {
        // The only difference is the quiet bit.
        return (F80 { significand: value.significand & !(1 << 62), ..value }, false);
    }
    (value, env.before == DENORMAL)
}

#[inline(always)]
pub(super) fn single(cpu: &mut Cpu, insn: &Instruction) -> Result<(F80, bool), Fault> {
    Ok(widen::<Single>(cpu.load_operand::<u32>(insn)?.into()))
}

#[inline(always)]
pub(super) fn double(cpu: &mut Cpu, insn: &Instruction) -> Result<(F80, bool), Fault> {
    Ok(widen::<Double>(cpu.load_operand::<u64>(insn)?))
}

#[inline(always)]
pub(super) fn short(cpu: &mut Cpu, insn: &Instruction) -> Result<(F80, bool), Fault> {
    Ok((from_integer((cpu.load_operand::<u16>(insn)? as i16).into()), false))
}

#[inline(always)]
pub(super) fn long(cpu: &mut Cpu, insn: &Instruction) -> Result<(F80, bool), Fault> {
    Ok((from_integer((cpu.load_operand::<u32>(insn)? as i32).into()), false))
}

/// `ST(to) = f(ST(a), ST(b))`.
#[inline(always)]
fn registers(
    cpu: &mut Cpu,
    insn: &Instruction,
    to: u8,
    a: u8,
    b: u8,
    f: Binary,
    pop: bool,
) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    // One of both is ST(0).
    let completed = if fpu.is_empty(a) || fpu.is_empty(b) {
        let completed = fpu.stack_fault(false);
        if completed {
            fpu.set_st(to, F80::INDEFINITE);
        }
        completed
    } else {
        let mut env = Env::new(fpu.control());
        let result = f(fpu.st(a), fpu.st(b), &mut env);
        let completed = fpu.commit(&env);
        if completed {
            fpu.set_st(to, result);
        }
        completed
    };
    if completed && pop {
        cpu.fpu.pop();
    }
    cpu.note_exception();
    Ok(())
}

/// Whether the number is neither a NaN nor unsupported.
pub(super) fn is_number(a: F80) -> bool {
    use super::f80::Class::*;
    matches!(a.class(), Zero | Denormal | Normal | Infinity)
}

/// `ST(0) = f(ST(0), memory)`.
#[inline(always)]
fn with_memory(cpu: &mut Cpu, value: F80, is_denormal: bool, f: Binary) -> Result<(), Fault> {
    let fpu = &mut cpu.fpu;
    if fpu.is_empty(0) {
        if fpu.stack_fault(false) {
            fpu.set_st(0, F80::INDEFINITE);
        }
    } else {
        let mut env = Env::new(fpu.control());
        let a = fpu.st(0);
        let result = f(a, value, &mut env);
        // The operand is a normal number in its new format.
        if is_denormal && is_number(a) && env.before & INVALID == 0 {
            env.before |= DENORMAL;
        }
        if fpu.commit(&env) {
            fpu.set_st(0, result);
        }
    }
    cpu.note_exception();
    Ok(())
}

/// `ST(0) = f(ST(0))`.
#[inline(always)]
pub(super) fn unary(
    cpu: &mut Cpu,
    insn: &Instruction,
    env: fn(u16) -> Env,
    f: fn(F80, &mut Env) -> F80,
) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    if fpu.is_empty(0) {
        if fpu.stack_fault(false) {
            fpu.set_st(0, F80::INDEFINITE);
        }
    } else {
        let mut env = env(fpu.control());
        let result = f(fpu.st(0), &mut env);
        if fpu.commit(&env) {
            fpu.set_st(0, result);
        }
    }
    cpu.note_exception();
    Ok(())
}

/// FSCALE: precision control has no effect.
fn scale_st0(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    binary_extended(cpu, insn, 0, false, scale)
}

/// `ST(to) = f(ST(0), ST(1))` with 64 bits.
pub(super) fn binary_extended(
    cpu: &mut Cpu,
    insn: &Instruction,
    to: u8,
    pop: bool,
    f: Binary,
) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    let (completed, result) = if fpu.is_empty(0) || fpu.is_empty(1) {
        (fpu.stack_fault(false), F80::INDEFINITE)
    } else {
        let mut env = Env::extended(fpu.control());
        let result = f(fpu.st(0), fpu.st(1), &mut env);
        (fpu.commit(&env), result)
    };
    if completed {
        fpu.set_st(to, result);
        if pop {
            fpu.pop();
        }
    }
    cpu.note_exception();
    Ok(())
}

/// FPREM, FPREM1: the quotient's low bits go to C0, C3 and C1.
fn partial_remainder(cpu: &mut Cpu, insn: &Instruction, nearest: bool) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    if fpu.is_empty(0) || fpu.is_empty(1) {
        fpu.set_conditions(condition::C2, 0);
        if fpu.stack_fault(false) {
            fpu.set_st(0, F80::INDEFINITE);
        }
    } else {
        let mut env = Env::extended(fpu.control());
        let result = remainder(fpu.st(0), fpu.st(1), nearest, &mut env);
        if fpu.commit(&env) {
            fpu.set_st(0, result.value);
        }
        match result.quotient {
            Quotient::None => fpu.set_conditions(condition::C2, 0),
            Quotient::Partial => fpu.set_conditions(condition::C2, condition::C2),
            Quotient::Bits(bits) => {
                let bit = |n: u8, to: u16| u16::from(bits >> n & 1).wrapping_mul(to);
                let conditions = bit(2, condition::C0) | bit(1, condition::C3) | bit(0, condition::C1);
                fpu.set_conditions(condition::ALL, conditions);
            }
        }
    }
    cpu.note_exception();
    Ok(())
}

/// FXTRACT: ST(0) becomes the exponent, and the significand is pushed.
fn extract_st0(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let fpu = &mut cpu.fpu;
    let (completed, (exponent, significand)) = if fpu.is_empty(0) || !fpu.is_empty(7) {
        let overflow = !fpu.is_empty(0);
        (fpu.stack_fault(overflow), (F80::INDEFINITE, F80::INDEFINITE))
    } else {
        let mut env = Env::extended(fpu.control());
        let parts = extract(fpu.st(0), &mut env);
        (fpu.commit(&env), parts)
    };
    if completed {
        fpu.set_st(0, exponent);
        fpu.push(significand);
    }
    cpu.note_exception();
    Ok(())
}
