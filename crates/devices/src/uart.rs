//! National Semiconductor PC16550D, the PC's serial port ("16550A").
//!
//! Section numbers are those of its data sheet (June 1995). Deviations, all in the guest's favour:
//! characters take no time, so the transmitter is always empty and the receiver's timeout has
//! always passed; the word length of the line control register does not truncate characters.

use serde::{Deserialize, Serialize};

use crate::error::check;
use crate::{Context, Device, RestoreError};

#[cfg(test)]
mod tests;

/// Depth of the receiver's FIFO in bytes.
const FIFO_DEPTH: usize = 16;

/// Interrupt enable register (8.7).
mod ier {
    pub const RECEIVED: u8 = 0x01;
    pub const TRANSMITTER_EMPTY: u8 = 0x02;
    pub const LINE_STATUS: u8 = 0x04;
    pub const MODEM_STATUS: u8 = 0x08;
    pub const ALL: u8 = 0x0F;
}

/// Interrupt identification register (8.6).
mod iir {
    pub const MODEM_STATUS: u8 = 0x00;
    pub const NONE: u8 = 0x01;
    pub const TRANSMITTER_EMPTY: u8 = 0x02;
    pub const RECEIVED: u8 = 0x04;
    pub const LINE_STATUS: u8 = 0x06;
    pub const CHARACTER_TIMEOUT: u8 = 0x0C;
    pub const FIFOS_ENABLED: u8 = 0xC0;
}

/// FIFO control register (8.5).
mod fcr {
    pub const ENABLE: u8 = 0x01;
    pub const CLEAR_RECEIVER: u8 = 0x02;
    /// Bits that keep their value: enable, DMA mode, trigger level.
    pub const STORED: u8 = 0xC9;
}

/// Line control register (8.1).
const LCR_DIVISOR_LATCH: u8 = 0x80;

/// Modem control register (8.8).
mod mcr {
    pub const DTR: u8 = 0x01;
    pub const RTS: u8 = 0x02;
    pub const OUT1: u8 = 0x04;
    pub const OUT2: u8 = 0x08;
    pub const LOOPBACK: u8 = 0x10;
    pub const ALL: u8 = 0x1F;
}

/// Line status register (8.4).
mod lsr {
    pub const DATA_READY: u8 = 0x01;
    pub const OVERRUN: u8 = 0x02;
    pub const TRANSMITTER_EMPTY: u8 = 0x60;
}

/// Modem status register (8.9): the upper half is the lines, the lower half what changed.
mod msr {
    pub const DELTA_CTS: u8 = 0x01;
    pub const DELTA_DSR: u8 = 0x02;
    pub const TRAILING_EDGE_RI: u8 = 0x04;
    pub const DELTA_DCD: u8 = 0x08;
    pub const CTS: u8 = 0x10;
    pub const DSR: u8 = 0x20;
    pub const RI: u8 = 0x40;
    pub const DCD: u8 = 0x80;
    /// A modem that is on, connected and ready.
    pub const CONNECTED: u8 = CTS | DSR | DCD;
}

/// A 16550A. Its register window is eight bytes.
///
/// Bytes sent by the guest gather in an output buffer without a bound: the board drains it with
/// [`Uart::take_output`].
#[derive(Debug)]
pub struct Uart {
    interrupt_enable: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
    divisor: u16,
    overrun: bool,
    transmitter_empty_pending: bool,
    received: std::collections::VecDeque<u8>,
    output: Vec<u8>,
}

