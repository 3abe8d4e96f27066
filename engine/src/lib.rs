//! An x86 CPU for i686 and x86-64 systems: decoder, interpreter, memory management, exceptions.
//!
//! Compiled to WebAssembly it is what `wasm-sandbox --engine wx86` runs (see [`exports`](self) and
//! `host` for its interface); compiled natively it is a library for tests. All of its state lies
//! in memory, so that a copy of the memory is a copy of the machine.
//!
//! # How an instruction is carried out
//! `code` finds or makes the block of micro-operations at the instruction pointer, `run` executes
//! blocks. What is frequent has a micro-operation of its own (`code/uop.rs`); everything else is a
//! *general* instruction: a [`general::Handler`] with the decoded instruction.
//!
//! # Convention for handlers
//! * `fn(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault>`; each family has a function
//!   `handler(code) -> Option<Handler>`; no handler means #UD.
//! * On entry [`Cpu::rip`] is already the address of the *next* instruction. A branch sets it. On a fault
//!   the caller restores it to the instruction's own address.
//! * A handler that returns a [`Fault`] has changed nothing that the program can see; only
//!   [`Fault::Repeat`] keeps progress (string instructions).
//! * Operands: `operand.rs` (`cpu.operand(insn, n)`, `cpu.set_operand(insn, n, value)`,
//!   `cpu.effective_address(insn)`), memory: `memory/access.rs` (`cpu.read::<u32>(segment, offset)`).
//! * Flags: `cpu.flags()` and `cpu.set_status_flags(..)` in `flags.rs`.
//! * Nothing a guest does may panic or run for ever. Lints look after the first: what they cannot see to be in
//!   bounds is written so that it can be seen (`get`, masks, `wrapping_`, `checked_`), or the module says why it is.

#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)
)]

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "offsets lie in a page, a block or the arena, and counters start again before they overflow; `Seg` has as \
              many values as there are segment registers"
)]
mod code;
mod fault;
mod flags;
mod general;
pub mod host;
mod integer;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "instructions are counted in 64 bits; counts of shifts are cut when micro-operations are made, products \
              have twice the width, and what may overflow says `wrapping`"
)]
mod interpret;
mod memory;
mod operand;
mod paging;
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "instructions are counted in 64 bits; places of registers are constants, and `Seg` has as many values as \
              there are segment registers"
)]
mod run;
mod segment;
mod simd;
#[allow(clippy::indexing_slicing, reason = "`Seg` has as many values as there are segment registers")]
mod state;
mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod translate;
mod x87;

#[cfg(target_arch = "wasm32")]
mod exports;

pub use fault::Fault;
pub use flags::flag;
pub use general::Handler;
pub use memory::Value;
pub use run::{Shared, Stop};
pub use segment::{Seg, Segment, TableRegister};
pub use state::{Boot, Cpu, Mode};
