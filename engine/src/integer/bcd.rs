//! Decimal arithmetic. Flags that the manuals leave undefined are as on AMD's silicon where that is simple.

use iced_x86::{Code, Instruction, Mnemonic, Register};

use crate::operand::sign_extend;
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code.mnemonic() {
        Mnemonic::Aaa => |cpu, _| ascii_adjust(cpu, false),
        Mnemonic::Aas => |cpu, _| ascii_adjust(cpu, true),
        Mnemonic::Aam => aam,
        Mnemonic::Aad => aad,
        Mnemonic::Daa => |cpu, _| decimal_adjust(cpu, false),
        Mnemonic::Das => |cpu, _| decimal_adjust(cpu, true),
        _ => return None,
    })
}

/// AAA and AAS.
fn ascii_adjust(cpu: &mut Cpu, subtract: bool) -> Result<(), Fault> {
    let ax = cpu.register(Register::AX);
    let adjust = ax & 0xF > 9 || cpu.lazy.adjust();
    let adjusted = match (adjust, subtract) {
        (false, _) => ax,
        (true, false) => ax.wrapping_add(0x106),
        (true, true) => ax.wrapping_sub(0x106),
    };
    cpu.set_register(Register::AX, adjusted & 0xFF0F);
    let bits = if adjust { flag::CF | flag::AF } else { 0 };
    cpu.flags_result(sign_extend(adjusted & 0xF, 1), bits);
    Ok(())
}

fn aam(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let base = u64::from(insn.immediate8());
    let al = cpu.register(Register::AL);
    let (Some(high), Some(low)) = (al.checked_div(base), al.checked_rem(base)) else {
        return Err(Fault::DE);
    };
    cpu.set_register(Register::AX, high << 8 | low);
    cpu.flags_result(sign_extend(low, 1), 0);
    Ok(())
}

fn aad(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let base = u64::from(insn.immediate8());
    let high = cpu.register(Register::AH);
    let al = cpu.register(Register::AL).wrapping_add(high.wrapping_mul(base)) & 0xFF;
    cpu.set_register(Register::AX, al);
    cpu.flags_result(sign_extend(al, 1), 0);
    Ok(())
}

/// DAA and DAS (SDM vol. 2).
fn decimal_adjust(cpu: &mut Cpu, subtract: bool) -> Result<(), Fault> {
    let old = cpu.register(Register::AL) as u8;
    let old_carry = cpu.lazy.carry();
    let mut al = old;
    let mut bits = 0;
    if old & 0xF > 9 || cpu.lazy.adjust() {
        let borrowed = old < 6;
        al = if subtract { al.wrapping_sub(6) } else { al.wrapping_add(6) };
        bits |= flag::AF;
        if subtract && borrowed {
            bits |= flag::CF;
        }
    }
    if old > 0x99 || old_carry {
        al = if subtract { al.wrapping_sub(0x60) } else { al.wrapping_add(0x60) };
        bits |= flag::CF;
    }
    cpu.set_register(Register::AL, u64::from(al));
    cpu.flags_result(sign_extend(u64::from(al), 1), bits);
    Ok(())
}
