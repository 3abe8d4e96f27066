//! Segment, table, control and debug registers.

use iced_x86::{Code, Instruction, Mnemonic as M, OpKind, Register as R};

use super::descriptors::code;
use super::special::{read_control, read_debug, write_control, write_debug};
use crate::operand::segment_of;
use crate::state::{RSP, cr0, cr4};
use crate::{Cpu, Fault, Handler, Seg, Segment, flag};

pub(super) fn handler(which: Code) -> Option<Handler> {
    use Code::*;
    Some(match which {
        Mov_rm16_Sreg | Mov_r32m16_Sreg | Mov_r64m16_Sreg => store_segment,
        Mov_Sreg_rm16 | Mov_Sreg_r32m16 | Mov_Sreg_r64m16 => move_segment,
        Pushw_CS | Pushd_CS | Pushw_DS | Pushd_DS | Pushw_ES | Pushd_ES | Pushw_SS | Pushd_SS | Pushw_FS
        | Pushd_FS | Pushq_FS | Pushw_GS | Pushd_GS | Pushq_GS => push_segment,
        Popw_DS | Popd_DS | Popw_ES | Popd_ES | Popw_SS | Popd_SS | Popw_FS | Popd_FS | Popq_FS | Popw_GS
        | Popd_GS | Popq_GS => pop_segment,
        Mov_r32_cr | Mov_r64_cr => read_control,
        Mov_cr_r32 | Mov_cr_r64 => write_control,
        Mov_r32_dr | Mov_r64_dr => read_debug,
        Mov_dr_r32 | Mov_dr_r64 => write_debug,
        _ => match which.mnemonic() {
            M::Lds | M::Les | M::Lfs | M::Lgs | M::Lss => load_far_pointer,
            M::Lgdt => lgdt,
            M::Lidt => lidt,
            M::Sgdt => sgdt,
            M::Sidt => sidt,
            M::Lldt => lldt,
            M::Ltr => ltr,
            M::Sldt => sldt,
            M::Str => str_,
            M::Smsw => smsw,
            M::Lmsw => lmsw,
            M::Clts => clts,
            M::Lar => lar,
            M::Lsl => lsl,
            M::Verr => verr,
            M::Verw => verw,
            M::Arpl => arpl,
            M::Swapgs => swapgs,
            M::Rdfsbase | M::Rdgsbase => read_base,
            M::Wrfsbase | M::Wrgsbase => write_base,
            M::Invlpg => invlpg,
            _ => return None,
        },
    })
}

/// Only for privilege 0.
pub(super) fn privileged(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cpl == 0 { Ok(()) } else { Err(Fault::GP0) }
}

fn store_segment(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = cpu.segment(segment_of(insn.op1_register())).selector;
    store_selector(cpu, insn, selector)
}

fn shadow(cpu: &mut Cpu, seg: Seg) {
    if seg == Seg::Ss {
        cpu.interrupt_shadow = true;
    }
}

fn move_segment(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    if insn.op0_register() == R::CS {
        return Err(Fault::UD);
    }
    let selector = source_selector(cpu, insn, 1)?;
    let seg = segment_of(insn.op0_register());
    cpu.load_segment(seg, selector)?;
    shadow(cpu, seg);
    Ok(())
}

/// Bytes that PUSH and POP of a segment register move.
fn stack_bytes(which: Code) -> u32 {
    use Code::*;
    match which {
        Pushw_CS | Pushw_DS | Pushw_ES | Pushw_SS | Pushw_FS | Pushw_GS | Popw_DS | Popw_ES | Popw_SS
        | Popw_FS | Popw_GS => 2,
        Pushq_FS | Pushq_GS | Popq_FS | Popq_GS => 8,
        _ => 4,
    }
}

/// Zero-extended, as AMD's processors do it; Intel's leave the upper bytes as they are.
fn push_segment(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = cpu.segment(segment_of(insn.op0_register())).selector;
    cpu.push(u64::from(selector), stack_bytes(insn.code()))
}

