//! A case, and what came of it.

use crate::layout;

/// The mode of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// 32-bit code, under a 64-bit system (compatibility mode).
    Bits32,
    /// 64-bit code.
    Bits64,
}

impl Mode {
    /// Its width, as iced wants it.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// An image as FXSAVE writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct FxImage(pub [u8; 512]);

impl FxImage {
    /// What FNINIT and a default MXCSR leave.
    pub fn initial() -> Self {
        let mut image = Self([0; 512]);
        image.set_u16(0, 0x037F);
        image.set_u32(24, 0x1F80);
        image.set_u32(28, 0x0002_FFFF);
        image
    }

    /// Two bytes of it.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    /// Sets two bytes.
    pub fn set_u16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// Sets four bytes.
    pub fn set_u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// MXCSR.
    pub fn mxcsr(&self) -> u32 {
        u32::from_le_bytes([self.0[24], self.0[25], self.0[26], self.0[27]])
    }

    /// Sets MXCSR.
    pub fn set_mxcsr(&mut self, value: u32) {
        self.set_u32(24, value);
    }

    /// The control word of the x87.
    pub fn control(&self) -> u16 {
        self.u16(0)
    }

    /// The status word of the x87.
    pub fn status(&self) -> u16 {
        self.u16(2)
    }

    /// `ST(index)`, ten bytes.
    pub fn st(&self, index: usize) -> [u8; 10] {
        let start = 32 + 16 * index;
        std::array::from_fn(|byte| self.0[start + byte])
    }

    /// `XMM(index)`.
    pub fn xmm(&self, index: usize) -> u128 {
        let start = 160 + 16 * index;
        u128::from_le_bytes(std::array::from_fn(|byte| self.0[start + byte]))
    }
}

/// Registers, before or after.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct State {
    /// x87, MMX and SSE.
    pub fx: FxImage,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gprs: [u64; 16],
    /// The instruction pointer.
    pub rip: u64,
    /// The flags.
    pub rflags: u64,
    /// Where FS and GS begin (of 64-bit code).
    pub bases: [u64; 2],
    /// ES, CS, SS, DS, FS, GS.
    pub selectors: [u16; 6],
}

impl State {
    /// Registers for a mode, with nothing in them.
    pub fn new(mode: Mode) -> Self {
        let selectors = match mode {
            Mode::Bits32 => [layout::DS, layout::CS32, layout::DS, layout::DS, layout::FS32, layout::GS32],
            Mode::Bits64 => [layout::DS, layout::CS64, layout::DS, layout::DS, 0, 0],
        };
        let mut gprs = [0; 16];
        gprs[4] = u64::from(layout::STACK_END - 0x800);
        Self {
            fx: FxImage::initial(),
            gprs,
            rip: u64::from(layout::CODE),
            rflags: 0x202,
            bases: [u64::from(layout::FS_BASE), u64::from(layout::GS_BASE)],
            selectors,
        }
    }
}

/// Bytes that a case puts into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub address: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// A few instructions and what they find.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// The mode they run in.
    pub mode: Mode,
    /// The registers before; RIP is where the code goes.
    pub state: State,
    /// The code; `int3` comes before and after it.
    pub code: Vec<u8>,
    /// Data, applied in order over the background.
    pub patches: Vec<Patch>,
}

impl Case {
    /// A case without operands.
    pub fn new(mode: Mode, code: &[u8]) -> Self {
        Self { mode, state: State::new(mode), code: code.to_vec(), patches: Vec::new() }
    }
}

/// An exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exception {
    /// Its number.
    pub vector: u32,
    /// Its error code, 0 where there is none.
    pub error_code: u32,
    /// CR2, for a page fault.
    pub address: u64,
}

/// How many words of changed memory an outcome names.
pub const NAMED_CHANGES: usize = 96;

/// Memory that is not as it was, in words of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Changes {
    /// A sum of all changes.
    pub sum: u64,
    /// How many words have changed.
    pub count: u32,
    /// Where the first ones are.
    pub addresses: [u32; NAMED_CHANGES],
    /// What is there.
    pub words: [u64; NAMED_CHANGES],
}

impl Changes {
    /// No change.
    pub const NONE: Self =
        Self { sum: 0, count: 0, addresses: [0; NAMED_CHANGES], words: [0; NAMED_CHANGES] };

    /// Enters one.
    pub fn add(&mut self, address: u32, word: u64) {
        let index = self.count as usize;
        if index < NAMED_CHANGES {
            self.addresses[index] = address;
            self.words[index] = word;
        }
        self.count = self.count.wrapping_add(1);
        self.sum =
            (self.sum.rotate_left(7) ^ word ^ (u64::from(address) << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// Those that are named, each with its address.
    pub fn named(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let count = (self.count as usize).min(NAMED_CHANGES);
        self.addresses[..count].iter().copied().zip(self.words[..count].iter().copied())
    }
}

/// Where a case stopped: at its first exception, which is `int3` if nothing else happens.
#[derive(Clone, PartialEq, Eq)]
pub struct Stop {
    /// The registers then.
    pub state: State,
    /// The exception.
    pub exception: Exception,
    /// Memory compared with what it was.
    pub changes: Changes,
}

/// What came of a case.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stopped.
    Stopped(Box<Stop>),
    /// It called the system, which the oracle does not allow.
    SystemCall,
    /// It did not stop in time.
    Hung,
    /// The process that ran it died, or the engine gave up.
    Lost(String),
}
