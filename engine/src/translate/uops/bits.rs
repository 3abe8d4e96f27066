//! Single bits.

use super::super::flags::Value;
use super::super::page::{Page, Size};
use super::*;
use crate::code::Uop;

/// What becomes of a bit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Set,
    Clear,
    Invert,
}

impl Page<'_> {
    /// BT, BTS, BTR and BTC, by their place in the list.
    pub(super) fn bit(&mut self, uop: &Uop, place: u32, number: u16) {
        let change = match number / 6 {
            0 => Change::Nothing,
            1 => Change::Set,
            2 => Change::Clear,
            _ => Change::Invert,
        };
        let size = Size::of((number & 1).wrapping_add(2));
        let wide = size.is_wide();
        let (by_register, in_memory) = (number % 6 < 2, number % 6 >= 4);
        let at = in_memory.then(|| {
            let address = self.operand(uop);
            self.translated(address, size.bytes(), change != Change::Nothing, place)
        });
        match at {
            Some(at) => self.load_from(size, at),
            None => self.get(size, uop.a),
        }
        let old = self.body.keep(wide);
        // WebAssembly, too, takes the number of a bit by its lowest five or six bits.
        let index = if by_register { Value::Local(self.got(size, uop.b)) } else { Value::Constant(uop.imm) };
        self.body.w().local_get(old);
        self.body.value(index, wide);
        sized!(self.body, wide, i64_shr_u, i32_shr_u);
        if wide {
            self.body.w().i32_wrap_i64();
        }
        self.body.w().i32_const(1).i32_and();
        let carry = self.body.keep(false);
        if change != Change::Nothing {
            self.body.w().local_get(old);
            self.body.value(Value::Constant(if change == Change::Clear { !1 } else { 1 }), wide);
            self.body.value(index, wide);
            match change {
                Change::Clear => {
                    sized!(self.body, wide, i64_rotl, i32_rotl);
                    sized!(self.body, wide, i64_and, i32_and);
                }
                Change::Invert => {
                    sized!(self.body, wide, i64_shl, i32_shl);
                    sized!(self.body, wide, i64_xor, i32_xor);
                }
                _ => {
                    sized!(self.body, wide, i64_shl, i32_shl);
                    sized!(self.body, wide, i64_or, i32_or);
                }
            }
            match at {
                Some(at) => {
                    let new = self.body.keep(wide);
                    self.store_to(size, at, 0, new);
                }
                None => self.put(size, uop.a),
            }
        }
        self.change_flags(flag::CF, carry);
    }

    /// BSF and BSR, by their place in the list: the register stays if there is no bit.
    pub(super) fn scan(&mut self, uop: &Uop, number: u16) {
        let size = Size::of((number & 1).wrapping_add(2));
        let wide = size.is_wide();
        let value = self.got(size, uop.b);
        self.get(Size::Quad, uop.a);
        if number < 2 {
            self.body.w().local_get(value);
            sized!(self.body, wide, i64_ctz, i32_ctz);
        } else {
            self.body.value(Value::Constant(size.bits().wrapping_sub(1) as i32), wide);
            self.body.w().local_get(value);
            sized!(self.body, wide, i64_clz, i32_clz);
            sized!(self.body, wide, i64_sub, i32_sub);
        }
        if !wide {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().local_get(value);
        sized!(self.body, wide, i64_eqz, i32_eqz);
        let none = self.body.temporary(false);
        self.body.w().local_tee(none).select();
        self.put(Size::Quad, uop.a);
        self.body.w().local_get(none).i32_const(flag::ZF.trailing_zeros() as i32).i32_shl();
        let bits = self.body.keep(false);
        self.change_flags(flag::ZF, bits);
    }
}
