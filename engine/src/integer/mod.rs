//! The integer instructions: arithmetic, logic, moves, the stack, near branches, strings.

mod arithmetic;
mod atomic;
mod bcd;
mod bits;
mod bulk;
mod control;
mod modify;
mod moves;
mod multiply;
mod shift;
mod stack;
mod string;
#[cfg(test)]
mod tests;

use iced_x86::Code;

use crate::{Cpu, Fault, Handler};

/// The handler of an instruction of this family.
pub(crate) fn handler(code: Code) -> Option<Handler> {
    arithmetic::handler(code)
        .or_else(|| moves::handler(code))
        .or_else(|| control::handler(code))
        .or_else(|| stack::handler(code))
        .or_else(|| shift::handler(code))
        .or_else(|| multiply::handler(code))
        .or_else(|| bits::handler(code))
        .or_else(|| string::handler(code))
        .or_else(|| atomic::handler(code))
        .or_else(|| bcd::handler(code))
}

/// What does nothing: NOP, hints, fences (memory is in order here).
fn nothing(_: &mut Cpu, _: &iced_x86::Instruction) -> Result<(), Fault> {
    Ok(())
}
