//! Moves, loads, stores and extensions, and pairs of simple instructions.

use super::super::body::sized;
use super::super::flags::{Pending, Shift, Value};
use super::super::linear::Linear;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};
use crate::flags::FlagsFrom;

/// The kinds of parts of pairs, in the order of the list of 32-bit pairs; `ZERO` and `NARROW` are in the other one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Load,
    Store,
    Move,
    Add,
    Xor,
    And,
    Or,
    AddI,
    AndI,
    SubI,
    Lea,
    ShrI,
    RorI,
    RolI,
    ShlI,
    Zero,
    Narrow,
}

impl Part {
    /// Whether it is the same in 32-bit code.
    pub(super) const fn is_narrow(self) -> bool {
        matches!(self, Self::Zero | Self::Narrow)
    }
}

pub(super) const PARTS: [Part; 14] = [
    Part::Load,
    Part::Store,
    Part::Move,
    Part::Add,
    Part::Xor,
    Part::And,
    Part::Or,
    Part::AddI,
    Part::AndI,
    Part::SubI,
    Part::Lea,
    Part::ShrI,
    Part::RorI,
    Part::RolI,
];

pub(super) const WIDE_PARTS: [Part; 12] = [
    Part::Load,
    Part::Store,
    Part::Move,
    Part::Lea,
    Part::Add,
    Part::AddI,
    Part::AndI,
    Part::SubI,
    Part::ShrI,
    Part::ShlI,
    Part::Zero,
    Part::Narrow,
];

