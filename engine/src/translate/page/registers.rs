//! Registers and memory.

use wasm_encoder::ValType;

use super::super::body::{at, sized};
use super::super::flags::Value;
use super::super::linear::{Group, Linear};
use super::*;
use crate::code::{KERNEL, Uop};
use crate::memory::{Entry, PAGE_MASK};
use crate::state::ZERO;

impl Page<'_> {
    /// Pushes the address at `offset` from the start of the page, as wide as addresses are.
    pub(in crate::translate) fn address_in_page(&mut self, offset: i32) {
        // Not by `register`: this may be on one of two ways.
        if self.long {
            self.body.load64(self.places.page());
        } else {
            self.body.load32(self.places.page());
        }
        self.add_constant(offset);
    }

    /// Pushes an address in a variable as 64 bits.
    pub(in crate::translate) fn push_address(&mut self, address: u32) {
        self.body.w().local_get(address);
        if !self.long {
            self.body.w().i64_extend_i32_u();
        }
    }

    /// Pushes all 64 bits of a register.
    pub(in crate::translate) fn register(&mut self, index: usize) {
        if index == ZERO {
            self.body.w().i64_const(0);
            return;
        }
        let local = self.register_local(index);
        if let Some(known) = self.known.get_mut(index)
            && !*known
        {
            *known = true;
            self.body.load64(self.places.register(index));
            self.body.w().local_set(local);
        }
        self.body.w().local_get(local);
    }

    pub(in crate::translate) fn register_local(&mut self, index: usize) -> u32 {
        if let Some(Some(local)) = self.registers.get(index) {
            return *local;
        }
        let local = self.body.local(ValType::I64);
        if let Some(place) = self.registers.get_mut(index) {
            *place = Some(local);
        }
        local
    }

    /// Sets all 64 bits of a register to the number on the stack.
    pub(in crate::translate) fn set_register(&mut self, index: usize) {
        let local = self.register_local(index);
        if let Some(known) = self.known.get_mut(index) {
            *known = true;
        }
        self.symbols.renew(index);
        self.body.w().local_set(local);
        self.body.store64(self.places.register(index), local);
    }

    /// Pushes a register of this size, sign-extended to 32 bits.
    pub(in crate::translate) fn get(&mut self, size: Size, offset: u8) {
        self.register(usize::from(offset / 8));
        let shift = shift_of(offset);
        if shift != 0 {
            self.body.w().i64_const(shift).i64_shr_u();
        }
        match size {
            Size::Quad => {}
            Size::Double => {
                self.body.w().i32_wrap_i64();
            }
            Size::Word => {
                self.body.w().i32_wrap_i64().i32_extend16_s();
            }
            Size::Byte => {
                self.body.w().i32_wrap_i64().i32_extend8_s();
            }
        }
    }

    /// The same in a variable.
    pub(in crate::translate) fn got(&mut self, size: Size, offset: u8) -> u32 {
        self.get(size, offset);
        self.body.keep(size.is_wide())
    }

    /// Pushes a register of 1 or 2 bytes, zero-extended.
    pub(in crate::translate) fn get_unsigned(&mut self, size: Size, offset: u8) {
        self.get(size, offset);
        match size {
            Size::Byte => self.body.w().i32_const(0xFF).i32_and(),
            Size::Word => self.body.w().i32_const(0xFFFF).i32_and(),
            _ => return,
        };
    }

    /// Sets a register of this size to the number on the stack; 4 bytes clear the upper half.
    pub(in crate::translate) fn put(&mut self, size: Size, offset: u8) {
        let index = usize::from(offset / 8);
        match size {
            Size::Quad => self.set_register(index),
            Size::Double => {
                self.body.w().i64_extend_i32_u();
                self.set_register(index);
            }
            Size::Byte | Size::Word => {
                let (shift, mask) = (shift_of(offset), if size == Size::Byte { 0xFF } else { 0xFFFF });
                self.body.w().i64_extend_i32_u().i64_const(mask).i64_and();
                if shift != 0 {
                    self.body.w().i64_const(shift).i64_shl();
                }
                self.register(index);
                self.body.w().i64_const(!(mask << shift)).i64_and().i64_or();
                self.set_register(index);
            }
        }
    }

    /// Keeps the linear address from a register and a displacement: of 64 bits in 64-bit code, else of 32.
    pub(in crate::translate) fn address(&mut self, base: u8, displacement: i32) -> Linear {
        self.get(self.address_size(), base);
        self.add_constant(displacement);
        let symbol = self.symbols.of(usize::from(base / 8)).and(displacement.into());
        Linear { local: self.body.keep(self.long), symbol: Some(symbol) }
    }

    /// Adds to the address on the stack.
    pub(in crate::translate) fn add_constant(&mut self, constant: i32) {
        if constant != 0 {
            self.body.value(Value::Constant(constant), self.long);
            sized!(self.body, self.long, i64_add, i32_add);
        }
    }

    /// Keeps the linear address of the memory operand.
    pub(in crate::translate) fn operand(&mut self, uop: &Uop) -> Linear {
        let (index, scale) = (uop.index & Uop::INDEX, uop.index & Uop::SCALE);
        let base = self.address(uop.base, uop.disp);
        if usize::from(index / 8) == ZERO {
            return base;
        }
        self.body.w().local_get(base.local);
        self.get(self.address_size(), index);
        self.body.value(Value::Constant(scale.into()), self.long);
        sized!(self.body, self.long, i64_shl, i32_shl);
        sized!(self.body, self.long, i64_add, i32_add);
        Linear { local: self.body.keep(self.long), symbol: None }
    }

    pub(in crate::translate) const fn address_size(&self) -> Size {
        if self.long { Size::Quad } else { Size::Double }
    }

    /// Keeps where `bytes` bytes at a linear address lie in linear memory. If the TLB does not have it, the interpreter goes on
    /// with `uop`.
    pub(in crate::translate) fn translated(
        &mut self,
        address: Linear,
        bytes: u32,
        write: bool,
        uop: u32,
    ) -> u32 {
        let Linear { local, symbol } = address;
        let (group, access) = self.groups.next(symbol, bytes, write);
        let addend = match self.groups.addend(group) {
            Some(addend) => addend,
            None => {
                let addend = self.look_up(local, access, self.groups.at(group), uop);
                self.groups.set_addend(group, addend);
                addend
            }
        };
        self.body.w().local_get(local);
        if self.long {
            self.body.w().i32_wrap_i64();
        }
        self.body.w().local_get(addend).i32_add();
        self.body.keep(false)
    }

    /// Where the entries of the TLB are that this part goes by: it is executed with no other.
    pub(in crate::translate) fn entries(&self) -> u32 {
        self.cpu.memory.entries_of(self.part != KERNEL) as usize as u32
    }

    /// Keeps what is to be added to addresses of a group, of whose accesses `address` is that at `offset`. All of them have to
    /// be in one page.
    pub(in crate::translate) fn look_up(&mut self, address: u32, offset: i64, group: Group, uop: u32) -> u32 {
        let miss = self.miss(uop);
        let (long, entries) = (self.long, self.entries());
        self.body.w().local_get(address);
        self.add_constant(group.from.wrapping_sub(offset) as i32);
        self.body.value(Value::Constant(Entry::SHIFT), long);
        sized!(self.body, long, i64_shr_u, i32_shr_u);
        if long {
            self.body.w().i32_wrap_i64();
        }
        // Not as the offset of the loads: so far away, the compiler would check bounds.
        self.body.w().i32_const(Entry::MASK).i32_and().i32_const(entries as i32).i32_add();
        let entry = self.body.keep(false);
        let tag = if group.write { Entry::WRITE } else { Entry::READ };
        self.body.w().local_get(entry).i64_load(at(tag));
        self.body.w().local_get(address);
        self.add_constant(group.to.wrapping_sub(1).wrapping_sub(offset) as i32);
        self.body.value(Value::Constant(!(PAGE_MASK as i32)), long);
        sized!(self.body, long, i64_and, i32_and);
        if !long {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().i64_ne();
        self.body.br_if_unlikely(miss);
        self.body.w().local_get(entry).i32_load(at(Entry::ADDEND));
        self.body.keep(false)
    }

    /// Pushes what lies at a place in linear memory, sign-extended to 32 bits.
    pub(in crate::translate) fn load_from(&mut self, size: Size, place: u32) {
        self.body.w().local_get(place);
        match size {
            Size::Byte => self.body.w().i32_load8_s(at(0)),
            Size::Word => self.body.w().i32_load16_s(at(0)),
            Size::Double => self.body.w().i32_load(at(0)),
            Size::Quad => self.body.w().i64_load(at(0)),
        };
    }

    /// Stores a variable at a place in linear memory.
    pub(in crate::translate) fn store_to(&mut self, size: Size, place: u32, offset: u32, value: u32) {
        self.body.w().local_get(place).local_get(value);
        match size {
            Size::Byte => self.body.w().i32_store8(at(offset)),
            Size::Word => self.body.w().i32_store16(at(offset)),
            Size::Double => self.body.w().i32_store(at(offset)),
            Size::Quad => self.body.w().i64_store(at(offset)),
        };
    }
}

/// By how many bits a register of one byte is apart from the lowest ones: those of AH, CH, DH and BH.
const fn shift_of(offset: u8) -> i64 {
    (offset as i64 & 7) << 3
}
