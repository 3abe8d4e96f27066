//! Registers before a case.

use super::places;
use super::values::{self, Kind};
use crate::case::{FxImage, Mode, State};
use crate::layout::{CODE, CODE_END, PAGE};
use crate::random::Random;

const CARRY_TO_OVERFLOW: u64 = 0x8D5;
const TRAP: u64 = 1 << 8;
const DIRECTION: u64 = 1 << 10;
const ALIGNMENT: u64 = 1 << 18;

/// All registers; memory operands are placed afterwards.
pub fn state(random: &mut Random, mode: Mode, kind: Option<Kind>) -> State {
    let mut state = State::new(mode);
    for register in &mut state.gprs {
        *register = values::integer(random);
    }
    state.gprs[4] = places::stack(random, mode);
    if mode == Mode::Bits32 {
        for register in &mut state.gprs {
            *register &= u64::from(u32::MAX);
        }
        state.gprs[8..].fill(0);
    }
    state.rflags = 0x202 | random.next() & CARRY_TO_OVERFLOW;
    for (flag, chances) in [(TRAP, 24), (DIRECTION, 8), (ALIGNMENT, 24)] {
        if random.one_in(chances) {
            state.rflags |= flag;
        }
    }
    state.fx = fx(random, kind);
    state
}

/// Where code of this length goes; it may not fit where the page ends, and is then cut.
pub fn place_code(random: &mut Random, length: usize) -> (u64, usize) {
    let (end, length64) = (u64::from(CODE_END), length as u64);
    match random.below(64) {
        0 => (end - length64, length),
        1 if length > 1 => {
            let kept = 1 + random.index(length - 1);
            (end - kept as u64, kept)
        }
        2..6 => (u64::from(CODE + PAGE) - random.below(length64 + 1), length),
        _ => (u64::from(CODE) + 0x40 + random.below(0x100), length),
    }
}

/// x87, MMX and SSE.
pub fn fx(random: &mut Random, kind: Option<Kind>) -> FxImage {
    let mut image = FxImage::initial();
    image.set_mxcsr(mxcsr(random));
    for register in 0..16 {
        let kind = match kind {
            Some(kind) if !random.one_in(8) => kind,
            _ => random.pick(&[Kind::Integer, Kind::Float32, Kind::Float64]),
        };
        let bytes = if random.one_in(8) {
            std::array::from_fn::<u8, 16, _>(|_| random.byte()).to_vec()
        } else {
            values::bytes(random, kind, 16)
        };
        image.0[160 + 16 * register..][..16].copy_from_slice(&bytes);
    }
    x87(random, &mut image);
    image
}

fn mxcsr(random: &mut Random) -> u32 {
    if random.one_in(3) {
        return 0x1F80;
    }
    let masks = if random.one_in(4) { random.next_u32() & 0x1F80 } else { 0x1F80 };
    let sticky = if random.one_in(3) { random.next_u32() & 0x3F } else { 0 };
    let rounding = random.next_u32() & 0x6000;
    let zeros = if random.one_in(3) { random.next_u32() & 0x8040 } else { 0 };
    masks | sticky | rounding | zeros
}

fn x87(random: &mut Random, image: &mut FxImage) {
    let mut control = 0x037F;
    if !random.one_in(3) {
        control = 0x0040 | (random.next_u32() as u16 & 0x0C00);
        // 0x100 is reserved.
        let rare = if random.one_in(8) { 0x100 } else { 0x300 };
        control |= random.pick(&[0, 0x200, 0x300, 0x300, 0x300, rare]);
        control |= if random.one_in(4) { random.next_u32() as u16 & 0x3F } else { 0x3F };
    }
    let mut status = random.next_u32() as u16 & 0x4700;
    if !random.one_in(3) {
        status |= (random.below(8) as u16) << 11;
    }
    if random.one_in(6) {
        status |= random.next_u32() as u16 & 0x7F & if random.one_in(2) { control | 0x40 } else { 0x7F };
        if status & !control & 0x3F != 0 {
            status |= 0x8080;
        }
    }
    image.set_u16(0, control);
    image.set_u16(2, status);
    image.0[4] = match random.below(8) {
        0 => 0,
        1 | 2 => random.byte(),
        _ => 0xFF,
    };
    for register in 0..8 {
        let slot = &mut image.0[32 + 16 * register..][..10];
        if random.one_in(8) {
            // An MMX register.
            slot[..8].copy_from_slice(&values::integer(random).to_le_bytes());
            slot[8..].fill(0xFF);
        } else {
            slot.copy_from_slice(&values::float80(random));
        }
    }
}

/// MMX registers in place of those of the x87.
pub fn mmx(random: &mut Random, image: &mut FxImage, kind: Kind) {
    for register in 0..8 {
        let slot = &mut image.0[32 + 16 * register..][..10];
        slot[..8].copy_from_slice(&values::bytes(random, kind, 8));
        if random.one_in(2) {
            slot[8..].fill(0xFF);
        }
    }
}
