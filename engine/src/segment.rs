//! Segment registers and descriptor table registers.

use crate::Cpu;

/// A segment register, in the order of their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Seg {
    /// Extra.
    Es,
    /// Code.
    Cs,
    /// Stack.
    Ss,
    /// Data.
    Ds,
    /// Extra, used for thread data.
    Fs,
    /// Extra, used for thread data.
    Gs,
}

impl Seg {
    /// Its index in `Cpu::segments`.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A segment register with its hidden part (SDM vol. 3, 3.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Descriptor bits 40..56 as they stand in memory: type and S (bits 0-4), DPL (5-6), P (7), then bits 52-55
    /// (AVL, L, D/B, G) in bits 12-15. A null or unusable segment has P clear.
    pub attributes: u16,
    /// Highest offset in bytes (granularity already applied).
    pub limit: u32,
    /// Linear address of offset 0.
    pub base: u64,
}

impl Segment {
    /// Attribute bit: present.
    pub const PRESENT: u16 = 1 << 7;
    /// Attribute bit: code or data segment (S).
    pub const NOT_SYSTEM: u16 = 1 << 4;
    /// Type bit: code.
    pub const CODE: u16 = 1 << 3;
    /// Type bit of data: expand-down; of code: conforming.
    pub const EXPAND_DOWN: u16 = 1 << 2;
    /// Type bit of data: writable; of code: readable.
    pub const WRITABLE: u16 = 1 << 1;
    /// Type bit: accessed.
    pub const ACCESSED: u16 = 1;
    /// Attribute bit: 64-bit code (L).
    pub const LONG: u16 = 1 << 13;
    /// Attribute bit: 32-bit (D/B).
    pub const BIG: u16 = 1 << 14;
    /// Attribute bit: limit in pages (G).
    pub const PAGES: u16 = 1 << 15;

    /// A segment from the 8 bytes of its descriptor.
    pub const fn from_descriptor(selector: u16, descriptor: u64) -> Self {
        let attributes = (descriptor >> 40) as u16 & 0xF0FF;
        let limit = (descriptor & 0xFFFF) as u32 | ((descriptor >> 32) as u32 & 0xF_0000);
        let limit = if attributes & Self::PAGES != 0 { (limit << 12) | 0xFFF } else { limit };
        let base = ((descriptor >> 16) & 0xFF_FFFF) | ((descriptor >> 32) & 0xFF00_0000);
        Self { selector, attributes, limit, base }
    }

    /// A flat 4 GiB segment of privilege `dpl`.
    pub const fn flat(selector: u16, kind: u16, dpl: u16, size: u16) -> Self {
        let attributes = kind | Self::NOT_SYSTEM | (dpl << 5) | Self::PRESENT | Self::PAGES | size;
        Self { selector, attributes, limit: u32::MAX, base: 0 }
    }

    /// A segment register after loading a null selector. FS and GS lose their base, as Linux expects of the vendor
    /// that CPUID names (no `X86_BUG_NULL_SEG`).
    pub const fn null(selector: u16) -> Self {
        Self { selector, attributes: 0, limit: 0, base: 0 }
    }

    /// Whether `bits` are all set in the attributes.
    pub const fn has(&self, bits: u16) -> bool {
        self.attributes & bits == bits
    }

    /// Descriptor privilege level.
    pub const fn dpl(&self) -> u8 {
        (self.attributes >> 5) as u8 & 3
    }

    /// Whether offsets 0 to 4 GiB - 1 can be read and written (data), or read (code), without any check.
    pub const fn is_unlimited(&self) -> bool {
        let data = self.attributes & (Self::CODE | Self::EXPAND_DOWN) == 0;
        self.limit == u32::MAX && self.has(Self::PRESENT | Self::WRITABLE) && data
    }
}

impl Cpu {
    /// A segment register.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "`Seg` has six values, and there are six segment registers")]
    pub(crate) fn segment(&self, seg: Seg) -> &Segment {
        &self.segments[seg.index()]
    }

    /// A segment register, to be changed.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "`Seg` has six values, and there are six segment registers")]
    pub(crate) fn segment_mut(&mut self, seg: Seg) -> &mut Segment {
        &mut self.segments[seg.index()]
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRegister {
    /// Linear address.
    pub base: u64,
    /// Highest offset in bytes.
    pub limit: u16,
}
