//! A machine from power-on to its end.

use std::time::Duration;

use sha2::{Digest, Sha256};
use wasm_sandbox_devices::GuestMemory;
use wasm_sandbox_vcpu::{CpuEngine, EngineKind, EngineModule, Slice, Statistics, VcpuError};

use crate::arch::Arch;
use crate::board::Board;
use crate::boot::{self, BootSource};
use crate::clock::ClockSource;
use crate::console_log::ConsoleLog;
use crate::disk::DiskImage;
use crate::error::{CrashReason, MachineError};
use crate::snapshot::MachineSnapshot;

/// What a machine is made of.
pub struct MachineConfig<'a> {
    /// The CPU engine's code.
    pub engine: &'a EngineModule,
    /// What kernel and disk are made for.
    pub arch: Arch,
    /// RAM in bytes.
    pub ram_bytes: u64,
    /// `vmlinux`.
    pub kernel: &'a [u8],
    /// The initial RAM file system.
    pub initrd: &'a [u8],
    /// The root disk.
    pub disk: DiskImage,
    /// Whether the kernel is to log more than problems.
    pub verbose: bool,
    /// Where its time and its random numbers come from.
    pub sources: Sources,
}

/// Where a machine's time and its random numbers come from. They belong to a machine while it lives, and not into its
/// snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// What its time follows.
    pub clock: ClockSource,
    /// What its random numbers depend on; without it, they are the host's.
    pub seed: Option<u64>,
}

impl Sources {
    /// Time that follows instructions needs an engine that counts them exactly.
    fn check(self, engine: EngineKind) -> Result<(), MachineError> {
        if self.clock == ClockSource::Instructions && engine == EngineKind::V86 {
            let what = "exact count of instructions, so that time cannot follow it";
            return Err(VcpuError::Unsupported { engine, what }.into());
        }
        Ok(())
    }
}

/// How a slice of execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do at once.
    Ran,
    /// The guest waits. Nothing happens before this much time (`None`: for ever), unless something
    /// is sent to it.
    Idle(Option<Duration>),
}

/// A running machine.
pub struct Machine {
    vcpu: Box<dyn CpuEngine<Board>>,
    console: ConsoleLog,
}

/// Time runs by the TSC, which is exact, so nothing needs to be calibrated; a panic resets the
/// machine at once, which the host sees.
const COMMAND_LINE: &str = "console=hvc0 earlycon=uart8250,io,0x3f8 reboot=k panic=-1 tsc=reliable \
                            tsc_early_khz=1000000 rdinit=/init";

impl Machine {
    /// Powers a machine on: its kernel is in RAM, and the CPU at its first instruction.
    ///
    /// # Errors
    /// [`MachineError`], except [`MachineError::Crashed`].
    pub fn boot(config: MachineConfig<'_>) -> Result<Self, MachineError> {
        let MachineConfig { engine, arch, ram_bytes, kernel, initrd, disk, verbose, sources } = config;
        sources.check(engine.kind())?;
        let mut vcpu = engine.power_on(ram_bytes, Board::new(engine.kind(), disk, sources))?;
        let loglevel = if verbose { 7 } else { 4 };
        let command_line = format!("{COMMAND_LINE} loglevel={loglevel}{}", Board::command_line());
        let (ram, _) = vcpu.ram_and_bus();
        let source = BootSource { arch, kernel, initrd, command_line: &command_line };
        let registers = boot::load(source, &mut GuestMemory::new(ram))?;
        vcpu.set_boot_registers(registers)?;
        vcpu.bus().clock().start();
        Ok(Self { vcpu, console: ConsoleLog::default() })
    }

    /// Makes a machine that goes on from `snapshot`. Its clock goes on where it stood; the wall clock
    /// of the guest's kernel is left to its user.
    ///
    /// # Errors
    /// [`MachineError`], except [`MachineError::Crashed`].
    pub fn restore(
        engine: &EngineModule,
        disk: DiskImage,
        sources: Sources,
        snapshot: &MachineSnapshot,
    ) -> Result<Self, MachineError> {
        sources.check(engine.kind())?;
        let board = Board::restore(engine.kind(), disk, sources, snapshot.board.clone())?;
        let mut vcpu = engine.restore(&snapshot.engine, board)?;
        vcpu.bus().clock().start();
        Ok(Self { vcpu, console: ConsoleLog::default() })
    }

