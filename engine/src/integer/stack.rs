//! The stack: PUSH, POP and what is made of them.

use iced_x86::{Code, Instruction, OpKind};

use crate::operand::mask;
use crate::state::RSP;
use crate::{Cpu, Fault, Handler, Seg};

/// Index of RBP.
const RBP: usize = 5;

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Push_r16
        | Code::Push_r32
        | Code::Push_r64
        | Code::Push_imm16
        | Code::Pushd_imm32
        | Code::Pushq_imm32
        | Code::Pushw_imm8
        | Code::Pushd_imm8
        | Code::Pushq_imm8
        | Code::Push_rm16
        | Code::Push_rm32
        | Code::Push_rm64 => push,
        Code::Pop_r16 | Code::Pop_r32 | Code::Pop_r64 | Code::Pop_rm16 | Code::Pop_rm32 | Code::Pop_rm64 => {
            pop
        }
        Code::Pushfw => |cpu, _| pushf(cpu, 2),
        Code::Pushfd => |cpu, _| pushf(cpu, 4),
        Code::Pushfq => |cpu, _| pushf(cpu, 8),
        Code::Pushaw => |cpu, _| pusha(cpu, 2),
        Code::Pushad => |cpu, _| pusha(cpu, 4),
        Code::Popaw => |cpu, _| popa(cpu, 2),
        Code::Popad => |cpu, _| popa(cpu, 4),
        Code::Leavew => |cpu, _| leave(cpu, 2),
        Code::Leaved => |cpu, _| leave(cpu, 4),
        Code::Leaveq => |cpu, _| leave(cpu, 8),
        Code::Enterw_imm16_imm8 => |cpu, insn| enter(cpu, insn, 2),
        Code::Enterd_imm16_imm8 => |cpu, insn| enter(cpu, insn, 4),
        Code::Enterq_imm16_imm8 => |cpu, insn| enter(cpu, insn, 8),
        _ => return None,
    })
}

impl Cpu {
    /// Sets the stack pointer; a 16-bit one is part of a register.
    #[inline]
    fn set_stack_pointer(&mut self, value: u64) {
        let mask = self.stack_mask();
        let kept = if mask == 0xFFFF { self.regs[RSP] & !mask } else { 0 };
        self.regs[RSP] = kept | (value & mask);
    }

    /// Stores to `offset` of the stack segment.
    fn store_on_stack(&mut self, offset: u64, value: u64, bytes: u32) -> Result<(), Fault> {
        self.write_sized(Seg::Ss, offset & self.stack_mask(), value, bytes)
    }

    /// Loads from `offset` of the stack segment.
    fn load_from_stack(&mut self, offset: u64, bytes: u32) -> Result<u64, Fault> {
        self.read_sized(Seg::Ss, offset & self.stack_mask(), bytes)
    }

    /// Pushes `bytes` bytes.
    ///
    /// # Errors
    /// Those of the store; nothing has changed then.
    pub(crate) fn push(&mut self, value: u64, bytes: u32) -> Result<(), Fault> {
        let top = self.regs[RSP].wrapping_sub(u64::from(bytes));
        self.store_on_stack(top, value, bytes)?;
        self.set_stack_pointer(top);
        Ok(())
    }

    /// What lies `offset` bytes above the top of the stack.
    ///
    /// # Errors
    /// Those of the load.
    pub(crate) fn top(&mut self, offset: u64, bytes: u32) -> Result<u64, Fault> {
        self.load_from_stack(self.regs[RSP].wrapping_add(offset), bytes)
    }

    /// Takes `bytes` bytes off the stack.
    pub(crate) fn drop(&mut self, bytes: u64) {
        self.set_stack_pointer(self.regs[RSP].wrapping_add(bytes));
    }
}

fn push(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let value = cpu.operand(insn, 0)?;
    cpu.push(value, bytes)
}

/// The address of a memory operand is computed with the stack pointer as it is after the pop.
fn pop(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let bytes = cpu.operand_bytes(insn, 0);
    let value = cpu.top(0, bytes)?;
    let before = cpu.regs[RSP];
    cpu.drop(u64::from(bytes));
    if insn.op0_kind() == OpKind::Register {
        cpu.set_register(insn.op0_register(), value);
        return Ok(());
    }
    cpu.set_operand(insn, 0, value).inspect_err(|_| cpu.regs[RSP] = before)
}

fn pushf(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    cpu.push(u64::from(cpu.pushed_flags()), bytes)
}

fn pusha(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    let step = u64::from(bytes);
    let mut top = cpu.regs[RSP];
    for register in 0..8 {
        top = top.wrapping_sub(step);
        let value = cpu.regs.get(register).copied().unwrap_or_default();
        cpu.store_on_stack(top, value, bytes)?;
    }
    cpu.set_stack_pointer(top);
    Ok(())
}

/// A fault on the way leaves the registers that were already loaded, as on silicon: the stack pointer has not moved.
fn popa(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    let mut top = cpu.regs[RSP];
    for number in (0..8).rev() {
        let value = cpu.load_from_stack(top, bytes)?;
        top = top.wrapping_add(u64::from(bytes));
        if number != RSP
            && let Some(register) = cpu.regs.get_mut(number)
        {
            *register = (*register & !mask(bytes)) | value;
        }
    }
    cpu.set_stack_pointer(top);
    Ok(())
}

/// Sets RBP or a part of it.
fn set_frame_pointer(cpu: &mut Cpu, value: u64, bytes: u32) {
    cpu.regs[RBP] = match bytes {
        2 => (cpu.regs[RBP] & !0xFFFF) | (value & 0xFFFF),
        4 => value & mask(4),
        _ => value,
    };
}

fn leave(cpu: &mut Cpu, bytes: u32) -> Result<(), Fault> {
    let frame = cpu.regs[RBP];
    let value = cpu.load_from_stack(frame, bytes)?;
    cpu.set_stack_pointer(frame.wrapping_add(u64::from(bytes)));
    set_frame_pointer(cpu, value, bytes);
    Ok(())
}

/// SDM vol. 2, "ENTER": up to 31 frame pointers of enclosing procedures are copied.
fn enter(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let step = u64::from(bytes);
    let room = u64::from(insn.immediate16());
    let level = insn.immediate8_2nd() & 31;
    let mut frame = cpu.regs[RBP];
    let mut top = cpu.regs[RSP].wrapping_sub(step);
    cpu.store_on_stack(top, frame, bytes)?;
    let new_frame = top;
    if level > 0 {
        for _ in 1..level {
            frame = frame.wrapping_sub(step);
            let value = cpu.load_from_stack(frame, bytes)?;
            top = top.wrapping_sub(step);
            cpu.store_on_stack(top, value, bytes)?;
        }
        top = top.wrapping_sub(step);
        cpu.store_on_stack(top, new_frame, bytes)?;
    }
    top = top.wrapping_sub(room);
    // The new top has to be writable, though nothing is written there.
    let linear = cpu.linear(Seg::Ss, top & cpu.stack_mask(), step, true)?;
    cpu.load_to_write(linear, bytes)?;
    cpu.set_stack_pointer(top);
    set_frame_pointer(cpu, new_frame, bytes);
    Ok(())
}
