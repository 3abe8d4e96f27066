//! The trait every CPU engine implements.

use std::time::Duration;

use crate::{Bus, VcpuError};

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

/// The registers a boot protocol sets; all others are as the protocol demands (flat 32-bit
/// protected mode without paging, interrupts off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRegisters {
    /// First instruction, guest-physical.
    pub eip: u32,
    /// ESI: the address of the boot parameters ("zero page"), guest-physical.
    pub esi: u32,
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
    /// The engine's short name, as users select it.
    fn name(&self) -> &'static str;

    /// Everything outside the CPU.
    fn bus(&mut self) -> &mut B;

    /// All of the guest's RAM, and the bus beside it.
    fn ram_and_bus(&mut self) -> (&mut [u8], &mut B);

    /// Puts the CPU into the state a 32-bit boot protocol demands.
    fn set_boot_registers(&mut self, registers: BootRegisters) -> Result<(), VcpuError>;

    /// Runs for about a millisecond, or until the CPU waits.
    ///
    /// # Errors
    /// [`VcpuError::Trapped`]: the guest brought the engine down; only dropping it is left.
    fn run(&mut self) -> Result<Slice, VcpuError>;

    /// Counters since power-on.
    fn statistics(&self) -> Statistics;
}
