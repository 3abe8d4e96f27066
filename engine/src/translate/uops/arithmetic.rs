//! The eight basic operations, INC and DEC.

use std::rc::Rc;

use super::super::body::sized;
use super::super::flags::{Pending, Value};
use super::super::page::{Page, Size};
use super::*;
use crate::code::Uop;
use crate::flags::FlagsFrom;

impl Page<'_> {
    /// The operands of an operation that changes neither.
    pub(super) fn operands(&mut self, uop: &Uop, place: u32, form: Form, size: Size) -> (Value, Value) {
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
    pub(super) fn arithmetic(&mut self, uop: &Uop, place: u32, operation: u8, form: Form, size: Size) {
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
            self.compute(operation, size, a, b, uop.a);
        }
    }

    /// An operation whose first operand is the register that takes the result.
    pub(super) fn compute(&mut self, operation: u8, size: Size, a: Value, b: Value, to: u8) {
        let before = self.symbols.of(usize::from(to / 8));
        let result = self.operate(operation, size, a, b);
        self.body.w().local_get(result);
        self.put(size, to);
        if let Value::Constant(constant) = b
            && size == self.address_size()
        {
            let symbol = match operation {
                ADD => Some(before.and(constant.into())),
                SUB => Some(before.and(i64::from(constant).wrapping_neg())),
                _ => None,
            };
            self.symbols.set(usize::from(to / 8), symbol);
        }
    }

    /// Pushes both operands.
    pub(super) fn both(&mut self, size: Size, a: Value, b: Value) {
        self.body.value(a, size.is_wide());
        self.body.value(b, size.is_wide());
    }

    /// Sign-extends the number on the stack again, and keeps it.
    pub(super) fn wrapped(&mut self, size: Size) -> u32 {
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
    pub(super) fn operate(&mut self, operation: u8, size: Size, a: Value, b: Value) -> u32 {
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

    pub(super) fn bitwise(&mut self, operation: u8, size: Size, a: Value, b: Value) -> u32 {
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

    /// INC or DEC; its result, in a variable.
    pub(super) fn step(&mut self, size: Size, operand: u32, up: bool) -> u32 {
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
}
