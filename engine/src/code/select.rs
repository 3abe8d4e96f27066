//! Picks micro-operations for the frequent instructions.

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpKind};

use super::lower::Lowering;
use super::operands::{Form, size_index, stack_bytes};
use super::{Op, Uop};
use crate::Mode;
use crate::operand::{full_register, register_offset};
use crate::state::RSP;

/// Distance between two sizes, two forms, and two operations of the arithmetic in the list of operations.
pub(crate) const FORM: u16 = 4;
pub(crate) const OPERATION: u16 = 20;

impl Lowering {
    /// Adds the micro-operation of `insn` if it has one.
    pub(super) fn select(&mut self, insn: &Instruction, offset: u16) -> bool {
        if self.mode.0 & (Mode::FLAT | Mode::BIG_STACK) != Mode::FLAT | Mode::BIG_STACK
            || self.mode.bits() == 16
        {
            return false;
        }
        let uop = Self::uop(Op::Nop, offset);
        if let Some(op) = self.branch(insn, uop) {
            self.finish_branch(insn, op, offset);
            return true;
        }
        match self.straight(insn, uop) {
            Some(uop) => {
                self.push(uop);
                true
            }
            None => false,
        }
    }

    /// Instructions that do not branch.
    fn straight(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let wide = self.mode.is_long();
        match insn.mnemonic() {
            Mnemonic::Add => self.arithmetic(insn, uop, 0),
            Mnemonic::Or => self.arithmetic(insn, uop, 1),
            Mnemonic::Adc => self.arithmetic(insn, uop, 2),
            Mnemonic::Sbb => self.arithmetic(insn, uop, 3),
            Mnemonic::And => self.arithmetic(insn, uop, 4),
            Mnemonic::Sub => self.arithmetic(insn, uop, 5),
            Mnemonic::Xor if is_zeroing(insn) => {
                uop.op = Op::Zero;
                uop.a = register_offset(insn.op0_register())?;
                Some(uop)
            }
            Mnemonic::Xor => self.arithmetic(insn, uop, 6),
            Mnemonic::Cmp => self.arithmetic(insn, uop, 7),
            Mnemonic::Test => {
                let (form, size) = self.operands(insn, &mut uop)?;
                let first = match form {
                    Form::RegisterRegister => Op::TestRr8,
                    Form::RegisterImmediate => Op::TestRi8,
                    Form::MemoryRegister => Op::TestMr8,
                    Form::MemoryImmediate => Op::TestMi8,
                    Form::RegisterMemory => return None,
                };
                uop.op = first.after(size);
                Some(uop)
            }
            Mnemonic::Mov => {
                let (form, size) = self.operands(insn, &mut uop)?;
                let first = match form {
                    Form::RegisterRegister => Op::MovRr8,
                    Form::RegisterImmediate => Op::MovRi8,
                    Form::RegisterMemory => Op::Load8,
                    Form::MemoryRegister => Op::Store8,
                    Form::MemoryImmediate => Op::StoreI8,
                };
                uop.op = match (first, size.checked_sub(2)) {
                    (Op::Load8, Some(place)) if !uop.has_index() => Op::LoadBase32.after(place),
                    (Op::Store8, Some(place)) if !uop.has_index() => Op::StoreBase32.after(place),
                    _ => first.after(size),
                };
                Some(uop)
            }
            Mnemonic::Movzx => self.extend(insn, uop, false),
            Mnemonic::Movsx | Mnemonic::Movsxd => self.extend(insn, uop, true),
            Mnemonic::Lea => {
                let bytes = insn.op0_register().size();
                uop.op = match bytes {
                    4 => Op::Lea32,
                    8 => Op::Lea64,
                    _ => return None,
                };
                uop.a = register_offset(insn.op0_register())?;
                self.address(insn, &mut uop, false)?;
                Some(uop)
            }
            Mnemonic::Inc => self.one(insn, uop, Op::IncR8, Some(Op::IncM8)),
            Mnemonic::Dec => self.one(insn, uop, Op::DecR8, Some(Op::DecM8)),
            Mnemonic::Neg => self.one(insn, uop, Op::NegR8, None),
            Mnemonic::Not => self.one(insn, uop, Op::NotR8, None),
            Mnemonic::Shl | Mnemonic::Sal => shift(insn, uop, Op::ShlRi32, Op::ShlRi8),
            Mnemonic::Shr => shift(insn, uop, Op::ShrRi32, Op::ShrRi8),
            Mnemonic::Sar => shift(insn, uop, Op::SarRi32, Op::SarRi8),
            Mnemonic::Rol => rotate(insn, uop, Op::RolRi32),
            Mnemonic::Ror => rotate(insn, uop, Op::RorRi32),
            Mnemonic::Shld => double_shift(insn, uop, Op::ShldRri32),
            Mnemonic::Shrd => double_shift(insn, uop, Op::ShrdRri32),
            Mnemonic::Bswap => one_wide(insn, uop, Op::Bswap32),
            Mnemonic::Mul => self.wide(insn, uop, Op::MulR32, Op::MulM32),
            Mnemonic::Xchg if !insn.has_rep_prefix() => {
                self.two_wide(insn, uop, Form::RegisterRegister, Op::XchgRr32)
            }
            Mnemonic::Imul => self.multiply(insn, uop),
            Mnemonic::Cwde => Some(Uop { op: Op::Cwde, ..uop }),
            Mnemonic::Cdqe => Some(Uop { op: Op::Cdqe, ..uop }),
            Mnemonic::Cdq => Some(Uop { op: Op::Cdq, ..uop }),
            Mnemonic::Cqo => Some(Uop { op: Op::Cqo, ..uop }),
            Mnemonic::Bt => self.bit(insn, uop, Op::BtRr32),
            Mnemonic::Bts => self.bit(insn, uop, Op::BtsRr32),
            Mnemonic::Btr => self.bit(insn, uop, Op::BtrRr32),
            Mnemonic::Btc => self.bit(insn, uop, Op::BtcRr32),
            Mnemonic::Bsf => self.two_wide(insn, uop, Form::RegisterRegister, Op::BsfRr32),
            Mnemonic::Bsr => self.two_wide(insn, uop, Form::RegisterRegister, Op::BsrRr32),
            Mnemonic::Nop | Mnemonic::Endbr32 | Mnemonic::Endbr64 | Mnemonic::Pause => {
                // `nop r/m` with a lock prefix and the like are none.
                Some(uop)
            }
            // Everything is in order, and nothing is fetched ahead.
            Mnemonic::Lfence
            | Mnemonic::Mfence
            | Mnemonic::Sfence
            | Mnemonic::Prefetchw
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2 => Some(uop),
            Mnemonic::Push => self.push_operand(insn, uop),
            Mnemonic::Pop => self.pop_operand(insn, uop),
            Mnemonic::Cli => Some(Uop { op: Op::Cli, ..uop }),
            Mnemonic::Sti => Some(Uop { op: Op::Sti, ..uop }),
            Mnemonic::Cld => Some(Uop { op: Op::Cld, ..uop }),
            Mnemonic::Pushfd if !wide => Some(Uop { op: Op::PushF32, ..uop }),
            Mnemonic::Pushfq if wide => Some(Uop { op: Op::PushF64, ..uop }),
            Mnemonic::Xadd => self.two_wide(insn, uop, Form::MemoryRegister, Op::XaddMr32),
            Mnemonic::Cmpxchg => self.two_wide(insn, uop, Form::MemoryRegister, Op::CmpxchgMr32),
            Mnemonic::Cmpxchg8b => {
                uop.op = Op::Cmpxchg8b;
                self.address(insn, &mut uop, true)?;
                Some(uop)
            }
            Mnemonic::Leave if matches!(insn.code(), Code::Leaved | Code::Leaveq) => {
                uop.op = if wide { Op::Leave64 } else { Op::Leave32 };
                Some(uop)
            }
            _ if insn.condition_code() != ConditionCode::None => self.conditional(insn, uop),
            _ => self.vector(insn, uop),
        }
    }

