//! Micro-operations.

#![allow(unsafe_code, reason = "operations are numbered, and picked by arithmetic")]

use iced_x86::Instruction;

use super::Offset;
use crate::Handler;

/// What a micro-operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[rustfmt::skip]
#[allow(dead_code, reason = "picked by arithmetic: `Op::after`")]
pub(crate) enum Op {
    /// A [`General`] instruction; `a` is its length, `imm` the offset of the record.
    General,
    /// A general instruction that ends its block.
    GeneralEnd,
    /// The block ends here without a branch; the next instruction is at `offset`.
    End,
    // Moves: register and register, immediate, load, store, store of an immediate.
    MovRr8, MovRr16, MovRr32, MovRr64, MovRi8, MovRi16, MovRi32, MovRi64, Load8, Load16, Load32, Load64,
    Store8, Store16, Store32, Store64, StoreI8, StoreI16, StoreI32, StoreI64,
    // The same without an index.
    LoadBase32, LoadBase64, StoreBase32, StoreBase64,
    // Zero and sign extension: from, to.
    ZxRr8, ZxRr16, ZxLoad8, ZxLoad16, SxRr8To32, SxRr16To32, SxRr8To64, SxRr16To64, SxRr32To64,
    SxLoad8To32, SxLoad16To32, SxLoad8To64, SxLoad16To64, SxLoad32To64,
    // Addresses as values.
    Lea32, Lea64,
    // Arithmetic: register, register; register, immediate; register, memory; memory, register; memory, immediate.
    AddRr8, AddRr16, AddRr32, AddRr64, AddRi8, AddRi16, AddRi32, AddRi64, AddRm8, AddRm16, AddRm32,
    AddRm64, AddMr8, AddMr16, AddMr32, AddMr64, AddMi8, AddMi16, AddMi32, AddMi64, OrRr8, OrRr16, OrRr32,
    OrRr64, OrRi8, OrRi16, OrRi32, OrRi64, OrRm8, OrRm16, OrRm32, OrRm64, OrMr8, OrMr16, OrMr32, OrMr64,
    OrMi8, OrMi16, OrMi32, OrMi64, AdcRr8, AdcRr16, AdcRr32, AdcRr64, AdcRi8, AdcRi16, AdcRi32, AdcRi64,
    AdcRm8, AdcRm16, AdcRm32, AdcRm64, AdcMr8, AdcMr16, AdcMr32, AdcMr64, AdcMi8, AdcMi16, AdcMi32,
    AdcMi64, SbbRr8, SbbRr16, SbbRr32, SbbRr64, SbbRi8, SbbRi16, SbbRi32, SbbRi64, SbbRm8, SbbRm16,
    SbbRm32, SbbRm64, SbbMr8, SbbMr16, SbbMr32, SbbMr64, SbbMi8, SbbMi16, SbbMi32, SbbMi64, AndRr8,
    AndRr16, AndRr32, AndRr64, AndRi8, AndRi16, AndRi32, AndRi64, AndRm8, AndRm16, AndRm32, AndRm64,
    AndMr8, AndMr16, AndMr32, AndMr64, AndMi8, AndMi16, AndMi32, AndMi64, SubRr8, SubRr16, SubRr32,
    SubRr64, SubRi8, SubRi16, SubRi32, SubRi64, SubRm8, SubRm16, SubRm32, SubRm64, SubMr8, SubMr16,
    SubMr32, SubMr64, SubMi8, SubMi16, SubMi32, SubMi64, XorRr8, XorRr16, XorRr32, XorRr64, XorRi8,
    XorRi16, XorRi32, XorRi64, XorRm8, XorRm16, XorRm32, XorRm64, XorMr8, XorMr16, XorMr32, XorMr64,
    XorMi8, XorMi16, XorMi32, XorMi64, CmpRr8, CmpRr16, CmpRr32, CmpRr64, CmpRi8, CmpRi16, CmpRi32,
    CmpRi64, CmpRm8, CmpRm16, CmpRm32, CmpRm64, CmpMr8, CmpMr16, CmpMr32, CmpMr64, CmpMi8, CmpMi16,
    CmpMi32, CmpMi64, TestRr8, TestRr16, TestRr32, TestRr64, TestRi8, TestRi16, TestRi32, TestRi64,
    TestMr8, TestMr16, TestMr32, TestMr64, TestMi8, TestMi16, TestMi32, TestMi64, Zero, IncR8, IncR16,
    IncR32, IncR64, DecR8, DecR16, DecR32, DecR64, IncM8, IncM16, IncM32, IncM64, DecM8, DecM16, DecM32, DecM64,
    NegR8, NegR16, NegR32, NegR64, NotR8, NotR16, NotR32, NotR64,
    // Shifts by an immediate count that is not zero, and by CL.
    ShlRi32, ShlRi64, ShlRc32, ShlRc64, ShrRi32, ShrRi64, ShrRc32, ShrRc64, SarRi32, SarRi64, SarRc32,
    SarRc64, ImulRr32, ImulRr64, ImulRm32, ImulRm64, ImulRri32, ImulRri64, ImulRmi32, ImulRmi64,
    // Shifts of 8 and 16 bits by an immediate count from 1 to 7 or 15.
    ShlRi8, ShlRi16, ShrRi8, ShrRi16, SarRi8, SarRi16,
    // Rotates by an immediate count that is not zero, double shifts, byte order, exchange, wide multiplication.
    RolRi32, RolRi64, RorRi32, RorRi64, ShldRri32, ShrdRri32, Bswap32, Bswap64, XchgRr32, XchgRr64, MulR32,
    MulR64, Cwde, Cdqe, Cdq, Cqo,
    // Conditions.
    Setcc, CmovRr32, CmovRr64, CmovRm32, CmovRm64,
    // Stack.
    PushR32, PushR64, PushI32, PushI64, PushM32, PushM64, PopR32, PopR64, Leave32, Leave64, Nop,
    // What a kernel does all the time: interrupts off and on, strings upwards, saving flags, atomic changes of memory.
    Cli, Sti, Cld, PushF32, PushF64, XaddMr32, XaddMr64, CmpxchgMr32, CmpxchgMr64, Cmpxchg8b,
    // Conditions and pops into memory, wide multiplication with memory.
    SetccM, PopM32, PopM64, MulM32, MulM64,
    // Single bits: tests, and what sets, clears and changes them; by a register, by an immediate operand, and that in memory.
    BtRr32, BtRr64, BtRi32, BtRi64, BtMi32, BtMi64, BtsRr32, BtsRr64, BtsRi32, BtsRi64, BtsMi32, BtsMi64, BtrRr32,
    BtrRr64, BtrRi32, BtrRi64, BtrMi32, BtrMi64, BtcRr32, BtcRr64, BtcRi32, BtcRi64, BtcMi32, BtcMi64,
    // The lowest and the highest one.
    BsfRr32, BsfRr64, BsrRr32, BsrRr64,
    // XMM registers, whose places are byte offsets into `Cpu::xmm`: moves of 16 bytes, anywhere and aligned; of 8 bytes;
    // to and from general registers; PXOR, PCMPEQB, PMOVMSKB.
    VectorRr, VectorLoad, VectorLoadAligned, VectorStore, VectorStoreAligned, VectorRr64, VectorLoad64, VectorStore64,
    VectorFrom32, VectorFrom64, VectorTo32, VectorTo64, VectorXor, VectorEqual8, VectorMask8,
    // Two instructions each, of 32 bits: see `pair`. The last one loads from where the first load leads.
    LoadLoad, LoadStore, LoadMove, LoadAdd, LoadXor, LoadAnd, LoadOr, LoadAddI, LoadAndI, LoadSubI, LoadLea,
    LoadShrI, LoadRorI, LoadRolI, StoreLoad, StoreStore, StoreMove, StoreAdd, StoreXor, StoreAnd, StoreOr,
    StoreAddI, StoreAndI, StoreSubI, StoreLea, StoreShrI, StoreRorI, StoreRolI, MoveLoad, MoveStore, MoveMove,
    MoveAdd, MoveXor, MoveAnd, MoveOr, MoveAddI, MoveAndI, MoveSubI, MoveLea, MoveShrI, MoveRorI, MoveRolI,
    AddLoad, AddStore, AddMove, AddAdd, AddXor, AddAnd, AddOr, AddAddI, AddAndI, AddSubI, AddLea, AddShrI,
    AddRorI, AddRolI, XorLoad, XorStore, XorMove, XorAdd, XorXor, XorAnd, XorOr, XorAddI, XorAndI, XorSubI,
    XorLea, XorShrI, XorRorI, XorRolI, AndLoad, AndStore, AndMove, AndAdd, AndXor, AndAnd, AndOr, AndAddI,
    AndAndI, AndSubI, AndLea, AndShrI, AndRorI, AndRolI, OrLoad, OrStore, OrMove, OrAdd, OrXor, OrAnd, OrOr,
    OrAddI, OrAndI, OrSubI, OrLea, OrShrI, OrRorI, OrRolI, AddILoad, AddIStore, AddIMove, AddIAdd, AddIXor,
    AddIAnd, AddIOr, AddIAddI, AddIAndI, AddISubI, AddILea, AddIShrI, AddIRorI, AddIRolI, AndILoad, AndIStore,
    AndIMove, AndIAdd, AndIXor, AndIAnd, AndIOr, AndIAddI, AndIAndI, AndISubI, AndILea, AndIShrI, AndIRorI,
    AndIRolI, SubILoad, SubIStore, SubIMove, SubIAdd, SubIXor, SubIAnd, SubIOr, SubIAddI, SubIAndI, SubISubI,
    SubILea, SubIShrI, SubIRorI, SubIRolI, LeaLoad, LeaStore, LeaMove, LeaAdd, LeaXor, LeaAnd, LeaOr, LeaAddI,
    LeaAndI, LeaSubI, LeaLea, LeaShrI, LeaRorI, LeaRolI, ShrILoad, ShrIStore, ShrIMove, ShrIAdd, ShrIXor,
    ShrIAnd, ShrIOr, ShrIAddI, ShrIAndI, ShrISubI, ShrILea, ShrIShrI, ShrIRorI, ShrIRolI, RorILoad, RorIStore,
    RorIMove, RorIAdd, RorIXor, RorIAnd, RorIOr, RorIAddI, RorIAndI, RorISubI, RorILea, RorIShrI, RorIRorI,
    RorIRolI, RolILoad, RolIStore, RolIMove, RolIAdd, RolIXor, RolIAnd, RolIOr, RolIAddI, RolIAndI, RolISubI,
    RolILea, RolIShrI, RolIRorI, RolIRolI, LoadChain,
    // The same of 64 bits. `Zero` and `Narrow`, a move of 32 bits, clear the upper half.
    LoadLoad64, LoadStore64, LoadMove64, LoadLea64, LoadAdd64, LoadAddI64, LoadAndI64, LoadSubI64, LoadShrI64,
    LoadShlI64, LoadZero64, LoadNarrow64, StoreLoad64, StoreStore64, StoreMove64, StoreLea64, StoreAdd64,
    StoreAddI64, StoreAndI64, StoreSubI64, StoreShrI64, StoreShlI64, StoreZero64, StoreNarrow64, MoveLoad64,
    MoveStore64, MoveMove64, MoveLea64, MoveAdd64, MoveAddI64, MoveAndI64, MoveSubI64, MoveShrI64, MoveShlI64,
    MoveZero64, MoveNarrow64, LeaLoad64, LeaStore64, LeaMove64, LeaLea64, LeaAdd64, LeaAddI64, LeaAndI64,
    LeaSubI64, LeaShrI64, LeaShlI64, LeaZero64, LeaNarrow64, AddLoad64, AddStore64, AddMove64, AddLea64,
    AddAdd64, AddAddI64, AddAndI64, AddSubI64, AddShrI64, AddShlI64, AddZero64, AddNarrow64, AddILoad64,
    AddIStore64, AddIMove64, AddILea64, AddIAdd64, AddIAddI64, AddIAndI64, AddISubI64, AddIShrI64, AddIShlI64,
    AddIZero64, AddINarrow64, AndILoad64, AndIStore64, AndIMove64, AndILea64, AndIAdd64, AndIAddI64, AndIAndI64,
    AndISubI64, AndIShrI64, AndIShlI64, AndIZero64, AndINarrow64, SubILoad64, SubIStore64, SubIMove64,
    SubILea64, SubIAdd64, SubIAddI64, SubIAndI64, SubISubI64, SubIShrI64, SubIShlI64, SubIZero64, SubINarrow64,
    ShrILoad64, ShrIStore64, ShrIMove64, ShrILea64, ShrIAdd64, ShrIAddI64, ShrIAndI64, ShrISubI64, ShrIShrI64,
    ShrIShlI64, ShrIZero64, ShrINarrow64, ShlILoad64, ShlIStore64, ShlIMove64, ShlILea64, ShlIAdd64, ShlIAddI64,
    ShlIAndI64, ShlISubI64, ShlIShrI64, ShlIShlI64, ShlIZero64, ShlINarrow64, ZeroLoad64, ZeroStore64,
    ZeroMove64, ZeroLea64, ZeroAdd64, ZeroAddI64, ZeroAndI64, ZeroSubI64, ZeroShrI64, ZeroShlI64, ZeroZero64,
    ZeroNarrow64, NarrowLoad64, NarrowStore64, NarrowMove64, NarrowLea64, NarrowAdd64, NarrowAddI64,
    NarrowAndI64, NarrowSubI64, NarrowShrI64, NarrowShlI64, NarrowZero64, NarrowNarrow64,
    LoadChain64, PushPush32, PushPush64, PopPop32, PopPop64, PushSub32, PushMove64, MovePush64,
    // Three and four: pushes, and room on the stack; pops.
    ThreePushes32, PushPushSub32, FourPushes32, FourPops32, ThreePushes64, FourPushes64, FourPops64,
    // Branches; each is followed by a [`Op::Links`].
    Jmp, Jo, Jno, Jb, Jae, Je, Jne, Jbe, Ja, Js, Jns, Jp, Jnp, Jl, Jge, Jle, Jg, CmpRr8Je, CmpRr8Jne,
    CmpRr8Jb, CmpRr8Jae, CmpRr8Jbe, CmpRr8Ja, CmpRr8Jl, CmpRr8Jge, CmpRr8Jle, CmpRr8Jg, CmpRr8Js,
    CmpRr8Jns, CmpRr32Je, CmpRr32Jne, CmpRr32Jb, CmpRr32Jae, CmpRr32Jbe, CmpRr32Ja, CmpRr32Jl, CmpRr32Jge,
    CmpRr32Jle, CmpRr32Jg, CmpRr32Js, CmpRr32Jns, CmpRr64Je, CmpRr64Jne, CmpRr64Jb, CmpRr64Jae, CmpRr64Jbe,
    CmpRr64Ja, CmpRr64Jl, CmpRr64Jge, CmpRr64Jle, CmpRr64Jg, CmpRr64Js, CmpRr64Jns, CmpRi8Je, CmpRi8Jne,
    CmpRi8Jb, CmpRi8Jae, CmpRi8Jbe, CmpRi8Ja, CmpRi8Jl, CmpRi8Jge, CmpRi8Jle, CmpRi8Jg, CmpRi8Js,
    CmpRi8Jns, CmpRi32Je, CmpRi32Jne, CmpRi32Jb, CmpRi32Jae, CmpRi32Jbe, CmpRi32Ja, CmpRi32Jl, CmpRi32Jge,
    CmpRi32Jle, CmpRi32Jg, CmpRi32Js, CmpRi32Jns, CmpRi64Je, CmpRi64Jne, CmpRi64Jb, CmpRi64Jae, CmpRi64Jbe,
    CmpRi64Ja, CmpRi64Jl, CmpRi64Jge, CmpRi64Jle, CmpRi64Jg, CmpRi64Js, CmpRi64Jns, CmpRm32Je, CmpRm32Jne,
    CmpRm32Jb, CmpRm32Jae, CmpRm32Jbe, CmpRm32Ja, CmpRm32Jl, CmpRm32Jge, CmpRm32Jle, CmpRm32Jg, CmpRm32Js,
    CmpRm32Jns, CmpMi8Je, CmpMi8Jne, CmpMi8Jb, CmpMi8Jae, CmpMi8Jbe, CmpMi8Ja, CmpMi8Jl, CmpMi8Jge,
    CmpMi8Jle, CmpMi8Jg, CmpMi8Js, CmpMi8Jns, CmpMi32Je, CmpMi32Jne, CmpMi32Jb, CmpMi32Jae, CmpMi32Jbe,
    CmpMi32Ja, CmpMi32Jl, CmpMi32Jge, CmpMi32Jle, CmpMi32Jg, CmpMi32Js, CmpMi32Jns, TestRr8Je, TestRr8Jne,
    TestRr8Js, TestRr8Jns, TestRr8Jle, TestRr8Jg, TestRr32Je, TestRr32Jne, TestRr32Js, TestRr32Jns,
    TestRr32Jle, TestRr32Jg, TestRr64Je, TestRr64Jne, TestRr64Js, TestRr64Jns, TestRr64Jle, TestRr64Jg,
    TestRi8Je, TestRi8Jne, TestRi8Js, TestRi8Jns, TestRi8Jle, TestRi8Jg, TestRi32Je, TestRi32Jne,
    TestRi32Js, TestRi32Jns, TestRi32Jle, TestRi32Jg, TestRi64Je, TestRi64Jne, TestRi64Js, TestRi64Jns,
    TestRi64Jle, TestRi64Jg, TestMi8Je, TestMi8Jne, TestMi8Js, TestMi8Jns,
    CmpRi16Je, CmpRi16Jne, CmpRi16Jb, CmpRi16Jae, CmpRi16Jbe, CmpRi16Ja, CmpRi16Jl, CmpRi16Jge, CmpRi16Jle,
    CmpRi16Jg, CmpRi16Js, CmpRi16Jns, CmpMr8Je, CmpMr8Jne, CmpMr8Jb, CmpMr8Jae, CmpMr8Jbe, CmpMr8Ja,
    CmpMr8Jl, CmpMr8Jge, CmpMr8Jle, CmpMr8Jg, CmpMr8Js, CmpMr8Jns, CmpMr32Je, CmpMr32Jne, CmpMr32Jb,
    CmpMr32Jae, CmpMr32Jbe, CmpMr32Ja, CmpMr32Jl, CmpMr32Jge, CmpMr32Jle, CmpMr32Jg, CmpMr32Js, CmpMr32Jns,
    CmpRm64Je, CmpRm64Jne, CmpRm64Jb, CmpRm64Jae, CmpRm64Jbe, CmpRm64Ja, CmpRm64Jl, CmpRm64Jge, CmpRm64Jle,
    CmpRm64Jg, CmpRm64Js, CmpRm64Jns, CmpMi64Je, CmpMi64Jne, CmpMi64Jb, CmpMi64Jae, CmpMi64Jbe, CmpMi64Ja,
    CmpMi64Jl, CmpMi64Jge, CmpMi64Jle, CmpMi64Jg, CmpMi64Js, CmpMi64Jns, CmpMr64Je, CmpMr64Jne, CmpMr64Jb,
    CmpMr64Jae, CmpMr64Jbe, CmpMr64Ja, CmpMr64Jl, CmpMr64Jge, CmpMr64Jle, CmpMr64Jg, CmpMr64Js, CmpMr64Jns,
    AndRi32Je, AndRi32Jne, SubMi32Je, SubMi32Jne, SubMi64Je, SubMi64Jne,
    // Three.
    LoadTestJe, LoadTestJne, LoadTestJe64, LoadTestJne64, LoadTestIJe, LoadTestIJne, AddITestJe, AddITestJne,
    AddICmpIJe, AddICmpIJne, AddICmpIJb, PopPopRet32, PopPopRet64, PushPushCall32,
    // Two again.
    PopRet32, LoadRet32, PushCall32, MoveCall32, PopRet64, MoveCall64,
    // Calls, returns and indirect jumps.
    Call32, Call64, CallR32, CallR64, CallM32, CallM64, Ret32, Ret64, RetI32, RetI64, JmpR32, JmpR64,
    JmpM32, JmpM64,
    // Calls the translation of the current block; no part of a block.
    Translated,
    // Links of the branch before: `imm` holds the blocks of the taken and the other way.
    Links,
}

