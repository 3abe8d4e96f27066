//! What the differential tests need to reach into a CPU.

use std::sync::LazyLock;

use crate::{Cpu, Fault, flag};

/// Whether this machine's processor is one of Intel's: where these and AMD's differ, the engine does as AMD's
/// (docs/engine-differences.md).
pub fn is_on_intel() -> bool {
    static IS_INTEL: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("GenuineIntel"))
    });
    *IS_INTEL
}

/// An event that was about to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its vector.
    pub vector: u8,
    /// Its error code.
    pub error: Option<u32>,
    /// The instruction pointer it would have saved.
    pub rip: u64,
}

/// Whether events are caught instead of delivered, and the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Catch {
    /// Catch them: `Cpu::run` comes back with `Stop::Shutdown`.
    pub enabled: bool,
    /// What was caught.
    pub caught: Option<Caught>,
}

/// The control registers that no user program can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// IA32_EFER.
    pub efer: u64,
}

impl Cpu {
    /// Sets control registers, unchecked.
    pub fn set_controls(&mut self, controls: Controls) {
        let Controls { cr0, cr3, cr4, efer } = controls;
        (self.cr0, self.cr3, self.cr4, self.efer) = (cr0, cr3, cr4, efer);
        self.paging_changed();
        self.update_mode();
    }

    /// Ends the run if events are to be caught.
    pub(crate) fn catch_event(&mut self, vector: u8, error: Option<u32>) -> Result<(), Fault> {
        if !self.catch.enabled {
            return Ok(());
        }
        self.catch.caught = Some(Caught { vector, error, rip: self.rip });
        Err(Fault::Shutdown)
    }

    /// x87, MMX and SSE as FXSAVE with REX.W stores them.
    pub fn fx_image(&self) -> [u8; 512] {
        self.fx_state(true)
    }

    /// Sets x87, MMX and SSE as FXRSTOR loads them.
    pub fn set_fx_image(&mut self, image: &[u8; 512]) {
        self.set_fx_state(image, true, 16);
    }

    /// The faulting address of the last page fault.
    pub fn cr2(&self) -> u64 {
        self.cr2
    }

    /// To be called after registers were set by hand: privilege, mode and what follows from flags.
    pub fn settle(&mut self, cpl: u8) {
        self.set_cpl(cpl);
        self.update_mode();
        self.memory.set_checked(self.system_flags & flag::AC != 0);
        self.halted = false;
        self.interrupt_shadow = false;
    }

    /// RAM was changed from outside.
    pub fn code_changed(&mut self, physical: u64, bytes: u64) {
        self.code_written(physical, bytes);
    }
}

/// Whether the CPU has an instruction.
pub fn has_handler(code: iced_x86::Code) -> bool {
    crate::general::handler(code).is_some()
}
