//! One 8259A.

use serde::{Deserialize, Serialize};

use crate::RestoreError;
use crate::error::check;

/// A command with this bit is ICW1, which begins the initialisation ("ICW1 and ICW2").
const ICW1: u8 = 1 << 4;
const ICW1_NEEDS_ICW4: u8 = 1 << 0;
const ICW1_SINGLE: u8 = 1 << 1;
const ICW1_LEVEL_TRIGGERED: u8 = 1 << 3;

const ICW4_AUTOMATIC_EOI: u8 = 1 << 1;
const ICW4_SPECIAL_FULLY_NESTED: u8 = 1 << 4;

/// A command without [`ICW1`] is OCW3 with this bit, else OCW2.
const OCW3: u8 = 1 << 3;
const OCW3_READ_ISR: u8 = 1 << 0;
const OCW3_READ: u8 = 1 << 1;
const OCW3_POLL: u8 = 1 << 2;
const OCW3_SPECIAL_MASK: u8 = 1 << 5;
const OCW3_SET_SPECIAL_MASK: u8 = 1 << 6;

/// Bits of OCW2, shifted down by five.
const OCW2_EOI: u8 = 1 << 0;
const OCW2_SPECIFIC: u8 = 1 << 1;
const OCW2_ROTATE: u8 = 1 << 2;

/// The poll's answer when there is a request ("Poll Command").
const POLL_REQUEST: u8 = 1 << 7;

/// The input that stands in when no request is left at the acknowledge ("Interrupt Sequence").
pub(super) const SPURIOUS: u8 = 7;

/// The word that the data register expects ("Initialization Sequence").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// Power was switched on; nothing but the mask register works before ICW1.
    Off,
    Icw2,
    Icw3,
    Icw4,
    Ready,
}

/// An 8259A with eight request inputs, which is its own saved state. Its wiring to another one is the
/// pair's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chip {
    step: Step,
    needs_icw4: bool,
    /// ICW1: no other chip.
    single: bool,
    /// ICW1: all inputs are level-triggered.
    all_levels: bool,
    /// ICW2: bits 3 to 7 of the vectors.
    vector_base: u8,
    /// ICW3: as a master the inputs with slaves, as a slave bits 0 to 2 its number.
    cascade: u8,
    automatic_eoi: bool,
    special_fully_nested: bool,
    /// Which inputs are level-triggered: the PC's edge/level control register.
    levels: u8,
    /// Levels of the inputs.
    lines: u8,
    /// Rising edges that were not acknowledged ("edge sense latch").
    edges: u8,
    in_service: u8,
    mask: u8,
    /// The input with the lowest priority.
    lowest: u8,
    rotate_on_automatic_eoi: bool,
    special_mask: bool,
    read_in_service: bool,
    poll: bool,
}

impl Chip {
    /// A chip after power-on, which waits for ICW1.
    pub(super) fn new() -> Self {
        Self {
            step: Step::Off,
            needs_icw4: false,
            single: false,
            all_levels: false,
            vector_base: 0,
            cascade: 0,
            automatic_eoi: false,
            special_fully_nested: false,
            levels: 0,
            lines: 0,
            edges: 0,
            in_service: 0,
            mask: 0,
            lowest: 7,
            rotate_on_automatic_eoi: false,
            special_mask: false,
            read_in_service: false,
            poll: false,
        }
    }

    /// Moves request input `input` (0 to 7).
    pub(super) fn set_line(&mut self, input: u8, level: bool) {
        let bit = 1 << (input & 7);
        if !level {
            // "The IR inputs must remain high until after the falling edge of the first INTA."
            self.edges &= !bit;
            self.lines &= !bit;
        } else if self.lines & bit == 0 {
            self.edges |= bit;
            self.lines |= bit;
        }
    }

    /// The INT output.
    pub(super) fn output(&self) -> bool {
        self.request().is_some()
    }

    /// Whether a slave is at `input`, as ICW3 says.
    pub(super) fn has_slave(&self, input: u8) -> bool {
        !self.single && self.cascade & (1 << input) != 0
    }

    /// The number ICW3 gave this chip as a slave.
    pub(super) fn slave_number(&self) -> u8 {
        self.cascade & 7
    }

    /// The acknowledge cycle: both INTA pulses ("Interrupt Sequence"). The input that is served, or
    /// [`SPURIOUS`] if its request is gone.
    pub(super) fn acknowledge(&mut self) -> u8 {
        match self.request() {
            Some(input) => {
                self.serve(input);
                input
            }
            None => SPURIOUS,
        }
    }

    /// The vector of `input`.
    pub(super) fn vector(&self, input: u8) -> u8 {
        self.vector_base & 0xF8 | input
    }

    /// Which inputs are level-triggered.
    pub(super) fn levels(&self) -> u8 {
        self.levels
    }

    pub(super) fn set_levels(&mut self, levels: u8) {
        self.levels = levels;
    }

    /// Reads the register at A0 = `data`; whether that was a poll which served a request.
    pub(super) fn read(&mut self, data: bool) -> (u8, bool) {
        if std::mem::take(&mut self.poll) {
            return match self.request() {
                Some(input) => {
                    self.serve(input);
                    (POLL_REQUEST | input, true)
                }
                None => (0, false),
            };
        }
        let value = match (data, self.read_in_service) {
            (true, _) => self.mask,
            (false, true) => self.in_service,
            (false, false) => self.requests(),
        };
        (value, false)
    }

