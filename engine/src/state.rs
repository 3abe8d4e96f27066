//! The architectural state of the CPU, and how it starts.

use crate::Fault;
use crate::code::{Block, CodeCache, Link, Translated, Uop};
use crate::flags::{LazyFlags, flag};
use crate::memory::Memory;
use crate::run::Shared;
use crate::segment::{Seg, Segment, TableRegister};
use crate::translate::Later;
use crate::x87::Fpu;

/// Bits of CR0 (SDM vol. 3, 2.5).
pub(crate) mod cr0 {
    pub(crate) const PE: u64 = 1;
    pub(crate) const MP: u64 = 1 << 1;
    pub(crate) const EM: u64 = 1 << 2;
    pub(crate) const TS: u64 = 1 << 3;
    pub(crate) const ET: u64 = 1 << 4;
    pub(crate) const NE: u64 = 1 << 5;
    pub(crate) const WP: u64 = 1 << 16;
    pub(crate) const AM: u64 = 1 << 18;
    pub(crate) const PG: u64 = 1 << 31;
}

/// Bits of CR4 (SDM vol. 3, 2.5).
pub(crate) mod cr4 {
    pub(crate) const TSD: u64 = 1 << 2;
    pub(crate) const DE: u64 = 1 << 3;
    pub(crate) const PSE: u64 = 1 << 4;
    pub(crate) const PAE: u64 = 1 << 5;
    pub(crate) const PGE: u64 = 1 << 7;
    pub(crate) const OSFXSR: u64 = 1 << 9;
    pub(crate) const OSXMMEXCPT: u64 = 1 << 10;
    pub(crate) const UMIP: u64 = 1 << 11;
    pub(crate) const FSGSBASE: u64 = 1 << 16;
    pub(crate) const SMEP: u64 = 1 << 20;
}

/// Bits of IA32_EFER (SDM vol. 3, 2.2.1).
pub(crate) mod efer {
    pub(crate) const SCE: u64 = 1;
    pub(crate) const LME: u64 = 1 << 8;
    pub(crate) const LMA: u64 = 1 << 10;
    pub(crate) const NXE: u64 = 1 << 11;
}

/// Index in `Cpu::regs` of a register that is always zero: an absent base or index.
pub(crate) const ZERO: usize = 16;
/// Index of a register that holds the base of FS, then GS, for micro-operations.
pub(crate) const FS_BASE: usize = 17;
/// See [`FS_BASE`].
pub(crate) const GS_BASE: usize = 18;
/// Index of a register that holds the first address of the page being executed.
pub(crate) const PAGE_REGISTER: usize = 19;
/// How many places `Cpu::regs` has.
pub(crate) const PLACES: usize = 20;
/// Index of RSP.
pub(crate) const RSP: usize = 4;

/// How code is decoded and addresses are formed; part of the key of decoded blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(pub u8);

impl Mode {
    /// 64-bit code (long mode with CS.L).
    pub const LONG: u8 = 1;
    /// 32-bit code (CS.D).
    pub const BIG: u8 = 2;
    /// The stack pointer is ESP (SS.B); in 64-bit mode RSP regardless.
    pub const BIG_STACK: u8 = 4;
    /// CS, DS, ES and SS are flat: base 0, no limits (always in 64-bit mode).
    pub const FLAT: u8 = 8;
    /// FS has no limits (always in 64-bit mode).
    pub const FS_FLAT: u8 = 16;
    /// GS has no limits (always in 64-bit mode).
    pub const GS_FLAT: u8 = 32;
    /// CPL 3.
    pub const USER: u8 = 128;
    /// What hardly any decoded code depends on.
    pub const SEGMENTS: u8 = Self::FS_FLAT | Self::GS_FLAT;
    /// What all decoded code depends on.
    pub const ALWAYS: u8 = Self::LONG | Self::BIG | Self::BIG_STACK | Self::FLAT;

    /// 64-bit code.
    pub const fn is_long(self) -> bool {
        self.0 & Self::LONG != 0
    }

    /// What iced calls bitness: 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        if self.0 & Self::LONG != 0 {
            64
        } else if self.0 & Self::BIG != 0 {
            32
        } else {
            16
        }
    }
}

