//! The run loop: interrupts, blocks, faults.

#![allow(unsafe_code, reason = "micro-operations are read through pointers into the arena")]

use crate::code::Translated;
use crate::state::{FS_BASE, GS_BASE};
use crate::system::{AfterStep, Origin};
use crate::{Cpu, Fault, Seg, flag, host};

/// Why `Cpu::run` came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stop {
    /// The instructions asked for have been executed.
    Budget = 0,
    /// HLT: nothing happens before an interrupt.
    Idle = 1,
    /// HLT with interrupts off: nothing will ever happen.
    Halted = 2,
    /// Shutdown: a triple fault.
    Shutdown = 3,
    /// The host asked for it.
    Asked = 4,
}

/// What the host and the CPU tell each other without a call; the host knows its address.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Shared {
    /// The interrupt controller's output: 1 while it has an interrupt for the CPU. Written by the host.
    pub interrupt_line: u32,
    /// Written to 1 by the host to end the run soon; cleared by the CPU.
    pub stop: u32,
    /// Instructions retired since power-on, up to date in every import and after each run.
    pub instructions: u64,
    /// Written to 1 by the host when the CPU has slept for so long that the host's processor has other things in its
    /// caches; cleared by the CPU.
    pub was_idle: u32,
    /// Written to 1 by the CPU when something is worth being [translated](Cpu::translate_later).
    pub wants_translation: u32,
}

impl Shared {
    /// Whether the interrupt controller has an interrupt. The host may have changed that in any import.
    #[inline]
    pub(crate) fn has_interrupt(&self) -> bool {
        // SAFETY: a field of this value; volatile, as the compiler does not see the host write to it.
        unsafe { (&raw const self.interrupt_line).read_volatile() != 0 }
    }

    /// Whether the CPU has slept, since this was asked last.
    pub(crate) fn take_was_idle(&mut self) -> bool {
        // SAFETY: as above.
        let was_idle = unsafe { (&raw const self.was_idle).read_volatile() != 0 };
        self.was_idle = 0;
        was_idle
    }

    /// Whether the host has asked to end the run, since this was asked last.
    #[inline]
    pub(crate) fn take_stop(&mut self) -> bool {
        // SAFETY: as above.
        let asked = unsafe { (&raw const self.stop).read_volatile() != 0 };
        if asked {
            self.stop = 0;
        }
        asked
    }
}

/// Why a chain of blocks was left; `Cpu::rip` is where to go on.
pub(crate) enum Left {
    /// Look at interrupts and the like, then go on.
    Check,
    /// An instruction failed; `Cpu::rip` is its address.
    Failed(Fault),
}

/// Instructions that are interpreted after the CPU has slept: so many as a short command has. Machine code takes several times
/// the room of micro-operations, and the first time it comes from memory, a line of the cache after the other.
const COLD: u64 = 1_000_000;

/// What a `Fault::Repeat` costs of the budget, so that strings of any length end some time.
const REPEAT_COST: i64 = 64;

impl Cpu {
    /// Instructions retired since power-on.
    pub fn instructions(&self) -> u64 {
        self.limit.wrapping_sub(self.budget as u64).wrapping_sub(self.withheld as u64)
    }

    /// Tells the host how many instructions have been retired; before every import.
    pub(crate) fn publish_instructions(&mut self) {
        self.shared.instructions = self.instructions();
    }

    /// Throws decoded code away: what is executed from now on is decoded anew, and lies together in the order of its
    /// execution.
    pub fn renew_code(&mut self) {
        self.code.renew();
    }

    /// Ends the chain of blocks being executed at the next opportunity, as something may have changed.
    pub(crate) fn leave_soon(&mut self) {
        self.withheld += self.budget;
        self.budget = 0;
    }

    /// Runs for about this many instructions.
    pub fn run(&mut self, instructions: u64) -> Stop {
        let now = self.instructions();
        if self.shared.take_was_idle() {
            self.warm_from = now.wrapping_add(COLD);
        }
        let uses_translations = self.code.counts() || self.parts != 0 && now >= self.warm_from;
        self.translated = if uses_translations { Translated::SOME } else { Translated::LATER };
        self.budget = instructions.min(1 << 40) as i64;
        self.withheld = 0;
        self.limit = now.wrapping_add(self.budget as u64);
        let stop = loop {
            self.budget += std::mem::take(&mut self.withheld);
            if self.budget <= 0 {
                break Stop::Budget;
            }
            if self.shared.take_stop() {
                break Stop::Asked;
            }
            let fault = match self.advance() {
                Ok(()) => continue,
                Err(fault) => fault,
            };
            match fault {
                Fault::Halt => {
                    self.halted = true;
                }
                Fault::Shutdown => break Stop::Shutdown,
                Fault::Repeat => self.budget -= REPEAT_COST,
                fault => {
                    if self.raise(fault).is_err() {
                        break Stop::Shutdown;
                    }
                }
            }
            if self.halted && !self.takes_interrupt() {
                break if self.system_flags & flag::IF != 0 { Stop::Idle } else { Stop::Halted };
            }
        };
        if stop == Stop::Budget {
            self.sample();
        }
        self.publish_instructions();
        stop
    }

