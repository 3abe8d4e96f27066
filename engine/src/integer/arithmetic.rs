//! Addition, subtraction, bitwise operations, and the flags' own instructions.

use iced_x86::{Code, Instruction, Mnemonic};

use crate::operand::{bits_of, sign_extend};
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Add => add::<false>,
        Mnemonic::Adc => add::<true>,
        Mnemonic::Sub => sub::<false>,
        Mnemonic::Sbb => sub::<true>,
        Mnemonic::Cmp => cmp,
        Mnemonic::And => logic::<AND>,
        Mnemonic::Or => logic::<OR>,
        Mnemonic::Xor => logic::<XOR>,
        Mnemonic::Test => test,
        Mnemonic::Inc => inc,
        Mnemonic::Dec => dec,
        Mnemonic::Neg => neg,
        Mnemonic::Not => not,
        Mnemonic::Adcx => add_with_flag::<{ flag::CF }>,
        Mnemonic::Adox => add_with_flag::<{ flag::OF }>,
        Mnemonic::Clc => clc,
        Mnemonic::Stc => stc,
        Mnemonic::Cmc => cmc,
        Mnemonic::Cld => cld,
        Mnemonic::Std => std,
        Mnemonic::Lahf => lahf,
        Mnemonic::Sahf => sahf,
        Mnemonic::Salc => salc,
        _ => return None,
    })
}

const AND: u8 = 0;
const OR: u8 = 1;
const XOR: u8 = 2;

fn add<const CARRY: bool>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let b = cpu.signed_operand(insn, 1, bytes)?;
    cpu.modify(insn, |cpu, a| {
        let carry = CARRY && cpu.lazy.carry();
        let a = sign_extend(a, bytes);
        let sum = a.wrapping_add(b).wrapping_add(i64::from(carry));
        let result = sign_extend(sum as u64, bytes);
        cpu.flags_add(a, b, result, carry);
        result as u64
    })
}

fn sub<const BORROW: bool>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let b = cpu.signed_operand(insn, 1, bytes)?;
    cpu.modify(insn, |cpu, a| {
        let borrow = BORROW && cpu.lazy.carry();
        let a = sign_extend(a, bytes);
        let difference = a.wrapping_sub(b).wrapping_sub(i64::from(borrow));
        let result = sign_extend(difference as u64, bytes);
        cpu.flags_sub(a, b, result, borrow);
        result as u64
    })
}

fn cmp(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let a = cpu.signed_operand(insn, 0, bytes)?;
    let b = cpu.signed_operand(insn, 1, bytes)?;
    cpu.compare(a, b, bytes);
    Ok(())
}

impl Cpu {
    /// Flags of `a - b`, both sign-extended from `bytes` bytes.
    #[inline]
    pub(super) fn compare(&mut self, a: i64, b: i64, bytes: u32) {
        let result = sign_extend(a.wrapping_sub(b) as u64, bytes);
        self.flags_sub(a, b, result, false);
    }
}

fn logic<const OPERATION: u8>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let b = cpu.operand(insn, 1)?;
    cpu.modify(insn, |cpu, a| {
        let result = match OPERATION {
            AND => a & b,
            OR => a | b,
            _ => a ^ b,
        };
        cpu.flags_logic(sign_extend(result, bytes));
        result
    })
}

fn test(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let a = cpu.operand(insn, 0)?;
    let b = cpu.operand(insn, 1)?;
    cpu.flags_logic(sign_extend(a & b, bytes));
    Ok(())
}

fn inc(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    cpu.modify(insn, |cpu, a| {
        let result = sign_extend(a.wrapping_add(1), bytes);
        cpu.flags_increment(sign_extend(a, bytes), result);
        result as u64
    })
}

fn dec(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    cpu.modify(insn, |cpu, a| {
        let result = sign_extend(a.wrapping_sub(1), bytes);
        cpu.flags_decrement(sign_extend(a, bytes), result);
        result as u64
    })
}

fn neg(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    cpu.modify(insn, |cpu, b| {
        let b = sign_extend(b, bytes);
        let result = sign_extend(b.wrapping_neg() as u64, bytes);
        cpu.flags_sub(0, b, result, false);
        result as u64
    })
}

fn not(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.modify(insn, |_, a| !a)
}

/// ADCX and ADOX: an addition whose carry goes through one flag, and no other is touched.
fn add_with_flag<const FLAG: u32>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let b = cpu.operand(insn, 1)?;
    let bytes = cpu.operand_bytes(insn, 0);
    cpu.modify(insn, |cpu, a| {
        let carry = u128::from(cpu.flags() & FLAG != 0);
        let sum = u128::from(a).wrapping_add(u128::from(b)).wrapping_add(carry);
        let carries = sum >> bits_of(bytes) != 0;
        cpu.set_status_flags(FLAG, if carries { FLAG } else { 0 });
        sum as u64
    })
}

fn clc(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.set_status_flags(flag::CF, 0);
    Ok(())
}

fn stc(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.set_status_flags(flag::CF, flag::CF);
    Ok(())
}

fn cmc(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.set_status_flags(flag::CF, u32::from(!cpu.lazy.carry()));
    Ok(())
}

fn cld(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.system_flags &= !flag::DF;
    Ok(())
}

fn std(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.system_flags |= flag::DF;
    Ok(())
}

fn lahf(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.set_register(iced_x86::Register::AH, u64::from(cpu.flags() & 0xFF));
    Ok(())
}

fn sahf(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    let value = cpu.register(iced_x86::Register::AH) as u32;
    cpu.set_status_flags(flag::STATUS & 0xFF, value);
    Ok(())
}

/// AL becomes 0 or FF, by CF; undocumented.
fn salc(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    let value = if cpu.lazy.carry() { 0xFF } else { 0 };
    cpu.set_register(iced_x86::Register::AL, value);
    Ok(())
}
