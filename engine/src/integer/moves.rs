//! Moves, extensions, addresses, conditions, hints.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::nothing;
use crate::operand::{bits_of, mask, memory_segment, sign_extend};
use crate::{Cpu, Fault, Handler};

pub(super) fn handler(code: Code) -> Option<Handler> {
    if code.mnemonic() == Mnemonic::Mov {
        return is_general_mov(code).then_some(mov as Handler);
    }
    Some(match code.mnemonic() {
        Mnemonic::Movzx | Mnemonic::Movnti => mov,
        Mnemonic::Movsxd if code == Code::Movsxd_r16_rm16 => movsxd16,
        Mnemonic::Movsx | Mnemonic::Movsxd => movsx,
        Mnemonic::Movbe => movbe,
        Mnemonic::Lea => lea,
        Mnemonic::Xlatb => xlat,
        Mnemonic::Bswap => bswap,
        Mnemonic::Cbw => |cpu, _| widen(cpu, Register::AL, Register::AX),
        Mnemonic::Cwde => |cpu, _| widen(cpu, Register::AX, Register::EAX),
        Mnemonic::Cdqe => |cpu, _| widen(cpu, Register::EAX, Register::RAX),
        Mnemonic::Cwd => |cpu, _| spread(cpu, Register::AX, Register::DX),
        Mnemonic::Cdq => |cpu, _| spread(cpu, Register::EAX, Register::EDX),
        Mnemonic::Cqo => |cpu, _| spread(cpu, Register::RAX, Register::RDX),
        Mnemonic::Cmova
        | Mnemonic::Cmovae
        | Mnemonic::Cmovb
        | Mnemonic::Cmovbe
        | Mnemonic::Cmove
        | Mnemonic::Cmovg
        | Mnemonic::Cmovge
        | Mnemonic::Cmovl
        | Mnemonic::Cmovle
        | Mnemonic::Cmovne
        | Mnemonic::Cmovno
        | Mnemonic::Cmovnp
        | Mnemonic::Cmovns
        | Mnemonic::Cmovo
        | Mnemonic::Cmovp
        | Mnemonic::Cmovs => cmov,
        Mnemonic::Seta
        | Mnemonic::Setae
        | Mnemonic::Setb
        | Mnemonic::Setbe
        | Mnemonic::Sete
        | Mnemonic::Setg
        | Mnemonic::Setge
        | Mnemonic::Setl
        | Mnemonic::Setle
        | Mnemonic::Setne
        | Mnemonic::Setno
        | Mnemonic::Setnp
        | Mnemonic::Setns
        | Mnemonic::Seto
        | Mnemonic::Setp
        | Mnemonic::Sets => setcc,
        Mnemonic::Reservednop if is_prefetch(code) => prefetch,
        Mnemonic::Nop
        | Mnemonic::Reservednop
        | Mnemonic::Pause
        | Mnemonic::Endbr32
        | Mnemonic::Endbr64
        // Without shadow stacks RDSSP leaves its operand alone.
        | Mnemonic::Rdsspd
        | Mnemonic::Rdsspq
        | Mnemonic::Lfence
        | Mnemonic::Mfence
        | Mnemonic::Sfence
        | Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchwt1
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Cldemote => nothing,
        Mnemonic::Clflush | Mnemonic::Clflushopt | Mnemonic::Clwb => clflush,
        _ => return None,
    })
}

/// Whether this MOV has general registers, memory and immediates only.
fn is_general_mov(code: Code) -> bool {
    !matches!(
        code,
        Code::Mov_rm16_Sreg
            | Code::Mov_r32m16_Sreg
            | Code::Mov_r64m16_Sreg
            | Code::Mov_Sreg_rm16
            | Code::Mov_Sreg_r32m16
            | Code::Mov_Sreg_r64m16
            | Code::Mov_r32_cr
            | Code::Mov_r64_cr
            | Code::Mov_r32_dr
            | Code::Mov_r64_dr
            | Code::Mov_cr_r32
            | Code::Mov_cr_r64
            | Code::Mov_dr_r32
            | Code::Mov_dr_r64
            | Code::Mov_r32_tr
            | Code::Mov_tr_r32
    )
}