    /// Writes `value` to the register at A0 = `data`.
    pub(super) fn write(&mut self, data: bool, value: u8) {
        match (data, self.step) {
            (false, _) if value & ICW1 != 0 => self.initialize(value),
            // Words before the end of the initialisation are not understood.
            (false, Step::Ready) if value & OCW3 != 0 => self.operation_3(value),
            (false, Step::Ready) => self.operation_2(value),
            (false, _) => {}
            // Before the initialisation, too: so Linux finds out whether there is a chip.
            (true, Step::Off | Step::Ready) => self.mask = value,
            (true, Step::Icw2) => {
                self.vector_base = value & 0xF8;
                self.step = if self.single { self.after_icw3() } else { Step::Icw3 };
            }
            (true, Step::Icw3) => {
                self.cascade = value;
                self.step = self.after_icw3();
            }
            (true, Step::Icw4) => {
                self.automatic_eoi = value & ICW4_AUTOMATIC_EOI != 0;
                self.special_fully_nested = value & ICW4_SPECIAL_FULLY_NESTED != 0;
                self.step = Step::Ready;
            }
        }
    }

    /// What ICW1 does by itself: points a to f of "ICW1 and ICW2".
    fn initialize(&mut self, value: u8) {
        *self = Self {
            step: Step::Icw2,
            needs_icw4: value & ICW1_NEEDS_ICW4 != 0,
            single: value & ICW1_SINGLE != 0,
            all_levels: value & ICW1_LEVEL_TRIGGERED != 0,
            levels: self.levels,
            lines: self.lines,
            ..Self::new()
        };
    }

    fn after_icw3(&self) -> Step {
        if self.needs_icw4 { Step::Icw4 } else { Step::Ready }
    }

    /// "Operation Control Word 2": end of interrupt, and priorities.
    fn operation_2(&mut self, value: u8) {
        let (command, level) = (value >> 5, value & 7);
        if command & (OCW2_EOI | OCW2_SPECIFIC) == 0 {
            self.rotate_on_automatic_eoi = command & OCW2_ROTATE != 0;
            return;
        }
        let input = match command & OCW2_SPECIFIC {
            0 => self.highest(self.in_service_seen()),
            _ => Some(level),
        };
        let Some(input) = input else { return };
        if command & OCW2_EOI != 0 {
            self.in_service &= !(1 << input);
        }
        if command & OCW2_ROTATE != 0 {
            self.lowest = input;
        }
    }

    /// "Operation Control Word 3": what is read, polling, and the special mask mode.
    fn operation_3(&mut self, value: u8) {
        if value & OCW3_SET_SPECIAL_MASK != 0 {
            self.special_mask = value & OCW3_SPECIAL_MASK != 0;
        }
        self.poll = value & OCW3_POLL != 0;
        if value & OCW3_READ != 0 && !self.poll {
            self.read_in_service = value & OCW3_READ_ISR != 0;
        }
    }

    /// The interrupt request register.
    fn requests(&self) -> u8 {
        let levels = if self.all_levels { 0xFF } else { self.levels };
        self.lines & (levels | self.edges)
    }

    /// What of the in-service register takes part: "Special Mask Mode" looks through masked levels.
    fn in_service_seen(&self) -> u8 {
        if self.special_mask { self.in_service & !self.mask } else { self.in_service }
    }

    /// The bit of `bits` with the highest priority ("Priority Resolver").
    fn highest(&self, bits: u8) -> Option<u8> {
        (1..=8).map(|distance| (self.lowest + distance) & 7).find(|input| bits & (1 << input) != 0)
    }

    /// How many inputs have a higher priority than `input`.
    fn rank(&self, input: u8) -> u8 {
        input.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }

    /// The input that would be served now ("Fully Nested Mode").
    fn request(&self) -> Option<u8> {
        if self.step != Step::Ready {
            return None;
        }
        let input = self.highest(self.requests() & !self.mask)?;
        let Some(served) = self.highest(self.in_service_seen()) else { return Some(input) };
        // "The Special Fully Nested Mode": another request of the slave that is being served.
        let again = input == served && self.special_fully_nested && self.has_slave(input);
        (again || self.rank(input) < self.rank(served)).then_some(input)
    }

    fn serve(&mut self, input: u8) {
        self.edges &= !(1 << input);
        if !self.automatic_eoi {
            self.in_service |= 1 << input;
        } else if self.rotate_on_automatic_eoi {
            self.lowest = input;
        }
    }

    /// Whether a run of the chip could have produced this.
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        check(self.lowest <= 7, "pic", "lowest")?;
        check(self.edges & !self.lines == 0, "pic", "edges")?;
        check(self.vector_base & 7 == 0, "pic", "vector_base")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_states_are_refused() {
        assert!(Chip::new().check().is_ok());
        assert!(Chip { lowest: 8, ..Chip::new() }.check().is_err());
        assert!(Chip { edges: 1, ..Chip::new() }.check().is_err());
        assert!(Chip { vector_base: 1, ..Chip::new() }.check().is_err());
    }
}
