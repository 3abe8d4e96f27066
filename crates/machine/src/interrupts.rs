//! Interrupt lines between the chips and the controllers, which are on the board or inside the CPU engine.

use serde::{Deserialize, Serialize};
use wasm_sandbox_devices::RestoreError;
use wasm_sandbox_devices::pic::{Half, Pic, PicState};
use wasm_sandbox_vcpu::{EngineKind, InterruptChanges};

// I/O ports of the controllers (IBM PC/AT technical reference; the last two: EISA).
const PRIMARY_FIRST: u16 = 0x20;
const PRIMARY_LAST: u16 = 0x21;
const SECONDARY_FIRST: u16 = 0xA0;
const SECONDARY_LAST: u16 = 0xA1;
const PRIMARY_LEVELS: u16 = 0x4D0;
const SECONDARY_LEVELS: u16 = 0x4D1;

/// Where the lines of the chips go.
#[derive(Debug)]
pub(crate) enum Interrupts {
    /// To controllers inside the engine, which asks what has changed.
    Engine(InterruptLines),
    /// To the board's own controllers.
    Board(Pic),
}

/// What a snapshot keeps of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum InterruptState {
    /// Lines to the engine.
    Engine(LineState),
    /// The board's controllers.
    Board(PicState),
}

impl Interrupts {
    /// What a CPU of `engine` needs.
    pub(crate) fn of(engine: EngineKind) -> Self {
        if engine.has_interrupt_controller() {
            Self::Engine(InterruptLines::default())
        } else {
            Self::Board(Pic::new())
        }
    }

    /// Their state.
    pub(crate) fn save(&self) -> InterruptState {
        match self {
            Self::Engine(lines) => InterruptState::Engine(lines.save()),
            Self::Board(pic) => InterruptState::Board(pic.save()),
        }
    }

    /// Takes back a saved state, which must be of the same kind.
    pub(crate) fn restore(&mut self, state: InterruptState) -> Result<(), RestoreError> {
        match (self, state) {
            (Self::Engine(lines), InterruptState::Engine(state)) => *lines = InterruptLines::restore(state),
            (Self::Board(pic), InterruptState::Board(state)) => pic.restore(state)?,
            _ => return Err(RestoreError::OutOfRange { chip: "interrupts", field: "controller" }),
        }
        Ok(())
    }

    /// Sets line `irq` (0 to 15) to `level`.
    pub(crate) fn set(&mut self, irq: u8, level: bool) {
        match self {
            Self::Engine(lines) => lines.set(irq, level),
            Self::Board(pic) => pic.set_line(irq, level),
        }
    }

    /// Whether the CPU has something to learn.
    pub(crate) fn pending(&self) -> bool {
        match self {
            Self::Engine(lines) => lines.pending(),
            Self::Board(pic) => pic.interrupt_line(),
        }
    }

    /// What changed of the lines to the engine since the last call.
    pub(crate) fn take_changes(&mut self) -> InterruptChanges {
        match self {
            Self::Engine(lines) => lines.take_changes(),
            Self::Board(_) => InterruptChanges::default(),
        }
    }

    /// The output of the board's controllers.
    pub(crate) fn output(&self) -> bool {
        matches!(self, Self::Board(pic) if pic.interrupt_line())
    }

    /// The acknowledge cycle of the board's controllers; without any, nothing drives the bus.
    pub(crate) fn acknowledge(&mut self) -> u8 {
        match self {
            Self::Engine(_) => 0xFF,
            Self::Board(pic) => pic.acknowledge(),
        }
    }

    /// Reads a port of the board's controllers; `None` if it is none.
    pub(crate) fn read_port(&mut self, port: u16) -> Option<u8> {
        let Self::Board(pic) = self else { return None };
        Some(match port {
            PRIMARY_FIRST..=PRIMARY_LAST => pic.read(Half::Primary, port - PRIMARY_FIRST),
            SECONDARY_FIRST..=SECONDARY_LAST => pic.read(Half::Secondary, port - SECONDARY_FIRST),
            PRIMARY_LEVELS => pic.levels(Half::Primary),
            SECONDARY_LEVELS => pic.levels(Half::Secondary),
            _ => return None,
        })
    }