/// Model-specific registers that are plain storage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Msrs {
    pub(crate) star: u64,
    pub(crate) lstar: u64,
    pub(crate) cstar: u64,
    pub(crate) fmask: u64,
    pub(crate) kernel_gs_base: u64,
    pub(crate) sysenter_cs: u64,
    pub(crate) sysenter_esp: u64,
    pub(crate) sysenter_eip: u64,
    pub(crate) tsc_offset: u64,
    pub(crate) tsc_aux: u64,
    pub(crate) pat: u64,
    pub(crate) misc_enable: u64,
}

/// How a boot protocol starts the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Long mode (64-bit boot protocol) instead of 32-bit protected mode without paging.
    pub long_mode: bool,
    /// First instruction.
    pub rip: u64,
    /// RSI: the address of the boot parameters.
    pub rsi: u64,
    /// CR3 in long mode.
    pub cr3: u64,
    /// GDT.
    pub gdtr: TableRegister,
}

/// One CPU with its memory.
///
/// What translated code uses all the time comes first: see `cpu_place` in `exports`.
#[repr(C)]
pub struct Cpu {
    /// Status flags.
    pub lazy: LazyFlags,
    /// Instructions that may still be executed in this run.
    pub budget: i64,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15, one that is always 0, and others that only
    /// micro-operations use.
    /// Outside of 64-bit mode the upper halves are not looked at.
    pub regs: [u64; PLACES],
    /// Instruction pointer: an offset in CS.
    pub rip: u64,
    /// All other flags of EFLAGS, at their places.
    pub system_flags: u32,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// How code is decoded now; follows from CS, SS and the others (`Cpu::update_mode`).
    pub mode: Mode,
    /// After STI, MOV SS or POP SS: no interrupt before the next instruction has completed.
    pub interrupt_shadow: bool,
    /// ANDed with linear addresses: 32 or 64 bits.
    pub address_mask: u64,
    /// Segment registers, by `Seg`.
    pub segments: [Segment; 6],
    /// Part of the budget that is kept back to leave a chain of blocks soon.
    pub(crate) withheld: i64,
    /// What `instructions()` will be when the budget is used up.
    pub(crate) limit: u64,
    /// HLT: waits for an interrupt.
    pub halted: bool,
    /// What host and CPU tell each other.
    pub shared: Shared,
    /// RAM, and the translation of addresses.
    pub(crate) memory: Memory,
    /// Decoded code.
    pub(crate) code: CodeCache,
    /// The block being executed.
    pub(crate) current: *const Block,
    /// The micro-operation for whose sake the interpreter's loop calls something or was left.
    pub(crate) uop: *const Uop,
    /// How that instruction failed.
    pub(crate) fault: Fault,
    /// Where the next block is to be linked, or null.
    pub(crate) link: *mut Link,
    /// Blocks whose translation is at least this are executed by it; the others are interpreted.
    pub(crate) translated: Translated,
    /// How many instructions will have been executed when translated code is used again.
    pub(crate) warm_from: u64,
    /// Index in the module's table of what calls translations, by their part; 0 where there is no such table.
    pub(crate) translations: u32,
    /// Bit *n*: there is machine code for part *n*.
    pub(crate) parts: u32,
    /// What will be translated later.
    pub(crate) later: Later,
    /// Linear address of the last page fault, until it is delivered.
    pub fault_address: u64,
    /// Local descriptor table.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: TableRegister,
    /// Interrupt descriptor table register.
    pub idtr: TableRegister,
    pub(crate) cr0: u64,
    pub(crate) cr2: u64,
    pub(crate) cr3: u64,
    pub(crate) cr4: u64,
    pub(crate) cr8: u64,
    pub(crate) efer: u64,
    /// Data breakpoints that the instruction being executed has met, a bit each.
    pub(crate) data_breakpoints: u8,
    /// Debug registers.
    pub dr: [u64; 8],
    pub(crate) msr: Msrs,
    /// x87 and MMX.
    pub fpu: Fpu,
    /// XMM registers.
    pub xmm: [u128; 16],
    /// SSE control and status.
    pub mxcsr: u32,
    /// Events that tests catch.
    #[cfg(any(test, feature = "testing"))]
    pub catch: crate::testing::Catch,
}

