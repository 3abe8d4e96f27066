//! Micro-operations in WebAssembly: one function for each family of [`Op`]s, whose order in the list is relied upon.

mod arithmetic;
mod bits;
mod branches;
mod kernel;
mod moves;
mod products;
mod shifts;
mod stack;
mod vector;

use moves::{PARTS, WIDE_PARTS};

use super::flags::{Shift, Value};
use super::linear::Linear;
use super::page::{Page, Size};
use crate::code::{FORM, Form, OPERATION, Op, Uop};
use crate::flag;
use crate::interpret::{ADC, ADD, AND, CL, CMP, OR, RAX, RBP, RBX, RDX, RSP, SBB, SUB, XOR};

use super::body::sized;

/// How far `op` is from `first`, if it is one of the `count` operations from there on.
fn within(op: Op, first: Op, count: u16) -> Option<u16> {
    (op as u16).checked_sub(first as u16).filter(|distance| *distance < count)
}

/// The number of operations from `first` to `last`.
const fn span(first: Op, last: Op) -> u16 {
    (last as u16).wrapping_sub(first as u16).wrapping_add(1)
}

impl Page<'_> {
    /// Translates the micro-operation at `place`; whether the block ends with it.
    pub(super) fn micro_operation(&mut self, uop: &Uop, place: u32) -> bool {
        let op = uop.op;
        if within(op, Op::Jmp, span(Op::Jmp, Op::JmpM64)).is_some() {
            self.branch(uop, place);
            return true;
        }
        match op {
            Op::General => {
                self.general(place);
                return true;
            }
            Op::GeneralEnd => {
                self.general_end(place, uop.b != 0);
                return true;
            }
            Op::End => {
                self.store_flags();
                let way = self.way_on(self.number_of(place));
                self.go(way);
                return true;
            }
            _ => {
                if !self.straight(uop, place) {
                    self.leave_at(place);
                    return true;
                }
            }
        }
        false
    }

    /// An operation that does not branch; false if it has no translation.
    fn straight(&mut self, uop: &Uop, place: u32) -> bool {
        let op = uop.op;
        if let Some(number) = within(op, Op::AddRr8, 8 * OPERATION) {
            let form = Form::ALL[usize::from(number % OPERATION / FORM)];
            self.arithmetic(uop, place, (number / OPERATION) as u8, form, Size::of(number));
        } else if let Some(number) = within(op, Op::TestRr8, 16) {
            let form = match number / 4 {
                0 => Form::RegisterRegister,
                1 => Form::RegisterImmediate,
                2 => Form::MemoryRegister,
                _ => Form::MemoryImmediate,
            };
            let size = Size::of(number);
            let (a, b) = self.operands(uop, place, form, size);
            self.bitwise(AND, size, a, b);
        } else if let Some(number) = within(op, Op::LoadLoad, 14 * 14) {
            let parts = [PARTS[usize::from(number / 14)], PARTS[usize::from(number % 14)]];
            self.pair(uop, place, parts, Size::Double);
        } else if let Some(number) = within(op, Op::LoadLoad64, 12 * 12) {
            let parts = [WIDE_PARTS[usize::from(number / 12)], WIDE_PARTS[usize::from(number % 12)]];
            if !self.long && !parts.iter().all(|part| part.is_narrow()) {
                return false;
            }
            self.pair(uop, place, parts, Size::Quad);
        } else {
            return self.moves(uop, place)
                || self.single(uop, place)
                || self.stack(uop, place)
                || self.vector(uop, place);
        }
        true
    }

    /// Operations with one operand, shifts, products, conditions.
    fn single(&mut self, uop: &Uop, place: u32) -> bool {
        let op = uop.op;
        if let Some(number) = within(op, Op::IncR8, 8) {
            let size = Size::of(number);
            let operand = self.got(size, uop.a);
            let result = self.step(size, operand, number < 4);
            self.body.w().local_get(result);
            self.put(size, uop.a);
        } else if let Some(number) = within(op, Op::IncM8, 8) {
            let size = Size::of(number);
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), true, place);
            self.load_from(size, at);
            let operand = self.body.keep(size.is_wide());
            let result = self.step(size, operand, number < 4);
            self.store_to(size, at, 0, result);
        } else if let Some(number) = within(op, Op::NegR8, 4) {
            let size = Size::of(number);
            let b = self.got(size, uop.a);
            self.compute(SUB, size, Value::Constant(0), Value::Local(b), uop.a);
        } else if let Some(number) = within(op, Op::NotR8, 4) {
            let size = Size::of(number);
            self.get(size, uop.a);
            if size.is_wide() {
                self.body.w().i64_const(-1).i64_xor();
            } else {
                self.body.w().i32_const(-1).i32_xor();
            }
            self.put(size, uop.a);
        } else if let Some(number) = within(op, Op::ShlRi32, 12) {
            let by = match number / 4 {
                0 => Shift::Left,
                1 => Shift::Right,
                _ => Shift::Arithmetic,
            };
            let size = Size::of((number & 1).wrapping_add(2));
            if number & 2 == 0 {
                self.shift(size, uop.a, uop.imm as u32, by);
            } else {
                self.shift_by_cl(size, uop.a, by);
            }
        } else if let Some(number) = within(op, Op::ShlRi8, 6) {
            let by = match number / 2 {
                0 => Shift::Left,
                1 => Shift::Right,
                _ => Shift::Arithmetic,
            };
            self.shift(Size::of(number & 1), uop.a, uop.imm as u32, by);
        } else if let Some(number) = within(op, Op::ImulRr32, 8) {
            self.product(uop, place, number);
        } else if let Some(number) = within(op, Op::BtRr32, 24) {
            self.bit(uop, place, number);
        } else if let Some(number) = within(op, Op::BsfRr32, 4) {
            self.scan(uop, number);
        } else if let Some(number) = within(op, Op::RolRi32, 4) {
            self.rotate(Size::of((number & 1).wrapping_add(2)), uop.a, uop.imm as u32, number < 2);
        } else {
            return self.rest(uop, place);
        }
        true
    }

    fn rest(&mut self, uop: &Uop, place: u32) -> bool {
        match uop.op {
            Op::Nop => {}
            Op::Zero => self.zero(uop.a),
            Op::Lea32 | Op::Lea64 => {
                let address = self.operand(uop);
                self.body.w().local_get(address.local);
                let size = if uop.op == Op::Lea64 { Size::Quad } else { Size::Double };
                match (self.long, size.is_wide()) {
                    (true, false) => {
                        self.body.w().i32_wrap_i64();
                    }
                    (false, true) => {
                        self.body.w().i64_extend_i32_u();
                    }
                    _ => {}
                }
                self.put(size, uop.a);
            }
            Op::ShldRri32 | Op::ShrdRri32 => self.double_shift(uop),
            Op::Bswap32 => self.swap_bytes(uop.a),
            Op::XchgRr32 | Op::XchgRr64 => {
                let size = if uop.op == Op::XchgRr64 { Size::Quad } else { Size::Double };
                let (a, b) = (self.got(size, uop.a), self.got(size, uop.b));
                self.body.w().local_get(b);
                self.put(size, uop.a);
                self.body.w().local_get(a);
                self.put(size, uop.b);
            }
            Op::MulR32 | Op::MulR64 | Op::MulM32 | Op::MulM64 => self.multiply(uop, place),
            Op::Cwde => {
                self.get(Size::Word, RAX);
                self.put(Size::Double, RAX);
            }
            Op::Cdqe => {
                self.get(Size::Double, RAX);
                self.body.w().i64_extend_i32_s();
                self.put(Size::Quad, RAX);
            }
            Op::Cdq => {
                self.get(Size::Double, RAX);
                self.body.w().i32_const(31).i32_shr_s();
                self.put(Size::Double, RDX);
            }
            Op::Cqo => {
                self.get(Size::Quad, RAX);
                self.body.w().i64_const(63).i64_shr_s();
                self.put(Size::Quad, RDX);
            }
            Op::Setcc => {
                self.condition(uop.b);
                self.put(Size::Byte, uop.a);
            }
            Op::SetccM => {
                let address = self.operand(uop);
                let at = self.translated(address, 1, true, place);
                self.condition(uop.b);
                let value = self.body.keep(false);
                self.store_to(Size::Byte, at, 0, value);
            }
            Op::CmovRr32 | Op::CmovRr64 | Op::CmovRm32 | Op::CmovRm64 => self.conditional_move(uop, place),
            Op::Cld => self.clear_system_flag(flag::DF),
            Op::Cli => {
                self.need_kernel(place);
                self.clear_system_flag(flag::IF);
            }
            Op::Sti => self.interrupts_on(place),
            Op::XaddMr32 | Op::XaddMr64 => {
                let size = if uop.op == Op::XaddMr64 { Size::Quad } else { Size::Double };
                let address = self.operand(uop);
                let at = self.translated(address, size.bytes(), true, place);
                self.load_from(size, at);
                let old = self.body.keep(size.is_wide());
                let b = self.got(size, uop.a);
                let sum = self.operate(ADD, size, Value::Local(old), Value::Local(b));
                self.body.w().local_get(old);
                self.put(size, uop.a);
                self.store_to(size, at, 0, sum);
            }
            Op::CmpxchgMr32 | Op::CmpxchgMr64 => self.compare_and_exchange(uop, place),
            Op::Cmpxchg8b => self.compare_and_exchange_pair(uop, place),
            Op::LoadChain | Op::LoadChain64 => {
                let size = if uop.op == Op::LoadChain64 { Size::Quad } else { Size::Double };
                if size.is_wide() != self.long {
                    return false;
                }
                let first = self.address(uop.b, uop.disp);
                let at = self.translated(first, size.bytes(), false, place);
                self.load_from(size, at);
                let value = self.body.keep(size.is_wide());
                self.both(size, Value::Local(value), Value::Constant(uop.imm));
                sized!(self.body, size.is_wide(), i64_add, i32_add);
                let second = Linear { local: self.body.keep(size.is_wide()), symbol: None };
                let at = self.translated(second, size.bytes(), false, place);
                self.body.w().local_get(value);
                self.put(size, uop.a);
                self.load_from(size, at);
                self.put(size, uop.base);
            }
            _ => return false,
        }
        true
    }

    fn swap_bytes(&mut self, a: u8) {
        let value = self.got(Size::Double, a);
        self.body.w().local_get(value).i32_const(8).i32_rotl().i32_const(0x00FF_00FF).i32_and();
        self.body
            .w()
            .local_get(value)
            .i32_const(8)
            .i32_rotr()
            .i32_const(0xFF00_FF00_u32 as i32)
            .i32_and()
            .i32_or();
        self.put(Size::Double, a);
    }

    fn conditional_move(&mut self, uop: &Uop, place: u32) {
        let size = if matches!(uop.op, Op::CmovRr64 | Op::CmovRm64) { Size::Quad } else { Size::Double };
        let (value, condition) = if matches!(uop.op, Op::CmovRr32 | Op::CmovRr64) {
            (self.got(size, uop.b), uop.base)
        } else {
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), false, place);
            self.load_from(size, at);
            (self.body.keep(size.is_wide()), uop.b)
        };
        let old = self.got(size, uop.a);
        self.condition(condition);
        let holds = self.body.keep(false);
        self.body.w().local_get(value).local_get(old).local_get(holds).select();
        self.put(size, uop.a);
    }
}
