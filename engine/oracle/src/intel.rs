//! Where Intel's processors do otherwise than AMD's, whose way the engine goes (docs/engine-differences.md): there, the
//! two are not compared.

use iced_x86::{CodeSize, Instruction, Mnemonic, OpKind};

use wasm_sandbox_engine::testing::is_on_intel;

use crate::case::{Case, Mode, Stop};
use crate::compare::{ALIGNMENT_CHECK, GENERAL_PROTECTION, PAGE_FAULT};
use crate::undefined;

const STACK_FAULT: u32 = 12;
/// The pages at both ends of 32-bit addresses.
const PAGE: u64 = 0x1000;
const LAST_PAGE: u64 = 0xFFFF_F000;
/// ES of the x87's status: an exception waits.
const X87_WAITS: u16 = 1 << 7;

/// Whether this machine's processor goes a way of its own in the instructions of a case, or at the one where it
/// stopped.
pub fn goes_its_own_way(case: &Case, native: &Stop, engine: &Stop) -> bool {
    if !is_on_intel() {
        return false;
    }
    // A return may have gone elsewhere.
    let code = case.state.rip..case.state.rip + case.code.len() as u64;
    let stops = [native.state.rip, engine.state.rip].into_iter().filter(|rip| code.contains(rip));
    let stopped_at = undefined::instruction_at(case, stops.min().unwrap_or(case.state.rip));
    is_free(case, &stopped_at, native, engine)
        || instructions(case).any(|instruction| is_another(&instruction))
}

/// Whether a case may keep the processor busy for ever: IRET looks at the alignment of its own operands with the AC it has
/// just loaded, which Linux takes for a lock across cache lines, and tries again.
pub fn may_hang(case: &Case) -> bool {
    let returns = |instruction: Instruction| {
        matches!(instruction.mnemonic(), Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq)
    };
    is_on_intel() && instructions(case).any(returns)
}

/// The status and tags of the x87, the address of a page fault, and bits of index registers are not compared where Intel's
/// processors stop within an instruction in another state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignored {
    /// TOP and the tags.
    pub x87: bool,
    /// CR2.
    pub address: bool,
    /// The upper halves of RSI, RDI and RCX.
    pub upper_halves: bool,
    /// These flags.
    pub flags: u64,
}

/// What is not compared of a case.
pub fn ignored(case: &Case, native: &Stop) -> Ignored {
    if !is_on_intel() {
        return Ignored::default();
    }
    let stopped_at = undefined::instruction_at(case, native.state.rip);
    let is_mask_move = matches!(stopped_at.mnemonic(), Mnemonic::Maskmovdqu | Mnemonic::Maskmovq);
    Ignored {
        // A store of an MMX register that faults has made the x87's stack empty nevertheless.
        x87: uses_mmx(&stopped_at),
        // The whole operand is looked at, or only the bytes that are stored.
        address: is_mask_move,
        // Strings of no elements with 32-bit addresses.
        upper_halves: instructions(case).any(|instruction| is_string_with_short_addresses(&instruction)),
        flags: undefined::flags_at_fault(&stopped_at),
    }
}

/// The instructions of a case, in their order, up to the first that is none.
fn instructions(case: &Case) -> impl Iterator<Item = Instruction> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rip = case.state.rip + at as u64;
        let instruction = (at < case.code.len()).then(|| undefined::instruction_at(case, rip))?;
        at += instruction.len().max(1);
        (!instruction.is_invalid()).then_some(instruction)
    })
}

/// Whether the results of an instruction are others.
fn is_another(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let is_segment = instruction.op_count() == 1 && instruction.op0_register().is_segment_register();
    let has_memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    // The prefix 66 is ignored.
    if instruction.code_size() == CodeSize::Code64 && instruction.op0_kind() == OpKind::NearBranch16 {
        return true;
    }
    match instruction.mnemonic() {
        // Two bytes are written, or read.
        Push | Pop => is_segment,
        // Two bytes are read, where AMD's read four.
        Movsxd => instruction.op0_register().size() == 2,
        // The first bound is looked at before the second is read.
        Bound => true,
        // With REX.B it is still PAUSE.
        Pause => true,
        // 0F 0D of a register does nothing.
        Reservednop => instruction.op0_kind() == OpKind::Register,
        // Which of several NaNs is the result.
        Dpps | Dppd => true,
        // Operands in memory have to be aligned.
        Sha1msg1 | Sha1msg2 | Sha1nexte | Sha1rnds4 | Sha256msg1 | Sha256msg2 | Sha256rnds2 => has_memory,
        _ => false,
    }
}

/// Whether the two stopped for reasons of which either may come first, or for one that the other does not have.
fn is_free(case: &Case, instruction: &Instruction, native: &Stop, engine: &Stop) -> bool {
    let (vector, of_engine) = (native.exception.vector, engine.exception.vector);
    if vector == of_engine && native.state.rip == engine.state.rip {
        return false;
    }
    // Operands that need not be aligned are not, for Intel's processors, with AC either.
    let is_alignment = of_engine == ALIGNMENT_CHECK && instruction.memory_size().size() >= 16;
    // Beyond 4 GiB addresses go on at 0: only the pages there may be missing.
    let at_an_end = native.exception.address >= LAST_PAGE || native.exception.address < PAGE;
    let wraps = case.mode == Mode::Bits32
        && [STACK_FAULT, GENERAL_PROTECTION].contains(&of_engine)
        && vector == PAGE_FAULT
        && at_an_end;
    // Offsets for code of 32 bits are cut.
    let is_cut =
        of_engine == GENERAL_PROTECTION && matches!(instruction.mnemonic(), Mnemonic::Iretq | Mnemonic::Retf);
    // Nothing is stored with an exception that is not masked: then the place is not looked at.
    let waits = native.state.fx.status() & X87_WAITS != 0 && is_x87_store(instruction);
    is_alignment || wraps || is_cut || waits
}

fn is_x87_store(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(instruction.mnemonic(), Fist | Fistp | Fisttp | Fst | Fstp | Fbstp)
}

fn uses_mmx(instruction: &Instruction) -> bool {
    // It is no register for operands of other kinds.
    (0..instruction.op_count()).any(|operand| instruction.op_register(operand).is_mm())
}

fn is_string_with_short_addresses(instruction: &Instruction) -> bool {
    let is_short = |kind| matches!(kind, OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI);
    instruction.op_kinds().any(is_short)
}
