//! XMM registers.

use super::super::body::at;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};

impl Page<'_> {
    /// XMM registers.
    pub(super) fn vector(&mut self, uop: &Uop, place: u32) -> bool {
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

    pub(super) fn vector_operand(&mut self, uop: &Uop, place: u32, aligned: bool, write: bool) -> u32 {
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
}
