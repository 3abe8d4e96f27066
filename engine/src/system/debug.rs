//! Single-step, breakpoints and alignment checks (SDM vol. 3, chapter 18).

use iced_x86::{Instruction, Mnemonic as M, Register as R};

use crate::state::cr0;
use crate::{Cpu, Fault, flag};

/// DR6: single-step.
const SINGLE_STEP: u64 = 1 << 14;
/// DR6: an access to debug registers while DR7 forbids it.
const GENERAL_DETECT: u64 = 1 << 13;
/// DR7: accesses to debug registers are #DB.
const DETECT: u64 = 1 << 13;

/// What becomes of debug traps after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterStep {
    /// They come if TF was set before the instruction.
    Trap,
    /// It cleared TF on its way into a handler: the trap comes only if TF is still set.
    IfStillSet,
    /// MOV SS and POP SS hold them off; single-step is lost, data breakpoints come one instruction later.
    Hold,
}

/// What becomes of debug traps after this instruction (SDM vol. 3, 6.8.3 and 18.3.1.4).
pub(crate) fn after_step(insn: &Instruction) -> AfterStep {
    match insn.mnemonic() {
        M::Int | M::Int1 | M::Int3 | M::Into | M::Syscall => AfterStep::IfStillSet,
        M::Mov | M::Pop if insn.op0_register() == R::SS => AfterStep::Hold,
        _ => AfterStep::Trap,
    }
}

impl Cpu {
    /// Whether DR7 enables any breakpoint.
    pub(crate) fn has_breakpoints(&self) -> bool {
        self.dr[7] & 0xFF != 0
    }

    /// #DB if DR7 forbids accesses to debug registers, which it does once.
    pub(super) fn detect_debug_access(&mut self) -> Result<(), Fault> {
        if self.dr[7] & DETECT == 0 {
            return Ok(());
        }
        self.dr[7] &= !DETECT;
        self.dr[6] |= GENERAL_DETECT;
        Err(Fault::DB)
    }

    /// Brings alignment checks and data breakpoints up to date with CR0, EFLAGS, CPL and DR7.
    pub(crate) fn update_checks(&mut self) {
        let aligned = self.cr0 & cr0::AM != 0 && self.system_flags & flag::AC != 0 && self.cpl == 3;
        let checked = aligned || self.has_breakpoints();
        if checked != self.memory.is_checked() {
            self.memory.set_checked(checked);
        }
    }

    /// The kind (0 execute, 1 write, 3 read or write), address and length of enabled breakpoint `n`.
    fn breakpoint(&self, n: usize) -> Option<(u64, u64, u64)> {
        let control = self.dr[7];
        if (control >> (n << 1)) & 3 == 0 {
            return None;
        }
        let fields = control >> 16 >> (n << 2);
        let kind = fields & 3;
        let length: u64 = match (fields >> 2) & 3 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        Some((kind, self.dr.get(n).copied().unwrap_or_default() & !length.wrapping_sub(1), length))
    }

    /// #DB before an instruction with an enabled breakpoint at `rip`, unless RF is set.
    pub(crate) fn check_instruction_breakpoint(&mut self, rip: u64) -> Result<(), Fault> {
        if self.system_flags & flag::RF != 0 {
            return Ok(());
        }
        let linear = self.segment(crate::Seg::Cs).base.wrapping_add(rip) & self.address_mask;
        let mut hits = 0;
        for n in 0..4 {
            if self.breakpoint(n).is_some_and(|(kind, address, _)| kind == 0 && address == linear) {
                hits |= 1 << n;
            }
        }
        if hits == 0 {
            return Ok(());
        }
        self.dr[6] = (self.dr[6] & !0xF) | hits;
        Err(Fault::DB)
    }

    /// Notes that an access met a data breakpoint; the trap comes after the instruction.
    pub(crate) fn note_data_access(&mut self, linear: u64, bytes: u64, write: bool) {
        for n in 0..4 {
            let Some((kind, address, length)) = self.breakpoint(n) else { continue };
            let matches = kind == 3 || (kind == 1 && write);
            if matches && linear < address.wrapping_add(length) && address < linear.wrapping_add(bytes) {
                self.data_breakpoints |= 1 << n;
            }
        }
    }

    /// Debug traps after an instruction: single-step if TF was set before it, data breakpoints that were hit.
    pub(crate) fn finish_step(&mut self, single_step: bool) -> Result<(), Fault> {
        let mut status = u64::from(std::mem::take(&mut self.data_breakpoints));
        if single_step {
            status |= SINGLE_STEP;
        }
        if status == 0 {
            return Ok(());
        }
        self.dr[6] = (self.dr[6] & !0xF) | status;
        Err(Fault::DB)
    }
}