impl Op {
    /// Instructions that it stands for.
    pub(crate) fn instructions(self) -> u8 {
        let is_from = |first: Self, last: Self| (first as u16..=last as u16).contains(&(self as u16));
        if is_from(Self::LoadLoad, Self::MovePush64)
            || is_from(Self::CmpRr8Je, Self::SubMi64Jne)
            || is_from(Self::PopRet32, Self::MoveCall64)
        {
            return 2;
        }
        if is_from(Self::LoadTestJe, Self::PushPushCall32) {
            return 3;
        }
        match self {
            Self::End | Self::Links => 0,
            Self::ThreePushes32 | Self::PushPushSub32 | Self::ThreePushes64 => 3,
            Self::FourPushes32 | Self::FourPops32 | Self::FourPushes64 | Self::FourPops64 => 4,
            _ => 1,
        }
    }

    /// Of a branch: whether it may lead to its target, and to what follows it, within a function.
    pub(crate) fn ways(self) -> (bool, bool) {
        let number = self as u16;
        let is_from = |first: Self, last: Self| (first as u16..=last as u16).contains(&number);
        if self == Self::Jmp {
            (true, false)
        } else {
            let conditional = is_from(Self::Jo, Self::AddICmpIJb);
            (conditional, conditional)
        }
    }

