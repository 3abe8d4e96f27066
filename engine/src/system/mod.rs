//! Privileges, segments, events: everything that is not computing.
//!
//! Hardware task switches, call gates and virtual-8086 mode do not exist here; what would use them is #GP.

mod control;
mod cpuid;
mod debug;
mod descriptors;
#[cfg(test)]
mod features;
mod gates;
mod msr;
mod ports;
mod registers;
mod special;
mod transfers;

use iced_x86::Code;

use crate::Handler;
pub(crate) use debug::{AfterStep, after_step};

/// Where an event comes from; decides on checks and on the EXT bit of error codes (SDM vol. 3, 6.12.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An interrupt of the controller.
    External,
    /// A fault, a trap, an abort.
    Exception,
    /// INT n, INT3, INTO: the gate's DPL is checked.
    Software,
}

/// The handler of an instruction of this family.
pub(crate) fn handler(code: Code) -> Option<Handler> {
    registers::handler(code)
        .or_else(|| transfers::handler(code))
        .or_else(|| control::handler(code.mnemonic()))
        .or_else(|| msr::handler(code.mnemonic()))
        .or_else(|| ports::handler(code.mnemonic()))
}

/// Whether code may go on after an instruction of this family without a look at the state of the CPU: it changes nothing
/// that decoded code depends on. Those that may let an interrupt in ask for that look themselves.
pub(crate) fn goes_on(code: Code) -> bool {
    use iced_x86::Mnemonic as M;
    matches!(
        code.mnemonic(),
        M::Cli
            | M::Sti
            | M::Popf
            | M::Popfd
            | M::Popfq
            | M::Rdtsc
            | M::Rdtscp
            | M::Rdpid
            | M::Cpuid
            | M::Rdmsr
            | M::Rdrand
            | M::Rdseed
            | M::Clts
            | M::Smsw
            | M::Sldt
            | M::Str
            | M::Sgdt
            | M::Sidt
            | M::Lar
            | M::Lsl
            | M::Verr
            | M::Verw
            | M::Arpl
            | M::In
    ) || matches!(code, Code::Mov_r32_cr | Code::Mov_r64_cr | Code::Mov_r32_dr | Code::Mov_r64_dr)
        || matches!(code, Code::Mov_rm16_Sreg | Code::Mov_r32m16_Sreg | Code::Mov_r64m16_Sreg)
}
