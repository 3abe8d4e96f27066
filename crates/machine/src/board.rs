//! The mainboard: the one place with port numbers, addresses and interrupt lines.
//!
//! A PC without firmware, PCI, keyboard and screen: timer, real-time clock and serial port where
//! every PC has them, and virtio devices on memory-mapped transports that the kernel learns of from
//! its command line.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasm_sandbox_devices::pit::{Pit, PitState};
use wasm_sandbox_devices::rtc::{Rtc, RtcState};
use wasm_sandbox_devices::uart::{Uart, UartState};
use wasm_sandbox_devices::virtio::block::{Block, BlockConfig};
use wasm_sandbox_devices::virtio::console::{Console, ConsoleState, PortConfig};
use wasm_sandbox_devices::virtio::mmio::{MmioState, VirtioMmio};
use wasm_sandbox_devices::virtio::rng::Rng;
use wasm_sandbox_devices::{Context, Device, GuestMemory, RestoreError, VmTime, system_control};
use wasm_sandbox_vcpu::{Bus, EngineKind, InterruptChanges, WrittenRanges};

use crate::backends::{DiskBackend, EntropyBackend};
use crate::clock::Clock;
use crate::disk::DiskImage;
use crate::entropy::{Entropy, Purpose};
use crate::interrupts::{InterruptState, Interrupts};
use crate::machine::Sources;

/// Name of the virtio console port the agent listens at.
const AGENT_PORT_NAME: &str = "org.wasm-sandbox.agent";
/// Console ports: the kernel's console and the agent's channel.
const CONSOLE_PORT: usize = 0;
const AGENT_PORT: usize = 1;

// I/O ports (IBM PC/AT technical reference).
const PIT_FIRST: u16 = 0x40;
const PIT_LAST: u16 = 0x43;
const SYSTEM_CONTROL: u16 = 0x61;
const KEYBOARD_COMMAND: u16 = 0x64;
const RTC_FIRST: u16 = 0x70;
const RTC_LAST: u16 = 0x71;
const FAST_RESET: u16 = 0x92;
const UART_FIRST: u16 = 0x3F8;
const UART_LAST: u16 = 0x3FF;
const RESET_CONTROL: u16 = 0xCF9;

/// Keyboard controller command "pulse output bit 0", which is the CPU's reset.
const PULSE_RESET: u8 = 0xFE;
/// Bit 0 of port 0x92 resets the CPU; bit 2 of port 0xCF9 resets everything.
const FAST_RESET_BIT: u8 = 1 << 0;
const RESET_CONTROL_BIT: u8 = 1 << 2;

const PIT_IRQ: u8 = 0;
const UART_IRQ: u8 = 4;
const RTC_IRQ: u8 = 8;

/// Above the largest RAM (2 GiB), below the interrupt controllers of a PC (0xFEC00000).
const MMIO_BASE: u64 = 0xD000_0000;
/// Address space of one virtio transport.
const MMIO_STRIDE: u64 = 0x1000;
/// Interrupt lines of the virtio transports, by slot: lines nothing else in a PC needs.
const MMIO_IRQS: [u8; 3] = [5, 10, 11];

/// Everything of the machine outside the CPU and its RAM.
pub(crate) struct Board {
    clock: Clock,
    entropy: Entropy,
    interrupts: Interrupts,
    reset_requested: bool,
    pit: Pit,
    system_control_latch: u8,
    rtc: Rtc,
    uart: Uart,
    console: VirtioMmio<Console>,
    disk: VirtioMmio<Block<DiskBackend>>,
    rng: VirtioMmio<Rng<EntropyBackend>>,
}

impl Board {
    /// A board for a CPU of `engine`; its clock stands at power-on.
    pub(crate) fn new(engine: EngineKind, disk: DiskImage, sources: Sources) -> Self {
        let entropy = |purpose| Entropy::new(sources.seed, purpose);
        let clock = Clock::stopped_at(VmTime::ZERO, sources.clock);
        Self {
            entropy: entropy(Purpose::Cpu),
            interrupts: Interrupts::of(engine),
            reset_requested: false,
            pit: Pit::new(),
            system_control_latch: 0,
            rtc: Rtc::new(unix_nanoseconds(&clock)),
            uart: Uart::new(),
            console: VirtioMmio::new(console()),
            disk: VirtioMmio::new(Block::new(DiskBackend::new(disk), disk_config())),
            rng: VirtioMmio::new(Rng::new(EntropyBackend::new(entropy(Purpose::Device)))),
            clock,
        }
    }

    /// Everything that a snapshot keeps of the board.
    pub(crate) fn save(&self) -> BoardState {
        // Exhaustive, so that a new field cannot be forgotten.
        let Self {
            clock,
            entropy: _,
            interrupts,
            reset_requested: _,
            pit,
            system_control_latch,
            rtc,
            uart,
            console,
            disk,
            rng,
        } = self;
        BoardState {
            now: clock.now(),
            interrupts: interrupts.save(),
            pit: pit.save(),
            system_control_latch: *system_control_latch,
            rtc: rtc.save(),
            uart: uart.save(),
            console: console.save(),
            disk: disk.save(),
            rng: rng.save(),
        }
    }

