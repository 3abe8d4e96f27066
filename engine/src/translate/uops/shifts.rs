//! Shifts and rotates.

use std::rc::Rc;

use super::super::flags::{Pending, Shift, Value};
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};

impl Page<'_> {
    /// A shift by a constant that is not zero and below the size.
    pub(super) fn shift(&mut self, size: Size, a: u8, count: u32, by: Shift) {
        let operand = self.got(size, a);
        let wide = size.is_wide();
        self.body.w().local_get(operand);
        if by == Shift::Right {
            self.zero_extend(size);
        }
        self.body.value(Value::Constant(count as i32), wide);
        self.shift_stacked(by, wide);
        let result = self.wrapped(size);
        self.body.w().local_get(result);
        self.put(size, a);
        self.set_pending(Pending::Shift { by, bits: size.bits(), count, operand, result });
    }

    /// Clears what sign extension has set.
    pub(super) fn zero_extend(&mut self, size: Size) {
        match size {
            Size::Byte => self.body.w().i32_const(0xFF).i32_and(),
            Size::Word => self.body.w().i32_const(0xFFFF).i32_and(),
            _ => return,
        };
    }

    /// A shift by CL: the flags stay if the count is zero.
    pub(super) fn shift_by_cl(&mut self, size: Size, a: u8, by: Shift) {
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
        self.shift_stacked(by, wide);
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
        match by {
            Shift::Left => {
                self.body.sign(result, wide);
                self.body.w().local_get(carry).i32_xor().i32_const(11).i32_shl().i32_or();
            }
            Shift::Right => {
                self.body.sign(operand, wide);
                self.body.w().i32_const(11).i32_shl().i32_or();
            }
            Shift::Arithmetic => {}
        }
        let bits = self.body.keep(false);
        self.body.store_flags(self.places, &Pending::Bits { wide, bits, result });
        self.body.end();
    }

    pub(super) fn rotate(&mut self, size: Size, a: u8, count: u32, left: bool) {
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
        self.change_flags(flag::CF | flag::OF, bits);
    }

    /// Those flags that are in `mask` are as in the variable `bits`, which has no others.
    pub(super) fn change_flags(&mut self, mask: u32, bits: u32) {
        let before = match self.take_pending() {
            Pending::Changed { mask: hidden, before, .. } if hidden & !mask == 0 => before,
            other => Rc::new(other),
        };
        self.set_pending(Pending::Changed { mask, bits, before });
    }

    /// SHLD and SHRD.
    pub(super) fn double_shift(&mut self, uop: &Uop) {
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

    /// Shifts the number on the stack by that on top of it.
    fn shift_stacked(&mut self, by: Shift, wide: bool) {
        match by {
            Shift::Left => sized!(self.body, wide, i64_shl, i32_shl),
            Shift::Right => sized!(self.body, wide, i64_shr_u, i32_shr_u),
            Shift::Arithmetic => sized!(self.body, wide, i64_shr_s, i32_shr_s),
        }
    }
}