    /// Has the code of what the guest does next lie together in memory: see [`CpuEngine::renew_code`].
    ///
    /// # Errors
    /// [`MachineError::Vcpu`]: the machine is lost.
    pub fn renew_code(&mut self) -> Result<(), MachineError> {
        Ok(self.vcpu.renew_code()?)
    }

    /// Translates the code that was executed at least `least` times, for machines that continue from a snapshot of this one: see
    /// [`CpuEngine::translate_code`].
    ///
    /// # Errors
    /// [`MachineError::Vcpu`].
    pub fn translate_code(&mut self, least: u32) -> Result<(), MachineError> {
        Ok(self.vcpu.translate_code(least)?)
    }

    /// The machine at this moment, with an `attachment` for its user. The machine's clock stands while
    /// it is taken.
    ///
    /// # Errors
    /// [`MachineError::Vcpu`] if the host has no room for it; the machine goes on.
    pub fn snapshot(&mut self, attachment: Vec<u8>) -> Result<MachineSnapshot, MachineError> {
        self.vcpu.bus().clock().stop();
        let board = self.vcpu.bus().save();
        let engine = self.vcpu.snapshot();
        self.vcpu.bus().clock().start();
        Ok(MachineSnapshot { engine: engine?, board, attachment })
    }

    /// Whether the machine should be given to [`Machine::recycle`].
    pub fn wants_recycling(&self) -> bool {
        self.vcpu.wants_recycling()
    }

    /// Moves the machine to fresh host structures, without a change for the guest.
    ///
    /// # Errors
    /// [`MachineError`]: the machine is lost.
    pub fn recycle(self) -> Result<Self, MachineError> {
        let Self { vcpu, console } = self;
        Ok(Self { vcpu: vcpu.recycle()?, console })
    }

    /// Runs for about a millisecond, or less if the guest waits.
    ///
    /// # Errors
    /// [`MachineError::Crashed`]: the machine went down.
    pub fn run(&mut self) -> Result<Progress, MachineError> {
        let slice = self.vcpu.run();
        let bus = self.vcpu.bus();
        self.console.add(&bus.take_console_output());
        if bus.reset_requested() {
            let reason = match self.console.panic_message() {
                Some(message) => CrashReason::KernelPanic(message),
                None => CrashReason::Reset,
            };
            return Err(MachineError::Crashed(reason));
        }
        match slice? {
            Slice::Ran => Ok(Progress::Ran),
            Slice::Idle(Some(Duration::ZERO)) => Ok(Progress::Ran),
            Slice::Idle(wait) => Ok(Progress::Idle(wait)),
            Slice::Halted => Err(MachineError::Crashed(CrashReason::Halted)),
            Slice::TripleFault => Err(MachineError::Crashed(CrashReason::TripleFault)),
        }
    }

    /// Sends bytes to the agent's port.
    pub fn send_to_agent(&mut self, bytes: &[u8]) {
        self.vcpu.bus().send_to_agent(bytes);
    }

    /// Takes the bytes the agent has sent.
    pub fn take_from_agent(&mut self) -> Vec<u8> {
        self.vcpu.bus().take_from_agent()
    }

    /// Machine time since power-on.
    pub fn now(&mut self) -> Duration {
        Duration::from_nanos(self.vcpu.bus().clock().now().as_nanos())
    }

    /// Lets `duration` pass at once, if the machine's time follows its instructions ([`ClockSource::Instructions`]).
    pub fn skip(&mut self, duration: Duration) {
        self.vcpu.bus().clock().skip(duration);
    }

    /// The time of day that the guest is to have, since 1970-01-01 00:00 UTC.
    pub fn wall_clock(&mut self) -> Duration {
        self.vcpu.bus().clock().wall_clock()
    }

    /// The SHA-256 sum of the guest's RAM. Takes about a second.
    pub fn memory_hash(&mut self) -> [u8; 32] {
        Sha256::digest(self.vcpu.ram_and_bus().0).into()
    }

    /// Counters since power-on.
    pub fn statistics(&self) -> Statistics {
        self.vcpu.statistics()
    }
}