impl Cpu {
    /// A CPU after reset, with `ram_bytes` of RAM that is all zero; `None` if there is no room.
    pub fn new(ram_bytes: usize) -> Option<Box<Self>> {
        Some(Box::new(Self {
            lazy: LazyFlags::default(),
            budget: 0,
            regs: [0; PLACES],
            rip: 0,
            system_flags: 0,
            cpl: 0,
            mode: Mode::default(),
            interrupt_shadow: false,
            address_mask: u64::from(u32::MAX),
            segments: [Segment::default(); 6],
            withheld: 0,
            limit: 0,
            halted: false,
            shared: Shared::default(),
            memory: Memory::new(ram_bytes)?,
            code: CodeCache::new(ram_bytes)?,
            current: std::ptr::null(),
            uop: std::ptr::null(),
            fault: Fault::Repeat,
            link: std::ptr::null_mut(),
            translated: Translated::SOME,
            warm_from: 0,
            translations: 0,
            parts: 0,
            later: Later::default(),
            fault_address: 0,
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: TableRegister::default(),
            idtr: TableRegister { base: 0, limit: 0xFFFF },
            cr0: cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            cr8: 0,
            efer: 0,
            data_breakpoints: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400],
            msr: Msrs { pat: 0x0007_0406_0007_0406, misc_enable: 1, ..Msrs::default() },
            fpu: Fpu::default(),
            xmm: [0; 16],
            mxcsr: 0x1F80,
            #[cfg(any(test, feature = "testing"))]
            catch: crate::testing::Catch::default(),
        }))
    }

    /// Puts the CPU into the state a Linux boot protocol demands
    /// (Documentation/arch/x86/boot.rst, "32-bit Boot Protocol" and "64-bit Boot Protocol").
    pub fn boot(&mut self, boot: Boot) {
        const CODE: u16 = 0xB;
        const DATA: u16 = 3;
        let size = if boot.long_mode { Segment::LONG } else { Segment::BIG };
        self.segments = [Segment::flat(0x18, DATA, 0, Segment::BIG); 6];
        self.segments[Seg::Cs.index()] = Segment::flat(0x10, CODE, 0, size);
        self.gdtr = boot.gdtr;
        self.cr0 = cr0::PE | cr0::ET;
        if boot.long_mode {
            self.cr0 |= cr0::PG;
            self.cr3 = boot.cr3;
            self.cr4 = cr4::PAE;
            self.efer = efer::LME | efer::LMA;
        }
        self.regs = [0; PLACES];
        self.regs[6] = boot.rsi;
        self.rip = boot.rip;
        self.set_flags(flag::ONE);
        self.cpl = 0;
        self.paging_changed();
        self.update_mode();
    }

    /// Whether EFER.LMA is set: long mode, be it 64-bit or compatibility mode.
    pub fn long_mode_active(&self) -> bool {
        self.efer & efer::LMA != 0
    }

    /// Brings `mode` and `address_mask` up to date; to be called when a segment register, CPL or
    /// EFER.LMA change.
    pub fn update_mode(&mut self) {
        let code = &self.segments[Seg::Cs.index()];
        let stack = &self.segments[Seg::Ss.index()];
        let long = self.long_mode_active() && code.has(Segment::LONG);
        let mut mode = 0;
        if long {
            mode |= Mode::LONG | Mode::BIG_STACK | Mode::FLAT | Mode::FS_FLAT | Mode::GS_FLAT;
        } else {
            if code.has(Segment::BIG) {
                mode |= Mode::BIG;
            }
            if stack.has(Segment::BIG) {
                mode |= Mode::BIG_STACK;
            }
            let flat = [Seg::Ds, Seg::Es, Seg::Ss].iter().all(|seg| {
                let segment = &self.segments[seg.index()];
                segment.base == 0 && segment.is_unlimited()
            });
            if flat && code.base == 0 && code.limit == u32::MAX {
                mode |= Mode::FLAT;
            }
        }
        for (seg, bit) in [(Seg::Fs, Mode::FS_FLAT), (Seg::Gs, Mode::GS_FLAT)] {
            if self.segments[seg.index()].is_unlimited() {
                mode |= bit;
            }
        }
        if self.cpl == 3 {
            mode |= Mode::USER;
        }
        self.mode = Mode(mode);
        self.address_mask = if long { u64::MAX } else { u64::from(u32::MAX) };
    }

    /// Changes the privilege level; the translation of addresses depends on it.
    pub fn set_cpl(&mut self, cpl: u8) {
        self.cpl = cpl;
        self.memory.select(cpl == 3);
        self.update_mode();
        self.update_checks();
    }
}