/// The stack pointer moves before the segment is loaded: POP SS may change its width.
fn pop_segment(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = stack_bytes(insn.code());
    let selector = cpu.top(0, bytes)? as u16;
    let before = cpu.regs[RSP];
    cpu.drop(u64::from(bytes));
    let seg = segment_of(insn.op0_register());
    cpu.load_segment(seg, selector).inspect_err(|_| cpu.regs[RSP] = before)?;
    shadow(cpu, seg);
    Ok(())
}

fn load_far_pointer(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let target = match insn.mnemonic() {
        M::Lds => Seg::Ds,
        M::Les => Seg::Es,
        M::Lfs => Seg::Fs,
        M::Lgs => Seg::Gs,
        _ => Seg::Ss,
    };
    let register = insn.op0_register();
    let (seg, offset) = cpu.effective_address(insn);
    let bytes = register.size() as u32;
    let value = cpu.read_sized(seg, offset, bytes)?;
    let selector = cpu.read::<u16>(seg, offset.wrapping_add(u64::from(bytes)))?;
    // LSS has no shadow: it needs none.
    cpu.load_segment(target, selector)?;
    cpu.set_register(register, value);
    Ok(())
}

/// Base and limit of LGDT and LIDT.
fn table(cpu: &mut Cpu, insn: &Instruction) -> Result<crate::TableRegister, Fault> {
    privileged(cpu)?;
    let (seg, offset) = cpu.effective_address(insn);
    let limit: u16 = cpu.read(seg, offset)?;
    let at = offset.wrapping_add(2);
    let base = if cpu.mode.is_long() {
        cpu.read::<u64>(seg, at)?
    } else {
        let wide = !matches!(insn.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16);
        u64::from(cpu.read::<u32>(seg, at)? & if wide { u32::MAX } else { 0xFF_FFFF })
    };
    if !crate::memory::is_canonical(base) {
        return Err(Fault::GP0);
    }
    Ok(crate::TableRegister { base, limit })
}

fn lgdt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.gdtr = table(cpu, insn)?;
    Ok(())
}

fn lidt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.idtr = table(cpu, insn)?;
    Ok(())
}

fn store_table(cpu: &mut Cpu, insn: &Instruction, table: crate::TableRegister) -> Result<(), Fault> {
    let (seg, offset) = cpu.effective_address(insn);
    if cpu.mode.is_long() {
        let linear = cpu.linear(seg, offset, 10, true)?;
        cpu.probe(linear, 10, true)?;
        cpu.write(seg, offset, table.limit)?;
        cpu.write(seg, offset.wrapping_add(2), table.base)
    } else {
        let linear = cpu.linear(seg, offset, 6, true)?;
        cpu.probe(linear, 6, true)?;
        cpu.write(seg, offset, table.limit)?;
        cpu.write(seg, offset.wrapping_add(2), table.base as u32)
    }
}

/// What only privilege 0 may see of the system if CR4.UMIP is set.
fn may_look(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cpl != 0 && cpu.cr4 & cr4::UMIP != 0 { Err(Fault::GP0) } else { Ok(()) }
}

fn sgdt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    may_look(cpu)?;
    let table = cpu.gdtr;
    store_table(cpu, insn, table)
}

fn sidt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    may_look(cpu)?;
    let table = cpu.idtr;
    store_table(cpu, insn, table)
}

/// The system descriptor of LLDT and LTR, with its upper half in long mode.
fn system_descriptor(cpu: &mut Cpu, selector: u16) -> Result<(u64, u64, Segment), Fault> {
    let error = Fault::gp(code(selector));
    if selector & 4 != 0 {
        return Err(error);
    }
    let (at, descriptor) = cpu.descriptor(selector, error)?;
    let mut segment = Segment::from_descriptor(selector, descriptor);
    if cpu.long_mode_active() {
        let high: u64 = cpu.load_system(at.wrapping_add(8))?;
        segment.base |= high << 32;
    }
    Ok((at, descriptor, segment))
}

