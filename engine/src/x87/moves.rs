//! Data transfer instructions and constants (SDM vol. 1, 8.3.3 and 8.3.4).

use iced_x86::{Code, Instruction};

use super::access::index;
use super::arithmetic::{
    Double, Float, Single, from_bcd, from_float, from_integer, to_bcd, to_float, to_integer, truncated,
};
use super::env::{DENORMAL, Env, OVERFLOW, Rounding, UNDERFLOW};
use super::f80::F80;
use crate::operand::bits_of;
use crate::{Cpu, Fault, Handler, Value, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fld_m32fp => |cpu, insn| load_float::<Single, u32>(cpu, insn),
        Fld_m64fp => |cpu, insn| load_float::<Double, u64>(cpu, insn),
        Fld_m80fp => |cpu, insn| {
            let bits = cpu.load_ten(insn)?;
            finish_load(cpu, F80::from_bits(bits));
            Ok(())
        },
        Fbld_m80bcd => |cpu, insn| {
            let bits = cpu.load_ten(insn)?;
            finish_load(cpu, from_bcd(bits));
            Ok(())
        },
        Fild_m16int => |cpu, insn| load_integer::<u16>(cpu, insn, |value| (value as i16).into()),
        Fild_m32int => |cpu, insn| load_integer::<u32>(cpu, insn, |value| (value as i32).into()),
        Fild_m64int => |cpu, insn| load_integer::<u64>(cpu, insn, |value| value as i64),
        Fld_sti => load_register,
        Fst_m32fp => |cpu, insn| store_float::<Single, false>(cpu, insn),
        Fstp_m32fp => |cpu, insn| store_float::<Single, true>(cpu, insn),
        Fst_m64fp => |cpu, insn| store_float::<Double, false>(cpu, insn),
        Fstp_m64fp => |cpu, insn| store_float::<Double, true>(cpu, insn),
        Fstp_m80fp => store_extended,
        Fbstp_m80bcd => store_decimal,
        Fist_m16int => |cpu, insn| store_integer::<u16, false>(cpu, insn, false),
        Fist_m32int => |cpu, insn| store_integer::<u32, false>(cpu, insn, false),
        Fistp_m16int => |cpu, insn| store_integer::<u16, true>(cpu, insn, false),
        Fistp_m32int => |cpu, insn| store_integer::<u32, true>(cpu, insn, false),
        Fistp_m64int => |cpu, insn| store_integer::<u64, true>(cpu, insn, false),
        Fisttp_m16int => |cpu, insn| store_integer::<u16, true>(cpu, insn, true),
        Fisttp_m32int => |cpu, insn| store_integer::<u32, true>(cpu, insn, true),
        Fisttp_m64int => |cpu, insn| store_integer::<u64, true>(cpu, insn, true),
        Fst_sti => |cpu, insn| store_register::<false>(cpu, insn),
        Fstp_sti | Fstp_sti_DFD0 | Fstp_sti_DFD8 => |cpu, insn| store_register::<true>(cpu, insn),
        Fstpnce_sti => store_unchecked,
        Fxch_st0_sti | Fxch_st0_sti_DDC8 | Fxch_st0_sti_DFC8 => exchange,
        Fcmovb_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::CF != 0),
        Fcmove_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::ZF != 0),
        Fcmovbe_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & (flag::CF | flag::ZF) != 0),
        Fcmovu_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::PF != 0),
        Fcmovnb_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::CF == 0),
        Fcmovne_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::ZF == 0),
        Fcmovnbe_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & (flag::CF | flag::ZF) == 0),
        Fcmovnu_st0_sti => |cpu, insn| move_if(cpu, insn, cpu.flags() & flag::PF == 0),
        Fld1 => |cpu, insn| load_constant(cpu, insn, F80::ONE, Rest::Nothing),
        Fldz => |cpu, insn| load_constant(cpu, insn, F80::zero(false), Rest::Nothing),
        Fldl2t => |cpu, insn| load_constant(cpu, insn, constant(0x4000, 0xD49A_784B_CD1B_8AFE), Rest::Less),
        Fldl2e => |cpu, insn| load_constant(cpu, insn, constant(0x3FFF, 0xB8AA_3B29_5C17_F0BB), Rest::More),
        Fldpi => |cpu, insn| load_constant(cpu, insn, constant(0x4000, 0xC90F_DAA2_2168_C234), Rest::More),
        Fldlg2 => |cpu, insn| load_constant(cpu, insn, constant(0x3FFD, 0x9A20_9A84_FBCF_F798), Rest::More),
        Fldln2 => |cpu, insn| load_constant(cpu, insn, constant(0x3FFE, 0xB172_17F7_D1CF_79AB), Rest::More),
        _ => return None,
    })
}