    /// An instruction with two operands of this form, of 4 or 8 bytes; `first` is that of 4.
    fn two_wide(&mut self, insn: &Instruction, mut uop: Uop, form: Form, first: Op) -> Option<Uop> {
        let (found, size) = self.operands(insn, &mut uop)?;
        uop.op = first.after(size.checked_sub(2)?);
        (found == form).then_some(uop)
    }

    /// BT, BTS, BTR or BTC of 4 or 8 bytes; `first` is that of 4 with two registers. A register's number of a bit may lead far
    /// away in memory.
    fn bit(&mut self, insn: &Instruction, mut uop: Uop, first: Op) -> Option<Uop> {
        let (form, size) = self.operands(insn, &mut uop)?;
        let place = match form {
            Form::RegisterRegister => 0,
            Form::RegisterImmediate => 2,
            Form::MemoryImmediate => 4,
            Form::RegisterMemory | Form::MemoryRegister => return None,
        };
        uop.op = first.after(place + size.checked_sub(2)?);
        Some(uop)
    }

    /// SETcc and CMOVcc.
    fn conditional(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let condition = (insn.condition_code() as u8).checked_sub(1)?;
        if insn.op_count() == 1 {
            uop.b = condition;
            if insn.op0_kind() == OpKind::Memory && insn.memory_size().size() == 1 {
                uop.op = Op::SetccM;
                self.address(insn, &mut uop, true)?;
                return Some(uop);
            }
            if insn.op0_kind() != OpKind::Register || insn.op0_register().size() != 1 {
                return None;
            }
            uop.op = Op::Setcc;
            uop.a = register_offset(insn.op0_register())?;
            return Some(uop);
        }
        let (form, size) = self.operands(insn, &mut uop)?;
        let first = match form {
            Form::RegisterRegister => {
                uop.base = condition;
                Op::CmovRr32
            }
            Form::RegisterMemory => {
                uop.b = condition;
                Op::CmovRm32
            }
            _ => return None,
        };
        uop.op = first.after(size.checked_sub(2)?);
        Some(uop)
    }

