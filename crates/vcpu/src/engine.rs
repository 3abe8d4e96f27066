//! The trait every CPU engine implements.

use std::fmt;
use std::time::Duration;

use crate::{Bus, EngineSnapshot, VcpuError};

/// The CPU engines there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// The core of the v86 project: i686, translated to WebAssembly while it runs.
    V86,
    /// This project's own (`engine/`): i686 and x86-64, interpreted and, for what a prepared snapshot has executed often, translated.
    #[default]
    Wx86,
}

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V86, Self::Wx86];

    /// The short name, as users select it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V86 => "v86",
            Self::Wx86 => "wx86",
        }
    }

    /// The engine called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the interrupt controllers are part of the engine: then it learns of the single lines
    /// ([`Bus::take_interrupt_changes`]), otherwise of the controllers' output ([`Bus::interrupt_line`]).
    pub const fn has_interrupt_controller(self) -> bool {
        matches!(self, Self::V86)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a slice of execution ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// There is more to do at once.
    Ran,
    /// The CPU waits for an interrupt; without one, nothing happens before this much time
    /// (`None`: for ever) has passed.
    Idle(Option<Duration>),
    /// The CPU halted with interrupts off: nothing can wake it any more.
    Halted,
    /// The CPU shut down: an exception while it delivered a double fault.
    TripleFault,
}

/// The processor's mode at the kernel's first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootMode {
    /// 32-bit protected mode without paging.
    Protected,
    /// 64-bit mode with 4-level paging.
    Long,
}

/// The registers a boot protocol sets (Documentation/x86/boot.rst of the kernel, "32-bit Boot Protocol"
/// and "64-bit Boot Protocol"); all others are as it demands: flat segments with the selectors 0x10
/// for code and 0x18 for data, interrupts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRegisters {
    /// The processor's mode.
    pub mode: BootMode,
    /// First instruction: guest-physical, and in 64-bit mode mapped at that address.
    pub rip: u64,
    /// The address of the boot parameters ("zero page"), likewise.
    pub rsi: u64,
    /// The address of the page tables, guest-physical; 0 without paging.
    pub cr3: u64,
    /// The address of the global descriptor table; 0 where the kernel needs none before it loads its own.
    pub gdt_base: u64,
    /// Offset of the table's last byte.
    pub gdt_limit: u32,
}

/// Counters of an engine since power-on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Guest instructions retired.
    pub instructions: u64,
    /// Modules of translated code compiled.
    pub modules_compiled: u64,
    /// Their size in bytes of wasm.
    pub module_bytes: u64,
    /// Time the compiler thread spent on them.
    pub compile_time: Duration,
}

/// One virtual CPU with its RAM, running on the calling thread.
pub trait CpuEngine<B: Bus>: Send {
    /// Everything outside the CPU.
    fn bus(&mut self) -> &mut B;

    /// All of the guest's RAM, and the bus beside it.
    fn ram_and_bus(&mut self) -> (&mut [u8], &mut B);

    /// Puts the CPU into the state a boot protocol demands.
    ///
    /// # Errors
    /// [`VcpuError::Unsupported`] if the engine has no such mode.
    fn set_boot_registers(&mut self, registers: BootRegisters) -> Result<(), VcpuError>;

    /// Runs for about a millisecond, or until the CPU waits.
    ///
    /// # Errors
    /// [`VcpuError::Trapped`]: the guest brought the engine down; only dropping it is left.
    fn run(&mut self) -> Result<Slice, VcpuError>;

    /// Forgets decoded code, so that the code of whatever the guest does next comes to lie together in memory: nearer to
    /// the processor's caches, and on fewer pages than if it lay where boot and other work have left room. An
    /// engine that keeps code in another way does nothing.
    ///
    /// # Errors
    /// [`VcpuError::Trapped`].
    fn renew_code(&mut self) -> Result<(), VcpuError> {
        Ok(())
    }

    /// Translates the code that was executed at least `least` times since [`CpuEngine::renew_code`], so that it can be compiled
    /// ([`EngineSnapshot::compile_code`]) and executed by machines that continue from a snapshot of this one. This one
    /// interprets it still, and more slowly than before. An engine that translates while it runs does nothing.
    ///
    /// # Errors
    /// [`VcpuError::Trapped`].
    fn translate_code(&mut self, least: u32) -> Result<(), VcpuError> {
        let _ = least;
        Ok(())
    }

    /// Translates all code of programs that was executed and is not translated yet, and waits until it is compiled; whether
    /// there was any. wx86 does that by itself with what is executed often, while the guest runs: this is for tests of it.
    ///
    /// # Errors
    /// [`VcpuError::Trapped`].
    fn translate_programs(&mut self) -> Result<bool, VcpuError> {
        Ok(false)
    }

    /// The CPU and its RAM at this moment, between two slices. Costs what was written since the
    /// engine was made; the files of the snapshot it was made from are shared.
    ///
    /// # Errors
    /// [`VcpuError::Host`].
    fn snapshot(&mut self) -> Result<EngineSnapshot, VcpuError>;

    /// Whether the engine has used up much of what the host frees only at its end, so that
    /// [`CpuEngine::recycle`] should be called.
    fn wants_recycling(&self) -> bool;

    /// Moves the machine to fresh host structures. Nothing changes for the guest, and memory is not
    /// copied.
    ///
    /// # Errors
    /// [`VcpuError`]: the machine is lost.
    fn recycle(self: Box<Self>) -> Result<Box<dyn CpuEngine<B>>, VcpuError>;

    /// Counters since power-on.
    fn statistics(&self) -> Statistics;
}