/// Pushes, unless there is no room.
#[inline(always)]
fn finish_load(cpu: &mut Cpu, value: F80) {
    if cpu.fpu.is_empty(7) {
        cpu.fpu.set_conditions(super::fpu::condition::C1, 0);
        cpu.fpu.push(value);
    } else {
        cpu.fpu.overflow_stack();
        cpu.note_exception();
    }
}

#[inline(always)]
fn load_float<F: Float, T: Value>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bits: T = cpu.load_operand(insn)?;
    let mut env = Env::extended(cpu.fpu.control());
    let value = from_float::<F>(bits.to_wide() as u64, &mut env);
    if env.before != 0 && cpu.fpu.is_empty(7) {
        // A denormal number is loaded even if that exception is not masked.
        if cpu.fpu.commit(&env) || env.before == DENORMAL {
            cpu.fpu.push(value);
        }
        cpu.note_exception();
        return Ok(());
    }
    finish_load(cpu, value);
    Ok(())
}

#[inline(always)]
fn load_integer<T: Value>(cpu: &mut Cpu, insn: &Instruction, sign: fn(T) -> i64) -> Result<(), Fault> {
    let value = cpu.load_operand(insn)?;
    finish_load(cpu, from_integer(sign(value)));
    Ok(())
}

/// FLD ST(i).
fn load_register(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op0_register());
    if cpu.fpu.is_empty(i) {
        if cpu.fpu.stack_fault(false) {
            cpu.fpu.push(F80::INDEFINITE);
        }
        cpu.note_exception();
        return Ok(());
    }
    let value = cpu.fpu.st(i);
    finish_load(cpu, value);
    Ok(())
}

/// What follows a constant cut off after 64 bits: nothing, less or more than half a unit.
#[derive(Clone, Copy)]
enum Rest {
    Nothing,
    Less,
    More,
}

/// A constant, cut off.
const fn constant(exponent: i32, significand: u64) -> F80 {
    F80::new(false, exponent, significand)
}

/// FLD1 and the others: rounded as rounding control says; that is no exception.
#[inline(always)]
fn load_constant(cpu: &mut Cpu, insn: &Instruction, mut value: F80, rest: Rest) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let up = match (rest, Env::extended(cpu.fpu.control()).rounding) {
        (Rest::Less | Rest::More, Rounding::Up) | (Rest::More, Rounding::Nearest) => 1,
        _ => 0,
    };
    value.significand = value.significand.wrapping_add(up);
    finish_load(cpu, value);
    Ok(())
}

#[inline(always)]
fn store_float<F: Float, const POP: bool>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    let mut env = Env::extended(cpu.fpu.control());
    let empty = cpu.fpu.is_empty(0);
    let bits = to_float::<F>(if empty { F80::INDEFINITE } else { cpu.fpu.st(0) }, &mut env);
    let stores = if empty {
        cpu.fpu.is_masked(super::env::INVALID)
    } else {
        !env.is_prevented() && env.after & (OVERFLOW | UNDERFLOW) & !cpu.fpu.control() == 0
    };
    let (seg, offset) = cpu.effective_address(insn);
    if F::BITS == 32 {
        cpu.store_operand(seg, offset, bits as u32, stores)?;
    } else {
        cpu.store_operand(seg, offset, bits, stores)?;
    }
    cpu.note_operand(insn, seg, offset);
    finish_store::<POP>(cpu, &env, empty, stores);
    Ok(())
}

/// Notes exceptions after a store, and pops if there was one.
#[inline(always)]
fn finish_store<const POP: bool>(cpu: &mut Cpu, env: &Env, empty: bool, stored: bool) {
    if empty {
        cpu.fpu.stack_fault(false);
    } else {
        cpu.fpu.commit(env);
    }
    if stored && POP {
        cpu.fpu.pop();
    }
    cpu.note_exception();
}

