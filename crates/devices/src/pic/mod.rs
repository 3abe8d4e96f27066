//! Intel 8259A, the PC's interrupt controller: two of them, the second at input 2 of the first.
//!
//! Section names are those of its data sheet (order number 231468). As the processor is an 8086 to it,
//! ICW4's choice of the MCS-80 mode and of buffers has no effect. The edge/level control registers are
//! those of the Intel 82371AB (PIIX4) data sheet, section 4.2.5.

mod chip;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use chip::Chip;

use crate::RestoreError;

/// One chip of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Interrupt lines 0 to 7; its output goes to the processor.
    Primary,
    /// Interrupt lines 8 to 15; its output goes to input 2 of the primary.
    Secondary,
}

/// The input of the primary that the secondary is wired to.
const CASCADE: u8 = 2;
/// Lines that may be level-triggered: not the timer, the keyboard and the cascade, and not the clock and
/// the coprocessor.
const PRIMARY_LEVELS: u8 = 0xF8;
const SECONDARY_LEVELS: u8 = 0xDE;
/// What the processor reads when no chip answers its acknowledge.
const FLOATING: u8 = 0xFF;

/// Two 8259A, cascaded as in a PC.
#[derive(Debug)]
pub struct Pic {
    primary: Chip,
    secondary: Chip,
}

/// Saved state of a [`Pic`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicState {
    /// The chip of lines 0 to 7.
    pub primary: Chip,
    /// The chip of lines 8 to 15.
    pub secondary: Chip,
}

impl Default for Pic {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic {
    /// A pair after power-on. The data sheet leaves its state undefined; here it is silent until it is
    /// initialised, and all lines are edge-triggered.
    pub fn new() -> Self {
        Self { primary: Chip::new(), secondary: Chip::new() }
    }

    /// Moves interrupt line `irq` (0 to 15) to `level`. Line 2 is taken by the cascade.
    pub fn set_line(&mut self, irq: u8, level: bool) {
        match irq & 15 {
            CASCADE => {}
            irq @ 0..8 => self.primary.set_line(irq, level),
            irq => {
                self.secondary.set_line(irq - 8, level);
                self.cascade();
            }
        }
    }

    /// The level of the processor's INTR input.
    pub fn interrupt_line(&self) -> bool {
        self.primary.output()
    }

    /// The processor's acknowledge cycle ("Interrupt Sequence"); the vector to be served. Without a
    /// request that is the one of input 7 of the chip concerned.
    pub fn acknowledge(&mut self) -> u8 {
        let input = self.primary.acknowledge();
        if !self.primary.has_slave(input) {
            return self.primary.vector(input);
        }
        if self.secondary.slave_number() != input {
            return FLOATING;
        }
        let input = self.secondary.acknowledge();
        self.cascade_after_service();
        self.secondary.vector(input)
    }

    /// Reads the register at `offset` (0 or 1: the level of A0).
    pub fn read(&mut self, half: Half, offset: u16) -> u8 {
        let data = offset & 1 != 0;
        match half {
            Half::Primary => self.primary.read(data).0,
            Half::Secondary => {
                let (value, polled) = self.secondary.read(data);
                if polled {
                    self.cascade_after_service();
                }
                value
            }
        }
    }

    /// Writes the register at `offset` (0 or 1: the level of A0).
    pub fn write(&mut self, half: Half, offset: u16, value: u8) {
        let data = offset & 1 != 0;
        match half {
            Half::Primary => self.primary.write(data, value),
            Half::Secondary => {
                self.secondary.write(data, value);
                self.cascade();
            }
        }
    }

    /// The edge/level control register: a bit for each level-triggered line.
    pub fn levels(&self, half: Half) -> u8 {
        match half {
            Half::Primary => self.primary.levels(),
            Half::Secondary => self.secondary.levels(),
        }
    }

    /// Writes the edge/level control register; lines that are always edge-triggered stay so.
    pub fn set_levels(&mut self, half: Half, levels: u8) {
        match half {
            Half::Primary => self.primary.set_levels(levels & PRIMARY_LEVELS),
            Half::Secondary => {
                self.secondary.set_levels(levels & SECONDARY_LEVELS);
                self.cascade();
            }
        }
    }

    /// The state to be put into a snapshot.
    pub fn save(&self) -> PicState {
        let Self { primary, secondary } = self;
        PicState { primary: primary.clone(), secondary: secondary.clone() }
    }

    /// Takes back a saved state.
    ///
    /// # Errors
    /// No run of the chips could have produced it; nothing has changed then.
    pub fn restore(&mut self, state: PicState) -> Result<(), RestoreError> {
        let PicState { primary, secondary } = state;
        primary.check()?;
        secondary.check()?;
        *self = Self { primary, secondary };
        Ok(())
    }

    fn cascade(&mut self) {
        self.primary.set_line(CASCADE, self.secondary.output());
    }

    /// The output goes low while a request is served, so that the next one is an edge for the primary.
    fn cascade_after_service(&mut self) {
        self.primary.set_line(CASCADE, false);
        self.cascade();
    }
}
