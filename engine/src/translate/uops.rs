//! Micro-operations in WebAssembly: one function for each family of [`Op`]s, whose order in the list is relied upon.

use std::rc::Rc;

use super::flags::{Pending, Shift, Value};
use super::helpers::Helper;
use super::linear::Linear;
use super::page::{Page, Size};
use crate::code::{Op, Uop};
use crate::flag;
use crate::flags::FlagsFrom;
use crate::interpret::Exit;

use super::body::{at, sized};

/// Places of registers.
const RAX: u8 = 0;
const CL: u8 = 8;
const RDX: u8 = 16;
const RSP: u8 = 32;
const RBP: u8 = 40;

/// The kinds of parts of pairs, in the order of the list of 32-bit pairs; `ZERO` and `NARROW` are in the other one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
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

const PARTS: [Part; 14] = [
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

const WIDE_PARTS: [Part; 12] = [
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

/// The eight basic operations, by their encoding.
const ADD: u16 = 0;
const OR: u16 = 1;
const ADC: u16 = 2;
const SBB: u16 = 3;
const AND: u16 = 4;
const SUB: u16 = 5;
const CMP: u16 = 7;

/// What an operation with two operands works on, in the order of the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    RegisterRegister,
    RegisterImmediate,
    RegisterMemory,
    MemoryRegister,
    MemoryImmediate,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::RegisterRegister,
        Self::RegisterImmediate,
        Self::RegisterMemory,
        Self::MemoryRegister,
        Self::MemoryImmediate,
    ];
}

/// Conditions of comparisons with a branch, in the order of the list.
const COMPARED: [u8; 12] = [4, 5, 2, 3, 6, 7, 12, 13, 14, 15, 8, 9];
/// Those of tests.
const TESTED: [u8; 6] = [4, 5, 8, 9, 14, 15];

/// A comparison together with a branch: the first operation of its family, how many there are, what it compares.
type Family = (Op, u16, Form, Size);

#[rustfmt::skip]
const COMPARISONS: [Family; 16] = [
    (Op::CmpRr8Je, 12, Form::RegisterRegister, Size::Byte), (Op::CmpRr32Je, 12, Form::RegisterRegister, Size::Double),
    (Op::CmpRr64Je, 12, Form::RegisterRegister, Size::Quad), (Op::CmpRi8Je, 12, Form::RegisterImmediate, Size::Byte),
    (Op::CmpRi32Je, 12, Form::RegisterImmediate, Size::Double), (Op::CmpRi64Je, 12, Form::RegisterImmediate, Size::Quad),
    (Op::CmpRm32Je, 12, Form::RegisterMemory, Size::Double), (Op::CmpMi8Je, 12, Form::MemoryImmediate, Size::Byte),
    (Op::CmpMi32Je, 12, Form::MemoryImmediate, Size::Double), (Op::CmpRi16Je, 12, Form::RegisterImmediate, Size::Word),
    (Op::CmpMr8Je, 12, Form::MemoryRegister, Size::Byte), (Op::CmpMr32Je, 12, Form::MemoryRegister, Size::Double),
    (Op::CmpRm64Je, 12, Form::RegisterMemory, Size::Quad), (Op::CmpMi64Je, 12, Form::MemoryImmediate, Size::Quad),
    (Op::CmpMr64Je, 12, Form::MemoryRegister, Size::Quad), (Op::SubMi32Je, 0, Form::MemoryImmediate, Size::Double),
];