    fn arithmetic(&mut self, insn: &Instruction, mut uop: Uop, operation: u16) -> Option<Uop> {
        let (form, size) = self.operands(insn, &mut uop)?;
        uop.op = Op::AddRr8.after(operation * OPERATION + form as u16 * FORM + size);
        Some(uop)
    }

    /// An instruction with one operand.
    fn one(&mut self, insn: &Instruction, mut uop: Uop, register: Op, memory: Option<Op>) -> Option<Uop> {
        if insn.op0_kind() == OpKind::Register {
            uop.op = register.after(size_index(insn.op0_register().size())?);
            uop.a = register_offset(insn.op0_register())?;
        } else {
            uop.op = memory?.after(size_index(insn.memory_size().size())?);
            self.address(insn, &mut uop, true)?;
        }
        Some(uop)
    }

    fn extend(&mut self, insn: &Instruction, mut uop: Uop, signed: bool) -> Option<Uop> {
        let to = insn.op0_register().size();
        let memory = insn.op1_kind() == OpKind::Memory;
        let from = if memory { insn.memory_size().size() } else { insn.op1_register().size() };
        if to < 4 {
            return None;
        }
        uop.op = match (signed, from, to) {
            (false, 1, _) => Op::ZxRr8.after(if memory { 2 } else { 0 }),
            (false, 2, _) => Op::ZxRr16.after(if memory { 2 } else { 0 }),
            (true, _, _) => {
                let place = match (from, to) {
                    (1, 4) => 0,
                    (2, 4) => 1,
                    (1, 8) => 2,
                    (2, 8) => 3,
                    (4, 8) => 4,
                    _ => return None,
                };
                Op::SxRr8To32.after(place + if memory { 5 } else { 0 })
            }
            _ => return None,
        };
        uop.a = register_offset(insn.op0_register())?;
        if memory {
            self.address(insn, &mut uop, false)?;
        } else {
            uop.b = register_offset(insn.op1_register())?;
        }
        Some(uop)
    }

    fn multiply(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        if insn.op_count() < 2 {
            return None;
        }
        let place = size_index(insn.op0_register().size())?.checked_sub(2)?;
        uop.a = register_offset(insn.op0_register())?;
        let memory = insn.op1_kind() == OpKind::Memory;
        if memory {
            self.address(insn, &mut uop, false)?;
        } else {
            uop.b = register_offset(insn.op1_register())?;
        }
        let first = match (insn.op_count(), memory) {
            (2, false) => Op::ImulRr32,
            (2, true) => Op::ImulRm32,
            (_, false) => Op::ImulRri32,
            (_, true) => Op::ImulRmi32,
        };
        if insn.op_count() == 3 {
            uop.imm = insn.immediate(2) as i32;
        }
        uop.op = first.after(place);
        Some(uop)
    }

