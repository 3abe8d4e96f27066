//! What the manuals leave undefined, and so is not compared.

use crate::case::{Case, State};
use crate::generate::decode;
use crate::layout;
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, RflagsBits};

/// Carry, parity, adjust, zero, sign, overflow: iced's bits and those of EFLAGS.
const STATUS: [(u32, u64); 6] = [
    (RflagsBits::CF, 1),
    (RflagsBits::PF, 1 << 2),
    (RflagsBits::AF, 1 << 4),
    (RflagsBits::ZF, 1 << 6),
    (RflagsBits::SF, 1 << 7),
    (RflagsBits::OF, 1 << 11),
];
/// The longest instruction.
const LONGEST: usize = 15;
const AF: u64 = 1 << 4;
const OF: u64 = 1 << 11;
const ALL: u64 = 0x8D5;

fn to_rflags(bits: u32) -> u64 {
    STATUS.iter().filter(|(iced, _)| bits & iced != 0).map(|(_, flag)| flag).sum()
}

/// The instruction at an address in a case's code, which `int3` follows.
pub fn instruction_at(case: &Case, rip: u64) -> Instruction {
    let start = rip.wrapping_sub(case.state.rip) as usize;
    let mut bytes = case.code.get(start..).unwrap_or_default().to_vec();
    bytes.resize(bytes.len().max(LONGEST), layout::FILLER);
    decode(case.mode, &bytes, rip).0
}

/// How often a shift or rotate shifts, if the registers before are known.
fn count(instruction: &Instruction, before: Option<&State>) -> Option<u64> {
    let last = instruction.op_count().checked_sub(1)?;
    let count = match instruction.op_kind(last) {
        iced_x86::OpKind::Immediate8 => instruction.immediate(last),
        iced_x86::OpKind::Register => before?.gprs[1] & 0xFF,
        _ => return None,
    };
    let wide = instruction.op0_register().size() == 8 || instruction.memory_size().size() == 8;
    Some(count & if wide { 63 } else { 31 })
}

/// The flags that an instruction leaves undefined.
pub fn flags(instruction: &Instruction, before: Option<&State>) -> u64 {
    use Mnemonic::*;
    match instruction.mnemonic() {
        // SDM vol. 2, "SAL/SAR/SHL/SHR" and "RCL/RCR/ROL/ROR": OF is defined for counts of 1, AF never,
        // and nothing is affected by a count of 0.
        Sal | Sar | Shl | Shr => match count(instruction, before) {
            Some(0) => 0,
            Some(1) => AF,
            // CF is undefined for counts beyond the operand's size.
            Some(count) if count > operand_bits(instruction) => AF | OF | 1,
            Some(count) if count == operand_bits(instruction) => AF | OF,
            Some(_) => AF | OF,
            None => AF | OF | 1,
        },
        Rcl | Rcr | Rol | Ror => match count(instruction, before) {
            Some(0 | 1) => 0,
            _ => OF,
        },
        // SDM vol. 2, "SHLD", "SHRD": all flags and the result are undefined beyond the operand's size.
        Shld | Shrd => match count(instruction, before) {
            Some(0) => 0,
            Some(1) => AF,
            Some(count) if count <= operand_bits(instruction) => AF | OF,
            _ => ALL,
        },
        _ => to_rflags(instruction.rflags_undefined()),
    }
}

fn operand_bits(instruction: &Instruction) -> u64 {
    let register = match instruction.op0_register() {
        iced_x86::Register::None => instruction.memory_size().size(),
        register => register.size(),
    };
    register as u64 * 8
}

/// Whether the instruction's result is undefined for these registers.
pub fn result(instruction: &Instruction, before: Option<&State>) -> bool {
    match instruction.code() {
        // BSWAP of 16 bits.
        Code::Bswap_r16 => true,
        Code::Shld_rm16_r16_imm8
        | Code::Shld_rm16_r16_CL
        | Code::Shrd_rm16_r16_imm8
        | Code::Shrd_rm16_r16_CL => count(instruction, before).is_none_or(|count| count > 16),
        _ => false,
    }
}

/// Flags that nobody looks at after a fault within the instruction: of repeated comparisons, Intel's processors restore
/// them (SDM vol. 1, 7.3.9.2), and AMD's leave those of the last one that was made.
pub fn flags_at_fault(instruction: &Instruction) -> u64 {
    use Mnemonic::*;
    let compares =
        matches!(instruction.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Cmpsq | Scasb | Scasw | Scasd | Scasq);
    if compares && (instruction.has_rep_prefix() || instruction.has_repne_prefix()) { ALL } else { 0 }
}

