//! Interrupt lines between the chips and the controllers, which are inside the CPU engine.

use serde::{Deserialize, Serialize};
use wasm_sandbox_vcpu::InterruptChanges;

/// The 16 lines of the 8259 pair, with every edge since the engine looked last.
#[derive(Debug, Default)]
pub(crate) struct InterruptLines {
    /// Levels now.
    levels: u16,
    /// Levels as the engine knows them.
    delivered: u16,
    /// Lines that were low at some time since the engine looked.
    dipped: u16,
}

/// What a snapshot keeps of the lines.
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