impl Page<'_> {
    /// Moves, loads and stores, extensions.
    pub(super) fn moves(&mut self, uop: &Uop, place: u32) -> bool {
        let op = uop.op;
        if let Some(number) = within(op, Op::MovRr8, 4) {
            let size = Size::of(number);
            self.get(size, uop.b);
            self.put(size, uop.a);
            self.derive(size, uop.a, uop.b, 0);
        } else if let Some(number) = within(op, Op::MovRi8, 4) {
            let size = Size::of(number);
            if size.is_wide() {
                self.body.w().i64_const(uop.wide_immediate() as i64);
            } else {
                self.body.w().i32_const(uop.imm);
            }
            self.put(size, uop.a);
        } else if let Some(number) = within(op, Op::Load8, 4) {
            let address = self.operand(uop);
            self.load(Size::of(number), address, uop.a, place);
        } else if let Some(number) = within(op, Op::Store8, 4) {
            let address = self.operand(uop);
            self.store(Size::of(number), address, uop.a, place);
        } else if let Some(number) = within(op, Op::StoreI8, 4) {
            let size = Size::of(number);
            let address = self.operand(uop);
            let to = self.translated(address, size.bytes(), true, place);
            self.body.value(Value::Constant(uop.imm), size.is_wide());
            let value = self.body.keep(size.is_wide());
            self.store_to(size, to, 0, value);
        } else if let Some(number) = within(op, Op::LoadBase32, 2) {
            let address = self.address(uop.base, uop.disp);
            self.load(Size::of(number.wrapping_add(2)), address, uop.a, place);
        } else if let Some(number) = within(op, Op::StoreBase32, 2) {
            let address = self.address(uop.base, uop.disp);
            self.store(Size::of(number.wrapping_add(2)), address, uop.a, place);
        } else if let Some(number) = within(op, Op::ZxRr8, span(Op::ZxRr8, Op::SxLoad32To64)) {
            self.extension(uop, place, number);
        } else {
            return false;
        }
        true
    }

    /// Zero and sign extensions, by their place in the list.
    pub(super) fn extension(&mut self, uop: &Uop, place: u32, number: u16) {
        let zero = number < 4;
        let (from, to, memory) = match number {
            0 => (Size::Byte, Size::Double, false),
            1 => (Size::Word, Size::Double, false),
            2 => (Size::Byte, Size::Double, true),
            3 => (Size::Word, Size::Double, true),
            _ => {
                let number = number.wrapping_sub(4);
                let (from, to) = match number % 5 {
                    0 => (Size::Byte, Size::Double),
                    1 => (Size::Word, Size::Double),
                    2 => (Size::Byte, Size::Quad),
                    3 => (Size::Word, Size::Quad),
                    _ => (Size::Double, Size::Quad),
                };
                (from, to, number >= 5)
            }
        };
        if memory {
            let address = self.operand(uop);
            let at = self.translated(address, from.bytes(), false, place);
            self.load_from(from, at);
            match (zero, from) {
                (true, Size::Byte) => {
                    self.body.w().i32_const(0xFF).i32_and();
                }
                (true, _) => {
                    self.body.w().i32_const(0xFFFF).i32_and();
                }
                _ => {}
            }
        } else if zero {
            self.get_unsigned(from, uop.b);
        } else {
            self.get(from, uop.b);
        }
        if to.is_wide() {
            self.body.w().i64_extend_i32_s();
        }
        self.put(to, uop.a);
    }

    pub(super) fn load(&mut self, size: Size, address: Linear, to: u8, place: u32) {
        let at = self.translated(address, size.bytes(), false, place);
        self.load_from(size, at);
        self.put(size, to);
    }

    pub(super) fn store(&mut self, size: Size, address: Linear, from: u8, place: u32) {
        let to = self.translated(address, size.bytes(), true, place);
        let value = self.got(size, from);
        self.store_to(size, to, 0, value);
    }

    /// Two of the simple instructions; all that may fail comes first.
    pub(super) fn pair(&mut self, uop: &Uop, place: u32, parts: [Part; 2], size: Size) {
        let operands = [(uop.a, uop.b, uop.disp), (uop.base, uop.index, uop.imm)];
        let mut places = [0; 2];
        for ((part, (_, base, displacement)), at) in parts.iter().zip(operands).zip(&mut places) {
            if matches!(part, Part::Load | Part::Store) {
                let address = self.address(base, displacement);
                *at = self.translated(address, size.bytes(), *part == Part::Store, place);
            }
        }
        for ((part, (a, b, value)), at) in parts.into_iter().zip(operands).zip(places) {
            self.part(part, size, (a, b, value), at);
        }
    }

    pub(super) fn part(&mut self, part: Part, size: Size, (a, b, value): (u8, u8, i32), at: u32) {
        match part {
            Part::Load => {
                self.load_from(size, at);
                self.put(size, a);
            }
            Part::Store => {
                let value = self.got(size, a);
                self.store_to(size, at, 0, value);
            }
            Part::Move => {
                self.get(size, b);
                self.put(size, a);
                self.derive(size, a, b, 0);
            }
            Part::Narrow => {
                self.get(Size::Double, b);
                self.put(Size::Double, a);
            }
            Part::Zero => self.zero(a),
            Part::Lea => {
                self.get(size, b);
                self.body.value(Value::Constant(value), size.is_wide());
                sized!(self.body, size.is_wide(), i64_add, i32_add);
                self.put(size, a);
                self.derive(size, a, b, value);
            }
            Part::Add | Part::Xor | Part::And | Part::Or => {
                let operation = match part {
                    Part::Add => ADD,
                    Part::Xor => XOR,
                    Part::And => AND,
                    _ => OR,
                };
                let (x, y) = (self.got(size, a), self.got(size, b));
                self.compute(operation, size, Value::Local(x), Value::Local(y), a);
            }
            Part::AddI | Part::AndI | Part::SubI => {
                let operation = match part {
                    Part::AddI => ADD,
                    Part::AndI => AND,
                    _ => SUB,
                };
                let x = self.got(size, a);
                self.compute(operation, size, Value::Local(x), Value::Constant(value), a);
            }
            Part::ShrI => self.shift(size, a, value as u32, Shift::Right),
            Part::ShlI => self.shift(size, a, value as u32, Shift::Left),
            Part::RorI => self.rotate(size, a, value as u32, false),
            Part::RolI => self.rotate(size, a, value as u32, true),
        }
    }

    pub(super) fn zero(&mut self, a: u8) {
        self.body.w().i32_const(0);
        let result = self.body.keep(false);
        self.body.w().i32_const(0);
        self.put(Size::Double, a);
        let none = Value::Constant(0);
        self.set_pending(Pending::Operation {
            from: FlagsFrom::Logic,
            wide: false,
            a: none,
            b: none,
            result,
        });
    }

    /// Notes that a register is another one, plus `distance`.
    pub(super) fn derive(&mut self, size: Size, to: u8, from: u8, distance: i32) {
        if size == self.address_size() {
            // `from` may be what has just been written.
            let symbol = if to == from {
                None
            } else {
                Some(self.symbols.of(usize::from(from / 8)).and(distance.into()))
            };
            self.symbols.set(usize::from(to / 8), symbol);
        }
    }
}
