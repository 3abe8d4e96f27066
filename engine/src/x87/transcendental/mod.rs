//! Transcendental instructions (SDM vol. 1, 8.3.7 to 8.3.10): computed to more than 110 bits and rounded.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "exponents are sums of a few of 15 bits; mantissas are those of numbers in known intervals; only constants \
              divide"
)]

mod arctangent;
mod exponential;
mod trigonometry;
mod wide;

use iced_x86::{Code, Instruction};

use super::env::Env;
use super::f80::{Class, F80};
use super::fpu::condition::{C1, C2};
use super::operations::{binary_extended, is_number, unary};
use crate::{Cpu, Fault, Handler};
use trigonometry::{cos, is_in_range, sin, tan};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        F2xm1 => |cpu, insn| unary(cpu, insn, Env::extended, exponential::exp2m1),
        Fyl2x => |cpu, insn| binary_extended(cpu, insn, 1, true, exponential::y_log2_x),
        Fyl2xp1 => |cpu, insn| binary_extended(cpu, insn, 1, true, exponential::y_log2_x1),
        Fpatan => |cpu, insn| binary_extended(cpu, insn, 1, true, arctangent::atan2),
        Fsin => |cpu, insn| one_angle(cpu, insn, sin),
        Fcos => |cpu, insn| one_angle(cpu, insn, cos),
        Fsincos => |cpu, insn| {
            angle_and_push(cpu, insn, |a, env| {
                let sine = sin(a, env);
                let mut other = Env::extended(0x33F | (env.rounding as u16) << 10);
                let cosine = cos(a, &mut other);
                env.after |= other.after;
                (sine, cosine)
            })
        },
        Fptan => |cpu, insn| {
            angle_and_push(cpu, insn, |a, env| {
                let tangent = tan(a, env);
                (tangent, if is_number(a) && a.class() != Class::Infinity { F80::ONE } else { tangent })
            })
        },
        _ => return None,
    })
}

/// Whether ST(0) is no angle the instruction takes: sets C2.
fn is_too_large(cpu: &mut Cpu) -> bool {
    let too_large = !cpu.fpu.is_empty(0) && !is_in_range(cpu.fpu.st(0));
    cpu.fpu.set_conditions(C1 | C2, if too_large { C2 } else { 0 });
    too_large
}

/// FSIN, FCOS.
fn one_angle(cpu: &mut Cpu, insn: &Instruction, f: fn(F80, &mut Env) -> F80) -> Result<(), Fault> {
    cpu.x87_ready()?;
    if is_too_large(cpu) {
        cpu.note_instruction(insn);
        return Ok(());
    }
    unary(cpu, insn, Env::extended, f)
}

/// FSINCOS, FPTAN: one result replaces ST(0), the other is pushed.
fn angle_and_push(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: fn(F80, &mut Env) -> (F80, F80),
) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let too_large = is_too_large(cpu);
    if too_large && cpu.fpu.is_empty(7) {
        return Ok(());
    }
    cpu.fpu.set_conditions(C2, 0);
    let fpu = &mut cpu.fpu;
    let (completed, (first, second)) = if fpu.is_empty(0) || !fpu.is_empty(7) {
        let overflow = !fpu.is_empty(0);
        (fpu.stack_fault(overflow), (F80::INDEFINITE, F80::INDEFINITE))
    } else {
        let mut env = Env::extended(fpu.control());
        let results = f(fpu.st(0), &mut env);
        (fpu.commit(&env), results)
    };
    if completed {
        fpu.set_st(0, first);
        fpu.push(second);
    }
    cpu.note_exception();
    Ok(())
}