    /// The operation `distance` places after this one; the order of the list above is relied upon.
    pub(crate) fn after(self, distance: u16) -> Self {
        let number = (self as u16).wrapping_add(distance).min(Self::Links as u16);
        // SAFETY: all numbers up to that of `Links`, the last one, are operations.
        unsafe { std::mem::transmute::<u16, Self>(number) }
    }
}

/// A micro-operation: an instruction, or two that belong together, with its operands ready.
/// Registers are byte offsets into `Cpu::regs`. Many are executed once only, so what counts is how little memory they take.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Uop {
    pub(crate) op: Op,
    /// Offset of the instruction in its page, 0 to 4095 (4096 and above: in the next page).
    pub(crate) offset: u16,
    /// First register.
    pub(crate) a: u8,
    /// Second register; a condition; how a general instruction ends its block.
    pub(crate) b: u8,
    /// Base register of an address; the condition of a conditional move between registers.
    pub(crate) base: u8,
    /// Index register of an address, a multiple of 8, and the shift of the index, 0 to 3.
    pub(crate) index: u8,
    /// Displacement of an address; the upper half of an immediate operand of 64 bits.
    pub(crate) disp: i32,
    /// Immediate operand, to be sign-extended.
    pub(crate) imm: i32,
}

impl Uop {
    /// The register in `index`.
    pub(crate) const INDEX: u8 = !7;
    /// The shift in `index`.
    pub(crate) const SCALE: u8 = 3;

