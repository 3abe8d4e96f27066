//! EFLAGS, with the status flags kept lazily: what the last operation was and its operands.

use crate::Cpu;

/// Bits of EFLAGS (SDM vol. 1, 3.4.3).
pub mod flag {
    /// Carry.
    pub const CF: u32 = 1;
    /// Always one.
    pub const ONE: u32 = 1 << 1;
    /// Parity of the low byte.
    pub const PF: u32 = 1 << 2;
    /// Carry out of bit 3.
    pub const AF: u32 = 1 << 4;
    /// Zero.
    pub const ZF: u32 = 1 << 6;
    /// Sign.
    pub const SF: u32 = 1 << 7;
    /// Trap: single-step.
    pub const TF: u32 = 1 << 8;
    /// Interrupts enabled.
    pub const IF: u32 = 1 << 9;
    /// Strings go downwards.
    pub const DF: u32 = 1 << 10;
    /// Signed overflow.
    pub const OF: u32 = 1 << 11;
    /// I/O privilege level, two bits.
    pub const IOPL: u32 = 3 << 12;
    /// Nested task.
    pub const NT: u32 = 1 << 14;
    /// Resume: no instruction breakpoint at the next instruction.
    pub const RF: u32 = 1 << 16;
    /// Virtual-8086 mode; not supported.
    pub const VM: u32 = 1 << 17;
    /// Alignment check.
    pub const AC: u32 = 1 << 18;
    /// Virtual interrupt flag.
    pub const VIF: u32 = 1 << 19;
    /// Virtual interrupt pending.
    pub const VIP: u32 = 1 << 20;
    /// CPUID can be told by toggling it.
    pub const ID: u32 = 1 << 21;
    /// The status flags, which arithmetic sets.
    pub const STATUS: u32 = CF | PF | AF | ZF | SF | OF;
}

/// What set the status flags last. Operands and result are sign-extended to 64 bits, which keeps the order of
/// unsigned numbers too, so that nothing depends on the operand size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum FlagsFrom {
    /// `a` holds the flags themselves.
    #[default]
    Bits,
    /// `result = a + b`.
    Add,
    /// `result = a - b`.
    Sub,
    /// `result = a + b + 1`.
    AddCarry,
    /// `result = a - b - 1`.
    SubBorrow,
    /// A bitwise operation: CF, OF and AF are clear.
    Logic,
    /// `result = operand + 1`; `a` is CF (0 or 1).
    Increment,
    /// `result = operand - 1`; `a` is CF (0 or 1).
    Decrement,
    /// ZF, SF, PF from the result; `a` holds CF, OF and AF as bits of EFLAGS.
    Result,
}

/// The lazily kept status flags.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct LazyFlags {
    /// The kind of the last operation.
    pub from: FlagsFrom,
    /// First operand.
    pub a: i64,
    /// Second operand.
    pub b: i64,
    /// Result, sign-extended.
    pub result: i64,
}

impl LazyFlags {
    /// CF.
    #[inline]
    pub fn carry(&self) -> bool {
        match self.from {
            FlagsFrom::Bits | FlagsFrom::Result | FlagsFrom::Increment | FlagsFrom::Decrement => {
                self.a & 1 != 0
            }
            FlagsFrom::Add => (self.result as u64) < self.a as u64,
            FlagsFrom::Sub => (self.a as u64) < self.b as u64,
            FlagsFrom::AddCarry => self.result as u64 <= self.a as u64,
            FlagsFrom::SubBorrow => self.a as u64 <= self.b as u64,
            FlagsFrom::Logic => false,
        }
    }

    /// ZF.
    #[inline]
    pub fn zero(&self) -> bool {
        if self.from == FlagsFrom::Bits { self.a as u32 & flag::ZF != 0 } else { self.result == 0 }
    }

    /// SF.
    #[inline]
    pub fn sign(&self) -> bool {
        if self.from == FlagsFrom::Bits { self.a as u32 & flag::SF != 0 } else { self.result < 0 }
    }

    /// PF.
    pub fn parity(&self) -> bool {
        if self.from == FlagsFrom::Bits {
            self.a as u32 & flag::PF != 0
        } else {
            (self.result as u8).count_ones().is_multiple_of(2)
        }
    }

    /// OF.
    pub fn overflow(&self) -> bool {
        let Self { a, b, result, .. } = *self;
        match self.from {
            FlagsFrom::Bits | FlagsFrom::Result => a as u32 & flag::OF != 0,
            FlagsFrom::Add | FlagsFrom::AddCarry => (a ^ result) & (b ^ result) < 0,
            FlagsFrom::Sub | FlagsFrom::SubBorrow => (a ^ b) & (a ^ result) < 0,
            FlagsFrom::Logic => false,
            // `b` is the operand.
            FlagsFrom::Increment => !b & result < 0,
            FlagsFrom::Decrement => b & !result < 0,
        }
    }

    /// AF.
    pub fn adjust(&self) -> bool {
        let Self { a, b, result, .. } = *self;
        match self.from {
            FlagsFrom::Bits | FlagsFrom::Result => a as u32 & flag::AF != 0,
            FlagsFrom::Logic => false,
            FlagsFrom::Increment | FlagsFrom::Decrement => (b ^ result) & 0x10 != 0,
            _ => (a ^ b ^ result) & 0x10 != 0,
        }
    }