/// Saved state of a [`Uart`], fields as registers of the data sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UartState {
    /// IER, bits 0..=3.
    pub interrupt_enable: u8,
    /// FCR without the self-clearing bits.
    pub fifo_control: u8,
    /// LCR.
    pub line_control: u8,
    /// MCR, bits 0..=4.
    pub modem_control: u8,
    /// MSR.
    pub modem_status: u8,
    /// SCR.
    pub scratch: u8,
    /// DLM and DLL.
    pub divisor: u16,
    /// LSR's overrun bit.
    pub overrun: bool,
    /// The "transmitter empty" interrupt is pending (whether enabled or not).
    pub transmitter_empty_pending: bool,
    /// Characters in the receiver's FIFO, oldest first, at most 16.
    pub received: Vec<u8>,
    /// Characters sent that the board has not taken yet.
    pub output: Vec<u8>,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// A chip after master reset (table I).
    pub fn new() -> Self {
        Self {
            interrupt_enable: 0,
            fifo_control: 0,
            line_control: 0,
            modem_control: 0,
            modem_status: msr::CONNECTED,
            scratch: 0,
            divisor: 0,
            overrun: false,
            transmitter_empty_pending: false,
            received: std::collections::VecDeque::new(),
            output: Vec::new(),
        }
    }

    /// Takes all bytes the guest has sent since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Offers characters to the receiver and returns how many it took; the rest is to be offered
    /// again once the guest has read some. None are taken in loopback mode, where the input pin is
    /// disconnected.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.receive_space());
        self.received.extend(&bytes[..taken]);
        taken
    }

    /// How many characters [`Uart::receive`] would take now, 0 to 16.
    pub fn receive_space(&self) -> usize {
        if self.modem_control & mcr::LOOPBACK != 0 {
            return 0;
        }
        self.receiver_depth().saturating_sub(self.received.len())
    }

    /// The state to be put into a snapshot.
    pub fn save(&self) -> UartState {
        let Self {
            interrupt_enable,
            fifo_control,
            line_control,
            modem_control,
            modem_status,
            scratch,
            divisor,
            overrun,
            transmitter_empty_pending,
            received,
            output,
        } = self;
        UartState {
            interrupt_enable: *interrupt_enable,
            fifo_control: *fifo_control,
            line_control: *line_control,
            modem_control: *modem_control,
            modem_status: *modem_status,
            scratch: *scratch,
            divisor: *divisor,
            overrun: *overrun,
            transmitter_empty_pending: *transmitter_empty_pending,
            received: received.iter().copied().collect(),
            output: output.clone(),
        }
    }

    /// Takes back a saved state.
    pub fn restore(&mut self, state: UartState) -> Result<(), RestoreError> {
        let UartState {
            interrupt_enable,
            fifo_control,
            line_control,
            modem_control,
            modem_status,
            scratch,
            divisor,
            overrun,
            transmitter_empty_pending,
            received,
            output,
        } = state;
        check(interrupt_enable & !ier::ALL == 0, "uart", "interrupt_enable")?;
        check(fifo_control & !fcr::STORED == 0, "uart", "fifo_control")?;
        check(modem_control & !mcr::ALL == 0, "uart", "modem_control")?;
        check(received.len() <= FIFO_DEPTH, "uart", "received")?;
        *self = Self {
            interrupt_enable,
            fifo_control,
            line_control,
            modem_control,
            modem_status,
            scratch,
            divisor,
            overrun,
            transmitter_empty_pending,
            received: received.into(),
            output,
        };
        Ok(())
    }

    fn fifos_enabled(&self) -> bool {
        self.fifo_control & fcr::ENABLE != 0
    }

    fn receiver_depth(&self) -> usize {
        if self.fifos_enabled() { FIFO_DEPTH } else { 1 }
    }

    /// Receiver FIFO trigger level in bytes (8.5, FCR bits 6 and 7).
    fn trigger_level(&self) -> usize {
        if !self.fifos_enabled() {
            return 1;
        }
        [1, 4, 8, 14][usize::from(self.fifo_control >> 6)]
    }

    /// The highest of the pending, enabled interrupts (table IV).
    fn interrupt_identification(&self) -> u8 {
        let enabled = |bit| self.interrupt_enable & bit != 0;
        if enabled(ier::LINE_STATUS) && self.overrun {
            iir::LINE_STATUS
        } else if enabled(ier::RECEIVED) && self.received.len() >= self.trigger_level() {
            iir::RECEIVED
        } else if enabled(ier::RECEIVED) && !self.received.is_empty() {
            iir::CHARACTER_TIMEOUT
        } else if enabled(ier::TRANSMITTER_EMPTY) && self.transmitter_empty_pending {
            iir::TRANSMITTER_EMPTY
        } else if enabled(ier::MODEM_STATUS) && self.modem_status & 0x0F != 0 {
            iir::MODEM_STATUS
        } else {
            iir::NONE
        }
    }

    fn line_status(&self) -> u8 {
        let mut value = lsr::TRANSMITTER_EMPTY;
        if !self.received.is_empty() {
            value |= lsr::DATA_READY;
        }
        if self.overrun {
            value |= lsr::OVERRUN;
        }
        value
    }

    fn transmit(&mut self, byte: u8) {
        if self.modem_control & mcr::LOOPBACK == 0 {
            self.output.push(byte);
        } else if self.received.len() < self.receiver_depth() {
            self.received.push_back(byte);
        } else {
            self.overrun = true;
            // Without FIFOs the new character destroys the old one; a full FIFO keeps its own (8.4).
            if !self.fifos_enabled() {
                self.received[0] = byte;
            }
        }
        // Writing the register takes the interrupt back, the character leaving raises it again.
        self.transmitter_empty_pending = true;
    }

    fn write_fifo_control(&mut self, value: u8) {
        if (self.fifo_control ^ value) & fcr::ENABLE != 0 {
            self.received.clear();
        }
        if value & fcr::ENABLE == 0 {
            // The other bits are only programmed together with the enable bit.
            self.fifo_control = 0;
            return;
        }
        if value & fcr::CLEAR_RECEIVER != 0 {
            self.received.clear();
        }
        self.fifo_control = value & fcr::STORED;
    }

    /// Takes over the modem lines as MCR has them now, noting what changed.
    fn update_modem_lines(&mut self) {
        let lines = if self.modem_control & mcr::LOOPBACK == 0 {
            msr::CONNECTED
        } else {
            let line = |output, input| if self.modem_control & output != 0 { input } else { 0 };
            line(mcr::RTS, msr::CTS)
                | line(mcr::DTR, msr::DSR)
                | line(mcr::OUT1, msr::RI)
                | line(mcr::OUT2, msr::DCD)
        };
        let changed = self.modem_status ^ lines;
        let mut deltas = self.modem_status & 0x0F;
        for (line, delta) in
            [(msr::CTS, msr::DELTA_CTS), (msr::DSR, msr::DELTA_DSR), (msr::DCD, msr::DELTA_DCD)]
        {
            if changed & line != 0 {
                deltas |= delta;
            }
        }
        if changed & msr::RI != 0 && lines & msr::RI == 0 {
            deltas |= msr::TRAILING_EDGE_RI;
        }
        self.modem_status = lines | deltas;
    }

    fn read_register(&mut self, offset: u32) -> u8 {
        let divisor_latch = self.line_control & LCR_DIVISOR_LATCH != 0;
        match offset {
            0 if divisor_latch => self.divisor as u8,
            1 if divisor_latch => (self.divisor >> 8) as u8,
            0 => self.received.pop_front().unwrap_or(0),
            1 => self.interrupt_enable,
            2 => {
                let identification = self.interrupt_identification();
                if identification == iir::TRANSMITTER_EMPTY {
                    self.transmitter_empty_pending = false;
                }
                identification | if self.fifos_enabled() { iir::FIFOS_ENABLED } else { 0 }
            }
            3 => self.line_control,
            4 => self.modem_control,
            5 => {
                let value = self.line_status();
                self.overrun = false;
                value
            }
            6 => {
                let value = self.modem_status;
                self.modem_status &= 0xF0;
                value
            }
            7 => self.scratch,
            _ => 0xFF,
        }
    }

    fn write_register(&mut self, offset: u32, value: u8) {
        let divisor_latch = self.line_control & LCR_DIVISOR_LATCH != 0;
        match offset {
            0 if divisor_latch => self.divisor = self.divisor & 0xFF00 | u16::from(value),
            1 if divisor_latch => self.divisor = self.divisor & 0x00FF | u16::from(value) << 8,
            0 => self.transmit(value),
            1 => {
                let newly_enabled = value & !self.interrupt_enable;
                self.interrupt_enable = value & ier::ALL;
                // The holding register is empty, so enabling its interrupt raises it at once.
                if newly_enabled & ier::TRANSMITTER_EMPTY != 0 {
                    self.transmitter_empty_pending = true;
                }
            }
            2 => self.write_fifo_control(value),
            3 => self.line_control = value,
            4 => {
                self.modem_control = value & mcr::ALL;
                self.update_modem_lines();
            }
            7 => self.scratch = value,
            // LSR and MSR are for reading; writing them is for factory tests.
            _ => {}
        }
    }
}

impl Device for Uart {
    fn read(&mut self, offset: u32, data: &mut [u8], _: &mut Context<'_>) {
        for (at, byte) in (offset..).zip(data) {
            *byte = self.read_register(at);
        }
    }

    fn write(&mut self, offset: u32, data: &[u8], _: &mut Context<'_>) {
        for (at, byte) in (offset..).zip(data) {
            self.write_register(at, *byte);
        }
    }

    fn advance(&mut self, _: &mut Context<'_>) {}

    fn deadline(&self) -> Option<crate::VmTime> {
        None
    }

    fn interrupt(&self) -> bool {
        self.interrupt_identification() != iir::NONE
    }

    fn reset(&mut self) {
        // What has left the chip is not the chip's any more.
        let output = std::mem::take(&mut self.output);
        *self = Self { output, ..Self::new() };
    }
}
