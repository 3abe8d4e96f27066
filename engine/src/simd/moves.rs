//! Moves without change: between registers and memory, and of parts of registers.

use iced_x86::{Code, Instruction, OpKind};

use super::lanes::{Lanes, V};
use super::mmx;
use super::operands::{destination, xmm_number};
use crate::{Cpu, Fault, Handler};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Movups_xmm_xmmm128 | Movupd_xmm_xmmm128 | Movdqu_xmm_xmmm128 | Lddqu_xmm_m128 => load_unaligned,
        Movaps_xmm_xmmm128 | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128 | Movntdqa_xmm_m128 => load_aligned,
        Movups_xmmm128_xmm | Movupd_xmmm128_xmm | Movdqu_xmmm128_xmm => store_unaligned,
        Movaps_xmmm128_xmm | Movapd_xmmm128_xmm | Movdqa_xmmm128_xmm | Movntps_m128_xmm
        | Movntpd_m128_xmm | Movntdq_m128_xmm => store_aligned,
        Movss_xmm_xmmm32 => load_single,
        Movsd_xmm_xmmm64 => load_double,
        Movss_xmmm32_xmm => store_single,
        Movsd_xmmm64_xmm => store_double,
        Movd_xmm_rm32 | Movq_xmm_rm64 => from_general,
        Movd_rm32_xmm | Movq_rm64_xmm => to_general,
        Movq_xmm_xmmm64 => load_quadword,
        Movq_xmmm64_xmm => store_quadword,
        Movlps_xmm_m64 | Movlpd_xmm_m64 => |cpu, insn| half(cpu, insn, |d, s| [s, d[1]]),
        Movhps_xmm_m64 | Movhpd_xmm_m64 => |cpu, insn| half(cpu, insn, |d, s| [d[0], s]),
        Movlhps_xmm_xmm => |cpu, insn| half(cpu, insn, |d, s| [d[0], s]),
        Movddup_xmm_xmmm64 => |cpu, insn| half(cpu, insn, |_, s| [s, s]),
        Movhlps_xmm_xmm => super::xmm!(u64, u64, |a, b| [b[1], a[1]]),
        Movlps_m64_xmm | Movlpd_m64_xmm => store_quadword,
        Movhps_m64_xmm | Movhpd_m64_xmm => store_high,
        Movsldup_xmm_xmmm128 => super::xmm!(u32, u32, |_, s| [s[0], s[0], s[2], s[2]]),
        Movshdup_xmm_xmmm128 => super::xmm!(u32, u32, |_, s| [s[1], s[1], s[3], s[3]]),
        Movnti_m32_r32 | Movnti_m64_r64 => |cpu, insn| {
            let value = cpu.operand(insn, 1)?;
            cpu.set_operand(insn, 0, value)
        },
        Maskmovdqu_rDI_xmm_xmm => masked_store,
        Maskmovq_rDI_mm_mm => masked_store_mmx,
        Movd_mm_rm32 | Movq_mm_rm64 => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = cpu.operand(insn, 1)?;
            mmx::finish(cpu, insn, value);
            Ok(())
        },
        Movq_mm_mmm64 => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = mmx::source(cpu, insn)?;
            mmx::finish(cpu, insn, value);
            Ok(())
        },
        Movd_rm32_mm | Movq_rm64_mm | Movntq_m64_mm => |cpu, insn| {
            mmx::ready(cpu)?;
            let value = mmx::get(cpu, mmx::number(insn.op1_register()));
            cpu.set_operand(insn, 0, value)?;
            mmx::enter(cpu);
            Ok(())
        },
        Movq_mmm64_mm => store_mmx,
        Movq2dq_xmm_mm => |cpu, insn| {
            cpu.sse_ready()?;
            mmx::ready(cpu)?;
            let value = mmx::get(cpu, mmx::number(insn.op1_register()));
            mmx::enter(cpu);
            cpu.set_xmm(destination(insn), [value, 0].pack());
            Ok(())
        },
        Movdq2q_mm_xmm => |cpu, insn| {
            cpu.sse_ready()?;
            mmx::ready(cpu)?;
            let value = cpu.source64(insn)?;
            mmx::finish(cpu, insn, value);
            Ok(())
        },
        Emms => |cpu, _| {
            mmx::ready(cpu)?;
            mmx::leave(cpu);
            Ok(())
        },
        _ => return None,
    })
}

fn load_unaligned(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source_unaligned(insn)?;
    cpu.set_xmm(destination(insn), value);
    Ok(())
}

fn load_aligned(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source(insn)?;
    cpu.set_xmm(destination(insn), value);
    Ok(())
}

fn store_unaligned(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register()));
    if insn.op0_kind() == OpKind::Register {
        cpu.set_xmm(destination(insn), value);
        return Ok(());
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value)
}

