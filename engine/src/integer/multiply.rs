//! Multiplication and division.

use iced_x86::{Code, Instruction, Mnemonic, Register};

use crate::operand::{bits_of, mask, sign_extend};
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Mul => mul,
        Mnemonic::Imul => match code {
            Code::Imul_rm8 | Code::Imul_rm16 | Code::Imul_rm32 | Code::Imul_rm64 => imul_wide,
            Code::Imul_r16_rm16 | Code::Imul_r32_rm32 | Code::Imul_r64_rm64 => {
                |cpu, insn| imul(cpu, insn, 0, 1)
            }
            _ => |cpu, insn| imul(cpu, insn, 1, 2),
        },
        Mnemonic::Mulx => mulx,
        Mnemonic::Div => div,
        Mnemonic::Idiv => idiv,
        _ => return None,
    })
}

/// The accumulator of this size, and where the upper half of products and dividends is.
fn accumulators(bytes: u32) -> (Register, Register) {
    match bytes {
        1 => (Register::AL, Register::AH),
        2 => (Register::AX, Register::DX),
        4 => (Register::EAX, Register::EDX),
        _ => (Register::RAX, Register::RDX),
    }
}

/// SF, ZF and PF are undefined; they tell of the low half.
fn product_flags(cpu: &mut Cpu, low: u64, bytes: u32, overflow: bool) {
    cpu.flags_result(sign_extend(low, bytes), if overflow { flag::CF | flag::OF } else { 0 });
}

fn mul(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let (low, high) = accumulators(bytes);
    let b = cpu.operand(insn, 0)?;
    let product = u128::from(cpu.register(low)).wrapping_mul(u128::from(b));
    let upper = (product >> bits_of(bytes)) as u64;
    cpu.set_register(low, product as u64);
    cpu.set_register(high, upper);
    product_flags(cpu, product as u64, bytes, upper != 0);
    Ok(())
}

fn imul_wide(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let (low, high) = accumulators(bytes);
    let b = cpu.signed_operand(insn, 0, bytes)?;
    let a = sign_extend(cpu.register(low), bytes);
    let product = i128::from(a).wrapping_mul(i128::from(b));
    cpu.set_register(low, product as u64);
    cpu.set_register(high, (product >> bits_of(bytes)) as u64);
    let fits = i128::from(sign_extend(product as u64, bytes)) == product;
    product_flags(cpu, product as u64, bytes, !fits);
    Ok(())
}

/// IMUL with two or three operands: those at `first` and `second` are multiplied.
fn imul(cpu: &mut Cpu, insn: &Instruction, first: u32, second: u32) -> Result<(), Fault> {
    let bytes = insn.op0_register().size() as u32;
    let a = cpu.signed_operand(insn, first, bytes)?;
    let b = cpu.signed_operand(insn, second, bytes)?;
    let (product, overflow) = a.overflowing_mul(b);
    let result = sign_extend(product as u64, bytes);
    cpu.set_register(insn.op0_register(), result as u64);
    product_flags(cpu, result as u64, bytes, overflow || result != product);
    Ok(())
}

/// No flags; the upper half wins if both go to one register.
fn mulx(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = insn.op0_register().size() as u32;
    let (_, second) = accumulators(bytes);
    let b = cpu.operand(insn, 2)?;
    let product = u128::from(cpu.register(second)).wrapping_mul(u128::from(b));
    cpu.set_register(insn.op1_register(), product as u64);
    cpu.set_register(insn.op0_register(), (product >> bits_of(bytes)) as u64);
    Ok(())
}

fn div(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let (low, high) = accumulators(bytes);
    let divisor = cpu.operand(insn, 0)?;
    let (a, upper) = (cpu.register(low), cpu.register(high));
    // The quotient fits only if the upper half is below the divisor, which is not 0 then.
    if upper >= divisor {
        return Err(Fault::DE);
    }
    let (quotient, remainder) = if bytes < 8 || upper == 0 {
        let dividend = if bytes < 8 { upper << bits_of(bytes) | a } else { a };
        (dividend.checked_div(divisor), dividend.checked_rem(divisor))
    } else {
        let (dividend, divisor) = (u128::from(upper) << 64 | u128::from(a), u128::from(divisor));
        let (quotient, remainder) = (dividend.checked_div(divisor), dividend.checked_rem(divisor));
        (quotient.map(|wide| wide as u64), remainder.map(|wide| wide as u64))
    };
    let (Some(quotient), Some(remainder)) = (quotient, remainder) else { return Err(Fault::DE) };
    cpu.set_register(low, quotient);
    cpu.set_register(high, remainder);
    Ok(())
}

fn idiv(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let (low, high) = accumulators(bytes);
    let divisor = cpu.signed_operand(insn, 0, bytes)?;
    let (a, upper) = (cpu.register(low), cpu.register(high));
    let (quotient, remainder) = if bytes < 8 || (a as i64) >> 63 == upper as i64 {
        let dividend =
            if bytes < 8 { sign_extend(upper << bits_of(bytes) | a, bytes << 1) } else { a as i64 };
        (dividend.checked_div(divisor).map(i128::from), dividend.checked_rem(divisor))
    } else {
        let (dividend, divisor) = (i128::from(upper as i64) << 64 | i128::from(a), i128::from(divisor));
        (dividend.checked_div(divisor), dividend.checked_rem(divisor).map(|wide| wide as i64))
    };
    // None for a divisor of 0, and for the one quotient that does not even fit here.
    let (Some(quotient), Some(remainder)) = (quotient, remainder) else { return Err(Fault::DE) };
    if i128::from(sign_extend(quotient as u64 & mask(bytes), bytes)) != quotient {
        return Err(Fault::DE);
    }
    cpu.set_register(low, quotient as u64);
    cpu.set_register(high, remainder as u64);
    Ok(())
}
