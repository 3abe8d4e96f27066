//! General instructions: everything that has no micro-operation of its own.

use iced_x86::{Code, Instruction};

use crate::{Cpu, Fault, integer, simd, system, x87};

/// Carries out one decoded instruction. See the crate's documentation for the convention.
pub type Handler = fn(&mut Cpu, &Instruction) -> Result<(), Fault>;

/// The handler of an instruction; `None` if this CPU does not have it (#UD).
pub fn handler(code: Code) -> Option<Handler> {
    integer::handler(code)
        .or_else(|| system::handler(code))
        .or_else(|| x87::handler(code))
        .or_else(|| simd::handler(code))
}

/// Instructions the CPU does not have, and those of more than 15 bytes, which is how the decoder marks what never ends.
pub(crate) fn undefined(_: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    Err(if insn.len() > 15 { Fault::GP0 } else { Fault::UD })
}
