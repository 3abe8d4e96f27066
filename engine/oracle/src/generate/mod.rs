//! Makes cases, each from a seed and its number.

mod catalogue;
mod encode;
mod operands;
mod places;
mod registers;
mod values;

pub use catalogue::{Catalogue, Family, family_of, is_comparable};
pub use encode::decode;

use crate::case::{Case, Mode, Patch};
use crate::random::Random;
use crate::undefined;
use iced_x86::{Code, FlowControl, MemorySize, Mnemonic};
use operands::Operands;
use values::Kind;

/// What cases consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One instruction.
    Single,
    /// Two to six instructions.
    Sequence,
    /// Three to eight instructions, over and over.
    Loop,
    /// Bytes.
    Bytes,
}

/// A case with the instruction it is about.
#[derive(Clone)]
pub struct Sample {
    /// What to run.
    pub case: Case,
    /// The instruction; that of a sequence or of bytes is the first.
    pub code: Code,
    /// Whose it is.
    pub family: Family,
}

/// Makes cases of one mode.
#[derive(Clone, Debug)]
pub struct Generator {
    /// What they are made from.
    pub catalogue: Catalogue,
    /// What they consist of.
    pub shape: Shape,
    /// What they follow from.
    pub seed: u64,
}

impl Generator {
    /// Case number `index`; `None` where none comes of it.
    pub fn sample(&self, index: u64) -> Option<Sample> {
        let random = &mut Random::of(self.seed, index);
        let mode = self.catalogue.mode;
        let codes = &self.catalogue.codes;
        match self.shape {
            Shape::Single => {
                let (code, family) = *codes.get((index % codes.len().max(1) as u64) as usize)?;
                let bytes = encode::encode(random, mode, code)?;
                let kind = kind_of(random, code);
                let case = build(random, mode, &[bytes], kind)?;
                Some(Sample { case, code, family })
            }
            Shape::Sequence | Shape::Loop => {
                let mut parts = Vec::new();
                let mut first = None;
                let least = if self.shape == Shape::Loop { 3 } else { 2 };
                for _ in 0..least + random.below(5) {
                    let (code, family) = random.pick(codes);
                    // Branches go to `int3`, so that nothing comes after them.
                    if code.op_code().op_count() != 0 && is_straight(code) {
                        parts.push(encode::encode(random, mode, code)?);
                        first = first.or(Some((code, family)));
                    }
                }
                let (code, family) = first?;
                let kind = kind_of(random, code);
                let mut case = build(random, mode, &parts, kind)?;
                if self.shape == Shape::Loop {
                    repeat(random, &mut case);
                    if !crate::silicon::Silicon::accepts(&case) {
                        return None;
                    }
                }
                undefined::is_determined(&case).then_some(Sample { case, code, family })
            }
            Shape::Bytes => {
                let bytes = bytes(random, mode);
                let case = build(random, mode, &[bytes], None)?;
                if !undefined::is_determined(&case) || !is_comparable_throughout(&case) {
                    return None;
                }
                let code = decode(mode, &case.code, case.state.rip).0.code();
                let family = family_of(code.op_code()).unwrap_or(Family::System);
                Some(Sample { case, code, family })
            }
        }
    }
}

/// Appends a counter in memory, and a jump back to the beginning until it is zero.
fn repeat(random: &mut Random, case: &mut Case) {
    let address = crate::layout::DATA + random.below(0x800) as u32;
    case.patches.push(Patch { address, bytes: vec![1 + random.below(40) as u8] });
    // dec byte [address]
    let operation: &[u8] = if case.mode == Mode::Bits32 { &[0xFE, 0x0D] } else { &[0xFE, 0x0C, 0x25] };
    case.code.extend(operation);
    case.code.extend(address.to_le_bytes());
    // jnz near
    let distance = -(case.code.len() as i32 + 6);
    case.code.extend([0x0F, 0x85]);
    case.code.extend(distance.to_le_bytes());
}