/// Whether the instruction makes several checks and accesses whose order is the processor's own business: far branches
/// and returns, loads and stores of the x87's state, loads of segment registers from the stack, comparisons of strings. Which of several faults comes first, and what was pushed before, is not compared.
pub fn has_free_order(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let is_far_call = matches!(instruction.mnemonic(), Call | Jmp)
        && (instruction.is_call_far()
            || instruction.is_call_far_indirect()
            || instruction.is_jmp_far_indirect());
    let moves_state = matches!(
        instruction.mnemonic(),
        Fxsave | Fxsave64 | Fxrstor | Fxrstor64 | Fnsave | Frstor | Fnstenv | Fldenv
    );
    // Operands of ten bytes are read and written in two parts.
    let in_parts = instruction.memory_size().size() == 10;
    // Either of the two may be read first: AMD's family 1Ah does it in another order than its predecessors.
    let compares_strings = matches!(
        instruction.code(),
        Code::Cmpsb_m8_m8 | Code::Cmpsw_m16_m16 | Code::Cmpsd_m32_m32 | Code::Cmpsq_m64_m64
    );
    let pops_segment = instruction.mnemonic() == Pop && instruction.op0_register().is_segment_register();
    is_far_call
        || moves_state
        || in_parts
        || pops_segment
        || compares_strings
        || matches!(instruction.mnemonic(), Retf | Iret | Iretd | Iretq)
}

/// Whether a fault within the instruction leaves some of its registers loaded, and others not.
pub fn result_at_fault(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Popa | Mnemonic::Popad)
}

/// Flags that have a value for certain after an instruction: a shift by nothing changes none, nor does a
/// string of no elements.
fn settled(instruction: &Instruction) -> u64 {
    use Mnemonic::*;
    let shifts =
        matches!(instruction.mnemonic(), Sal | Sar | Shl | Shr | Rcl | Rcr | Rol | Ror | Shld | Shrd);
    if shifts || instruction.has_rep_prefix() || instruction.has_repne_prefix() {
        return 0;
    }
    to_rflags(instruction.rflags_modified())
}

/// Whether a case ends with a jump back to its beginning.
pub fn is_loop(case: &Case) -> bool {
    let jump = case.code.last_chunk::<6>();
    jump.is_some_and(|jump| {
        jump[..2] == [0x0F, 0x85] && jump[2..] == (-(case.code.len() as i32)).to_le_bytes()
    })
}

/// Flags that are undefined when a case has stopped at this address.
pub fn flags_at(case: &Case, stopped: u64) -> u64 {
    let mut undefined = if is_loop(case) { goes_on_determined(case, 0).unwrap_or(ALL) } else { 0 };
    let mut branched = false;
    let mut start = 0;
    while start < case.code.len() {
        let rip = case.state.rip + start as u64;
        let instruction = instruction_at(case, rip);
        if instruction.is_invalid() || rip == stopped {
            break;
        }
        let before = (start == 0 && !is_loop(case)).then_some(&case.state);
        // What comes after a branch may not have been executed.
        branched |= instruction.flow_control() != FlowControl::Next;
        if !branched {
            undefined &= !settled(&instruction);
        }
        undefined |= flags(&instruction, before);
        start += instruction.len();
    }
    undefined
}

/// Whether nothing undefined is used by what comes after it.
pub fn is_determined(case: &Case) -> bool {
    // Twice, as it may be a loop.
    goes_on_determined(case, 0).is_some_and(|undefined| goes_on_determined(case, undefined).is_some())
}

/// The flags that are undefined after a case which begins with these undefined, if nothing undefined is used.
fn goes_on_determined(case: &Case, mut undefined: u64) -> Option<u64> {
    let mut start = 0;
    while start < case.code.len() {
        let rip = case.state.rip + start as u64;
        let instruction = instruction_at(case, rip);
        if instruction.is_invalid() {
            break;
        }
        let before = (start == 0 && !is_loop(case)).then_some(&case.state);
        let next = start + instruction.len();
        let is_last = next >= case.code.len();
        if to_rflags(instruction.rflags_read()) & undefined != 0
            || ((!is_last || start > 0) && result(&instruction, before))
        {
            return None;
        }
        undefined &= !settled(&instruction);
        undefined |= flags(&instruction, before);
        start = next;
    }
    Some(undefined)
}
