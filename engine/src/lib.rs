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
//! * Nothing a guest does may panic or run for ever.

mod code;
mod fault;
mod flags;
mod general;
pub mod host;
mod integer;
mod interpret;
mod memory;
mod operand;
mod paging;
mod run;
mod segment;
mod simd;
mod state;
mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
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
