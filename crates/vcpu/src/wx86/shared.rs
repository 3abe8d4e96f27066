//! The block of memory that host and engine share (`engine/src/exports.rs`): numbers in little endian.

/// Whether the INTR input is high, `u32`; written by the host.
const INTERRUPT_LINE: usize = 0;
/// Set by the host to have `engine_run` return soon, `u32`; the engine clears it.
const STOP: usize = 4;
/// Guest instructions retired, `u64`; written by the engine before it calls the host and when it returns.
const INSTRUCTIONS: usize = 8;
/// Set by the host when the CPU has slept for long, `u32`; the engine clears it.
const WAS_IDLE: usize = 16;
/// Set by the engine when something is worth being translated, `u32`.
const WANTS_TRANSLATION: usize = 20;
/// Length of the block in bytes.
const LENGTH: usize = 24;

/// Where the block is in linear memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared(usize);

impl Shared {
    pub(super) fn at(offset: u32) -> Self {
        Self(offset as usize)
    }

    /// Whether the block lies in a memory of `size` bytes.
    pub(super) fn fits(self, size: usize) -> bool {
        self.0 != 0 && self.0 + LENGTH <= size
    }

    /// Shows the level of the INTR input.
    pub(super) fn set_interrupt_line(self, memory: &mut [u8], level: bool) {
        self.set(memory, INTERRUPT_LINE, level.into());
    }

    /// Has the engine return soon.
    pub(super) fn stop(self, memory: &mut [u8]) {
        self.set(memory, STOP, 1);
    }

    /// Tells that the CPU has slept for long.
    pub(super) fn was_idle(self, memory: &mut [u8]) {
        self.set(memory, WAS_IDLE, 1);
    }

    /// Guest instructions retired.
    pub(super) fn instructions(self, memory: &[u8]) -> u64 {
        let bytes = memory.get(self.0 + INSTRUCTIONS..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether something is worth being translated.
    pub(super) fn wants_translation(self, memory: &[u8]) -> bool {
        let bytes = memory.get(self.0 + WANTS_TRANSLATION..).and_then(|bytes| bytes.first_chunk());
        bytes.is_some_and(|bytes| u32::from_le_bytes(*bytes) != 0)
    }

    fn set(self, memory: &mut [u8], field: usize, value: u32) {
        if let Some(bytes) = memory.get_mut(self.0 + field..).and_then(|bytes| bytes.first_chunk_mut()) {
            *bytes = value.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_outside_of_memory_does_nothing() {
        let mut memory = [0; 40];
        let shared = Shared::at(16);
        assert!(shared.fits(40) && !Shared::at(0).fits(40) && !Shared::at(17).fits(40));
        shared.set_interrupt_line(&mut memory, true);
        Shared::at(31).stop(&mut memory);
        assert_eq!((memory[16], memory[31]), (1, 0));
        assert_eq!(Shared::at(30).instructions(&memory), 0);
    }
}
