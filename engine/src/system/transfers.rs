//! Returns and far transfers between privilege levels.

use iced_x86::{Code, Instruction, Mnemonic as M, Register as R};

use super::Origin;
use super::descriptors::code;
use crate::state::{RSP, efer};
use crate::{Cpu, Fault, Handler, Seg, Segment, flag};

pub(super) fn handler(which: Code) -> Option<Handler> {
    use Code::*;
    Some(match which {
        Jmp_ptr1616 | Jmp_ptr1632 | Jmp_m1616 | Jmp_m1632 | Jmp_m1664 => far_jump,
        Call_ptr1616 | Call_ptr1632 | Call_m1616 | Call_m1632 | Call_m1664 => far_call,
        _ => match which.mnemonic() {
            M::Int => int,
            M::Int3 => |cpu, _| software(cpu, 3),
            M::Int1 => int1,
            M::Into => into,
            M::Iret => |cpu, _| iret(cpu, 2),
            M::Iretd => |cpu, _| iret(cpu, 4),
            M::Iretq => |cpu, _| iret(cpu, 8),
            M::Retf => far_return,
            M::Sysenter => sysenter,
            M::Sysexit => |cpu, _| sysexit(cpu, false),
            M::Sysexitq => |cpu, _| sysexit(cpu, true),
            M::Syscall => syscall,
            M::Sysret => |cpu, _| sysret(cpu, false),
            M::Sysretq => |cpu, _| sysret(cpu, true),
            _ => return None,
        },
    })
}

/// Delivers a software interrupt; what fails belongs to the instruction.
fn software(cpu: &mut Cpu, vector: u8) -> Result<(), Fault> {
    cpu.deliver(vector, None, Origin::Software)
}

fn int(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    software(cpu, insn.immediate8())
}

fn int1(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    cpu.deliver(1, None, Origin::Exception)
}

fn into(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    if cpu.lazy.overflow() { software(cpu, 4) } else { Ok(()) }
}

/// A word of a frame on the stack.
fn stacked(cpu: &mut Cpu, index: u64, bytes: u32) -> Result<u64, Fault> {
    cpu.top(index.wrapping_mul(u64::from(bytes)), bytes)
}

impl Cpu {
    /// The code segment a return or jump leads to.
    fn returned_code(&mut self, selector: u16) -> Result<(u64, u64, Segment), Fault> {
        if selector & !3 == 0 {
            return Err(Fault::GP0);
        }
        let error = Fault::gp(code(selector));
        let (at, descriptor) = self.descriptor(selector, error)?;
        let segment = Segment::from_descriptor(selector, descriptor | 1 << 40);
        let privilege = selector as u8 & 3;
        let conforming = segment.has(Segment::EXPAND_DOWN);
        if !segment.has(Segment::NOT_SYSTEM | Segment::CODE)
            || privilege < self.cpl
            || (conforming && segment.dpl() > privilege)
            || (!conforming && segment.dpl() != privilege)
            || !self.has_valid_size(&segment)
        {
            return Err(error);
        }
        if !segment.has(Segment::PRESENT) {
            return Err(Fault::np(code(selector)));
        }
        Ok((at, descriptor, segment))
    }

    /// After a return to an outer privilege: data segments that it may not have are nulled.
    fn drop_inner_segments(&mut self) {
        for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
            let segment = *self.segment(seg);
            let conforming = segment.has(Segment::CODE | Segment::EXPAND_DOWN);
            if segment.has(Segment::PRESENT) && !conforming && segment.dpl() < self.cpl {
                *self.segment_mut(seg) = Segment::default();
            }
        }
    }

    /// The common part of IRET and RETF: CS:RIP, and the stack if the privilege changes (or always).
    fn leave_to(
        &mut self,
        selector: u16,
        rip: u64,
        bytes: u32,
        words: u64,
        release: u64,
        always_stack: bool,
    ) -> Result<(), Fault> {
        let (at, descriptor, segment) = self.returned_code(selector)?;
        self.check_target(&segment, rip)?;
        let cpl = selector as u8 & 3;
        let outer = cpl > self.cpl;
        let size = u64::from(bytes);
        let frame = words.wrapping_mul(size).wrapping_add(release);
        if !outer && !always_stack {
            self.mark_accessed_descriptor(at, descriptor)?;
            self.drop(frame);
            *self.segment_mut(Seg::Cs) = segment;
            self.rip = rip;
            self.update_mode();
            return Ok(());
        }
        let pointer = self.top(frame, bytes)?;
        let stack_selector = self.top(frame.wrapping_add(size), bytes)? as u16;
        let is_long = self.long_mode_active() && segment.has(Segment::LONG);
        let stack = if stack_selector & !3 == 0 && is_long && cpl < 3 && stack_selector as u8 & 3 == cpl {
            Segment::null(stack_selector)
        } else {
            self.stack_segment(stack_selector, cpl, Fault::gp)?
        };
        self.mark_accessed_descriptor(at, descriptor)?;
        *self.segment_mut(Seg::Cs) = segment;
        *self.segment_mut(Seg::Ss) = stack;
        self.rip = rip;
        self.set_cpl(cpl);
        let mask = self.stack_mask();
        let pointer = pointer.wrapping_add(release);
        self.regs[RSP] = ((self.regs[RSP] & !mask) | (pointer & mask)) & self.address_mask;
        if outer {
            self.drop_inner_segments();
            self.update_mode();
        }
        Ok(())
    }
}