    /// Writes a port of the board's controllers; no effect if it is none.
    pub(crate) fn write_port(&mut self, port: u16, value: u8) {
        let Self::Board(pic) = self else { return };
        match port {
            PRIMARY_FIRST..=PRIMARY_LAST => pic.write(Half::Primary, port - PRIMARY_FIRST, value),
            SECONDARY_FIRST..=SECONDARY_LAST => pic.write(Half::Secondary, port - SECONDARY_FIRST, value),
            PRIMARY_LEVELS => pic.set_levels(Half::Primary, value),
            SECONDARY_LEVELS => pic.set_levels(Half::Secondary, value),
            _ => {}
        }
    }
}

/// The 16 lines to the controllers inside an engine, with every edge since it looked last.
#[derive(Debug, Default)]
pub(crate) struct InterruptLines {
    /// Levels now.
    levels: u16,
    /// Levels as the engine knows them.
    delivered: u16,
    /// Lines that were low at some time since the engine looked.
    dipped: u16,
}

/// What a snapshot keeps of lines to an engine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct LineState {
    levels: u16,
    delivered: u16,
    dipped: u16,
}

impl InterruptLines {
    /// The lines' state.
    pub(crate) fn save(&self) -> LineState {
        let Self { levels, delivered, dipped } = *self;
        LineState { levels, delivered, dipped }
    }

    /// Lines in a saved state; every state is possible.
    pub(crate) fn restore(state: LineState) -> Self {
        let LineState { levels, delivered, dipped } = state;
        Self { levels, delivered, dipped }
    }

    /// Sets line `irq` (0 to 15) to `level`.
    pub(crate) fn set(&mut self, irq: u8, level: bool) {
        let line = 1u16 << (irq & 15);
        if level {
            self.levels |= line;
        } else {
            self.levels &= !line;
            self.dipped |= line;
        }
    }

    /// Whether the engine has something to learn.
    pub(crate) fn pending(&self) -> bool {
        self.levels != self.delivered || self.dipped & self.delivered != 0
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self) -> InterruptChanges {
        let lower = self.delivered & (self.dipped | !self.levels);
        let raise = self.levels & (lower | !self.delivered);
        self.delivered = self.levels;
        self.dipped = 0;
        InterruptChanges { lower, raise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_dip_is_an_edge_that_does_not_get_lost() {
        let mut lines = InterruptLines::default();
        lines.set(5, true);
        assert_eq!(lines.take_changes(), InterruptChanges { lower: 0, raise: 1 << 5 });
        assert_eq!(lines.take_changes(), InterruptChanges::default());
        lines.set(5, false);
        lines.set(5, true);
        assert!(lines.pending());
        assert_eq!(lines.take_changes(), InterruptChanges { lower: 1 << 5, raise: 1 << 5 });
        lines.set(5, false);
        assert_eq!(lines.take_changes(), InterruptChanges { lower: 1 << 5, raise: 0 });
        assert!(!lines.pending());
    }

    #[test]
    fn the_controllers_on_the_board_have_ports() {
        let mut interrupts = Interrupts::of(EngineKind::Wx86);
        for (port, words) in [(0x20, [0x11, 0x30, 4, 1]), (0xA0, [0x11, 0x38, 2, 1])] {
            interrupts.write_port(port, words[0]);
            words[1..].iter().for_each(|word| interrupts.write_port(port + 1, *word));
            interrupts.write_port(port + 1, 0);
        }
        interrupts.write_port(0x4D1, 0xFF);
        assert_eq!(
            [0x4D0, 0x4D1, 0x21].map(|port| interrupts.read_port(port)),
            [Some(0), Some(0xDE), Some(0)]
        );
        assert_eq!(interrupts.read_port(0x22), None);
        assert!(!interrupts.output());
        interrupts.set(10, true);
        assert!(interrupts.output() && interrupts.pending());
        let mut other = Interrupts::of(EngineKind::Wx86);
        other.restore(interrupts.save()).unwrap();
        assert_eq!(other.acknowledge(), 0x3A);
        assert!(Interrupts::of(EngineKind::V86).restore(interrupts.save()).is_err());
        assert_eq!(Interrupts::of(EngineKind::V86).read_port(0x21), None);
    }

    #[test]
    fn setting_a_level_again_is_no_change() {
        let mut lines = InterruptLines::default();
        lines.set(0, false);
        assert_eq!(lines.take_changes(), InterruptChanges::default());
        lines.set(3, true);
        lines.take_changes();
        lines.set(3, true);
        assert_eq!(lines.take_changes(), InterruptChanges::default());
    }
}
