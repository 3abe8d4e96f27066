//! Where operands lie, and what selectors and branch targets are tried.

use crate::case::Mode;
use crate::layout::{
    CODE, CODE_END, CS32, CS64, DATA, DATA_END, DS, FS32, GS32, PAGE, READ_ONLY, STACK, STACK_END,
};
use crate::random::Random;

/// The address of an operand of `size` bytes: mostly in memory that can be written, often unaligned,
/// now and then across a border or where nothing is.
pub fn operand(random: &mut Random, mode: Mode, size: u64) -> u64 {
    let size = size.clamp(1, 512);
    let across = |random: &mut Random, border: u32| u64::from(border) - random.below(size + 1).min(size);
    let inside = u64::from(DATA) + random.below(u64::from(READ_ONLY - DATA) - size);
    match random.below(100) {
        0..45 => inside & !(if size >= 16 { 63 } else { 15 }),
        45..74 => inside,
        74..82 => {
            let page = random.pick(&[1, 2]);
            across(random, DATA + PAGE * page)
        }
        82..85 => across(random, DATA),
        85..89 => across(random, READ_ONLY),
        89..92 => u64::from(READ_ONLY) + random.below(u64::from(PAGE) - size),
        92..94 => across(random, DATA_END),
        94..96 => u64::from(STACK) + random.below(u64::from(STACK_END - STACK) - size),
        _ => match (mode, random.below(8)) {
            (_, 0) => random.below(64),
            (_, 1) => u64::from(DATA) - 0x400,
            (_, 2) => u64::from(DATA_END) + 0x800,
            (_, 3) => u64::from(u32::MAX) - random.below(70),
            (_, 4) => u64::from(CODE) + random.below(0x2000),
            (Mode::Bits64, 5) => 0x8000_0000_0000 - random.below(70),
            (Mode::Bits64, 6) => 0xFFFF_8000_0000_0000 - random.below(70),
            (Mode::Bits64, 7) => u64::MAX - random.below(70),
            _ => u64::from(random.next_u32()),
        },
    }
}

/// A stack pointer.
pub fn stack(random: &mut Random, mode: Mode) -> u64 {
    let middle = u64::from(STACK) + 0x600 + random.below(0x1400);
    match random.below(32) {
        0 => u64::from(STACK) + random.below(80),
        1 => u64::from(STACK_END) - random.below(80),
        2 => u64::from(STACK + PAGE) - random.below(40) + random.below(40),
        3..7 => middle,
        7 if random.one_in(8) => operand(random, mode, 8),
        _ => middle & !15,
    }
}

/// Where a branch goes.
pub fn branch(random: &mut Random, mode: Mode) -> u64 {
    match random.below(40) {
        0 => u64::from(CODE_END) - random.below(3),
        1 => u64::from(DATA) + random.below(0x100),
        2 => random.below(0x1_0000),
        3 if mode == Mode::Bits64 => {
            random.pick(&[0x8000_0000_0000, 1 << 63, 0xFFFF_8000_0000_0000, 0x1_0002_0100])
        }
        _ => u64::from(CODE) + 0x200 + random.below(0x1800),
    }
}

/// A segment selector: most exist.
pub fn selector(random: &mut Random) -> u16 {
    match random.below(16) {
        0..3 => DS,
        3 => CS32,
        4 => CS64,
        5 => FS32,
        6 => GS32,
        7 => random.below(4) as u16,
        8..12 => (3 + random.below(6) as u16) << 3 | random.pick(&[7, 7, 7, 4, 5]),
        12 => random.pick(&[DS & !3, CS32 & !3, CS64 & !3, 0x08, 0x10, 0x18, 0x13, 0x1B]),
        13 => random.pick(&[0x57, 0xFFFF, 0x83, 0x103, 0x1F7]),
        _ => random.pick(&[DS, FS32, GS32, 0, 3]),
    }
}