    /// A board that continues from `state`; its clock stands. The real-time clock shows the present,
    /// whatever it showed then.
    pub(crate) fn restore(
        engine: EngineKind,
        disk: DiskImage,
        sources: Sources,
        state: BoardState,
    ) -> Result<Self, RestoreError> {
        let mut board = Self::new(engine, disk, sources);
        let BoardState { now, interrupts, pit, system_control_latch, rtc, uart, console, disk, rng } = state;
        board.clock = Clock::stopped_at(now, sources.clock);
        board.interrupts.restore(interrupts)?;
        board.pit.restore(pit)?;
        board.system_control_latch = system_control_latch;
        board.rtc.restore(rtc)?;
        board.rtc.set_time(unix_nanoseconds(&board.clock), now);
        board.uart.restore(uart)?;
        board.console.restore(console)?;
        board.disk.restore(disk)?;
        board.rng.restore(rng)?;
        Ok(board)
    }

    /// What the kernel's command line must say for it to find the virtio devices.
    pub(crate) fn command_line() -> String {
        let mut text = String::new();
        for (slot, irq) in MMIO_IRQS.iter().enumerate() {
            let address = MMIO_BASE + slot as u64 * MMIO_STRIDE;
            // Writing to a String cannot fail.
            let _ = write!(text, " virtio_mmio.device={MMIO_STRIDE}@{address:#x}:{irq}");
        }
        text
    }

    /// The machine's clock.
    pub(crate) fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Whether the guest asked for a reset.
    pub(crate) fn reset_requested(&self) -> bool {
        self.reset_requested
    }

    /// Bytes for the agent; they are delivered when the guest has room.
    pub(crate) fn send_to_agent(&mut self, bytes: &[u8]) {
        self.console.device_mut().push_input(AGENT_PORT, bytes);
    }

    /// Takes what the agent has sent.
    pub(crate) fn take_from_agent(&mut self) -> Vec<u8> {
        self.console.device_mut().take_output(AGENT_PORT)
    }

    /// Takes what the kernel has written to its consoles.
    pub(crate) fn take_console_output(&mut self) -> Vec<u8> {
        let mut output = self.uart.take_output();
        output.extend(self.console.device_mut().take_output(CONSOLE_PORT));
        output
    }

    /// The chip at an I/O port with the offset in it and its interrupt line.
    fn port(&mut self, port: u16) -> Option<(&mut dyn Device, u16, u8)> {
        match port {
            PIT_FIRST..=PIT_LAST => Some((&mut self.pit, port - PIT_FIRST, PIT_IRQ)),
            RTC_FIRST..=RTC_LAST => Some((&mut self.rtc, port - RTC_FIRST, RTC_IRQ)),
            UART_FIRST..=UART_LAST => Some((&mut self.uart, port - UART_FIRST, UART_IRQ)),
            _ => None,
        }
    }

    /// The chip at an address outside RAM, likewise.
    fn mmio(&mut self, address: u64) -> Option<(&mut dyn Device, u32, u8)> {
        let offset = address.checked_sub(MMIO_BASE)?;
        let slot = usize::try_from(offset / MMIO_STRIDE).ok()?;
        let irq = *MMIO_IRQS.get(slot)?;
        let device: &mut dyn Device = match slot {
            0 => &mut self.console,
            1 => &mut self.disk,
            _ => &mut self.rng,
        };
        Some((device, (offset % MMIO_STRIDE) as u32, irq))
    }

    /// All chips with their interrupt lines.
    fn chips(&mut self) -> [(&mut dyn Device, u8); 6] {
        let [console_irq, disk_irq, rng_irq] = MMIO_IRQS;
        [
            (&mut self.pit, PIT_IRQ),
            (&mut self.rtc, RTC_IRQ),
            (&mut self.uart, UART_IRQ),
            (&mut self.console, console_irq),
            (&mut self.disk, disk_irq),
            (&mut self.rng, rng_irq),
        ]
    }

    fn read_byte(&mut self, port: u16, context: &mut Context<'_>) -> u8 {
        if let Some((device, offset, irq)) = self.port(port) {
            let mut data = [0xFF];
            device.read(offset.into(), &mut data, context);
            let level = device.interrupt();
            self.interrupts.set(irq, level);
            return data[0];
        }
        match port {
            SYSTEM_CONTROL => system_control::read(self.system_control_latch, &self.pit, context.now),
            // No keyboard: its controller is idle.
            KEYBOARD_COMMAND => 0,
            _ => self.interrupts.read_port(port).unwrap_or(0xFF),
        }
    }

    fn write_byte(&mut self, port: u16, value: u8, context: &mut Context<'_>) {
        if let Some((device, offset, irq)) = self.port(port) {
            device.write(offset.into(), &[value], context);
            let level = device.interrupt();
            self.interrupts.set(irq, level);
            return;
        }
        match port {
            SYSTEM_CONTROL => {
                self.system_control_latch = system_control::write(value, &mut self.pit, context.now);
            }
            KEYBOARD_COMMAND if value == PULSE_RESET => self.reset_requested = true,
            FAST_RESET if value & FAST_RESET_BIT != 0 => self.reset_requested = true,
            RESET_CONTROL if value & RESET_CONTROL_BIT != 0 => self.reset_requested = true,
            _ => self.interrupts.write_port(port, value),
        }
    }

