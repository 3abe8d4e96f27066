//! The trait every CPU engine implements.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Bus, EngineSnapshot, VcpuError};

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

/// What a snapshot keeps of an engine beside its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineState {
    /// Where RAM lies in the memory (wasm offsets).
    pub ram: Range<u64>,
    /// Guest instructions retired.
    pub instructions: u64,
    /// The engine's own, wrapping instruction counter, as it was read last.
    pub last_counter: u32,
    /// Translated code: table index and length of the wasm module in bytes. The modules themselves
    /// are kept apart, one after the other.
    pub translated: Vec<(u32, u64)>,
    /// The translation being compiled: table index, guest-physical start, state flags, wasm module.
    pub pending: Option<(u32, u32, u32, Vec<u8>)>,
}

/// One virtual CPU with its RAM, running on the calling thread.
pub trait CpuEngine<B: Bus>: Send {
    /// The engine's short name, as users select it.
    fn name(&self) -> &'static str;

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
