//! TODO

use iced_x86::Code;

use crate::Handler;

/// The handler of an instruction of this family.
pub(crate) fn handler(_code: Code) -> Option<Handler> {
    None
}

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

impl crate::Cpu {
    /// Goes through the gate of `vector`: stack switch, pushes, new CS:RIP. `Cpu::rip` is what is pushed.
    ///
    /// # Errors
    /// What goes wrong on the way; nothing has changed then.
    pub(crate) fn deliver(
        &mut self,
        vector: u8,
        error: Option<u32>,
        origin: Origin,
    ) -> Result<(), crate::Fault> {
        let _ = (vector, error, origin);
        Err(crate::Fault::Shutdown)
    }

    /// Whether DR7 enables any breakpoint.
    pub(crate) fn has_breakpoints(&self) -> bool {
        false
    }

    /// #DB before an instruction with an enabled breakpoint at `rip`, unless RF is set.
    pub(crate) fn check_instruction_breakpoint(&mut self, _rip: u64) -> Result<(), crate::Fault> {
        Ok(())
    }

    /// Debug traps after an instruction: single-step if TF was set before it, data breakpoints that were hit.
    pub(crate) fn finish_step(&mut self, _single_step: bool) -> Result<(), crate::Fault> {
        Ok(())
    }
}
