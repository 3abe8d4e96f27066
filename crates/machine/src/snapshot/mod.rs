//! A machine at one moment: to go on from in this process, or in another one from a file.

mod file;
mod header;
#[cfg(test)]
mod tests;

use wasm_sandbox_vcpu::EngineSnapshot;

use crate::board::BoardState;

pub use file::{EngineIdentity, SnapshotError, SnapshotIdentity, Trust};

/// A machine at one moment. Clones share everything.
#[derive(Clone)]
pub struct MachineSnapshot {
    pub(crate) engine: EngineSnapshot,
    pub(crate) board: BoardState,
    /// What the machine's user keeps with it: opaque bytes.
    pub(crate) attachment: Vec<u8>,
}

impl MachineSnapshot {
    /// Bytes of memory that are stored; all others are zero.
    pub fn stored_bytes(&self) -> u64 {
        self.engine.memory().stored_bytes()
    }

    /// What the machine's user kept with the snapshot.
    pub fn attachment(&self) -> &[u8] {
        &self.attachment
    }

    /// The CPU's part.
    pub fn engine(&self) -> &EngineSnapshot {
        &self.engine
    }

    /// The CPU's part, to load machine code into.
    pub fn engine_mut(&mut self) -> &mut EngineSnapshot {
        &mut self.engine
    }
}