    fn context<'a>(&self, ram: &'a mut [u8]) -> Context<'a> {
        Context { now: self.clock.now(), memory: GuestMemory::new(ram) }
    }
}

/// What a snapshot keeps of a board.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BoardState {
    now: VmTime,
    interrupts: InterruptState,
    pit: PitState,
    system_control_latch: u8,
    rtc: RtcState,
    uart: UartState,
    console: MmioState<ConsoleState>,
    disk: MmioState<()>,
    rng: MmioState<()>,
}

#[cfg(test)]
impl BoardState {
    /// That of a board which was just powered on, at a fixed moment.
    pub(crate) fn of_new_board(engine: EngineKind, disk: DiskImage) -> Self {
        let mut board = Board::new(engine, disk, Sources::default());
        board.rtc.set_time(1_000_000_000 * 1_000_000_000, VmTime::ZERO);
        board.save()
    }
}

fn unix_nanoseconds(clock: &Clock) -> i128 {
    i128::try_from(clock.wall_clock().as_nanos()).unwrap_or(i128::MAX)
}

fn console() -> Console {
    let console = PortConfig { name: "console".into(), console: true };
    let agent = PortConfig { name: AGENT_PORT_NAME.into(), console: false };
    Console::new(vec![console, agent])
}

fn disk_config() -> BlockConfig {
    const EROFS_BLOCK: u32 = 4096;
    BlockConfig { read_only: true, block_bytes: EROFS_BLOCK, id: "root".into() }
}

/// Hands what devices wrote to RAM on to the CPU.
fn note_written(context: &mut Context<'_>, written: &mut WrittenRanges) {
    for range in context.memory.take_written() {
        written.push(range);
    }
}

impl Bus for Board {
    fn now(&mut self) -> u64 {
        self.clock.now().as_nanos()
    }

    fn random(&mut self) -> u32 {
        self.entropy.next_u32()
    }

    fn port_read(&mut self, port: u16, data: &mut [u8], ram: &mut [u8], written: &mut WrittenRanges) {
        let mut context = self.context(ram);
        for (byte, port) in data.iter_mut().zip(port..) {
            *byte = self.read_byte(port, &mut context);
        }
        note_written(&mut context, written);
    }

    fn port_write(&mut self, port: u16, data: &[u8], ram: &mut [u8], written: &mut WrittenRanges) {
        let mut context = self.context(ram);
        for (byte, port) in data.iter().zip(port..) {
            self.write_byte(port, *byte, &mut context);
        }
        note_written(&mut context, written);
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8], ram: &mut [u8], written: &mut WrittenRanges) {
        let mut context = self.context(ram);
        let Some((device, offset, irq)) = self.mmio(address) else { return data.fill(0xFF) };
        device.read(offset, data, &mut context);
        let level = device.interrupt();
        self.interrupts.set(irq, level);
        note_written(&mut context, written);
    }

    fn mmio_write(&mut self, address: u64, data: &[u8], ram: &mut [u8], written: &mut WrittenRanges) {
        let mut context = self.context(ram);
        let Some((device, offset, irq)) = self.mmio(address) else { return };
        device.write(offset, data, &mut context);
        let level = device.interrupt();
        self.interrupts.set(irq, level);
        note_written(&mut context, written);
    }

    fn advance(&mut self, ram: &mut [u8], written: &mut WrittenRanges) -> Option<Duration> {
        let mut context = self.context(ram);
        let now = context.now;
        let mut next: Option<VmTime> = None;
        let mut levels = [(0, false, false); 6];
        for ((device, irq), level) in self.chips().into_iter().zip(&mut levels) {
            device.advance(&mut context);
            let mut dipped = !device.interrupt();
            while device.deadline().is_some_and(|deadline| deadline <= now) {
                device.advance(&mut context);
                dipped |= !device.interrupt();
            }
            *level = (irq, dipped, device.interrupt());
            next = [next, device.deadline()].into_iter().flatten().min();
        }
        for (irq, dipped, level) in levels {
            if dipped {
                self.interrupts.set(irq, false);
            }
            self.interrupts.set(irq, level);
        }
        note_written(&mut context, written);
        if self.interrupts.pending() {
            return Some(Duration::ZERO);
        }
        next.map(|deadline| deadline - now)
    }

    fn take_interrupt_changes(&mut self) -> InterruptChanges {
        self.interrupts.take_changes()
    }

    fn interrupt_line(&self) -> bool {
        self.interrupts.output()
    }

    fn acknowledge_interrupt(&mut self) -> u8 {
        self.interrupts.acknowledge()
    }

    fn stop_requested(&self) -> bool {
        self.reset_requested
    }

    fn note_instructions(&mut self, executed: u64) {
        self.clock.note_instructions(executed);
    }

    fn counts_instructions(&self) -> bool {
        self.clock.is_virtual()
    }
}