fn lldt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let selector = cpu.operand(insn, 0)? as u16;
    if selector & !3 == 0 {
        cpu.ldtr = Segment::null(selector);
        return Ok(());
    }
    let (_, _, segment) = system_descriptor(cpu, selector)?;
    if segment.attributes & 0x1F != 2 {
        return Err(Fault::gp(code(selector)));
    }
    if !segment.has(Segment::PRESENT) {
        return Err(Fault::np(code(selector)));
    }
    cpu.ldtr = segment;
    Ok(())
}

fn ltr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let selector = cpu.operand(insn, 0)? as u16;
    if selector & !3 == 0 {
        return Err(Fault::GP0);
    }
    let (at, descriptor, mut segment) = system_descriptor(cpu, selector)?;
    let available = match segment.attributes & 0x1F {
        9 => true,
        1 => !cpu.long_mode_active(),
        _ => false,
    };
    if !available {
        return Err(Fault::gp(code(selector)));
    }
    if !segment.has(Segment::PRESENT) {
        return Err(Fault::np(code(selector)));
    }
    const BUSY: u64 = 1 << 41;
    cpu.store_system(at.wrapping_add(4), ((descriptor | BUSY) >> 32) as u32)?;
    segment.attributes |= 2;
    cpu.tr = segment;
    Ok(())
}

fn store_selector(cpu: &mut Cpu, insn: &Instruction, selector: u16) -> Result<(), Fault> {
    if insn.op0_kind() == OpKind::Register {
        return cpu.set_operand(insn, 0, u64::from(selector));
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, selector)
}

fn sldt(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    may_look(cpu)?;
    let selector = cpu.ldtr.selector;
    store_selector(cpu, insn, selector)
}

fn str_(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    may_look(cpu)?;
    let selector = cpu.tr.selector;
    store_selector(cpu, insn, selector)
}

fn smsw(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    may_look(cpu)?;
    let value = cpu.cr0;
    if insn.op0_kind() == OpKind::Register {
        return cpu.set_operand(insn, 0, value);
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.write(seg, offset, value as u16)
}

fn lmsw(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.operand(insn, 0)?;
    // PE can be set but not cleared.
    cpu.cr0 = (cpu.cr0 & !0xE) | (value & 0xF);
    Ok(())
}

fn clts(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    cpu.cr0 &= !cr0::TS;
    Ok(())
}

/// The descriptor LAR, LSL, VERR and VERW look at, if they may; and its attributes.
fn visible(cpu: &mut Cpu, selector: u16) -> Result<Option<(u64, Segment)>, Fault> {
    if selector & !3 == 0 {
        return Ok(None);
    }
    let (_, descriptor) = match cpu.descriptor(selector, Fault::UD) {
        Ok(found) => found,
        Err(Fault::Page(error)) => return Err(Fault::Page(error)),
        Err(_) => return Ok(None),
    };
    let segment = Segment::from_descriptor(selector, descriptor);
    let conforming = segment.has(Segment::NOT_SYSTEM | Segment::CODE | Segment::EXPAND_DOWN);
    if !conforming && segment.dpl() < cpu.cpl.max(selector as u8 & 3) {
        return Ok(None);
    }
    Ok(Some((descriptor, segment)))
}

fn set_zero(cpu: &mut Cpu, set: bool) {
    cpu.set_status_flags(flag::ZF, if set { flag::ZF } else { 0 });
}

fn source_selector(cpu: &mut Cpu, insn: &Instruction, n: u32) -> Result<u16, Fault> {
    if insn.op_kind(n) == OpKind::Register {
        return Ok(cpu.operand(insn, n)? as u16);
    }
    let (seg, offset) = cpu.effective_address(insn);
    cpu.read(seg, offset)
}

fn lar(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = source_selector(cpu, insn, 1)?;
    let found = visible(cpu, selector)?.filter(|(_, segment)| {
        let kind = segment.attributes & 0x1F;
        kind & 0x10 != 0
            || matches!(kind, 2 | 9 | 11)
            || (!cpu.long_mode_active() && matches!(kind, 1 | 3 | 4 | 5 | 12))
            || (cpu.long_mode_active() && kind == 12)
    });
    set_zero(cpu, found.is_some());
    match found {
        Some((descriptor, _)) => cpu.set_operand(insn, 0, (descriptor >> 32) & 0x00FF_FF00),
        None => Ok(()),
    }
}

fn lsl(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = source_selector(cpu, insn, 1)?;
    let found = visible(cpu, selector)?.filter(|(_, segment)| {
        let kind = segment.attributes & 0x1F;
        kind & 0x10 != 0 || matches!(kind, 2 | 9 | 11) || (!cpu.long_mode_active() && matches!(kind, 1 | 3))
    });
    set_zero(cpu, found.is_some());
    match found {
        Some((_, segment)) => cpu.set_operand(insn, 0, u64::from(segment.limit)),
        None => Ok(()),
    }
}

fn verr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = source_selector(cpu, insn, 0)?;
    let found = visible(cpu, selector)?.is_some_and(|(_, segment)| {
        segment.has(Segment::NOT_SYSTEM) && (!segment.has(Segment::CODE) || segment.has(Segment::WRITABLE))
    });
    set_zero(cpu, found);
    Ok(())
}

