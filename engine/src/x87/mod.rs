//! The x87 FPU, exactly as on silicon.
//!
//! `f80`, `env` and `arithmetic` compute, without any CPU around them; `fpu` is the state of the registers; the others
//! are instructions. Each computes its result with an `Env`, which has the rounding mode and collects exceptions;
//! `Fpu::commit` notes these and tells whether the result is to be written.

mod access;
mod arithmetic;
mod comparisons;
mod control;
mod env;
mod environment;
mod f80;
mod fpu;
mod fxsave;
mod moves;
mod operations;

use iced_x86::Code;

use crate::Handler;
pub use fpu::Fpu;

/// The handler of an instruction of this family.
pub(crate) fn handler(code: Code) -> Option<Handler> {
    moves::handler(code)
        .or_else(|| operations::handler(code))
        .or_else(|| comparisons::handler(code))
        .or_else(|| control::handler(code))
        .or_else(|| environment::handler(code))
        .or_else(|| fxsave::handler(code))
}