/// FSTP m80: any bits, no exceptions but that of an empty register.
fn store_extended(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    let empty = cpu.fpu.is_empty(0);
    let stores = !empty || cpu.fpu.is_masked(super::env::INVALID);
    let value = if empty { F80::INDEFINITE } else { cpu.fpu.st(0) };
    let (seg, offset) = cpu.effective_address(insn);
    cpu.store_ten(seg, offset, value.bits(), stores)?;
    cpu.note_operand(insn, seg, offset);
    finish_store::<true>(cpu, &Env::extended(cpu.fpu.control()), empty, stores);
    Ok(())
}

fn store_decimal(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    let mut env = Env::extended(cpu.fpu.control());
    let empty = cpu.fpu.is_empty(0);
    let bits = to_bcd(if empty { F80::INDEFINITE } else { cpu.fpu.st(0) }, &mut env);
    let stores = !env.is_prevented();
    let (seg, offset) = cpu.effective_address(insn);
    cpu.store_ten(seg, offset, bits, stores)?;
    cpu.note_operand(insn, seg, offset);
    finish_store::<true>(cpu, &env, empty, stores);
    Ok(())
}

#[inline(always)]
fn store_integer<T: Value, const POP: bool>(
    cpu: &mut Cpu,
    insn: &Instruction,
    truncate: bool,
) -> Result<(), Fault> {
    cpu.x87_ready()?;
    let mut env = Env::extended(cpu.fpu.control());
    let empty = cpu.fpu.is_empty(0);
    let value = if empty { F80::INDEFINITE } else { cpu.fpu.st(0) };
    let bits = bits_of(T::BYTES as u32);
    let value = if truncate {
        truncated(value, bits, &mut env)
    } else {
        to_integer(value, bits, env.rounding, &mut env)
    };
    let stores = !env.is_prevented();
    let (seg, offset) = cpu.effective_address(insn);
    cpu.store_operand(seg, offset, T::from_wide(value as u128), stores)?;
    cpu.note_operand(insn, seg, offset);
    finish_store::<POP>(cpu, &env, empty, stores);
    Ok(())
}

/// FST ST(i), FSTP ST(i).
#[inline(always)]
fn store_register<const POP: bool>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op0_register());
    let fpu = &mut cpu.fpu;
    let value = if fpu.is_empty(0) {
        if !fpu.stack_fault(false) {
            cpu.note_exception();
            return Ok(());
        }
        F80::INDEFINITE
    } else {
        fpu.set_conditions(super::fpu::condition::C1, 0);
        fpu.st(0)
    };
    fpu.set_st(i, value);
    if POP {
        fpu.pop();
    }
    Ok(())
}

/// FSTPNCE: of an empty register nothing is copied.
fn store_unchecked(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op0_register());
    let fpu = &mut cpu.fpu;
    if !fpu.is_empty(0) {
        let value = fpu.st(0);
        fpu.set_st(i, value);
    }
    fpu.set_conditions(super::fpu::condition::C1, 0);
    fpu.pop();
    Ok(())
}

/// FXCH.
fn exchange(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op1_register());
    let fpu = &mut cpu.fpu;
    let (mut a, mut b) = (fpu.st(0), fpu.st(i));
    let (empty_a, empty_b) = (fpu.is_empty(0), fpu.is_empty(i));
    if empty_a || empty_b {
        if !fpu.stack_fault(false) {
            cpu.note_exception();
            return Ok(());
        }
        a = if empty_a { F80::INDEFINITE } else { a };
        b = if empty_b { F80::INDEFINITE } else { b };
    } else {
        fpu.set_conditions(super::fpu::condition::C1, 0);
    }
    fpu.set_st(0, b);
    fpu.set_st(i, a);
    Ok(())
}

/// FCMOVcc; C1 stays (AMD).
#[inline(always)]
fn move_if(cpu: &mut Cpu, insn: &Instruction, condition: bool) -> Result<(), Fault> {
    cpu.x87_ready()?;
    cpu.note_instruction(insn);
    let i = index(insn.op1_register());
    let fpu = &mut cpu.fpu;
    if fpu.is_empty(0) || fpu.is_empty(i) {
        // Whether the condition holds or not.
        if fpu.stack_fault(false) {
            fpu.set_st(0, F80::INDEFINITE);
        }
        cpu.note_exception();
        return Ok(());
    }
    if condition {
        let value = fpu.st(i);
        fpu.set_st(0, value);
    }
    Ok(())
}