    fn push_operand(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let wide = self.mode.is_long();
        let place = u16::from(wide);
        match insn.op0_kind() {
            OpKind::Register if insn.op0_register().size() == stack_bytes(wide) => {
                uop.op = Op::PushR32.after(place);
                uop.a = register_offset(insn.op0_register())?;
            }
            OpKind::Memory if insn.memory_size().size() == stack_bytes(wide) => {
                uop.op = Op::PushM32.after(place);
                self.address(insn, &mut uop, false)?;
            }
            OpKind::Immediate8to32 | OpKind::Immediate32 if !wide => {
                uop.op = Op::PushI32;
                uop.imm = insn.immediate(0) as i32;
            }
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
                uop.op = Op::PushI64;
                uop.imm = insn.immediate(0) as i32;
            }
            _ => return None,
        }
        Some(uop)
    }

    fn pop_operand(&mut self, insn: &Instruction, mut uop: Uop) -> Option<Uop> {
        let wide = self.mode.is_long();
        let (place, bytes) = (u16::from(wide), stack_bytes(wide));
        match insn.op0_kind() {
            OpKind::Register if insn.op0_register().size() == bytes => {
                uop.op = Op::PopR32.after(place);
                uop.a = register_offset(insn.op0_register())?;
            }
            OpKind::Memory if insn.memory_size().size() == bytes => {
                uop.op = Op::PopM32.after(place);
                self.address(insn, &mut uop, true)?;
                if full_register(insn.memory_base()) == RSP {
                    // It counts as it is after the pop.
                    uop.disp = uop.disp.checked_add(bytes as i32)?;
                }
            }
            _ => return None,
        }
        Some(uop)
    }

    /// An instruction with one operand of 4 or 8 bytes: a register or memory that is read.
    fn wide(&mut self, insn: &Instruction, mut uop: Uop, register: Op, memory: Op) -> Option<Uop> {
        if insn.op0_kind() == OpKind::Register {
            return one_wide(insn, uop, register);
        }
        uop.op = memory.after(size_index(insn.memory_size().size())?.checked_sub(2)?);
        self.address(insn, &mut uop, false)?;
        Some(uop)
    }
}

/// An instruction with one register of 4 or 8 bytes.
fn one_wide(insn: &Instruction, mut uop: Uop, first: Op) -> Option<Uop> {
    if insn.op0_kind() != OpKind::Register {
        return None;
    }
    uop.op = first.after(size_index(insn.op0_register().size())?.checked_sub(2)?);
    uop.a = register_offset(insn.op0_register())?;
    Some(uop)
}

/// XOR or SUB of a register with itself, 4 or 8 bytes.
fn is_zeroing(insn: &Instruction) -> bool {
    insn.op0_kind() == OpKind::Register
        && insn.op1_kind() == OpKind::Register
        && insn.op0_register() == insn.op1_register()
        && insn.op0_register().size() >= 4
}

/// A shift of a register; `first` is that of 32 bits, `narrow` that of 8 bits by an immediate count.
fn shift(insn: &Instruction, uop: Uop, first: Op, narrow: Op) -> Option<Uop> {
    let bytes = insn.op0_register().size();
    if insn.op0_kind() != OpKind::Register || bytes > 2 {
        return shift_wide(insn, uop, first);
    }
    let count = insn.immediate(1) & 31;
    if insn.op1_kind() == OpKind::Register || count == 0 || count >= bytes as u64 * 8 {
        return None;
    }
    let (op, a) = (narrow.after(size_index(bytes)?), register_offset(insn.op0_register())?);
    Some(Uop { op, a, imm: count as i32, ..uop })
}

/// A shift or rotate of a register of 4 or 8 bytes.
fn shift_wide(insn: &Instruction, mut uop: Uop, first: Op) -> Option<Uop> {
    if insn.op0_kind() != OpKind::Register {
        return None;
    }
    let bytes = insn.op0_register().size();
    let place = size_index(bytes)?.checked_sub(2)?;
    uop.a = register_offset(insn.op0_register())?;
    if insn.op1_kind() == OpKind::Register {
        uop.op = first.after(2 + place);
    } else {
        let count = insn.immediate(1) & (bytes as u64 * 8 - 1);
        if count == 0 {
            return None;
        }
        uop.imm = count as i32;
        uop.op = first.after(place);
    }
    Some(uop)
}

fn rotate(insn: &Instruction, uop: Uop, first: Op) -> Option<Uop> {
    if insn.op1_kind() == OpKind::Register { None } else { shift_wide(insn, uop, first) }
}

/// SHLD and SHRD of 32-bit registers by an immediate count.
fn double_shift(insn: &Instruction, mut uop: Uop, op: Op) -> Option<Uop> {
    let registers = insn.op0_kind() == OpKind::Register && insn.op0_register().size() == 4;
    if !registers || insn.op2_kind() == OpKind::Register {
        return None;
    }
    let count = insn.immediate(2) & 31;
    if count == 0 {
        return None;
    }
    uop.op = op;
    uop.a = register_offset(insn.op0_register())?;
    uop.b = register_offset(insn.op1_register())?;
    uop.imm = count as i32;
    Some(uop)
}