/// IRET (SDM vol. 2). Returns to a task or to virtual-8086 mode do not exist here: #GP(0).
fn iret(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    if cpu.system_flags & flag::NT != 0 {
        return Err(Fault::GP0);
    }
    let rip = stacked(cpu, 0, bytes)?;
    let selector = stacked(cpu, 1, bytes)? as u16;
    let flags = stacked(cpu, 2, bytes)? as u32;
    if bytes == 4 && flags & flag::VM != 0 && cpu.cpl == 0 && !cpu.long_mode_active() {
        return Err(Fault::GP0);
    }
    let cpl = cpu.cpl;
    let iopl = cpu.system_flags & flag::IOPL;
    let always = cpu.mode.is_long();
    cpu.leave_to(selector, rip, bytes, 3, 0, always)?;
    cpu.set_flags_with_privilege(flags, bytes, cpl, iopl, true);
    Ok(())
}

impl Cpu {
    /// Sets EFLAGS as POPF and IRET do: by the privilege and IOPL from before.
    pub(super) fn set_flags_with_privilege(
        &mut self,
        flags: u32,
        bytes: u32,
        cpl: u8,
        iopl: u32,
        resume: bool,
    ) {
        let mut changeable = flag::STATUS | flag::TF | flag::DF | flag::NT | flag::AC | flag::ID;
        if resume {
            changeable |= flag::RF;
        }
        if u32::from(cpl) <= iopl >> 12 {
            changeable |= flag::IF;
        }
        if cpl == 0 {
            changeable |= flag::IOPL | flag::VIF | flag::VIP;
        }
        if bytes == 2 {
            changeable &= 0xFFFF;
        }
        let new = (self.flags() & !changeable) | (flags & changeable);
        self.set_flags(if resume { new } else { new & !flag::RF });
        self.update_checks();
    }
}

fn far_return(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = match insn.code() {
        Code::Retfw | Code::Retfw_imm16 => 2,
        Code::Retfd | Code::Retfd_imm16 => 4,
        _ => 8,
    };
    let release = if insn.op_count() == 0 { 0 } else { u64::from(insn.immediate16()) };
    let rip = stacked(cpu, 0, bytes)?;
    let selector = stacked(cpu, 1, bytes)? as u16;
    cpu.leave_to(selector, rip, bytes, 2, release, false)
}

/// Selector, offset and operand size of a far jump or call.
fn far_pointer(cpu: &mut Cpu, insn: &Instruction) -> Result<(u16, u64, u32), Fault> {
    use Code::*;
    match insn.code() {
        Jmp_ptr1616 | Call_ptr1616 => Ok((insn.far_branch_selector(), u64::from(insn.far_branch16()), 2)),
        Jmp_ptr1632 | Call_ptr1632 => Ok((insn.far_branch_selector(), u64::from(insn.far_branch32()), 4)),
        which => {
            let (seg, offset) = cpu.effective_address(insn);
            let bytes = match which {
                Jmp_m1616 | Call_m1616 => 2,
                Jmp_m1632 | Call_m1632 => 4,
                _ => 8,
            };
            let target = cpu.read_sized(seg, offset, bytes)?;
            let selector = cpu.read::<u16>(seg, offset.wrapping_add(u64::from(bytes)))?;
            Ok((selector, target, bytes))
        }
    }
}

/// The code segment of a far jump or call; gates and tasks do not exist here: #GP.
fn far_target(cpu: &mut Cpu, selector: u16, rip: u64) -> Result<Segment, Fault> {
    if selector & !3 == 0 {
        return Err(Fault::GP0);
    }
    let error = Fault::gp(code(selector));
    let (at, descriptor) = cpu.descriptor(selector, error)?;
    let mut segment = Segment::from_descriptor(selector, descriptor | 1 << 40);
    let conforming = segment.has(Segment::EXPAND_DOWN);
    if !segment.has(Segment::NOT_SYSTEM | Segment::CODE)
        || (conforming && segment.dpl() > cpu.cpl)
        || (!conforming && (selector as u8 & 3 > cpu.cpl || segment.dpl() != cpu.cpl))
        || !cpu.has_valid_size(&segment)
    {
        return Err(error);
    }
    if !segment.has(Segment::PRESENT) {
        return Err(Fault::np(code(selector)));
    }
    cpu.check_target(&segment, rip)?;
    cpu.mark_accessed_descriptor(at, descriptor)?;
    segment.selector = (selector & !3) | u16::from(cpu.cpl);
    Ok(segment)
}

