//! Where translated code finds things in linear memory.

use std::mem::offset_of;

use crate::Cpu;
use crate::code::CodePlaces;
use crate::flags::LazyFlags;
use crate::run::Shared;
use crate::state::PAGE_REGISTER;

/// Addresses of what the CPU consists of; they are the same for as long as the module lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    cpu: u32,
    pub(super) code: CodePlaces,
}

impl Places {
    pub(super) fn new(cpu: &Cpu) -> Self {
        let place = std::ptr::from_ref(cpu) as usize as u32;
        let code = cpu.code.places(place.wrapping_add(offset_of!(Cpu, code) as u32));
        Self { cpu: place, code }
    }

    const fn of(self, offset: usize) -> u32 {
        self.cpu.wrapping_add(offset as u32)
    }

    /// A register, by its index.
    pub(super) const fn register(self, index: usize) -> u32 {
        self.of(offset_of!(Cpu, regs).wrapping_add(index.wrapping_mul(8)))
    }

    /// The start of the page being executed.
    pub(super) const fn page(self) -> u32 {
        self.register(PAGE_REGISTER)
    }

    /// An XMM register, by its offset.
    pub(super) const fn vector(self, offset: u8) -> u32 {
        self.of(offset_of!(Cpu, xmm).wrapping_add(offset as usize))
    }

    pub(super) const fn rip(self) -> u32 {
        self.of(offset_of!(Cpu, rip))
    }

    pub(super) const fn budget(self) -> u32 {
        self.of(offset_of!(Cpu, budget))
    }

    pub(super) const fn current(self) -> u32 {
        self.of(offset_of!(Cpu, current))
    }

    pub(super) const fn uop(self) -> u32 {
        self.of(offset_of!(Cpu, uop))
    }

    pub(super) const fn link(self) -> u32 {
        self.of(offset_of!(Cpu, link))
    }

    pub(super) const fn mode(self) -> u32 {
        self.of(offset_of!(Cpu, mode))
    }

    pub(super) const fn cpl(self) -> u32 {
        self.of(offset_of!(Cpu, cpl))
    }

    pub(super) const fn system_flags(self) -> u32 {
        self.of(offset_of!(Cpu, system_flags))
    }

    pub(super) const fn interrupt_shadow(self) -> u32 {
        self.of(offset_of!(Cpu, interrupt_shadow))
    }

    pub(super) const fn interrupt_line(self) -> u32 {
        self.of(offset_of!(Cpu, shared).wrapping_add(offset_of!(Shared, interrupt_line)))
    }

    pub(super) const fn cr0(self) -> u32 {
        self.of(offset_of!(Cpu, cr0))
    }

    pub(super) const fn cr4(self) -> u32 {
        self.of(offset_of!(Cpu, cr4))
    }

    const fn lazy(self, offset: usize) -> u32 {
        self.of(offset_of!(Cpu, lazy).wrapping_add(offset))
    }

    pub(super) const fn flags_from(self) -> u32 {
        self.lazy(offset_of!(LazyFlags, from))
    }

    pub(super) const fn flags_a(self) -> u32 {
        self.lazy(offset_of!(LazyFlags, a))
    }

    pub(super) const fn flags_b(self) -> u32 {
        self.lazy(offset_of!(LazyFlags, b))
    }

    pub(super) const fn flags_result(self) -> u32 {
        self.lazy(offset_of!(LazyFlags, result))
    }
}
