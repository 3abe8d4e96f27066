//! Pushes and pops, one or several.

use super::super::body::at;
use super::super::flags::Value;
use super::super::helpers::Helper;
use super::super::linear::Linear;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};

impl Page<'_> {
    /// Keeps RSP less `bytes`.
    pub(super) fn below_top(&mut self, bytes: u32) -> Linear {
        self.address(RSP, (bytes as i32).wrapping_neg())
    }

    /// Sets RSP.
    pub(super) fn set_top(&mut self, size: Size, top: Linear) {
        self.body.w().local_get(top.local);
        self.put(size, RSP);
        self.symbols.set(usize::from(RSP / 8), top.symbol);
    }

    /// Adds to RSP.
    pub(super) fn raise_top(&mut self, size: Size, bytes: i32) {
        let top = self.address(RSP, bytes);
        self.set_top(size, top);
    }

    /// Pushes variables; the last one comes first in memory.
    pub(super) fn push_all(&mut self, size: Size, values: &[u32], place: u32) {
        let bytes = size.bytes().wrapping_mul(values.len() as u32);
        let top = self.below_top(bytes);
        let to = self.translated(top, bytes, true, place);
        self.store_pushed(size, to, values);
        self.set_top(size, top);
    }

    pub(super) fn store_pushed(&mut self, size: Size, to: u32, values: &[u32]) {
        for (number, value) in values.iter().rev().enumerate() {
            self.store_to(size, to, size.bytes().wrapping_mul(number as u32), *value);
        }
    }

    pub(super) fn got_all(&mut self, size: Size, registers: &[u8]) -> Vec<u32> {
        registers.iter().map(|register| self.got(size, *register)).collect()
    }

    pub(super) fn push_registers(&mut self, size: Size, registers: &[u8], place: u32) {
        let values = self.got_all(size, registers);
        self.push_all(size, &values, place);
    }

    /// Keeps as many values from the stack; RSP stays.
    pub(super) fn popped(&mut self, size: Size, count: u32, place: u32) -> Vec<u32> {
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

    pub(super) fn pop_registers(&mut self, size: Size, registers: &[u8], place: u32) {
        let values = self.popped(size, registers.len() as u32, place);
        self.raise_top(size, size.bytes().wrapping_mul(registers.len() as u32) as i32);
        self.put_all(size, registers, &values);
    }

    pub(super) fn put_all(&mut self, size: Size, registers: &[u8], values: &[u32]) {
        for (register, value) in registers.iter().zip(values) {
            self.body.w().local_get(*value);
            self.put(size, *register);
        }
    }

    pub(super) fn stack(&mut self, uop: &Uop, place: u32) -> bool {
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
            Op::PopM32 | Op::PopM64 => {
                let size = if uop.op == Op::PopM64 { quad } else { double };
                let address = self.operand(uop);
                let to = self.translated(address, size.bytes(), true, place);
                for value in self.popped(size, 1, place) {
                    self.store_to(size, to, 0, value);
                }
                self.raise_top(size, size.bytes() as i32);
            }
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
                let registers: &[u8] = if uop.op == Op::PushSub32 { &[uop.a] } else { &[uop.a, uop.base] };
                let values = self.got_all(double, registers);
                let bytes = (values.len() as u32).wrapping_mul(4);
                let top = self.below_top(bytes);
                let to = self.translated(top, bytes, true, place);
                self.store_pushed(double, to, &values);
                self.compute(SUB, double, Value::Local(top.local), Value::Constant(uop.imm), RSP);
                self.symbols.set(
                    usize::from(RSP / 8),
                    top.symbol.map(|top| top.and(i64::from(uop.imm).wrapping_neg())),
                );
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
}