/// Whether results are not exact: what comes after it would be compared exactly.
fn is_vague(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Fnsave
            | Fnstenv
            | Fxsave
            | Fxsave64
            | Rcpps
            | Rcpss
            | Rsqrtps
            | Rsqrtss
            | Fsin
            | Fcos
            | Fsincos
            | Fptan
            | Fpatan
            | F2xm1
            | Fyl2x
            | Fyl2xp1
    )
}

fn is_straight(code: Code) -> bool {
    !is_vague(code.mnemonic())
        && !matches!(code.mnemonic(), Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq)
        && matches!(iced_x86::Instruction::with(code).flow_control(), FlowControl::Next)
}

/// What operands of an instruction are taken for, mostly.
fn kind_of(random: &mut Random, code: Code) -> Option<Kind> {
    let size = code.op_code().memory_size();
    if random.one_in(6) || size == MemorySize::Unknown { None } else { operands::kind_of(size) }
}

/// Puts instructions behind each other and gives them operands.
fn build(random: &mut Random, mode: Mode, parts: &[Vec<u8>], kind: Option<Kind>) -> Option<Case> {
    let bytes: Vec<u8> = parts.concat();
    let mut state = registers::state(random, mode, kind);
    let uses_mmx = code_uses_mmx(mode, &bytes);
    if uses_mmx && !random.one_in(4) {
        let kind = kind.unwrap_or(Kind::Integer);
        registers::mmx(random, &mut state.fx, kind);
    }
    let (rip, kept) = registers::place_code(random, bytes.len());
    state.rip = rip;
    let mut case = Case { mode, state, code: bytes, patches: Vec::new() };
    let mut settling = Operands::new(random, &mut case);
    let mut start = 0;
    for part in parts {
        settling.settle(start);
        start += part.len();
    }
    case.code.truncate(kept);
    crate::silicon::Silicon::accepts(&case).then_some(case)
}

fn code_uses_mmx(mode: Mode, bytes: &[u8]) -> bool {
    let (instruction, _) = decode(mode, bytes, 0);
    (0..instruction.op_count()).any(|operand| instruction.op_register(operand).is_mm())
}

/// Bytes that may be instructions.
fn bytes(random: &mut Random, mode: Mode) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.one_in(12) {
        // Too many prefixes.
        let prefix = random.pick(&[0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x3E]);
        bytes.resize(8 + random.index(8), prefix);
    }
    while random.one_in(3) {
        bytes.push(random.pick(&[0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65]));
    }
    if mode == Mode::Bits64 && random.one_in(2) {
        bytes.push(0x40 | random.byte() & 15);
    }
    match random.below(8) {
        0..3 => {}
        3..6 => bytes.push(0x0F),
        6 => bytes.extend([0x0F, 0x38]),
        _ => bytes.extend([0x0F, 0x3A]),
    }
    let rest = 1 + random.index(10);
    bytes.extend((0..rest).map(|_| random.byte()));
    bytes
}

/// Whether all that may run of a case can be compared, and none of it comes back.
fn is_comparable_throughout(case: &Case) -> bool {
    let mut start = 0;
    while start < case.code.len() {
        let rip = case.state.rip + start as u64;
        let (instruction, _) = decode(case.mode, &case.code[start..], rip);
        // What follows may become part of it.
        if instruction.is_invalid() && case.code.len() - start < 15 {
            let mut longer = case.code[start..].to_vec();
            longer.resize(16, crate::layout::FILLER);
            return is_comparable(&decode(case.mode, &longer, rip).0);
        }
        // SYSRET in compatibility mode is AMD's alone.
        let is_amds = case.mode == Mode::Bits32 && instruction.mnemonic() == Mnemonic::Sysret;
        if (start > 0 && is_vague(instruction.mnemonic())) || is_amds {
            return false;
        }
        if !is_comparable(&instruction) || !encode::is_decoded_alike(case.mode, &case.code[start..]) {
            return false;
        }
        let end = case.state.rip + case.code.len() as u64;
        let near = instruction.near_branch_target();
        if near != 0 && (case.state.rip.wrapping_sub(16)..end).contains(&near) {
            return false;
        }
        start += instruction.len().max(1);
    }
    true
}