    /// Whether the address has an index.
    pub(crate) fn has_index(&self) -> bool {
        usize::from(self.index) != crate::state::ZERO * 8
    }

    /// Sets an immediate operand beside a register, which may have 64 bits.
    pub(crate) fn set_wide_immediate(&mut self, value: i64) {
        (self.imm, self.disp) = (value as i32, (value >> 32) as i32);
    }

    /// The immediate operand of [`Op::MovRi64`].
    #[inline(always)]
    pub(crate) fn wide_immediate(&self) -> u64 {
        u64::from(self.disp as u32) << 32 | u64::from(self.imm as u32)
    }
}

/// Where a branch led before: nowhere, a block that is certainly right, or one that has to be looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Link(u32);

impl Link {
    /// Not known yet.
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const UNSURE: u32 = 1 << 31;

    pub(crate) fn new(block: Offset, sure: bool) -> Self {
        Self(if sure { block } else { block | Self::UNSURE })
    }

    /// Whether the block is right without a look at it: it is in the same page.
    #[inline(always)]
    pub(crate) fn is_sure(self) -> bool {
        self.0 as i32 > 0
    }

    /// The block, 0 if it is not known.
    #[inline(always)]
    pub(crate) fn offset(self) -> Offset {
        self.0 & !Self::UNSURE
    }
}

/// What follows a branch: where it leads. As [`Op::End`] it ends a block without one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Links {
    pub(crate) op: Op,
    /// Offset of the next instruction in the page.
    pub(crate) offset: u16,
    /// The block of the target.
    pub(crate) taken: Link,
    /// The block of the next instruction.
    pub(crate) other: Link,
    /// The target, relative to the start of the page.
    pub(crate) target: i32,
}

const _: () = assert!(size_of::<Uop>() == 16 && size_of::<Links>() == size_of::<Uop>());

/// The record of a general instruction. Its `ip` is its offset in its page.
#[repr(C)]
pub(crate) struct General {
    pub(crate) handler: Handler,
    pub(crate) insn: Instruction,
}

impl From<Links> for Uop {
    fn from(links: Links) -> Self {
        // SAFETY: both are plain numbers of the same size, and begin with the operation.
        unsafe { std::mem::transmute(links) }
    }
}

impl From<Uop> for Links {
    /// Of what stands behind a branch, or ends a block without one.
    fn from(uop: Uop) -> Self {
        // SAFETY: as above.
        unsafe { std::mem::transmute(uop) }
    }
}
