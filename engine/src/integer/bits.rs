//! Single bits, bit counts, bit fields, and CRC32.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use crate::operand::{address_bits, bits_of, mask, ones, sign_extend};
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Bt => bt::<TEST>,
        Mnemonic::Bts => bt::<SET>,
        Mnemonic::Btr => bt::<RESET>,
        Mnemonic::Btc => bt::<COMPLEMENT>,
        Mnemonic::Bsf => bsf,
        Mnemonic::Bsr => bsr,
        Mnemonic::Lzcnt => lzcnt,
        Mnemonic::Tzcnt => tzcnt,
        Mnemonic::Popcnt => popcnt,
        Mnemonic::Andn => andn,
        Mnemonic::Bextr
            if !matches!(code, Code::XOP_Bextr_r32_rm32_imm32 | Code::XOP_Bextr_r64_rm64_imm32) =>
        {
            bextr
        }
        Mnemonic::Blsi => blsi,
        Mnemonic::Blsmsk => blsmsk,
        Mnemonic::Blsr => blsr,
        Mnemonic::Bzhi => bzhi,
        Mnemonic::Pdep => pdep,
        Mnemonic::Pext => pext,
        Mnemonic::Crc32 => crc32,
        _ => return None,
    })
}

const TEST: u8 = 0;
const SET: u8 = 1;
const RESET: u8 = 2;
const COMPLEMENT: u8 = 3;

fn carry(set: bool) -> u32 {
    u32::from(set)
}

fn zero(set: bool) -> u32 {
    if set { flag::ZF } else { 0 }
}

/// BT, BTS, BTR, BTC: only CF changes.
fn bt<const CHANGE: u8>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let bits = bits_of(bytes);
    let number = cpu.operand(insn, 1)?;
    let one = 1u64 << (number as u32 & bits.wrapping_sub(1));
    let changed = |value: u64| match CHANGE {
        SET => value | one,
        RESET => value & !one,
        COMPLEMENT => value ^ one,
        _ => value,
    };
    let old = if insn.op0_kind() == OpKind::Register {
        let register = insn.op0_register();
        let old = cpu.register(register);
        if CHANGE != TEST {
            cpu.set_register(register, changed(old));
        }
        old
    } else {
        let (seg, mut offset) = cpu.effective_address(insn);
        if insn.op1_kind() == OpKind::Register {
            // A signed number of bits, which selects a word near the operand.
            let words = sign_extend(number, bytes) >> bits.trailing_zeros();
            let distance = (words as u64).wrapping_mul(u64::from(bytes));
            offset = offset.wrapping_add(distance) & mask(address_bits(insn) / 8);
        }
        let linear = cpu.linear(seg, offset, u64::from(bytes), CHANGE != TEST)?;
        if CHANGE == TEST {
            cpu.load_sized(linear, bytes)?
        } else {
            let old = cpu.load_to_write(linear, bytes)?;
            cpu.store_sized(linear, changed(old), bytes)?;
            old
        }
    };
    cpu.set_status_flags(flag::CF, carry(old & one != 0));
    Ok(())
}

/// The register stays if there is no bit, as on all silicon.
fn bsf(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    if value != 0 {
        cpu.set_register(insn.op0_register(), u64::from(value.trailing_zeros()));
    }
    cpu.set_status_flags(flag::ZF, zero(value == 0));
    Ok(())
}

fn bsr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    if let Some(highest) = value.checked_ilog2() {
        cpu.set_register(insn.op0_register(), u64::from(highest));
    }
    cpu.set_status_flags(flag::ZF, zero(value == 0));
    Ok(())
}

/// LZCNT and TZCNT: `count` is the operand's size if there is no bit.
fn counted(cpu: &mut Cpu, insn: &Instruction, value: u64, count: u32) {
    cpu.set_register(insn.op0_register(), u64::from(count));
    cpu.set_status_flags(flag::CF | flag::ZF, carry(value == 0) | zero(count == 0));
}

