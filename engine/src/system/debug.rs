//! Single-step, breakpoints and alignment checks (SDM vol. 3, chapter 18).

use crate::state::cr0;
use crate::{Cpu, Fault, flag};

/// DR6: single-step.
const SINGLE_STEP: u64 = 1 << 14;

impl Cpu {
    /// Whether DR7 enables any breakpoint.
    pub(crate) fn has_breakpoints(&self) -> bool {
        self.dr[7] & 0xFF != 0
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
        if (control >> (2 * n)) & 3 == 0 {
            return None;
        }
        let kind = (control >> (16 + 4 * n)) & 3;
        let length = match (control >> (18 + 4 * n)) & 3 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        Some((kind, self.dr.get(n).copied().unwrap_or_default() & !(length - 1), length))
    }

    /// #DB before an instruction with an enabled breakpoint at `rip`, unless RF is set.
    pub(crate) fn check_instruction_breakpoint(&mut self, rip: u64) -> Result<(), Fault> {
        if self.system_flags & flag::RF != 0 {
            return Ok(());
        }
        let linear = self.segments[crate::Seg::Cs.index()].base.wrapping_add(rip) & self.address_mask;
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
