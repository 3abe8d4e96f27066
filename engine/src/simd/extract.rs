//! Lanes and masks to and from general registers; tests that set EFLAGS.

use iced_x86::{Code, Instruction};

use super::lanes::{Lanes, lane, lane_mut};
use super::mmx;
use super::operands::{destination, xmm_number};
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pmovmskb_r32_xmm | Pmovmskb_r64_xmm => {
            |cpu, insn| masks(cpu, insn, |v: [u64; 2]| byte_signs(v[0]) | byte_signs(v[1]) << 8)
        }
        Movmskps_r32_xmm | Movmskps_r64_xmm => |cpu, insn| {
            masks(cpu, insn, |v: [u32; 4]| {
                u64::from(v[0] >> 31 | v[1] >> 31 << 1 | v[2] >> 31 << 2 | v[3] >> 31 << 3)
            })
        },
        Movmskpd_r32_xmm | Movmskpd_r64_xmm => {
            |cpu, insn| masks(cpu, insn, |v: [u64; 2]| v[0] >> 63 | v[1] >> 63 << 1)
        }
        Pmovmskb_r32_mm | Pmovmskb_r64_mm => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = mmx::get(cpu, mmx::number(insn.op1_register()));
            cpu.set_operand(insn, 0, byte_signs(value))?;
            mmx::enter(cpu);
            Ok(())
        },
        Pinsrb_xmm_r32m8_imm8 | Pinsrb_xmm_r64m8_imm8 => |cpu, insn| {
            insert(cpu, insn, |lanes: &mut [u8; 16], at, value| *lane_mut(lanes, at) = value as u8)
        },
        Pinsrw_xmm_r32m16_imm8 | Pinsrw_xmm_r64m16_imm8 => |cpu, insn| {
            insert(cpu, insn, |lanes: &mut [u16; 8], at, value| *lane_mut(lanes, at) = value as u16)
        },
        Pinsrd_xmm_rm32_imm8 => |cpu, insn| {
            insert(cpu, insn, |lanes: &mut [u32; 4], at, value| *lane_mut(lanes, at) = value as u32)
        },
        Pinsrq_xmm_rm64_imm8 => {
            |cpu, insn| insert(cpu, insn, |lanes: &mut [u64; 2], at, value| *lane_mut(lanes, at) = value)
        }
        Pextrb_r32m8_xmm_imm8 | Pextrb_r64m8_xmm_imm8 => {
            |cpu, insn| extract(cpu, insn, |lanes: [u8; 16], at| u64::from(lane(&lanes, at)))
        }
        Pextrw_r32_xmm_imm8 | Pextrw_r64_xmm_imm8 | Pextrw_r32m16_xmm_imm8 | Pextrw_r64m16_xmm_imm8 => {
            |cpu, insn| extract(cpu, insn, |lanes: [u16; 8], at| u64::from(lane(&lanes, at)))
        }
        Pextrd_rm32_xmm_imm8 | Extractps_rm32_xmm_imm8 | Extractps_r64m32_xmm_imm8 => {
            |cpu, insn| extract(cpu, insn, |lanes: [u32; 4], at| u64::from(lane(&lanes, at)))
        }
        Pextrq_rm64_xmm_imm8 => |cpu, insn| extract(cpu, insn, |lanes: [u64; 2], at| lane(&lanes, at)),
        Pinsrw_mm_r32m16_imm8 | Pinsrw_mm_r64m16_imm8 => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = cpu.operand(insn, 1)? & 0xFFFF;
            let shift = (insn.immediate8() & 3) << 4;
            let old = mmx::get(cpu, mmx::number(insn.op0_register()));
            mmx::finish(cpu, insn, old & !(0xFFFF << shift) | value << shift);
            Ok(())
        },
        Pextrw_r32_mm_imm8 | Pextrw_r64_mm_imm8 => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = mmx::get(cpu, mmx::number(insn.op1_register())) >> ((insn.immediate8() & 3) << 4);
            cpu.set_operand(insn, 0, value & 0xFFFF)?;
            mmx::enter(cpu);
            Ok(())
        },
        Ptest_xmm_xmmm128 => |cpu, insn| {
            cpu.sse_ready()?;
            let source = cpu.source(insn)?.bits();
            let other = cpu.get_xmm(destination(insn)).bits();
            let zero = if source & other == 0 { flag::ZF } else { 0 };
            let carry = if source & !other == 0 { flag::CF } else { 0 };
            cpu.set_status_flags(flag::STATUS, zero | carry);
            Ok(())
        },
        _ => return None,
    })
}

/// The highest bits of 8 bytes.
#[inline(always)]
fn byte_signs(bytes: u64) -> u64 {
    // The product puts bit 8i + 7 at place 56 + i, without carries.
    ((bytes >> 7) & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[inline(always)]
fn masks<A: Lanes>(cpu: &mut Cpu, insn: &Instruction, f: impl FnOnce(A) -> u64) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = f(cpu.get_xmm(xmm_number(insn.op1_register())).lanes());
    cpu.set_register(insn.op0_register(), value);
    Ok(())
}

#[inline(always)]
fn insert<A: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(&mut A, usize, u64),
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.operand(insn, 1)?;
    let to = destination(insn);
    let mut lanes: A = cpu.get_xmm(to).lanes();
    f(&mut lanes, usize::from(insn.immediate8()), value);
    cpu.set_xmm(to, lanes.pack());
    Ok(())
}

#[inline(always)]
fn extract<A: Lanes>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl FnOnce(A, usize) -> u64,
) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let lanes = cpu.get_xmm(xmm_number(insn.op1_register())).lanes();
    cpu.set_operand(insn, 0, f(lanes, usize::from(insn.immediate8())))
}