fn lzcnt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    let bits = bits_of(insn.op0_register().size() as u32);
    counted(cpu, insn, value, value.leading_zeros().wrapping_add(bits).wrapping_sub(64));
    Ok(())
}

fn tzcnt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    let bits = bits_of(insn.op0_register().size() as u32);
    counted(cpu, insn, value, value.trailing_zeros().min(bits));
    Ok(())
}

fn popcnt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    cpu.set_register(insn.op0_register(), u64::from(value.count_ones()));
    cpu.set_status_flags(flag::STATUS, zero(value == 0));
    Ok(())
}

/// Sets the destination of a BMI instruction: SF and ZF from it, OF clear, PF and AF as they were.
fn bmi_result(cpu: &mut Cpu, insn: &Instruction, result: u64, carry: bool) {
    let register = insn.op0_register();
    let bytes = register.size() as u32;
    let result = result & mask(bytes);
    cpu.set_register(register, result);
    let sign = if sign_extend(result, bytes) < 0 { flag::SF } else { 0 };
    let bits = zero(result == 0) | sign | self::carry(carry);
    cpu.set_status_flags(flag::ZF | flag::SF | flag::CF | flag::OF, bits);
}

fn andn(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 2)?;
    let result = !cpu.register(insn.op1_register()) & value;
    bmi_result(cpu, insn, result, false);
    Ok(())
}

fn bextr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    let control = cpu.register(insn.op2_register());
    let (start, length) = (control as u32 & 0xFF, control as u32 >> 8 & 0xFF);
    let result = value.checked_shr(start).unwrap_or(0) & ones(length);
    let register = insn.op0_register();
    cpu.set_register(register, result);
    cpu.set_status_flags(flag::ZF | flag::CF | flag::OF, zero(result == 0));
    Ok(())
}

fn blsi(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    bmi_result(cpu, insn, value & value.wrapping_neg(), value != 0);
    Ok(())
}

fn blsmsk(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    bmi_result(cpu, insn, value ^ value.wrapping_sub(1), value == 0);
    Ok(())
}

fn blsr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    bmi_result(cpu, insn, value & value.wrapping_sub(1), value == 0);
    Ok(())
}

fn bzhi(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    let bits = bits_of(insn.op0_register().size() as u32);
    let from = cpu.register(insn.op2_register()) as u32 & 0xFF;
    bmi_result(cpu, insn, value & ones(from), from >= bits);
    Ok(())
}

fn pdep(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let mut places = cpu.operand(insn, 2)?;
    let mut value = cpu.register(insn.op1_register());
    let mut result = 0;
    while places != 0 {
        if value & 1 != 0 {
            result |= places & places.wrapping_neg();
        }
        places &= places.wrapping_sub(1);
        value >>= 1;
    }
    cpu.set_register(insn.op0_register(), result);
    Ok(())
}

fn pext(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let mut places = cpu.operand(insn, 2)?;
    let value = cpu.register(insn.op1_register());
    let mut result = 0;
    let mut one = 1u64;
    while places != 0 {
        if value & places & places.wrapping_neg() != 0 {
            result |= one;
        }
        places &= places.wrapping_sub(1);
        one <<= 1;
    }
    cpu.set_register(insn.op0_register(), result);
    Ok(())
}

/// CRC-32C of each byte value, reflected.
#[allow(clippy::indexing_slicing, reason = "it is the compiler that computes and checks it")]
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc32(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 1);
    let data = cpu.operand(insn, 1)?.to_le_bytes();
    let mut crc = cpu.register(insn.op0_register()) as u32;
    for byte in data.iter().take(bytes as usize) {
        let entry = CRC_TABLE.get((crc as u8 ^ byte) as usize).copied().unwrap_or_default();
        crc = crc >> 8 ^ entry;
    }
    cpu.set_register(insn.op0_register(), u64::from(crc));
    Ok(())
}