    fn takes_interrupt(&self) -> bool {
        self.shared.has_interrupt() && self.system_flags & flag::IF != 0 && !self.interrupt_shadow
    }

    /// One interrupt, one instruction, or a chain of blocks.
    fn advance(&mut self) -> Result<(), Fault> {
        if self.takes_interrupt() {
            self.halted = false;
            self.publish_instructions();
            let vector = host::acknowledge_interrupt() as u8;
            return self.deliver_or_raise(vector, None, Origin::External);
        }
        if self.halted {
            return Err(Fault::Halt);
        }
        // Nobody can tell whether an interrupt that is not there was held off, nor RF without breakpoints.
        if self.has_breakpoints() || self.system_flags & flag::TF != 0 || self.shared.has_interrupt() {
            if self.interrupt_shadow
                || self.system_flags & (flag::TF | flag::RF) != 0
                || self.has_breakpoints()
            {
                return self.step();
            }
        } else {
            self.interrupt_shadow = false;
            self.system_flags &= !flag::RF;
        }
        self.code.set_mode(self.mode);
        for (place, seg) in [(FS_BASE, Seg::Fs), (GS_BASE, Seg::Gs)] {
            self.regs[place] = self.segments[seg.index()].base;
        }
        let start = self.rip;
        let noted = self.code.noted(start);
        let is_known = self.code.is_valid(self.code.at(noted), start);
        let block = if is_known { noted } else { self.find_and_note(start, self.code.likely(start))? };
        match self.run_blocks(block) {
            Left::Check => Ok(()),
            Left::Failed(fault) => Err(fault),
        }
    }

    /// Executes one instruction with everything that needs a look at each: single-step, breakpoints, the shadow
    /// of STI and MOV SS.
    fn step(&mut self) -> Result<(), Fault> {
        self.interrupt_shadow = false;
        let start = self.rip;
        let mut traps = self.system_flags & flag::TF != 0;
        self.check_instruction_breakpoint(start)?;
        let insn = self.decode_one(start)?;
        let handler = crate::general::handler(insn.code()).unwrap_or(crate::general::undefined);
        let next = start.wrapping_add(insn.len() as u64) & self.rip_mask();
        self.rip = next;
        self.budget -= 1;
        // Cleared before, as IRET may set it for the instruction it returns to.
        let resume = self.system_flags & flag::RF;
        self.system_flags &= !flag::RF;
        if let Err(fault) = handler(self, &insn) {
            if fault == Fault::Halt {
                return Err(fault);
            }
            self.rip = start;
            self.budget += 1;
            if fault == Fault::Repeat {
                self.system_flags |= resume;
                // A string instruction traps after each element.
                self.finish_step(traps)?;
            } else {
                self.data_breakpoints = 0;
            }
            return Err(fault);
        }
        match crate::system::after_step(&insn) {
            AfterStep::Trap => {}
            AfterStep::IfStillSet => traps &= self.system_flags & flag::TF != 0,
            AfterStep::Hold => return Ok(()),
        }
        self.finish_step(traps)
    }

    /// Raises an exception, and what comes of that: double fault, shutdown (SDM vol. 3, 6.15, vector 8).
    fn raise(&mut self, fault: Fault) -> Result<(), Fault> {
        let (vector, error) = match fault {
            Fault::Plain(vector) => (vector, None),
            Fault::Coded(vector, error) => (vector, Some(error)),
            Fault::Page(error) => {
                self.cr2 = self.fault_address;
                (14, Some(error))
            }
            Fault::Repeat | Fault::Halt | Fault::Shutdown => return Err(Fault::Shutdown),
        };
        self.deliver_or_raise(vector, error, Origin::Exception)
    }

    fn deliver_or_raise(&mut self, vector: u8, error: Option<u32>, origin: Origin) -> Result<(), Fault> {
        #[cfg(any(test, feature = "testing"))]
        self.catch_event(vector, error)?;
        let Err(second) = self.deliver(vector, error, origin) else { return Ok(()) };
        if matches!(second, Fault::Page(_)) {
            // Also if a double fault comes of it: handlers of stack overflows look at CR2.
            self.cr2 = self.fault_address;
        }
        if vector == 8 && origin == Origin::Exception {
            return Err(Fault::Shutdown);
        }
        let second_vector = match second {
            Fault::Plain(vector) | Fault::Coded(vector, _) => vector,
            Fault::Page(_) => 14,
            _ => return Err(Fault::Shutdown),
        };
        let contributory = |vector: u8| matches!(vector, 0 | 10 | 11 | 12 | 13);
        let first_is_exception = origin == Origin::Exception;
        let double = first_is_exception
            && ((contributory(vector) && contributory(second_vector))
                || (vector == 14 && (second_vector == 14 || contributory(second_vector))));
        if double {
            if self.deliver(8, Some(0), Origin::Exception).is_err() {
                return Err(Fault::Shutdown);
            }
            return Ok(());
        }
        self.raise(second)
    }
}
