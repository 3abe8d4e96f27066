//! The tables that make a case's memory and segments: pages, descriptors, gates, task state.

use crate::layout::{
    self, CODE, CODE_END, DATA, DATA_END, FILLER, LocalDescriptor, READ_ONLY, STACK, STACK_END,
};
use wasm_sandbox_engine::testing::Controls;
use wasm_sandbox_engine::{Segment, TableRegister};

/// What the engine is like while user code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Long mode: 64-bit code, and 32-bit code in compatibility mode.
    Long,
    /// Protected mode with PAE: 32-bit code.
    Protected,
}

/// Bytes of RAM.
pub const RAM: usize = 0x8_0000;
/// Page tables, by guest-physical address.
pub const TABLES: u64 = 0x3_0000;
/// Descriptor tables and the stack of ring 0, by guest-physical address.
pub const SYSTEM: u64 = 0x3_8000;
/// The end of these.
pub const SYSTEM_END: u64 = 0x4_0000;
const GDT: u64 = 0;
const LDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
const TSS: u64 = 0x3000;
/// The handlers, from the beginning of the system's memory.
pub const STUBS: u64 = 0x4000;
const STACK_TOP: u64 = 0x8000;
/// Bytes between the handlers of two vectors.
pub const STUB_STEP: u64 = 32;
const HLT: u8 = 0xF4;

/// The global descriptors of Linux on x86-64, from index 1 on.
const GLOBAL: [u64; 6] = [
    0x00CF_9B00_0000_FFFF,
    0x00AF_9B00_0000_FFFF,
    0x00CF_9300_0000_FFFF,
    0x00CF_FB00_0000_FFFF,
    0x00CF_F300_0000_FFFF,
    0x00AF_FB00_0000_FFFF,
];
const GDT_LIMIT: u16 = 16 * 8 - 1;
const LDT_LIMIT: u32 = 8 * 8 - 1;
const NO_EXECUTE: u64 = 1 << 63;

/// Bytes of RAM.
type Piece = (u64, Vec<u8>);

/// The descriptor and control registers.
pub struct Registers {
    /// Control registers.
    pub controls: Controls,
    /// GDTR.
    pub gdtr: TableRegister,
    /// IDTR.
    pub idtr: TableRegister,
    /// LDTR.
    pub ldtr: Segment,
    /// TR.
    pub tr: Segment,
}

impl System {
    /// Where the system's memory is mapped: in the half of addresses that belongs to it.
    pub fn linear(self) -> u64 {
        match self {
            Self::Long => 0xFFFF_FFFF_8000_0000,
            Self::Protected => 0xC000_0000,
        }
    }

    /// The registers for these tables.
    pub fn registers(self) -> Registers {
        const PE_MP_ET_NE_WP_AM_PG: u64 = 0x8005_0033;
        const PAE_PGE_OSFXSR_OSXMMEXCPT_UMIP_FSGSBASE: u64 = 0x1_0EA0;
        const SCE_NXE: u64 = 0x801;
        const LME_LMA: u64 = 0x500;
        let base = self.linear();
        let efer = SCE_NXE | if self == Self::Long { LME_LMA } else { 0 };
        let system_segment =
            |selector, attributes, limit, at| Segment { selector, attributes, limit, base: base + at };
        Registers {
            controls: Controls {
                cr0: PE_MP_ET_NE_WP_AM_PG,
                cr3: TABLES,
                cr4: PAE_PGE_OSFXSR_OSXMMEXCPT_UMIP_FSGSBASE,
                efer,
            },
            gdtr: TableRegister { base: base + GDT, limit: GDT_LIMIT },
            idtr: TableRegister { base: base + IDT, limit: if self == Self::Long { 0xFFF } else { 0x7FF } },
            ldtr: system_segment(0x50, 0x82, LDT_LIMIT, LDT),
            tr: system_segment(0x40, 0x8B, 0x67, TSS),
        }
    }

    /// All of RAM that is not the case's own.
    pub fn memory(self) -> Vec<Piece> {
        let mut pieces = self.page_tables();
        pieces.push((CODE.into(), vec![FILLER; (CODE_END - CODE) as usize]));
        for (descriptor, index) in GLOBAL.into_iter().zip(1..) {
            pieces.push(word(SYSTEM + GDT + index * 8, descriptor));
        }
        pieces.push(word(SYSTEM + GDT + 15 * 8, 0x0040_F500_0000_0001));
        self.put_system_descriptor(&mut pieces, 8, 0x8B, TSS, 0x67);
        self.put_system_descriptor(&mut pieces, 10, 0x82, LDT, LDT_LIMIT.into());
        for entry in layout::LOCAL_DESCRIPTORS {
            pieces.push(word(SYSTEM + LDT + u64::from(entry.index) * 8, descriptor(&entry)));
        }
        for vector in 0..256 {
            pieces.push((SYSTEM + STUBS + STUB_STEP * vector, vec![HLT]));
            pieces.extend(self.gate(vector));
        }
        let top = self.linear() + STACK_TOP;
        match self {
            Self::Long => pieces.push(word(SYSTEM + TSS + 4, top)),
            Self::Protected => pieces.push(word(SYSTEM + TSS + 4, top | 0x18 << 32)),
        }
        // No map of ports.
        pieces.push((SYSTEM + TSS + 0x66, vec![0x68, 0]));
        pieces
    }