    /// All status flags as bits of EFLAGS.
    pub fn bits(&self) -> u32 {
        if self.from == FlagsFrom::Bits {
            return self.a as u32 & flag::STATUS;
        }
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.carry(), flag::CF)
            | bit(self.parity(), flag::PF)
            | bit(self.adjust(), flag::AF)
            | bit(self.zero(), flag::ZF)
            | bit(self.sign(), flag::SF)
            | bit(self.overflow(), flag::OF)
    }

    /// A condition by its encoding in Jcc, SETcc and CMOVcc (0 = O, 1 = NO, 2 = B, ... 15 = G).
    #[inline]
    pub fn condition(&self, code: u8) -> bool {
        let holds = match code >> 1 {
            0 => self.overflow(),
            1 => self.carry(),
            2 => self.zero(),
            3 => self.carry() || self.zero(),
            4 => self.sign(),
            5 => self.parity(),
            6 => self.less(),
            _ => self.zero() || self.less(),
        };
        holds != (code & 1 != 0)
    }

    /// SF != OF.
    #[inline]
    fn less(&self) -> bool {
        match self.from {
            FlagsFrom::Sub => self.a < self.b,
            FlagsFrom::Logic => self.result < 0,
            _ => self.sign() != self.overflow(),
        }
    }
}

impl Cpu {
    /// EFLAGS as a program sees them with PUSHF; RF and VM as they are.
    pub fn flags(&self) -> u32 {
        self.lazy.bits() | self.system_flags | flag::ONE
    }

    /// EFLAGS as PUSHF stores them.
    #[inline(never)]
    pub(crate) fn pushed_flags(&self) -> u32 {
        self.flags() & !(flag::RF | flag::VM)
    }

    /// Sets all of EFLAGS, unchecked; undefined bits are dropped.
    pub fn set_flags(&mut self, value: u32) {
        self.lazy = LazyFlags { from: FlagsFrom::Bits, a: i64::from(value & flag::STATUS), b: 0, result: 0 };
        let system = flag::TF
            | flag::IF
            | flag::DF
            | flag::IOPL
            | flag::NT
            | flag::RF
            | flag::AC
            | flag::VIF
            | flag::VIP
            | flag::ID;
        self.system_flags = value & system;
    }

    /// Sets those status flags that are in `mask` to `value`; the others stay.
    pub fn set_status_flags(&mut self, mask: u32, value: u32) {
        let bits = (self.lazy.bits() & !mask) | (value & mask & flag::STATUS);
        self.lazy = LazyFlags { from: FlagsFrom::Bits, a: i64::from(bits), b: 0, result: 0 };
    }

    /// Flags of `result = a + b` (plus one, with `carry`); all sign-extended from the operand size.
    #[inline]
    pub fn flags_add(&mut self, a: i64, b: i64, result: i64, carry: bool) {
        let from = if carry { FlagsFrom::AddCarry } else { FlagsFrom::Add };
        self.lazy = LazyFlags { from, a, b, result };
    }

    /// Flags of `result = a - b` (less one, with `borrow`); all sign-extended from the operand size.
    #[inline]
    pub fn flags_sub(&mut self, a: i64, b: i64, result: i64, borrow: bool) {
        let from = if borrow { FlagsFrom::SubBorrow } else { FlagsFrom::Sub };
        self.lazy = LazyFlags { from, a, b, result };
    }

    /// Flags of a bitwise operation with this sign-extended result.
    #[inline]
    pub fn flags_logic(&mut self, result: i64) {
        self.lazy.from = FlagsFrom::Logic;
        self.lazy.result = result;
    }

    /// ZF, SF and PF from a sign-extended result, CF, OF and AF from `bits`.
    #[inline]
    pub fn flags_result(&mut self, result: i64, bits: u32) {
        self.lazy = LazyFlags { from: FlagsFrom::Result, a: i64::from(bits), b: 0, result };
    }

    /// Flags of a rotate: CF and OF as given in `bits`, the others stay.
    #[inline]
    pub fn flags_rotate(&mut self, bits: u32) {
        if self.lazy.from == FlagsFrom::Bits {
            self.lazy.a = (self.lazy.a & !i64::from(flag::CF | flag::OF)) | i64::from(bits);
        } else {
            let adjust = if self.lazy.adjust() { flag::AF } else { 0 };
            self.lazy.from = FlagsFrom::Result;
            self.lazy.a = i64::from(adjust | bits);
        }
    }

    /// Flags of INC: CF stays.
    #[inline]
    pub fn flags_increment(&mut self, operand: i64, result: i64) {
        let a = i64::from(self.lazy.carry());
        self.lazy = LazyFlags { from: FlagsFrom::Increment, a, b: operand, result };
    }

    /// Flags of DEC: CF stays.
    #[inline]
    pub fn flags_decrement(&mut self, operand: i64, result: i64) {
        let a = i64::from(self.lazy.carry());
        self.lazy = LazyFlags { from: FlagsFrom::Decrement, a, b: operand, result };
    }
}