fn mov(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.operand(insn, 1)?;
    cpu.set_operand(insn, 0, value)
}

fn movsx(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 1);
    let value = cpu.signed_operand(insn, 1, bytes)?;
    cpu.set_operand(insn, 0, value as u64)
}

/// MOVSXD to 16 bits extends nothing; from memory silicon reads 32 bits all the same.
fn movsxd16(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    if insn.op1_kind() == OpKind::Register {
        return mov(cpu, insn);
    }
    let (seg, offset) = cpu.effective_address(insn);
    let value: u32 = cpu.read(seg, offset)?;
    cpu.set_register(insn.op0_register(), u64::from(value));
    Ok(())
}

fn movbe(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bits = bits_of(cpu.operand_bytes(insn, 0));
    let value = cpu.operand(insn, 1)?;
    cpu.set_operand(insn, 0, value.swap_bytes() >> 64_u32.wrapping_sub(bits.clamp(16, 64)))
}

fn lea(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (_, offset) = cpu.effective_address(insn);
    cpu.set_register(insn.op0_register(), offset);
    Ok(())
}

fn xlat(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let table = insn.memory_base();
    let offset = cpu.register(table).wrapping_add(cpu.register(Register::AL)) & mask(table.size() as u32);
    let value: u8 = cpu.read(memory_segment(insn, cpu.mode.is_long()), offset)?;
    cpu.set_register(Register::AL, u64::from(value));
    Ok(())
}

fn bswap(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let register = insn.op0_register();
    let value = cpu.register(register);
    let swapped = match register.size() {
        // Undefined; silicon clears it.
        2 => 0,
        4 => u64::from((value as u32).swap_bytes()),
        _ => value.swap_bytes(),
    };
    cpu.set_register(register, swapped);
    Ok(())
}

/// CBW, CWDE, CDQE.
fn widen(cpu: &mut Cpu, from: Register, to: Register) -> Result<(), Fault> {
    let value = sign_extend(cpu.register(from), from.size() as u32);
    cpu.set_register(to, value as u64);
    Ok(())
}

/// CWD, CDQ, CQO: all bits of `to` become the sign of `from`.
fn spread(cpu: &mut Cpu, from: Register, to: Register) -> Result<(), Fault> {
    let value = sign_extend(cpu.register(from), from.size() as u32);
    cpu.set_register(to, (value >> 63) as u64);
    Ok(())
}

/// Condition of Jcc, SETcc, CMOVcc.
pub(super) fn condition(cpu: &Cpu, insn: &Instruction) -> bool {
    // iced counts from `None`.
    cpu.lazy.condition((insn.condition_code() as u8).wrapping_sub(1))
}

/// The source is read, and 32 bits clear the upper half, in any case.
fn cmov(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let new = cpu.operand(insn, 1)?;
    let register = insn.op0_register();
    let value = if condition(cpu, insn) { new } else { cpu.register(register) };
    cpu.set_register(register, value);
    Ok(())
}

fn setcc(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let value = u64::from(condition(cpu, insn));
    cpu.set_operand(insn, 0, value)
}

/// Whether this is 0F 0D.
fn is_prefetch(code: Code) -> bool {
    matches!(
        code,
        Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D | Code::Reservednop_rm64_r64_0F0D
    )
}

/// PREFETCH of memory does nothing, that of a register is invalid.
fn prefetch(_: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    if insn.op0_kind() == OpKind::Register { Err(Fault::UD) } else { Ok(()) }
}

/// There are no caches; the address is checked.
fn clflush(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (seg, offset) = cpu.effective_address(insn);
    let linear = cpu.linear(seg, offset, 1, false)?;
    cpu.probe(linear, 1, false)
}
