//! Multiplication.

use super::super::flags::{Pending, Value};
use super::super::helpers::Helper;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};
use crate::flag;

impl Page<'_> {
    pub(super) fn product(&mut self, uop: &Uop, place: u32, number: u16) {
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

    /// MUL of RAX with a register or with memory.
    pub(super) fn multiply(&mut self, uop: &Uop, place: u32) {
        let both = (flag::CF | flag::OF) as i32;
        let size = if matches!(uop.op, Op::MulR64 | Op::MulM64) { Size::Quad } else { Size::Double };
        let a = if matches!(uop.op, Op::MulM32 | Op::MulM64) {
            let address = self.operand(uop);
            let at = self.translated(address, size.bytes(), false, place);
            self.load_from(size, at);
            self.body.keep(size.is_wide())
        } else {
            self.got(size, uop.a)
        };
        let b = self.got(size, RAX);
        let (result, high) = if size.is_wide() {
            self.body.w().local_get(a).local_get(b).i64_mul();
            let result = self.body.keep(true);
            self.body.w().local_get(a).local_get(b).call(Helper::UnsignedHigh.index());
            (result, self.body.keep(true))
        } else {
            self.body.w().local_get(a).i64_extend_i32_u().local_get(b).i64_extend_i32_u().i64_mul();
            let product = self.body.keep(true);
            self.body.w().local_get(product).i32_wrap_i64();
            let result = self.body.keep(false);
            self.body.w().local_get(product).i64_const(32).i64_shr_u().i32_wrap_i64();
            (result, self.body.keep(false))
        };
        self.body.w().local_get(result);
        self.put(size, RAX);
        self.body.w().local_get(high);
        self.put(size, RDX);
        self.body.w().i32_const(0).i32_const(both).local_get(high);
        sized!(self.body, size.is_wide(), i64_eqz, i32_eqz);
        self.body.w().select();
        let bits = self.body.keep(false);
        self.set_pending(Pending::Bits { wide: size.is_wide(), bits, result });
    }
}
