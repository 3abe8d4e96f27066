//! Shifts and rotates.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "operands have 8 to 64 bits, and counts are below 64 and not 0 where it matters"
)]

use iced_x86::{Code, Instruction, Mnemonic};

use crate::operand::{bits_of, mask, sign_extend};
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Shl | Mnemonic::Sal => shl,
        Mnemonic::Shr => shr,
        Mnemonic::Sar => sar,
        Mnemonic::Rol => rol,
        Mnemonic::Ror => ror,
        Mnemonic::Rcl => rcl,
        Mnemonic::Rcr => rcr,
        Mnemonic::Shld => shld,
        Mnemonic::Shrd => shrd,
        Mnemonic::Rorx => rorx,
        Mnemonic::Sarx => |cpu, insn| shift_by_register(cpu, insn, |value, count, _| (value >> count) as u64),
        Mnemonic::Shlx => |cpu, insn| shift_by_register(cpu, insn, |_, count, raw| raw << count),
        Mnemonic::Shrx => |cpu, insn| shift_by_register(cpu, insn, |_, count, raw| raw >> count),
        _ => return None,
    })
}

/// Operand size in bits, and the count as far as it matters.
#[inline]
fn size_and_count(cpu: &mut Cpu, insn: &Instruction, n: u32) -> Result<(u32, u32), Fault> {
    let bits = bits_of(cpu.operand_bytes(insn, 0));
    let count = cpu.operand(insn, n)? as u32 & if bits == 64 { 63 } else { 31 };
    Ok((bits, count))
}

/// A shift by nothing: memory is written, 32-bit registers lose their upper half, flags stay.
fn by_nothing(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.modify(insn, |_, value| value)
}

fn bit(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

/// Shifts: ZF, SF and PF from the result; AF is clear.
fn shifted(cpu: &mut Cpu, bits: u32, result: u64, carry: bool, overflow: bool) -> u64 {
    let flags = bit(carry, flag::CF) | bit(overflow, flag::OF);
    cpu.flags_result(sign_extend(result, bits / 8), flags);
    result
}

fn shl(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let wide = u128::from(value) << count;
        let carry = wide >> bits & 1 != 0;
        let negative = wide >> (bits - 1) & 1 != 0;
        shifted(cpu, bits, wide as u64, carry, carry != negative)
    })
}

fn shr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let carry = value >> (count - 1) & 1 != 0;
        let overflow = value >> (bits - 1) & 1 != 0;
        shifted(cpu, bits, value >> count, carry, overflow)
    })
}

fn sar(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let value = sign_extend(value, bits / 8);
        let carry = value >> (count - 1) & 1 != 0;
        shifted(cpu, bits, (value >> count) as u64, carry, false)
    })
}

/// Rotates: CF and OF only.
fn rotated(cpu: &mut Cpu, result: u64, carry: bool, overflow: bool) -> u64 {
    let flags = bit(carry, flag::CF) | bit(overflow, flag::OF);
    cpu.set_status_flags(flag::CF | flag::OF, flags);
    result
}

/// `value` of `bits` bits, rotated to the left by less than that.
fn rotate_left(value: u64, count: u32, bits: u32) -> u64 {
    if count == 0 { value } else { (value << count | value >> (bits - count)) & mask(bits / 8) }
}

fn rol(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let result = rotate_left(value, count & (bits - 1), bits);
        let carry = result & 1 != 0;
        rotated(cpu, result, carry, carry != (result >> (bits - 1) & 1 != 0))
    })
}

fn ror(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let result = rotate_left(value, count.wrapping_neg() & (bits - 1), bits);
        let carry = result >> (bits - 1) & 1 != 0;
        rotated(cpu, result, carry, carry != (result >> (bits - 2) & 1 != 0))
    })
}

fn rcl(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    let count = count % (bits + 1);
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let ring = u128::from(value) | u128::from(cpu.lazy.carry()) << bits;
        let ring = ring << count | ring >> (bits + 1 - count);
        let carry = ring >> bits & 1 != 0;
        let result = ring as u64 & mask(bits / 8);
        rotated(cpu, result, carry, carry != (result >> (bits - 1) & 1 != 0))
    })
}

fn rcr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 1)?;
    let count = count % (bits + 1);
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    cpu.modify(insn, |cpu, value| {
        let ring = u128::from(value) | u128::from(cpu.lazy.carry()) << bits;
        let ring = ring >> count | ring << (bits + 1 - count);
        let carry = ring >> bits & 1 != 0;
        let result = ring as u64 & mask(bits / 8);
        let (top, next) = (result >> (bits - 1) & 1, result >> (bits - 2) & 1);
        rotated(cpu, result, carry, top != next)
    })
}

/// Counts beyond 16 bits are undefined; AMD's silicon shifts the source in twice.
fn shld(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 2)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    let low = cpu.operand(insn, 1)?;
    cpu.modify(insn, |cpu, value| {
        let all = u128::from(value) << bits | u128::from(low);
        let (result, carry) = if count > bits {
            let all = all << bits | u128::from(low);
            (all << count >> (bits * 2), all << count >> (bits * 3) & 1)
        } else {
            (all << count >> bits, (all >> (bits * 2 - count)) & 1)
        };
        let result = result as u64 & mask(bits / 8);
        let overflow = (result ^ value) >> (bits - 1) & 1 != 0;
        shifted(cpu, bits, result, carry != 0, overflow)
    })
}

fn shrd(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 2)?;
    if count == 0 {
        return by_nothing(cpu, insn);
    }
    let high = cpu.operand(insn, 1)?;
    cpu.modify(insn, |cpu, value| {
        let mut all = u128::from(high) << bits | u128::from(value);
        if count > bits {
            all |= u128::from(high) << (bits * 2);
        }
        let carry = all >> (count - 1) & 1 != 0;
        let result = (all >> count) as u64 & mask(bits / 8);
        let overflow = (result ^ value) >> (bits - 1) & 1 != 0;
        shifted(cpu, bits, result, carry, overflow)
    })
}

fn rorx(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 2)?;
    let value = cpu.operand(insn, 1)?;
    let result = rotate_left(value, count.wrapping_neg() & (bits - 1), bits);
    cpu.set_register(insn.op0_register(), result);
    Ok(())
}

/// SARX, SHLX, SHRX: no flags. `shift` gets the value sign-extended, the count, the value zero-extended.
#[inline]
fn shift_by_register(
    cpu: &mut Cpu,
    insn: &Instruction,
    shift: impl Fn(i64, u32, u64) -> u64,
) -> Result<(), Fault> {
    let (bits, count) = size_and_count(cpu, insn, 2)?;
    let value = cpu.operand(insn, 1)?;
    let result = shift(sign_extend(value, bits / 8), count, value);
    cpu.set_register(insn.op0_register(), result);
    Ok(())
}