#[rustfmt::skip]
const TESTS: [Family; 7] = [
    (Op::TestRr8Je, 6, Form::RegisterRegister, Size::Byte), (Op::TestRr32Je, 6, Form::RegisterRegister, Size::Double),
    (Op::TestRr64Je, 6, Form::RegisterRegister, Size::Quad), (Op::TestRi8Je, 6, Form::RegisterImmediate, Size::Byte),
    (Op::TestRi32Je, 6, Form::RegisterImmediate, Size::Double), (Op::TestRi64Je, 6, Form::RegisterImmediate, Size::Quad),
    (Op::TestMi8Je, 4, Form::MemoryImmediate, Size::Byte),
];

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
        if let Some(number) = within(op, Op::AddRr8, 8 * 20) {
            let form = Form::ALL[usize::from(number % 20 / 4)];
            self.arithmetic(uop, place, number / 20, form, Size::of(number));
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
            if !self.long {
                return false;
            }
            let parts = [WIDE_PARTS[usize::from(number / 12)], WIDE_PARTS[usize::from(number % 12)]];
            self.pair(uop, place, parts, Size::Quad);
        } else {
            return self.moves(uop, place) || self.single(uop, place) || self.stack(uop, place) || self.vector(uop, place);
        }
        true
    }

    /// Moves, loads and stores, extensions.
    fn moves(&mut self, uop: &Uop, place: u32) -> bool {
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
    fn extension(&mut self, uop: &Uop, place: u32, number: u16) {
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

    fn load(&mut self, size: Size, address: Linear, to: u8, place: u32) {
        let at = self.translated(address, size.bytes(), false, place);
        self.load_from(size, at);
        self.put(size, to);
    }

    fn store(&mut self, size: Size, address: Linear, from: u8, place: u32) {
        let to = self.translated(address, size.bytes(), true, place);
        let value = self.got(size, from);
        self.store_to(size, to, 0, value);
    }

    /// Two of the simple instructions; all that may fail comes first.
    fn pair(&mut self, uop: &Uop, place: u32, parts: [Part; 2], size: Size) {
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

    fn part(&mut self, part: Part, size: Size, (a, b, value): (u8, u8, i32), at: u32) {
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
                    Part::Xor => 6,
                    Part::And => AND,
                    _ => OR,
                };
                let (x, y) = (self.got(size, a), self.got(size, b));
                self.to_register(operation, size, Value::Local(x), Value::Local(y), a);
            }
            Part::AddI | Part::AndI | Part::SubI => {
                let operation = match part {
                    Part::AddI => ADD,
                    Part::AndI => AND,
                    _ => SUB,
                };
                let x = self.got(size, a);
                self.to_register(operation, size, Value::Local(x), Value::Constant(value), a);
            }
            Part::ShrI => self.shift(size, a, value as u32, Shift::Right),
            Part::ShlI => self.shift(size, a, value as u32, Shift::Left),
            Part::RorI => self.rotate(size, a, value as u32, false),
            Part::RolI => self.rotate(size, a, value as u32, true),
        }
    }

    fn zero(&mut self, a: u8) {
        self.body.w().i32_const(0);
        let result = self.body.keep(false);
        self.body.w().i32_const(0);
        self.put(Size::Double, a);
        let none = Value::Constant(0);
        self.set_pending(Pending::Operation { from: FlagsFrom::Logic, wide: false, a: none, b: none, result });
    }

    /// The operands of an operation that changes neither.
    fn operands(&mut self, uop: &Uop, place: u32, form: Form, size: Size) -> (Value, Value) {
        let memory = |page: &mut Self| {
            let address = page.operand(uop);
            let at = page.translated(address, size.bytes(), false, place);
            page.load_from(size, at);
            Value::Local(page.body.keep(size.is_wide()))
        };
        let immediate = Value::Constant(uop.imm);
        match form {
            Form::RegisterRegister => {
                (Value::Local(self.got(size, uop.a)), Value::Local(self.got(size, uop.b)))
            }
            Form::RegisterImmediate => (Value::Local(self.got(size, uop.a)), immediate),
            Form::RegisterMemory => {
                let b = memory(self);
                (Value::Local(self.got(size, uop.a)), b)
            }
            Form::MemoryRegister => {
                let a = memory(self);
                (a, Value::Local(self.got(size, uop.a)))
            }
            Form::MemoryImmediate => (memory(self), immediate),
        }
    }

    /// One of the eight basic operations.
    fn arithmetic(&mut self, uop: &Uop, place: u32, operation: u16, form: Form, size: Size) {
        let to_memory = matches!(form, Form::MemoryRegister | Form::MemoryImmediate) && operation != CMP;
        if to_memory {
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), true, place);
            self.load_from(size, at);
            let a = Value::Local(self.body.keep(size.is_wide()));
            let b = match form {
                Form::MemoryRegister => Value::Local(self.got(size, uop.a)),
                _ => Value::Constant(uop.imm),
            };
            let result = self.operate(operation, size, a, b);
            self.store_to(size, at, 0, result);
            return;
        }
        let (a, b) = self.operands(uop, place, form, size);
        if operation == CMP {
            self.operate(SUB, size, a, b);
        } else {
            self.to_register(operation, size, a, b, uop.a);
        }
    }

    /// An operation whose first operand is the register that takes the result.
    fn to_register(&mut self, operation: u16, size: Size, a: Value, b: Value, to: u8) {
        let before = self.symbols.of(usize::from(to / 8));
        let result = self.operate(operation, size, a, b);
        self.body.w().local_get(result);
        self.put(size, to);
        if let Value::Constant(constant) = b
            && size == self.address_size()
        {
            let symbol = match operation {
                ADD => Some(before.and(constant)),
                SUB => Some(before.and(constant.wrapping_neg())),
                _ => None,
            };
            self.symbols.set(usize::from(to / 8), symbol);
        }
    }

    /// Notes that a register is another one, plus `distance`.
    fn derive(&mut self, size: Size, to: u8, from: u8, distance: i32) {
        if size == self.address_size() {
            // `from` may be what has just been written.
            let symbol = if to == from { None } else { Some(self.symbols.of(usize::from(from / 8)).and(distance)) };
            self.symbols.set(usize::from(to / 8), symbol);
        }
    }

    /// Pushes both operands.
    fn both(&mut self, size: Size, a: Value, b: Value) {
        self.body.value(a, size.is_wide());
        self.body.value(b, size.is_wide());
    }

    /// Sign-extends the number on the stack again, and keeps it.
    fn wrapped(&mut self, size: Size) -> u32 {
        match size {
            Size::Byte => {
                self.body.w().i32_extend8_s();
            }
            Size::Word => {
                self.body.w().i32_extend16_s();
            }
            _ => {}
        }
        self.body.keep(size.is_wide())
    }

    /// An operation; its result, in a variable. Sets the flags.
    fn operate(&mut self, operation: u16, size: Size, a: Value, b: Value) -> u32 {
        let wide = size.is_wide();
        match operation {
            ADD | SUB | CMP => {
                self.both(size, a, b);
                match (operation == ADD, wide) {
                    (true, true) => {
            self.body.w().i64_add();
        }
                    (true, false) => {
            self.body.w().i32_add();
        }
                    (false, true) => {
            self.body.w().i64_sub();
        }
                    (false, false) => {
            self.body.w().i32_sub();
        }
                };
                let result = self.wrapped(size);
                let from = if operation == ADD { FlagsFrom::Add } else { FlagsFrom::Sub };
                self.set_pending(Pending::Operation { from, wide, a, b, result });
                result
            }
            ADC | SBB => {
                self.condition(2);
                let carry = self.body.keep(false);
                self.both(size, a, b);
                let up = operation == ADC;
                match (up, wide) {
                    (true, true) => {
                        self.body.w().i64_add().local_get(carry).i64_extend_i32_u().i64_add();
                    }
                    (true, false) => {
                        self.body.w().i32_add().local_get(carry).i32_add();
                    }
                    (false, true) => {
                        self.body.w().i64_sub().local_get(carry).i64_extend_i32_u().i64_sub();
                    }
                    (false, false) => {
                        self.body.w().i32_sub().local_get(carry).i32_sub();
                    }
                }
                let result = self.wrapped(size);
                let [with, without] = if up {
                    [FlagsFrom::AddCarry, FlagsFrom::Add]
                } else {
                    [FlagsFrom::SubBorrow, FlagsFrom::Sub]
                };
                self.body.w().i32_const(with as i32).i32_const(without as i32).local_get(carry).select();
                let from = self.body.keep(false);
                self.set_pending(Pending::Carried { from, wide, a, b, result });
                result
            }
            _ => self.bitwise(operation, size, a, b),
        }
    }

    fn bitwise(&mut self, operation: u16, size: Size, a: Value, b: Value) -> u32 {
        let wide = size.is_wide();
        self.both(size, a, b);
        match (operation, wide) {
            (AND, true) => {
            self.body.w().i64_and();
        }
            (AND, false) => {
            self.body.w().i32_and();
        }
            (OR, true) => {
            self.body.w().i64_or();
        }
            (OR, false) => {
            self.body.w().i32_or();
        }
            (_, true) => {
            self.body.w().i64_xor();
        }
            (_, false) => {
            self.body.w().i32_xor();
        }
        };
        let result = self.body.keep(wide);
        let none = Value::Constant(0);
        self.set_pending(Pending::Operation { from: FlagsFrom::Logic, wide, a: none, b: none, result });
        result
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
            self.to_register(SUB, size, Value::Constant(0), Value::Local(b), uop.a);
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
            Op::MulR32 | Op::MulR64 => self.multiply(uop),
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

    /// INC or DEC; its result, in a variable.
    fn step(&mut self, size: Size, operand: u32, up: bool) -> u32 {
        let wide = size.is_wide();
        self.both(size, Value::Local(operand), Value::Constant(if up { 1 } else { -1 }));
        sized!(self.body, wide, i64_add, i32_add);
        let result = self.wrapped(size);
        let before = match self.take_pending() {
            Pending::Step { before, .. } => before,
            other => Rc::new(other),
        };
        self.set_pending(Pending::Step { up, wide, before, operand, result });
        result
    }

    /// A shift by a constant that is not zero and below the size.
    fn shift(&mut self, size: Size, a: u8, count: u32, by: Shift) {
        let operand = self.got(size, a);
        let wide = size.is_wide();
        self.body.w().local_get(operand);
        if by == Shift::Right {
            self.zero_extend(size);
        }
        self.body.value(Value::Constant(count as i32), wide);
        match (by, wide) {
            (Shift::Left, true) => {
            self.body.w().i64_shl();
        }
            (Shift::Left, false) => {
            self.body.w().i32_shl();
        }
            (Shift::Right, true) => {
            self.body.w().i64_shr_u();
        }
            (Shift::Right, false) => {
            self.body.w().i32_shr_u();
        }
            (Shift::Arithmetic, true) => {
            self.body.w().i64_shr_s();
        }
            (Shift::Arithmetic, false) => {
            self.body.w().i32_shr_s();
        }
        };
        let result = self.wrapped(size);
        self.body.w().local_get(result);
        self.put(size, a);
        self.set_pending(Pending::Shift { by, bits: size.bits(), count, operand, result });
    }

    /// Clears what sign extension has set.
    fn zero_extend(&mut self, size: Size) {
        match size {
            Size::Byte => self.body.w().i32_const(0xFF).i32_and(),
            Size::Word => self.body.w().i32_const(0xFFFF).i32_and(),
            _ => return,
        };
    }

    /// A shift by CL: the flags stay if the count is zero.
    fn shift_by_cl(&mut self, size: Size, a: u8, by: Shift) {
        self.store_flags();
        let wide = size.is_wide();
        let operand = self.got(size, a);
        self.get(Size::Byte, CL);
        self.body.w().i32_const(if wide { 63 } else { 31 }).i32_and();
        let count = self.body.keep(false);
        self.body.w().local_get(operand).local_get(count);
        if wide {
            self.body.w().i64_extend_i32_u();
        }
        match (by, wide) {
            (Shift::Left, true) => {
            self.body.w().i64_shl();
        }
            (Shift::Left, false) => {
            self.body.w().i32_shl();
        }
            (Shift::Right, true) => {
            self.body.w().i64_shr_u();
        }
            (Shift::Right, false) => {
            self.body.w().i32_shr_u();
        }
            (Shift::Arithmetic, true) => {
            self.body.w().i64_shr_s();
        }
            (Shift::Arithmetic, false) => {
            self.body.w().i32_shr_s();
        }
        };
        let result = self.body.keep(wide);
        self.body.w().local_get(result);
        self.put(size, a);
        // The carry: the last bit that left, at the top of what one bit less leaves, or at its bottom.
        self.body.w().local_get(count);
        self.body.when();
        self.body.w().local_get(operand).local_get(count).i32_const(1).i32_sub();
        if wide {
            self.body.w().i64_extend_i32_u();
        }
        let top = size.bits().wrapping_sub(1);
        match (by, wide) {
            (Shift::Left, true) => {
                self.body.w().i64_shl().i64_const(top.into()).i64_shr_u().i32_wrap_i64();
            }
            (Shift::Left, false) => {
                self.body.w().i32_shl().i32_const(top as i32).i32_shr_u();
            }
            (_, true) => {
                self.body.w().i64_shr_s().i32_wrap_i64().i32_const(1).i32_and();
            }
            (_, false) => {
                self.body.w().i32_shr_s().i32_const(1).i32_and();
            }
        }
        let carry = self.body.keep(false);
        self.body.w().local_get(carry);
        let sign = |page: &mut Self, local: u32| {
            if wide {
                page.body.w().local_get(local).i64_const(63).i64_shr_u().i32_wrap_i64();
            } else {
                page.body.w().local_get(local).i32_const(31).i32_shr_u();
            }
        };
        match by {
            Shift::Left => {
                sign(self, result);
                self.body.w().local_get(carry).i32_xor().i32_const(11).i32_shl().i32_or();
            }
            Shift::Right => {
                sign(self, operand);
                self.body.w().i32_const(11).i32_shl().i32_or();
            }
            Shift::Arithmetic => {}
        }
        let bits = self.body.keep(false);
        self.body.store_flags(self.places, &Pending::Bits { wide, bits, result });
        self.body.end();
    }

    fn rotate(&mut self, size: Size, a: u8, count: u32, left: bool) {
        let wide = size.is_wide();
        self.get(size, a);
        self.body.value(Value::Constant(count as i32), wide);
        match (left, wide) {
            (true, true) => {
            self.body.w().i64_rotl();
        }
            (true, false) => {
            self.body.w().i32_rotl();
        }
            (false, true) => {
            self.body.w().i64_rotr();
        }
            (false, false) => {
            self.body.w().i32_rotr();
        }
        };
        let result = self.body.keep(wide);
        self.body.w().local_get(result);
        self.put(size, a);
        let bit = |page: &mut Self, number: u32| {
            page.body.w().local_get(result);
            if wide {
                page.body.w().i64_const(number.into()).i64_shr_u().i32_wrap_i64();
            } else {
                page.body.w().i32_const(number as i32).i32_shr_u();
            }
            page.body.w().i32_const(1).i32_and();
        };
        let top = size.bits().wrapping_sub(1);
        let (carry, other) = if left { (0, top) } else { (top, top.wrapping_sub(1)) };
        bit(self, carry);
        bit(self, carry);
        bit(self, other);
        self.body.w().i32_xor().i32_const(11).i32_shl().i32_or();
        let bits = self.body.keep(false);
        let before = match self.take_pending() {
            Pending::Rotate { before, .. } => before,
            other => Rc::new(other),
        };
        self.set_pending(Pending::Rotate { bits, before });
    }

    fn product(&mut self, uop: &Uop, place: u32, number: u16) {
        let size = Size::of((number & 1).wrapping_add(2));
        let with_memory = number & 2 != 0;
        let memory = if with_memory {
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), false, place);
            self.load_from(size, at);
            Some(Value::Local(self.body.keep(size.is_wide())))
        } else {
            None
        };
        let (a, b) = if number < 4 {
            let b = memory.unwrap_or_else(|| Value::Local(self.got(size, uop.b)));
            (Value::Local(self.got(size, uop.a)), b)
        } else {
            let a = memory.unwrap_or_else(|| Value::Local(self.got(size, uop.b)));
            (a, Value::Constant(uop.imm))
        };
        if size.is_wide() {
            self.both(size, a, b);
            self.body.w().i64_mul();
            let result = self.body.keep(true);
            self.set_pending(Pending::WideProduct { a, b, result });
            self.body.w().local_get(result);
        } else {
            for value in [a, b] {
                match value {
                    Value::Constant(constant) => {
                        self.body.w().i64_const(constant.into());
                    }
                    Value::Local(local) => {
                        self.body.w().local_get(local).i64_extend_i32_s();
                    }
                }
            }
            self.body.w().i64_mul();
            let full = self.body.keep(true);
            self.body.w().local_get(full).i32_wrap_i64();
            let result = self.body.keep(false);
            self.set_pending(Pending::Product { full, result });
            self.body.w().local_get(result);
        }
        self.put(size, uop.a);
    }

    /// MUL of RAX.
    fn multiply(&mut self, uop: &Uop) {
        let both = (flag::CF | flag::OF) as i32;
        if uop.op == Op::MulR32 {
            let (a, b) = (self.got(Size::Double, uop.a), self.got(Size::Double, RAX));
            self.body.w().local_get(a).i64_extend_i32_u().local_get(b).i64_extend_i32_u().i64_mul();
            let product = self.body.keep(true);
            self.body.w().local_get(product).i32_wrap_i64();
            let result = self.body.keep(false);
            self.body.w().local_get(product).i64_const(32).i64_shr_u().i32_wrap_i64();
            let high = self.body.keep(false);
            self.body.w().local_get(result);
            self.put(Size::Double, RAX);
            self.body.w().local_get(high);
            self.put(Size::Double, RDX);
            self.body.w().i32_const(both).i32_const(0).local_get(high).select();
            let bits = self.body.keep(false);
            self.set_pending(Pending::Bits { wide: false, bits, result });
        } else {
            let (a, b) = (self.got(Size::Quad, uop.a), self.got(Size::Quad, RAX));
            self.body.w().local_get(a).local_get(b).i64_mul();
            let result = self.body.keep(true);
            self.body.w().local_get(a).local_get(b).call(Helper::UnsignedHigh.index());
            let high = self.body.keep(true);
            self.body.w().local_get(result);
            self.put(Size::Quad, RAX);
            self.body.w().local_get(high);
            self.put(Size::Quad, RDX);
            self.body.w().i32_const(0).i32_const(both).local_get(high).i64_eqz().select();
            let bits = self.body.keep(false);
            self.set_pending(Pending::Bits { wide: true, bits, result });
        }
    }

    /// SHLD and SHRD.
    fn double_shift(&mut self, uop: &Uop) {
        let count = uop.imm;
        let rest = 32i32.wrapping_sub(count);
        let (old, other) = (self.got(Size::Double, uop.a), self.got(Size::Double, uop.b));
        if uop.op == Op::ShldRri32 {
            self.body.w().local_get(old).i32_const(count).i32_shl();
            self.body.w().local_get(other).i32_const(rest).i32_shr_u().i32_or();
        } else {
            self.body.w().local_get(old).i32_const(count).i32_shr_u();
            self.body.w().local_get(other).i32_const(rest).i32_shl().i32_or();
        }
        let result = self.body.keep(false);
        self.body.w().local_get(result);
        self.put(Size::Double, uop.a);
        if uop.op == Op::ShldRri32 {
            self.body.w().local_get(old).i32_const(rest).i32_shr_u().i32_const(1).i32_and();
            self.body.w().local_get(result).local_get(old).i32_xor().i32_const(31).i32_shr_u();
        } else {
            self.body.w().local_get(old).i32_const(count.wrapping_sub(1)).i32_shr_u().i32_const(1).i32_and();
            self.body.w().local_get(result).i32_const(31).i32_shr_u();
            self.body.w().local_get(result).i32_const(30).i32_shr_u().i32_xor().i32_const(1).i32_and();
        }
        self.body.w().i32_const(11).i32_shl().i32_or();
        let bits = self.body.keep(false);
        self.set_pending(Pending::Bits { wide: false, bits, result });
    }

    fn swap_bytes(&mut self, a: u8) {
        let value = self.got(Size::Double, a);
        self.body.w().local_get(value).i32_const(8).i32_rotl().i32_const(0x00FF_00FF).i32_and();
        self.body.w().local_get(value).i32_const(8).i32_rotr().i32_const(0xFF00_FF00_u32 as i32).i32_and().i32_or();
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

    fn clear_system_flag(&mut self, flag: u32) {
        let place = self.places.system_flags();
        self.body.w().i32_const(0);
        self.body.load32(place);
        self.body.w().i32_const(!flag as i32).i32_and().i32_store(at(place));
    }

    /// Leaves `uop` to the interpreter in ring 3.
    fn need_kernel(&mut self, uop: u32) {
        let miss = self.miss(uop);
        self.body.w().i32_const(0).i32_load8_u(at(self.places.cpl()));
        self.body.br_if_unlikely(miss);
    }

    fn interrupts_on(&mut self, uop: u32) {
        self.need_kernel(uop);
        let places = self.places;
        self.body.load32(places.system_flags());
        self.body.w().i32_const(flag::IF as i32).i32_and().i32_eqz();
        self.body.when();
        self.body.w().i32_const(0);
        self.body.load32(places.system_flags());
        self.body.w().i32_const(flag::IF as i32).i32_or().i32_store(at(places.system_flags()));
        self.body.w().i32_const(0).i32_const(1).i32_store8(at(places.interrupt_shadow()));
        self.body.load32(places.interrupt_line());
        self.body.when();
        self.body.w().i32_const(0).i32_const(uop as i32).i32_store(at(places.uop()));
        self.leave_at(Exit::CHANGED.number());
        self.body.end();
        self.body.end();
    }

    fn compare_and_exchange(&mut self, uop: &Uop, place: u32) {
        let size = if uop.op == Op::CmpxchgMr64 { Size::Quad } else { Size::Double };
        let wide = size.is_wide();
        let address = self.operand(uop);
        let at = self.translated(address, size.bytes(), true, place);
        self.load_from(size, at);
        let old = self.body.keep(wide);
        let expected = self.got(size, RAX);
        let new = self.got(size, uop.a);
        self.operate(SUB, size, Value::Local(expected), Value::Local(old));
        self.body.w().local_get(old).local_get(expected);
        sized!(self.body, wide, i64_eq, i32_eq);
        let equal = self.body.keep(false);
        self.body.w().local_get(new).local_get(old).local_get(equal).select();
        let stored = self.body.keep(wide);
        self.store_to(size, at, 0, stored);
        // A register of 4 bytes is written, and its upper half cleared, only if they differ.
        self.get(Size::Quad, RAX);
        self.body.w().local_get(old);
        if !wide {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().local_get(equal).select();
        self.put(Size::Quad, RAX);
    }

    /// Keeps RSP less `bytes`.
    fn below_top(&mut self, bytes: u32) -> Linear {
        self.address(RSP, (bytes as i32).wrapping_neg())
    }

    /// Sets RSP.
    fn set_top(&mut self, size: Size, top: Linear) {
        self.body.w().local_get(top.local);
        self.put(size, RSP);
        self.symbols.set(usize::from(RSP / 8), top.symbol);
    }

    /// Adds to RSP.
    fn raise_top(&mut self, size: Size, bytes: i32) {
        let top = self.address(RSP, bytes);
        self.set_top(size, top);
    }

    /// Pushes variables; the last one comes first in memory.
    fn push_all(&mut self, size: Size, values: &[u32], place: u32) {
        let bytes = size.bytes().wrapping_mul(values.len() as u32);
        let top = self.below_top(bytes);
        let to = self.translated(top, bytes, true, place);
        self.store_pushed(size, to, values);
        self.set_top(size, top);
    }

    fn store_pushed(&mut self, size: Size, to: u32, values: &[u32]) {
        for (number, value) in values.iter().rev().enumerate() {
            self.store_to(size, to, size.bytes().wrapping_mul(number as u32), *value);
        }
    }

    fn got_all(&mut self, size: Size, registers: &[u8]) -> Vec<u32> {
        registers.iter().map(|register| self.got(size, *register)).collect()
    }

    fn push_registers(&mut self, size: Size, registers: &[u8], place: u32) {
        let values = self.got_all(size, registers);
        self.push_all(size, &values, place);
    }

    /// Keeps as many values from the stack; RSP stays.
    fn popped(&mut self, size: Size, count: u32, place: u32) -> Vec<u32> {
        let top = self.below_top(0);
        let bytes = size.bytes();
        let from = self.translated(top, bytes.wrapping_mul(count), false, place);
        (0..count)
            .map(|number| {
                self.body.w().local_get(from);
                let offset = at(bytes.wrapping_mul(number));
                match size {
                    Size::Quad => self.body.w().i64_load(offset),
                    _ => self.body.w().i32_load(offset),
                };
                self.body.keep(size.is_wide())
            })
            .collect()
    }

    fn pop_registers(&mut self, size: Size, registers: &[u8], place: u32) {
        let values = self.popped(size, registers.len() as u32, place);
        self.raise_top(size, size.bytes().wrapping_mul(registers.len() as u32) as i32);
        self.put_all(size, registers, &values);
    }

    fn put_all(&mut self, size: Size, registers: &[u8], values: &[u32]) {
        for (register, value) in registers.iter().zip(values) {
            self.body.w().local_get(*value);
            self.put(size, *register);
        }
    }

    fn stack(&mut self, uop: &Uop, place: u32) -> bool {
        let (double, quad) = (Size::Double, Size::Quad);
        match uop.op {
            Op::PushR32 => self.push_registers(double, &[uop.a], place),
            Op::PushR64 => self.push_registers(quad, &[uop.a], place),
            Op::PushI32 | Op::PushI64 => {
                let size = if uop.op == Op::PushI64 { quad } else { double };
                self.body.value(Value::Constant(uop.imm), size.is_wide());
                let value = self.body.keep(size.is_wide());
                self.push_all(size, &[value], place);
            }
            Op::PushM32 | Op::PushM64 => {
                let size = if uop.op == Op::PushM64 { quad } else { double };
                let address = self.operand(uop);
                let at = self.translated(address, size.bytes(), false, place);
                self.load_from(size, at);
                let value = self.body.keep(size.is_wide());
                self.push_all(size, &[value], place);
            }
            Op::PopR32 => self.pop_registers(double, &[uop.a], place),
            Op::PopR64 => self.pop_registers(quad, &[uop.a], place),
            Op::Leave32 | Op::Leave64 => {
                let size = if uop.op == Op::Leave64 { quad } else { double };
                let frame = self.address(RBP, 0);
                let at = self.translated(frame, size.bytes(), false, place);
                self.load_from(size, at);
                let value = self.body.keep(size.is_wide());
                let top = self.address(RBP, size.bytes() as i32);
                self.set_top(size, top);
                self.body.w().local_get(value);
                self.put(size, RBP);
            }
            Op::PushF32 | Op::PushF64 => {
                let size = if uop.op == Op::PushF64 { quad } else { double };
                self.store_flags();
                self.body.w().call(Helper::PushedFlags.index());
                if size.is_wide() {
                    self.body.w().i64_extend_i32_u();
                }
                let value = self.body.keep(size.is_wide());
                self.push_all(size, &[value], place);
            }
            Op::PushPush32 => self.push_registers(double, &[uop.a, uop.base], place),
            Op::PushPush64 => self.push_registers(quad, &[uop.a, uop.base], place),
            Op::ThreePushes32 => self.push_registers(double, &[uop.a, uop.base, uop.b], place),
            Op::ThreePushes64 => self.push_registers(quad, &[uop.a, uop.base, uop.b], place),
            Op::FourPushes32 => self.push_registers(double, &[uop.a, uop.base, uop.b, uop.index], place),
            Op::FourPushes64 => self.push_registers(quad, &[uop.a, uop.base, uop.b, uop.index], place),
            Op::PopPop32 => self.pop_registers(double, &[uop.a, uop.base], place),
            Op::PopPop64 => self.pop_registers(quad, &[uop.a, uop.base], place),
            Op::FourPops32 => self.pop_registers(double, &[uop.a, uop.base, uop.b, uop.index], place),
            Op::FourPops64 => self.pop_registers(quad, &[uop.a, uop.base, uop.b, uop.index], place),
            Op::PushSub32 | Op::PushPushSub32 => {
                let registers: &[u8] =
                    if uop.op == Op::PushSub32 { &[uop.a] } else { &[uop.a, uop.base] };
                let values = self.got_all(double, registers);
                let bytes = (values.len() as u32).wrapping_mul(4);
                let top = self.below_top(bytes);
                let to = self.translated(top, bytes, true, place);
                self.store_pushed(double, to, &values);
                self.to_register(SUB, double, Value::Local(top.local), Value::Constant(uop.imm), RSP);
                self.symbols.set(usize::from(RSP / 8), top.symbol.map(|top| top.and(uop.imm.wrapping_neg())));
            }
            Op::PushMove64 => {
                self.push_registers(quad, &[uop.a], place);
                self.get(quad, uop.index);
                self.put(quad, uop.base);
            }
            Op::MovePush64 => {
                let top = self.below_top(8);
                let to = self.translated(top, 8, true, place);
                self.get(quad, uop.b);
                self.put(quad, uop.a);
                let value = self.got(quad, uop.base);
                self.store_to(quad, to, 0, value);
                self.set_top(quad, top);
            }
            _ => return false,
        }
        true
    }

    /// XMM registers.
    fn vector(&mut self, uop: &Uop, place: u32) -> bool {
        if within(uop.op, Op::VectorRr, span(Op::VectorRr, Op::VectorMask8)).is_none() {
            return false;
        }
        self.need_sse(place);
        let (a, b) = (self.places.vector(uop.a), self.places.vector(uop.b));
        match uop.op {
            Op::VectorRr => {
                self.body.w().i32_const(0).i32_const(0).v128_load(at(b)).v128_store(at(a));
            }
            Op::VectorLoad | Op::VectorLoadAligned => {
                let from = self.vector_operand(uop, place, uop.op == Op::VectorLoadAligned, false);
                self.body.w().i32_const(0).local_get(from).v128_load(at(0)).v128_store(at(a));
            }
            Op::VectorStore | Op::VectorStoreAligned => {
                let to = self.vector_operand(uop, place, uop.op == Op::VectorStoreAligned, true);
                self.body.w().local_get(to).i32_const(0).v128_load(at(a)).v128_store(at(0));
            }
            Op::VectorRr64 => {
                self.body.w().i32_const(0).i32_const(0).v128_load64_zero(at(b)).v128_store(at(a));
            }
            Op::VectorLoad64 => {
                let address = self.operand(uop);
                let from = self.translated(address, 8, false, place);
                self.body.w().i32_const(0).local_get(from).v128_load64_zero(at(0)).v128_store(at(a));
            }
            Op::VectorStore64 => {
                let address = self.operand(uop);
                let to = self.translated(address, 8, true, place);
                self.body.w().local_get(to).i32_const(0).i64_load(at(a)).i64_store(at(0));
            }
            Op::VectorFrom32 | Op::VectorFrom64 => {
                self.body.w().i32_const(0);
                if uop.op == Op::VectorFrom64 {
                    self.get(Size::Quad, uop.b);
                } else {
                    self.get(Size::Double, uop.b);
                    self.body.w().i64_extend_i32_u();
                }
                self.body.w().i64_store(at(a));
                self.body.w().i32_const(0).i64_const(0).i64_store(at(a.wrapping_add(8)));
            }
            Op::VectorTo32 => {
                self.body.load32(b);
                self.put(Size::Double, uop.a);
            }
            Op::VectorTo64 => {
                self.body.load64(b);
                self.put(Size::Quad, uop.a);
            }
            Op::VectorXor => {
                self.body.w().i32_const(0).i32_const(0).v128_load(at(a)).i32_const(0).v128_load(at(b));
                self.body.w().v128_xor().v128_store(at(a));
            }
            Op::VectorEqual8 => {
                self.body.w().i32_const(0).i32_const(0).v128_load(at(a)).i32_const(0).v128_load(at(b));
                self.body.w().i8x16_eq().v128_store(at(a));
            }
            _ => {
                self.body.w().i32_const(0).v128_load(at(b)).i8x16_bitmask();
                self.put(Size::Double, uop.a);
            }
        }
        true
    }

    fn vector_operand(&mut self, uop: &Uop, place: u32, aligned: bool, write: bool) -> u32 {
        let address = self.operand(uop);
        if aligned {
            let miss = self.miss(place);
            self.body.w().local_get(address.local);
            if self.long {
                self.body.w().i32_wrap_i64();
            }
            self.body.w().i32_const(15).i32_and();
            self.body.br_if_unlikely(miss);
        }
        self.translated(address, 16, write, place)
    }

    fn branch(&mut self, uop: &Uop, place: u32) {
        let links = self.number_of(place).wrapping_add(1);
        let op = uop.op;
        if let Some(number) = within(op, Op::Jo, 16) {
            self.condition(number as u8);
            self.either(links);
            return;
        }
        for (first, count, form, size) in COMPARISONS {
            if let Some(number) = within(op, first, count) {
                let (a, b) = self.operands(uop, place, form, size);
                self.operate(SUB, size, a, b);
                self.condition(COMPARED[usize::from(number)]);
                self.either(links);
                return;
            }
        }
        for (first, count, form, size) in TESTS {
            if let Some(number) = within(op, first, count) {
                let (a, b) = self.operands(uop, place, form, size);
                self.bitwise(AND, size, a, b);
                self.condition(TESTED[usize::from(number)]);
                self.either(links);
                return;
            }
        }
        if !self.joined_branch(uop, place, links) && !self.call_or_return(uop, place, links) {
            self.leave_at(place);
        }
    }

    /// With a condition on the stack: one of the two ways.
    fn either(&mut self, links: u32) {
        let holds = self.body.keep(false);
        self.store_flags();
        let [taken, other] = self.ways(links);
        self.body.w().local_get(holds);
        self.go_when(taken);
        self.go(other);
    }

    /// Branches joined with more than a comparison.
    fn joined_branch(&mut self, uop: &Uop, place: u32, links: u32) -> bool {
        let double = Size::Double;
        let register = |page: &mut Self, size: Size, at: u8| Value::Local(page.got(size, at));
        let condition = match uop.op {
            Op::AndRi32Je | Op::AndRi32Jne => {
                let a = register(self, double, uop.a);
                self.to_register(AND, double, a, Value::Constant(uop.imm), uop.a);
                if uop.op == Op::AndRi32Je { 4 } else { 5 }
            }
            Op::SubMi32Je | Op::SubMi32Jne | Op::SubMi64Je | Op::SubMi64Jne => {
                let size = if matches!(uop.op, Op::SubMi64Je | Op::SubMi64Jne) { Size::Quad } else { double };
                self.arithmetic(uop, place, SUB, Form::MemoryImmediate, size);
                if matches!(uop.op, Op::SubMi32Je | Op::SubMi64Je) { 4 } else { 5 }
            }
            Op::LoadTestJe | Op::LoadTestJne | Op::LoadTestJe64 | Op::LoadTestJne64 => {
                let wide = matches!(uop.op, Op::LoadTestJe64 | Op::LoadTestJne64);
                let size = if wide { Size::Quad } else { double };
                let address = self.address(uop.base, uop.disp);
                self.load(size, address, uop.a, place);
                let value = register(self, size, uop.a);
                self.bitwise(AND, size, value, value);
                if matches!(uop.op, Op::LoadTestJe | Op::LoadTestJe64) { 4 } else { 5 }
            }
            Op::LoadTestIJe | Op::LoadTestIJne => {
                let address = self.address(uop.base, uop.disp);
                self.load(double, address, uop.a, place);
                let value = register(self, Size::Byte, uop.b);
                self.bitwise(AND, Size::Byte, value, Value::Constant(uop.imm));
                if uop.op == Op::LoadTestIJe { 4 } else { 5 }
            }
            Op::AddITestJe | Op::AddITestJne | Op::AddICmpIJe | Op::AddICmpIJne | Op::AddICmpIJb => {
                let a = register(self, double, uop.a);
                self.to_register(ADD, double, a, Value::Constant(uop.disp), uop.a);
                let b = register(self, double, uop.b);
                if matches!(uop.op, Op::AddITestJe | Op::AddITestJne) {
                    self.bitwise(AND, double, b, b);
                } else {
                    self.operate(SUB, double, b, Value::Constant(uop.imm));
                }
                match uop.op {
                    Op::AddITestJe | Op::AddICmpIJe => 4,
                    Op::AddITestJne | Op::AddICmpIJne => 5,
                    _ => 2,
                }
            }
            _ => return false,
        };
        self.condition(condition);
        self.either(links);
        true
    }

    fn call_or_return(&mut self, uop: &Uop, place: u32, links: u32) -> bool {
        let (double, quad) = (Size::Double, Size::Quad);
        match uop.op {
            Op::Jmp => self.jump(links),
            Op::Call32 => self.call(double, &[], place, links),
            Op::Call64 => self.call(quad, &[], place, links),
            Op::PushCall32 => self.call(double, &[uop.a], place, links),
            Op::PushPushCall32 => self.call(double, &[uop.a, uop.base], place, links),
            Op::MoveCall32 | Op::MoveCall64 => {
                let size = if uop.op == Op::MoveCall64 { quad } else { double };
                let top = self.below_top(size.bytes());
                let to = self.translated(top, size.bytes(), true, place);
                self.get(size, uop.b);
                self.put(size, uop.a);
                let back = self.return_address(size, links);
                self.store_to(size, to, 0, back);
                self.set_top(size, top);
                self.jump(links);
            }
            Op::CallR32 | Op::CallR64 | Op::CallM32 | Op::CallM64 | Op::JmpR32 | Op::JmpR64 | Op::JmpM32 | Op::JmpM64 => {
                self.indirect(uop, place, links);
            }
            Op::Ret32 => self.return_with(double, &[], 0, place),
            Op::Ret64 => self.return_with(quad, &[], 0, place),
            Op::RetI32 => self.return_with(double, &[], uop.imm, place),
            Op::RetI64 => self.return_with(quad, &[], uop.imm, place),
            Op::PopRet32 => self.return_with(double, &[uop.a], 0, place),
            Op::PopRet64 => self.return_with(quad, &[uop.a], 0, place),
            Op::PopPopRet32 => self.return_with(double, &[uop.a, uop.base], 0, place),
            Op::PopPopRet64 => self.return_with(quad, &[uop.a, uop.base], 0, place),
            Op::LoadRet32 => {
                let address = self.address(uop.b, uop.disp);
                let at = self.translated(address, 4, false, place);
                let target = self.popped(double, 1, place);
                self.load_from(double, at);
                self.put(double, uop.a);
                self.raise_top(double, 4);
                self.store_flags();
                self.go_to(target.first().copied().unwrap_or(0));
            }
            _ => return false,
        }
        true
    }

    fn jump(&mut self, links: u32) {
        self.store_flags();
        let [taken, _] = self.ways(links);
        self.go(taken);
    }

    /// Keeps the address after the block.
    fn return_address(&mut self, size: Size, links: u32) -> u32 {
        let [_, other] = self.ways(links);
        self.address_in_page(other.distance());
        self.body.keep(size.is_wide())
    }

    /// Pushes registers and the return address, and goes to the target.
    fn call(&mut self, size: Size, registers: &[u8], place: u32, links: u32) {
        let mut values = self.got_all(size, registers);
        let back = self.return_address(size, links);
        values.push(back);
        self.push_all(size, &values, place);
        self.jump(links);
    }

    /// To an address in a register or in memory.
    fn indirect(&mut self, uop: &Uop, place: u32, links: u32) {
        let size = self.address_size();
        let in_register = matches!(uop.op, Op::CallR32 | Op::CallR64 | Op::JmpR32 | Op::JmpR64);
        if in_register {
            self.get(size, uop.a);
        } else {
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), false, place);
            self.load_from(size, at);
        }
        let target = self.body.keep(size.is_wide());
        self.need_canonical(target, place);
        if matches!(uop.op, Op::CallR32 | Op::CallR64 | Op::CallM32 | Op::CallM64) {
            let back = self.return_address(size, links);
            self.push_all(size, &[back], place);
        }
        self.store_flags();
        self.go_to(target);
    }

    /// Leaves `uop` to the interpreter if an address is none.
    fn need_canonical(&mut self, address: u32, uop: u32) {
        if !self.long {
            return;
        }
        let miss = self.miss(uop);
        self.body.w().local_get(address).local_get(address).i64_const(16).i64_shl().i64_const(16).i64_shr_s().i64_ne();
        self.body.br_if_unlikely(miss);
    }

    /// Pops registers and the target.
    fn return_with(&mut self, size: Size, registers: &[u8], more: i32, place: u32) {
        let count = (registers.len() as u32).wrapping_add(1);
        let values = self.popped(size, count, place);
        let target = values.last().copied().unwrap_or(0);
        if size.is_wide() {
            self.need_canonical(target, place);
        }
        let bytes = size.bytes().wrapping_mul(count) as i32;
        self.raise_top(size, bytes.wrapping_add(more));
        self.put_all(size, registers, &values);
        self.store_flags();
        self.go_to(target);
    }
}
