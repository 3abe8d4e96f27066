//! The memory of a case: the same addresses in the native process and in the engine.
//!
//! All of it lies below 64 KiB where operands are concerned, so that 16-bit addresses reach it.

/// The size of a page.
pub const PAGE: u32 = 0x1000;

/// Data that can be read and written; the page before it is not mapped.
pub const DATA: u32 = 0x5000;
/// The end of what can be written, and the page that can only be read.
pub const READ_ONLY: u32 = 0x8000;
/// The end of the read-only page; the page after it is not mapped.
pub const DATA_END: u32 = 0x9000;
/// The stack; the pages before and after it are not mapped.
pub const STACK: u32 = 0xB000;
/// The end of the stack.
pub const STACK_END: u32 = 0xD000;
/// Code, which can be read and executed; the page after it is not mapped.
pub const CODE: u32 = 0x2_0000;
/// The end of the code.
pub const CODE_END: u32 = 0x2_2000;

/// Where FS points.
pub const FS_BASE: u32 = 0x5400;
/// Where GS points.
pub const GS_BASE: u32 = 0x6100;
/// The last offset in GS as a segment of 32-bit code: its end is the end of a page of data.
pub const GS_LIMIT: u32 = 0x1EFF;

/// What fills code that is not part of the case: `int3`.
pub const FILLER: u8 = 0xCC;

/// 32-bit user code, with the number that Linux gives it on x86-64.
pub const CS32: u16 = 0x23;
/// User data and stack.
pub const DS: u16 = 0x2B;
/// 64-bit user code.
pub const CS64: u16 = 0x33;
/// FS of 32-bit code, in the local descriptor table.
pub const FS32: u16 = (1 << 3) | 7;
/// GS of 32-bit code, in the local descriptor table.
pub const GS32: u16 = (2 << 3) | 7;

/// A descriptor of the local table, in the words of `modify_ldt`.
#[derive(Clone, Copy, Debug)]
pub struct LocalDescriptor {
    /// Its index.
    pub index: u32,
    /// Where the segment begins.
    pub base: u32,
    /// Its last offset, in bytes or pages.
    pub limit: u32,
    /// Whether the limit counts pages.
    pub in_pages: bool,
    /// Whether it is code (readable, not conforming) rather than data.
    pub code: bool,
    /// Whether data grows down.
    pub expand_down: bool,
    /// Whether data cannot be written, or code cannot be read.
    pub restricted: bool,
    /// Whether it is present.
    pub present: bool,
}

const PLAIN: LocalDescriptor = LocalDescriptor {
    index: 0,
    base: 0,
    limit: 0xF_FFFF,
    in_pages: true,
    code: false,
    expand_down: false,
    restricted: false,
    present: true,
};

/// The local descriptor table. All entries are 32-bit and of ring 3; entry 0 is empty.
pub const LOCAL_DESCRIPTORS: [LocalDescriptor; 7] = [
    LocalDescriptor { index: 1, base: FS_BASE, ..PLAIN },
    LocalDescriptor { index: 2, base: GS_BASE, limit: GS_LIMIT, in_pages: false, ..PLAIN },
    LocalDescriptor { index: 3, base: DATA, limit: 0x7FF, in_pages: false, restricted: true, ..PLAIN },
    LocalDescriptor { index: 4, base: DATA, limit: 0x7FF, in_pages: false, expand_down: true, ..PLAIN },
    LocalDescriptor { index: 5, code: true, ..PLAIN },
    LocalDescriptor { index: 6, code: true, restricted: true, ..PLAIN },
    LocalDescriptor { index: 7, present: false, ..PLAIN },
];

/// A region of memory whose content is compared.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Where it begins.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Whether user code can write to it.
    pub writable: bool,
}

/// What is compared after a case; code is never writable.
pub const REGIONS: [Region; 3] = [
    Region { start: DATA, end: READ_ONLY, writable: true },
    Region { start: READ_ONLY, end: DATA_END, writable: false },
    Region { start: STACK, end: STACK_END, writable: true },
];

/// What memory contains before the case's own patches: numbers without pattern, among them
/// every byte's value.
pub fn background(region: Region) -> Vec<u8> {
    let mut random = crate::random::Random::new(u64::from(region.start));
    (region.start..region.end).step_by(8).flat_map(|_| random.next().to_le_bytes()).collect()
}