fn far_jump(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (selector, rip, _) = far_pointer(cpu, insn)?;
    let segment = far_target(cpu, selector, rip)?;
    *cpu.segment_mut(Seg::Cs) = segment;
    cpu.rip = rip;
    cpu.update_mode();
    Ok(())
}

fn far_call(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let (selector, rip, bytes) = far_pointer(cpu, insn)?;
    let segment = far_target(cpu, selector, rip)?;
    let mask = cpu.stack_mask();
    let size = u64::from(bytes);
    let old = cpu.segment(Seg::Cs).selector;
    // Nothing is written before both places were looked at.
    for place in [0, 1] {
        let linear = cpu.linear(Seg::Ss, cpu.regs[RSP].wrapping_sub(size << place) & mask, size, true)?;
        cpu.probe(linear, bytes, true)?;
    }
    cpu.push(u64::from(old), bytes)?;
    cpu.push(cpu.rip, bytes)?;
    *cpu.segment_mut(Seg::Cs) = segment;
    cpu.rip = rip;
    cpu.update_mode();
    Ok(())
}

/// Flat code and stack segments with fixed attributes, as SYSENTER and SYSCALL load them.
fn set_flat(cpu: &mut Cpu, code_selector: u16, stack_selector: u16, cpl: u8, long: bool) {
    let size = if long { Segment::LONG } else { Segment::BIG };
    *cpu.segment_mut(Seg::Cs) = Segment::flat(code_selector, 0xB, u16::from(cpl), size);
    *cpu.segment_mut(Seg::Ss) = Segment::flat(stack_selector, 0x3, u16::from(cpl), Segment::BIG);
    cpu.set_cpl(cpl);
    cpu.update_checks();
}

fn sysenter(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    let selector = cpu.msr.sysenter_cs as u16 & !3;
    if selector == 0 {
        return Err(Fault::GP0);
    }
    let long = cpu.long_mode_active();
    cpu.system_flags &= !(flag::IF | flag::VM | flag::RF);
    set_flat(cpu, selector, selector.wrapping_add(8), 0, long);
    cpu.regs[RSP] = cpu.msr.sysenter_esp;
    cpu.rip = cpu.msr.sysenter_eip;
    if !long {
        cpu.regs[RSP] &= u64::from(u32::MAX);
        cpu.rip &= u64::from(u32::MAX);
    }
    Ok(())
}

fn sysexit(cpu: &mut Cpu, long: bool) -> Result<(), Fault> {
    let selector = cpu.msr.sysenter_cs as u16 & !3;
    if selector == 0 || cpu.cpl != 0 {
        return Err(Fault::GP0);
    }
    let (rip, rsp) = (cpu.register(R::RDX), cpu.register(R::RCX));
    let above = if long { 32 } else { 16 };
    let code = selector.wrapping_add(above) | 3;
    let mask = if long { u64::MAX } else { u64::from(u32::MAX) };
    if long && !(crate::memory::is_canonical(rip) && crate::memory::is_canonical(rsp)) {
        return Err(Fault::GP0);
    }
    set_flat(cpu, code, code.wrapping_add(8), 3, long);
    cpu.rip = rip & mask;
    cpu.regs[RSP] = rsp & mask;
    Ok(())
}

/// SYSCALL exists in 64-bit mode only, as CPUs that also have SYSENTER elsewhere do it.
fn syscall(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    if cpu.efer & efer::SCE == 0 || !cpu.mode.is_long() {
        return Err(Fault::UD);
    }
    let flags = cpu.flags();
    cpu.set_register(R::RCX, cpu.rip);
    cpu.set_register(R::R11, u64::from(flags & !flag::RF));
    cpu.set_flags(flags & !(cpu.msr.fmask as u32) & !flag::RF);
    let selector = (cpu.msr.star >> 32) as u16 & !3;
    set_flat(cpu, selector, selector.wrapping_add(8), 0, true);
    cpu.rip = cpu.msr.lstar;
    Ok(())
}

fn sysret(cpu: &mut Cpu, long: bool) -> Result<(), Fault> {
    if cpu.efer & efer::SCE == 0 || !cpu.mode.is_long() {
        return Err(Fault::UD);
    }
    let rip = cpu.register(R::RCX);
    if cpu.cpl != 0 || (long && !crate::memory::is_canonical(rip)) {
        return Err(Fault::GP0);
    }
    let flags = cpu.register(R::R11) as u32;
    let selector = (cpu.msr.star >> 48) as u16;
    let code = if long { selector.wrapping_add(16) } else { selector } | 3;
    let stack = selector.wrapping_add(8) | 3;
    cpu.set_flags(flags & !(flag::RF | flag::VM));
    set_flat(cpu, code, stack, 3, long);
    cpu.rip = if long { rip } else { rip & u64::from(u32::MAX) };
    Ok(())
}
