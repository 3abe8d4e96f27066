//! What kernels do all the time: interrupts off and on, atomic changes of memory.

use super::super::body::{at, sized};
use super::super::flags::Value;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};
use crate::flag;
use crate::interpret::Exit;

impl Page<'_> {
    pub(super) fn clear_system_flag(&mut self, flag: u32) {
        let place = self.places.system_flags();
        self.body.w().i32_const(0);
        self.body.load32(place);
        self.body.w().i32_const(!flag as i32).i32_and().i32_store(at(place));
    }

    /// Leaves `uop` to the interpreter in ring 3.
    pub(super) fn need_kernel(&mut self, uop: u32) {
        let miss = self.miss(uop);
        self.body.w().i32_const(0).i32_load8_u(at(self.places.cpl()));
        self.body.br_if_unlikely(miss);
    }

    pub(super) fn interrupts_on(&mut self, uop: u32) {
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

    pub(super) fn compare_and_exchange(&mut self, uop: &Uop, place: u32) {
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

    /// CMPXCHG8B: only ZF changes.
    pub(super) fn compare_and_exchange_pair(&mut self, uop: &Uop, place: u32) {
        let address = self.operand(uop);
        let at = self.translated(address, 8, true, place);
        self.load_from(Size::Quad, at);
        let old = self.body.keep(true);
        let expected = self.joined(RDX, RAX);
        let new = self.joined(CL, RBX);
        self.body.w().local_get(old).local_get(expected).i64_eq();
        let equal = self.body.keep(false);
        self.body.w().local_get(new).local_get(old).local_get(equal).select();
        let stored = self.body.keep(true);
        self.store_to(Size::Quad, at, 0, stored);
        // As above.
        for (register, shift) in [(RAX, 0), (RDX, 32)] {
            self.get(Size::Quad, register);
            self.body.w().local_get(old).i64_const(shift).i64_shr_u();
            self.body.w().i64_const(u32::MAX.into()).i64_and().local_get(equal).select();
            self.put(Size::Quad, register);
        }
        self.body.w().local_get(equal).i32_const(flag::ZF.trailing_zeros() as i32).i32_shl();
        let bits = self.body.keep(false);
        self.change_flags(flag::ZF, bits);
    }

    /// Keeps two registers of 4 bytes as one number.
    fn joined(&mut self, high: u8, low: u8) -> u32 {
        self.get(Size::Double, high);
        self.body.w().i64_extend_i32_u().i64_const(32).i64_shl();
        self.get(Size::Double, low);
        self.body.w().i64_extend_i32_u().i64_or();
        self.body.keep(true)
    }
}
