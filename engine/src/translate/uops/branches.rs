//! Branches, calls and returns.

use super::super::flags::Value;
use super::super::page::{Page, Size};
use super::*;
use crate::code::{Op, Uop};

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

impl Page<'_> {
    pub(super) fn branch(&mut self, uop: &Uop, place: u32) {
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
    pub(super) fn either(&mut self, links: u32) {
        let holds = self.body.keep(false);
        self.store_flags();
        let [taken, other] = self.ways(links);
        self.body.w().local_get(holds);
        self.go_when(taken);
        self.go(other);
    }

    /// Branches joined with more than a comparison.
    pub(super) fn joined_branch(&mut self, uop: &Uop, place: u32, links: u32) -> bool {
        let double = Size::Double;
        let register = |page: &mut Self, size: Size, at: u8| Value::Local(page.got(size, at));
        let condition = match uop.op {
            Op::AndRi32Je | Op::AndRi32Jne => {
                let a = register(self, double, uop.a);
                self.compute(AND, double, a, Value::Constant(uop.imm), uop.a);
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
                self.compute(ADD, double, a, Value::Constant(uop.disp), uop.a);
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

    pub(super) fn call_or_return(&mut self, uop: &Uop, place: u32, links: u32) -> bool {
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
            Op::CallR32
            | Op::CallR64
            | Op::CallM32
            | Op::CallM64
            | Op::JmpR32
            | Op::JmpR64
            | Op::JmpM32
            | Op::JmpM64 => {
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
                self.go_to(target.first().copied().unwrap_or(0), 0);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn jump(&mut self, links: u32) {
        self.store_flags();
        let [taken, _] = self.ways(links);
        self.go(taken);
    }

    /// Keeps the address after the block.
    pub(super) fn return_address(&mut self, size: Size, links: u32) -> u32 {
        let [_, other] = self.ways(links);
        self.address_in_page(other.distance());
        self.body.keep(size.is_wide())
    }

    /// Pushes registers and the return address, and goes to the target.
    pub(super) fn call(&mut self, size: Size, registers: &[u8], place: u32, links: u32) {
        let mut values = self.got_all(size, registers);
        let back = self.return_address(size, links);
        values.push(back);
        self.push_all(size, &values, place);
        self.jump(links);
    }

    /// To an address in a register or in memory.
    pub(super) fn indirect(&mut self, uop: &Uop, place: u32, links: u32) {
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
        self.go_to_computed(target, links);
    }

    /// Leaves `uop` to the interpreter if an address is none.
    pub(super) fn need_canonical(&mut self, address: u32, uop: u32) {
        if !self.long {
            return;
        }
        let miss = self.miss(uop);
        self.body
            .w()
            .local_get(address)
            .local_get(address)
            .i64_const(16)
            .i64_shl()
            .i64_const(16)
            .i64_shr_s()
            .i64_ne();
        self.body.br_if_unlikely(miss);
    }

    /// Pops registers and the target.
    pub(super) fn return_with(&mut self, size: Size, registers: &[u8], more: i32, place: u32) {
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
        self.go_to(target, 0);
    }
}