fn verw(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let selector = source_selector(cpu, insn, 0)?;
    let found = visible(cpu, selector)?.is_some_and(|(_, segment)| {
        segment.has(Segment::NOT_SYSTEM | Segment::WRITABLE) && !segment.has(Segment::CODE)
    });
    set_zero(cpu, found);
    Ok(())
}

fn arpl(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let source = cpu.operand(insn, 1)? & 3;
    let value = source_selector(cpu, insn, 0)?;
    let lower = u64::from(value & 3) < source;
    if lower {
        let adjusted = (value & !3) | source as u16;
        if insn.op0_kind() == OpKind::Register {
            // Only 16 bits are written, whatever the operand size.
            let whole = cpu.operand(insn, 0)?;
            cpu.set_operand(insn, 0, (whole & !0xFFFF) | u64::from(adjusted))?;
        } else {
            store_selector(cpu, insn, adjusted)?;
        }
    }
    set_zero(cpu, lower);
    Ok(())
}

fn swapgs(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    if !cpu.mode.is_long() {
        return Err(Fault::UD);
    }
    privileged(cpu)?;
    let base = cpu.segment(Seg::Gs).base;
    cpu.segment_mut(Seg::Gs).base = std::mem::replace(&mut cpu.msr.kernel_gs_base, base);
    Ok(())
}

fn base_segment(cpu: &Cpu, insn: &Instruction) -> Result<Seg, Fault> {
    if cpu.cr4 & cr4::FSGSBASE == 0 || !cpu.mode.is_long() {
        return Err(Fault::UD);
    }
    let is_fs = matches!(insn.mnemonic(), M::Rdfsbase | M::Wrfsbase);
    Ok(if is_fs { Seg::Fs } else { Seg::Gs })
}

fn read_base(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let base = cpu.segment(base_segment(cpu, insn)?).base;
    cpu.set_operand(insn, 0, base)
}

fn write_base(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let seg = base_segment(cpu, insn)?;
    let base = cpu.operand(insn, 0)?;
    if !crate::memory::is_canonical(base) {
        return Err(Fault::GP0);
    }
    cpu.segment_mut(seg).base = base;
    Ok(())
}

fn invlpg(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let (seg, offset) = cpu.effective_address(insn);
    let base =
        if cpu.mode.is_long() && !matches!(seg, Seg::Fs | Seg::Gs) { 0 } else { cpu.segment(seg).base };
    cpu.flush_page(base.wrapping_add(offset) & cpu.address_mask);
    Ok(())
}
