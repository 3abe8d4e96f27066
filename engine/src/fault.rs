//! Why an instruction did not complete.

/// An exception, or another reason to leave the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An exception without error code, by vector (SDM vol. 3, table 6-1).
    Plain(u8),
    /// An exception with an error code.
    Coded(u8, u32),
    /// #PF with its error code; the linear address is in `Cpu::fault_address`.
    Page(u32),
    /// The instruction is not finished but has made progress; it is executed again from where it stands,
    /// after interrupts had their chance.
    Repeat,
    /// HLT: wait for an interrupt at the next instruction.
    Halt,
    /// Shutdown: a fault while delivering a double fault.
    Shutdown,
}

impl Fault {
    /// #DE, division error.
    pub const DE: Self = Self::Plain(0);
    /// #DB, debug.
    pub const DB: Self = Self::Plain(1);
    /// #BR, bound range exceeded.
    pub const BR: Self = Self::Plain(5);
    /// #UD, invalid opcode.
    pub const UD: Self = Self::Plain(6);
    /// #NM, no math coprocessor.
    pub const NM: Self = Self::Plain(7);
    /// #MF, x87 floating-point error.
    pub const MF: Self = Self::Plain(16);
    /// #XM, SIMD floating-point exception.
    pub const XM: Self = Self::Plain(19);
    /// #GP(0), general protection.
    pub const GP0: Self = Self::Coded(13, 0);
    /// #SS(0), stack segment.
    pub const SS0: Self = Self::Coded(12, 0);
    /// #AC(0), alignment check.
    pub const AC0: Self = Self::Coded(17, 0);

    /// #TS(code), invalid TSS.
    pub const fn ts(code: u32) -> Self {
        Self::Coded(10, code)
    }

    /// #NP(code), segment not present.
    pub const fn np(code: u32) -> Self {
        Self::Coded(11, code)
    }

    /// #SS(code), stack segment.
    pub const fn ss(code: u32) -> Self {
        Self::Coded(12, code)
    }

    /// #GP(code), general protection.
    pub const fn gp(code: u32) -> Self {
        Self::Coded(13, code)
    }
}