    fn page_tables(self) -> Vec<Piece> {
        const TABLE: u64 = 7;
        let table = |index: u64| TABLES + 0x1000 * index;
        let mut pieces = Vec::new();
        let (low_table, high_table) = (table(3), table(6));
        match self {
            Self::Long => {
                let [low, low_directory, high, high_directory] = [1, 2, 4, 5].map(table);
                for (at, to) in [
                    (TABLES, low),
                    (low, low_directory),
                    (low_directory, low_table),
                    (TABLES + 511 * 8, high),
                    (high + 510 * 8, high_directory),
                    (high_directory, high_table),
                ] {
                    pieces.push(word(at, to | TABLE));
                }
            }
            Self::Protected => {
                let [low_directory, high_directory] = [2, 5].map(table);
                pieces.push(word(TABLES, low_directory | 1));
                pieces.push(word(TABLES + 3 * 8, high_directory | 1));
                pieces.push(word(low_directory, low_table | TABLE));
                pieces.push(word(high_directory, high_table | TABLE));
            }
        }
        let pages = [
            (DATA, READ_ONLY, 7 | NO_EXECUTE),
            (READ_ONLY, DATA_END, 5 | NO_EXECUTE),
            (STACK, STACK_END, 7 | NO_EXECUTE),
            (CODE, CODE_END, 5),
        ];
        for (start, end, rights) in pages {
            for page in (u64::from(start)..u64::from(end)).step_by(0x1000) {
                pieces.push(word(low_table + page / 0x1000 * 8, page | rights));
            }
        }
        for page in (SYSTEM..SYSTEM_END).step_by(0x1000) {
            pieces.push(word(high_table + (page - SYSTEM) / 0x1000 * 8, page | 3));
        }
        pieces
    }

    fn put_system_descriptor(self, pieces: &mut Vec<Piece>, index: u64, kind: u64, at: u64, limit: u64) {
        let base = self.linear() + at;
        let low = limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | kind << 40 | (base >> 24 & 0xFF) << 56;
        pieces.push(word(SYSTEM + GDT + index * 8, low));
        if self == Self::Long {
            pieces.push(word(SYSTEM + GDT + index * 8 + 8, base >> 32));
        }
    }

    /// The interrupt gate of a vector; those of `int3` and `into` are for users.
    fn gate(self, vector: u64) -> Vec<Piece> {
        let target = self.linear() + STUBS + STUB_STEP * vector;
        let access = 0x8E00 | (u64::from(matches!(vector, 3 | 4)) * 0x6000);
        let selector = if self == Self::Long { 0x10 } else { 0x08 };
        let low = target & 0xFFFF | selector << 16 | access << 32 | (target >> 16 & 0xFFFF) << 48;
        match self {
            Self::Long => {
                let at = SYSTEM + IDT + vector * 16;
                vec![word(at, low), word(at + 8, target >> 32)]
            }
            Self::Protected => vec![word(SYSTEM + IDT + vector * 8, low)],
        }
    }
}

/// Whether exceptions with this number have an error code.
pub fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

/// Handlers of long mode that go on one byte after the fault, in any case within the code.
pub fn returning_handlers() -> Vec<Piece> {
    let handler = |vector| {
        let mut code = Vec::new();
        if has_error_code(vector) {
            // add rsp, 8
            code.extend([0x48, 0x83, 0xC4, 0x08]);
        }
        // inc qword [rsp]; and qword [rsp], 1FFFh; or qword [rsp], 20000h; iretq
        code.extend([0x48, 0xFF, 0x04, 0x24, 0x48, 0x81, 0x24, 0x24, 0xFF, 0x1F, 0, 0]);
        code.extend([0x48, 0x81, 0x0C, 0x24, 0, 0, 2, 0, 0x48, 0xCF]);
        (SYSTEM + STUBS + STUB_STEP * vector, code)
    };
    (0..256).map(handler).collect()
}

fn word(at: u64, value: u64) -> Piece {
    (at, value.to_le_bytes().to_vec())
}

/// The eight bytes of a local descriptor.
fn descriptor(entry: &LocalDescriptor) -> u64 {
    let LocalDescriptor { base, limit, .. } = *entry;
    // Linux sets the accessed bit.
    let kind = match (entry.code, entry.expand_down) {
        (true, _) => 0x9 | u64::from(!entry.restricted) << 1,
        (false, down) => 0x1 | u64::from(!entry.restricted) << 1 | u64::from(down) << 2,
    };
    let (base, limit) = (u64::from(base), u64::from(limit));
    let access = kind | 0x70 | u64::from(entry.present) << 7;
    // 32 bits.
    let flags = 0x4 | u64::from(entry.in_pages) << 3;
    limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | access << 40
        | (limit >> 16) << 48
        | flags << 52
        | (base >> 24) << 56
}

/// What a segment register holds after loading one of the selectors that cases begin with.
pub fn cached(selector: u16) -> Segment {
    let index = selector >> 3;
    match (selector & !3, selector & 4) {
        (0, _) => Segment { selector, ..Segment::default() },
        (_, 0) => GLOBAL
            .get(usize::from(index) - 1)
            .map_or_else(Segment::default, |descriptor| Segment::from_descriptor(selector, *descriptor)),
        _ => {
            let entry = layout::LOCAL_DESCRIPTORS.iter().find(|entry| entry.index == u32::from(index));
            entry.map_or_else(Segment::default, |entry| Segment::from_descriptor(selector, descriptor(entry)))
        }
    }
}
