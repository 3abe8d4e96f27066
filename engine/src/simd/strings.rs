//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM vol. 2, 4.1).

use iced_x86::{Code, Instruction};

use super::lanes::{Lanes, V};
use super::operands::destination;
use crate::{Cpu, Fault, Handler, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pcmpestri_xmm_xmmm128_imm8 => |cpu, insn| explicit(cpu, insn, false, to_index),
        Pcmpestri64_xmm_xmmm128_imm8 => |cpu, insn| explicit(cpu, insn, true, to_index),
        Pcmpestrm_xmm_xmmm128_imm8 => |cpu, insn| explicit(cpu, insn, false, to_mask),
        Pcmpestrm64_xmm_xmmm128_imm8 => |cpu, insn| explicit(cpu, insn, true, to_mask),
        Pcmpistri_xmm_xmmm128_imm8 => |cpu, insn| implicit(cpu, insn, to_index),
        Pcmpistrm_xmm_xmmm128_imm8 => |cpu, insn| implicit(cpu, insn, to_mask),
        _ => return None,
    })
}

/// Characters and how many of them are valid.
struct Text {
    /// Extended according to their signedness.
    characters: [i32; 16],
    length: usize,
}

/// How many characters a register holds.
fn capacity(immediate: u8) -> usize {
    if immediate & 1 == 0 { 16 } else { 8 }
}

impl Text {
    fn new(value: V, immediate: u8) -> Self {
        let mut characters = [0; 16];
        let bytes: [u8; 16] = value.lanes();
        let words: [u16; 8] = value.lanes();
        match immediate & 3 {
            0 => characters = bytes.map(i32::from),
            2 => characters = bytes.map(|byte| i32::from(byte as i8)),
            1 => characters.iter_mut().zip(words).for_each(|(to, word)| *to = word.into()),
            _ => characters.iter_mut().zip(words).for_each(|(to, word)| *to = (word as i16).into()),
        }
        Self { characters, length: capacity(immediate) }
    }

    /// Ends before the first zero.
    fn implicit(mut self) -> Self {
        let length = self.characters.iter().take(self.length).position(|&c| c == 0);
        self.length = length.unwrap_or(self.length);
        self
    }

    /// Has the length that a register says: its magnitude, saturated.
    fn explicit(mut self, register: u64, is_64_bit: bool) -> Self {
        let length = if is_64_bit { register as i64 } else { i64::from(register as i32) };
        self.length = length.unsigned_abs().min(self.length as u64) as usize;
        self
    }

    fn get(&self, at: usize) -> i32 {
        self.characters.get(at).copied().unwrap_or_default()
    }
}

/// The aggregated comparison: one bit for each character of `text` (SDM vol. 2, 4.1.2 to 4.1.5).
fn aggregate(pattern: &Text, text: &Text, immediate: u8) -> u16 {
    let capacity = capacity(immediate);
    let bits = |f: &dyn Fn(usize) -> bool| (0..capacity).fold(0u16, |all, j| all | u16::from(f(j)) << j);
    let result = match immediate >> 2 & 3 {
        // Equal any: characters that are in the set.
        0 => bits(&|j| j < text.length && (0..pattern.length).any(|i| pattern.get(i) == text.get(j))),
        // Ranges: pairs of limits.
        1 => bits(&|j| {
            let within = |i: usize| (pattern.get(i)..=pattern.get(i | 1)).contains(&text.get(j));
            j < text.length && (0..pattern.length / 2).any(|pair| within(pair << 1))
        }),
        // Equal each: both beyond their ends are equal.
        2 => bits(&|j| match (j < pattern.length, j < text.length) {
            (true, true) => pattern.get(j) == text.get(j),
            (false, false) => true,
            _ => false,
        }),
        // Equal ordered: the pattern begins here, as far as the register goes.
        _ => bits(&|j| {
            (0..pattern.length.min(capacity.wrapping_sub(j))).all(|i| {
                let at = j.wrapping_add(i);
                at < text.length && pattern.get(i) == text.get(at)
            })
        }),
    };
    let all = if capacity == 16 { 0xFFFF } else { 0xFF };
    match immediate >> 4 & 3 {
        1 => result ^ all,
        3 => result ^ bits(&|j| j < text.length),
        _ => result,
    }
}

/// PCMPxSTRI: the first or last bit into ECX.
fn to_index(cpu: &mut Cpu, bits: u16, immediate: u8) {
    let last = bits.checked_ilog2();
    let found = if immediate & 0x40 == 0 { last.map(|_| bits.trailing_zeros()) } else { last };
    cpu.regs[1] = found.unwrap_or(capacity(immediate) as u32).into();
}

/// PCMPxSTRM: the bits, or a mask of characters, into XMM0.
fn to_mask(cpu: &mut Cpu, bits: u16, immediate: u8) {
    let is_set = |i: usize| bits >> i & 1 != 0;
    let mask = if immediate & 0x40 == 0 {
        V::new(bits.into())
    } else if capacity(immediate) == 16 {
        std::array::from_fn::<u8, 16, _>(|i| if is_set(i) { 0xFF } else { 0 }).pack()
    } else {
        std::array::from_fn::<u16, 8, _>(|i| if is_set(i) { 0xFFFF } else { 0 }).pack()
    };
    cpu.set_xmm(0, mask);
}

type Output = fn(&mut Cpu, u16, u8);

fn implicit(cpu: &mut Cpu, insn: &Instruction, output: Output) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let immediate = insn.immediate8();
    let text = Text::new(cpu.source_unaligned(insn)?, immediate).implicit();
    let pattern = Text::new(cpu.get_xmm(destination(insn)), immediate).implicit();
    finish(cpu, &pattern, &text, immediate, output);
    Ok(())
}

fn explicit(cpu: &mut Cpu, insn: &Instruction, is_64_bit: bool, output: Output) -> Result<(), Fault> {
    cpu.sse_ready()?;
    let immediate = insn.immediate8();
    let text = Text::new(cpu.source_unaligned(insn)?, immediate).explicit(cpu.regs[2], is_64_bit);
    let pattern = Text::new(cpu.get_xmm(destination(insn)), immediate).explicit(cpu.regs[0], is_64_bit);
    finish(cpu, &pattern, &text, immediate, output);
    Ok(())
}

fn finish(cpu: &mut Cpu, pattern: &Text, text: &Text, immediate: u8, output: Output) {
    let bits = aggregate(pattern, text, immediate);
    output(cpu, bits, immediate);
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    let flags = bit(bits != 0, flag::CF)
        | bit(text.length < capacity(immediate), flag::ZF)
        | bit(pattern.length < capacity(immediate), flag::SF)
        | bit(bits & 1 != 0, flag::OF);
    cpu.set_status_flags(flag::STATUS, flags);
}