fn store_aligned(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register()));
    if insn.op0_kind() == OpKind::Register {
        cpu.set_xmm(destination(insn), value);
        return Ok(());
    }
    cpu.store_aligned(insn, value)
}

/// MOVSS: from a register only the lane, from memory with zeros above.
fn load_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source32(insn)?;
    let to = destination(insn);
    let base = if insn.op1_kind() == OpKind::Register { cpu.get_xmm(to) } else { V::new(0) };
    cpu.set_xmm(to, base.with_low32(value));
    Ok(())
}

/// MOVSD: from a register only the lane, from memory with zeros above.
fn load_double(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source64(insn)?;
    let to = destination(insn);
    let high = if insn.op1_kind() == OpKind::Register { cpu.get_xmm(to).high() } else { 0 };
    cpu.set_xmm(to, [value, high].pack());
    Ok(())
}

fn store_single(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register())).low32();
    if insn.op0_kind() == OpKind::Register {
        let to = destination(insn);
        cpu.set_xmm(to, cpu.get_xmm(to).with_low32(value));
        return Ok(());
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value)
}

fn store_double(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register())).low();
    if insn.op0_kind() == OpKind::Register {
        let to = destination(insn);
        cpu.set_xmm(to, cpu.get_xmm(to).with_low(value));
        return Ok(());
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value)
}

/// MOVD and MOVQ from a general register or memory.
fn from_general(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.operand(insn, 1)?;
    cpu.set_xmm(destination(insn), [value, 0].pack());
    Ok(())
}

/// MOVD and MOVQ to a general register or memory.
fn to_general(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register())).low();
    cpu.set_operand(insn, 0, value)
}

fn load_quadword(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source64(insn)?;
    cpu.set_xmm(destination(insn), [value, 0].pack());
    Ok(())
}

fn store_quadword(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register())).low();
    if insn.op0_kind() == OpKind::Register {
        cpu.set_xmm(destination(insn), [value, 0].pack());
        return Ok(());
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value)
}

fn store_high(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.get_xmm(xmm_number(insn.op1_register())).high();
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value)
}

fn store_mmx(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    mmx::ready(cpu)?;
    let value = mmx::get(cpu, mmx::number(insn.op1_register()));
    if insn.op0_kind() == OpKind::Register {
        mmx::finish(cpu, insn, value);
        return Ok(());
    }
    cpu.set_operand(insn, 0, value)?;
    mmx::enter(cpu);
    Ok(())
}

/// A new value of both halves from the old one and 8 bytes.
#[inline(always)]
fn half(cpu: &mut Cpu, insn: &Instruction, f: impl FnOnce([u64; 2], u64) -> [u64; 2]) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value = cpu.source64(insn)?;
    let to = destination(insn);
    let result = f(cpu.get_xmm(to).lanes(), value);
    cpu.set_xmm(to, result.pack());
    Ok(())
}

fn masked_store(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let value: [u8; 16] = cpu.get_xmm(xmm_number(insn.op1_register())).lanes();
    let mask: [u8; 16] = cpu.get_xmm(xmm_number(insn.op2_register())).lanes();
    store_selected(cpu, insn, &value, &mask)
}

fn masked_store_mmx(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    mmx::ready(cpu)?;
    let value = mmx::get(cpu, mmx::number(insn.op1_register())).to_le_bytes();
    let mask = mmx::get(cpu, mmx::number(insn.op2_register())).to_le_bytes();
    // Also if the store faults.
    mmx::enter(cpu);
    store_selected(cpu, insn, &value, &mask)
}

/// Writes the bytes whose mask has its highest bit set to DS:RDI. All the bytes have to be writable.
fn store_selected(cpu: &mut Cpu, insn: &Instruction, value: &[u8], mask: &[u8]) -> Result<(), Fault> {
    let seg = crate::operand::memory_segment(insn, cpu.mode.is_long());
    let width = match insn.op0_kind() {
        OpKind::MemorySegDI => 2,
        OpKind::MemorySegEDI => 4,
        _ => 8,
    };
    let base = cpu.regs[7] & crate::operand::mask(width);
    let linear = cpu.linear(seg, base, 8, true)?;
    cpu.check_alignment(linear, 8)?;
    // In halves, as on silicon.
    for half in (0..value.len() as u64).step_by(8) {
        let linear = cpu.linear(seg, base.wrapping_add(half), 8, true)?;
        cpu.probe(linear, 8, true)?;
    }
    for (i, (byte, mask)) in value.iter().zip(mask).enumerate() {
        if mask & 0x80 != 0 {
            cpu.store(linear.wrapping_add(i as u64) & cpu.address_mask, *byte)?;
        }
    }
    Ok(())
}
