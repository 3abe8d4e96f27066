//! Encodings of an instruction: every form, prefix and register by chance.
//!
//! What stands in the manual before the operands is put down as it is, random bytes follow, and the decoder says
//! whether that is the instruction meant and where it ends.

use super::catalogue::is_comparable;
use crate::case::Mode;
use crate::random::Random;
use iced_x86::{
    Code, Decoder, DecoderOptions, EncodingKind, Instruction, MandatoryPrefix, OpCodeInfo, OpCodeOperandKind,
    OpCodeTableKind,
};

/// How often to try.
const ATTEMPTS: usize = 60;
/// The longest instruction.
const LONGEST: usize = 15;

/// Decodes the first instruction of some bytes, as processors of AMD do.
pub fn decode(mode: Mode, code: &[u8], rip: u64) -> (Instruction, iced_x86::ConstantOffsets) {
    let mut decoder = Decoder::with_ip(mode.bits(), code, rip, DecoderOptions::AMD);
    let instruction = decoder.decode();
    (instruction, decoder.get_constant_offsets(&instruction))
}

/// Whether this machine decodes the first instruction of some bytes as `decode` does.
pub fn is_decoded_alike(mode: Mode, code: &[u8]) -> bool {
    // What REX.W does to far branches, the decoder does not tell: on AMD's processors they read offsets of 32 bits
    // and push words of 64.
    let is_wide = |at: usize| at > 0 && code[at - 1] & 0xF8 == 0x48;
    let opcode = code.iter().position(|byte| *byte == 0xFF);
    let is_far = matches!(decode(mode, code, 0).0.code(), Code::Call_m1632 | Code::Jmp_m1632);
    if mode == Mode::Bits64 && is_far && opcode.is_some_and(is_wide) {
        return false;
    }
    let other = Decoder::new(mode.bits(), code, DecoderOptions::NONE).decode();
    other == decode(mode, code, 0).0 || super::catalogue::is_amd()
}

/// Bytes of the instruction, by chance one of its many forms; `None` if none was found.
pub fn encode(random: &mut Random, mode: Mode, code: Code) -> Option<Vec<u8>> {
    let op_code = code.op_code();
    for _ in 0..ATTEMPTS {
        let mut bytes = match op_code.encoding() {
            EncodingKind::VEX => vex(random, mode, op_code),
            _ => legacy(random, mode, op_code),
        };
        operands(random, op_code, &mut bytes);
        bytes.truncate(LONGEST);
        let (instruction, _) = decode(mode, &bytes, 0);
        if instruction.code() == code && is_decoded_alike(mode, &bytes) && is_comparable(&instruction) {
            bytes.truncate(instruction.len());
            return Some(bytes);
        }
    }
    None
}

/// Prefixes and opcode.
fn legacy(random: &mut Random, mode: Mode, op_code: &OpCodeInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * LONGEST);
    if random.one_in(5) {
        bytes.push(random.pick(&[0x64, 0x65, 0x64, 0x65, 0x26, 0x2E, 0x36, 0x3E]));
    }
    let address_size = op_code.address_size();
    if (address_size != 0 && address_size != mode.bits()) || (address_size == 0 && random.one_in(8)) {
        bytes.push(0x67);
    }
    if random.one_in(if op_code.can_use_lock_prefix() { 4 } else { 200 }) {
        bytes.push(0xF0);
    }
    let repeats = op_code.can_use_rep_prefix() || op_code.can_use_repne_prefix();
    if random.one_in(if repeats { 2 } else { 60 }) {
        bytes.push(random.pick(&[0xF2, 0xF3]));
    }
    let operand_size = op_code.operand_size();
    if operand_size == 16 || random.one_in(40) {
        bytes.push(0x66);
    }
    match op_code.mandatory_prefix() {
        MandatoryPrefix::P66 => bytes.push(0x66),
        MandatoryPrefix::PF3 => bytes.push(0xF3),
        MandatoryPrefix::PF2 => bytes.push(0xF2),
        _ => {}
    }
    if mode == Mode::Bits64 {
        let wide = operand_size == 64 && !op_code.default_op_size64() && !op_code.force_op_size64();
        if wide || random.one_in(2) {
            bytes.push(0x40 | u8::from(wide || random.one_in(8)) << 3 | random.byte() & 7);
        }
    }
    match op_code.table() {
        OpCodeTableKind::T0F => bytes.push(0x0F),
        OpCodeTableKind::T0F38 => bytes.extend([0x0F, 0x38]),
        OpCodeTableKind::T0F3A => bytes.extend([0x0F, 0x3A]),
        _ => {}
    }
    if op_code.op_code_len() == 2 {
        bytes.push((op_code.op_code() >> 8) as u8);
    }
    bytes.push(op_code.op_code() as u8 | register_in_op_code(random, op_code));
    bytes
}

/// The register in the low bits of an opcode.
fn register_in_op_code(random: &mut Random, op_code: &OpCodeInfo) -> u8 {
    use OpCodeOperandKind::*;
    let is_in_op_code = |kind: &OpCodeOperandKind| {
        matches!(kind, r8_opcode | r16_opcode | r32_opcode | r64_opcode | sti_opcode)
    };
    if op_code.op_kinds().iter().any(is_in_op_code) { random.byte() & 7 } else { 0 }
}

/// A VEX prefix and the opcode.
fn vex(random: &mut Random, mode: Mode, op_code: &OpCodeInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * LONGEST);
    if random.one_in(5) {
        bytes.push(random.pick(&[0x64, 0x65, 0x26, 0x2E, 0x36, 0x3E, 0x67]));
    }
    let map = match op_code.table() {
        OpCodeTableKind::T0F => 1,
        OpCodeTableKind::T0F38 => 2,
        _ => 3,
    };
    let prefix = match op_code.mandatory_prefix() {
        MandatoryPrefix::P66 => 1,
        MandatoryPrefix::PF3 => 2,
        MandatoryPrefix::PF2 => 3,
        _ => 0,
    };
    let registers = if mode == Mode::Bits64 { random.byte() & 0xE0 } else { 0xE0 };
    let wide = if op_code.is_wig() || op_code.is_wig32() { random.byte() & 1 } else { op_code.w() as u8 };
    let other = if random.one_in(3) { 15 } else { random.byte() & 15 };
    let length = if op_code.l() == 0 { 0 } else { 4 };
    bytes.extend([0xC4, registers | map, wide << 7 | other << 3 | length | prefix, op_code.op_code() as u8]);
    bytes
}

/// ModR/M and all that comes after it.
fn operands(random: &mut Random, op_code: &OpCodeInfo, bytes: &mut Vec<u8>) {
    let mut tail: [u8; LONGEST] = std::array::from_fn(|_| random.byte());
    if op_code.is_group() {
        tail[0] = tail[0] & !0x38 | (op_code.group_index() as u8) << 3;
    }
    if op_code.is_rm_group() {
        tail[0] = 0xC0 | tail[0] & 0x38 | op_code.rm_group_index() as u8;
    }
    bytes.extend(tail);
}
