//! What parent and child share.

use crate::case::{Case, Changes, Exception, Outcome, State, Stop};
use std::sync::atomic::AtomicU32;

/// How many cases go to the child at once.
pub const SLOTS: usize = 512;
/// The longest code of a case.
pub const LONGEST_CODE: usize = 128;
/// How many patches a case may have.
pub const MOST_PATCHES: usize = 8;
/// The bytes of all patches of a case.
pub const PATCH_BYTES: usize = 1024;

/// Nothing came of it yet.
pub const PENDING: u32 = 0;
/// It stopped at an exception.
pub const STOPPED: u32 = 1;
/// It called the system.
pub const SYSTEM_CALL: u32 = 2;

/// The shared memory.
#[repr(C)]
pub struct Shared {
    /// How many batches were posted.
    pub posted: AtomicU32,
    /// How many batches are done.
    pub done: AtomicU32,
    /// The first case of the batch to run.
    pub start: AtomicU32,
    /// How many cases the batch has.
    pub count: AtomicU32,
    /// The case that is running.
    pub current: AtomicU32,
    /// The cases.
    pub slots: [Slot; SLOTS],
}

/// Where a patch goes, and where its bytes are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SlotPatch {
    /// Its address.
    pub address: u32,
    /// Its first byte among the slot's.
    pub start: u32,
    /// How many bytes it has.
    pub length: u32,
}

/// A case, and then what came of it.
#[repr(C)]
pub struct Slot {
    /// The registers before.
    pub before: State,
    /// How long the code is.
    pub code_length: u32,
    /// How many patches there are.
    pub patch_count: u32,
    /// The patches.
    pub patches: [SlotPatch; MOST_PATCHES],
    /// The code.
    pub code: [u8; LONGEST_CODE],
    /// The bytes of the patches.
    pub bytes: [u8; PATCH_BYTES],
    /// What came of it: `PENDING`, `STOPPED` or `SYSTEM_CALL`.
    pub status: u32,
    /// The exception.
    pub exception: Exception,
    /// The registers after.
    pub after: State,
    /// Memory after.
    pub changes: Changes,
}

impl Slot {
    /// Puts a case in.
    ///
    /// # Panics
    /// When the case is larger than a slot.
    pub fn fill(&mut self, case: &Case) {
        self.before = case.state;
        self.code_length = case.code.len() as u32;
        self.code[..case.code.len()].copy_from_slice(&case.code);
        self.patch_count = case.patches.len() as u32;
        let mut start = 0;
        for (patch, slot) in case.patches.iter().zip(&mut self.patches) {
            let length = patch.bytes.len();
            self.bytes[start..start + length].copy_from_slice(&patch.bytes);
            *slot = SlotPatch { address: patch.address, start: start as u32, length: length as u32 };
            start += length;
        }
        assert!(case.patches.len() <= MOST_PATCHES, "a case has too many patches");
        self.status = PENDING;
    }

    /// What came of it.
    pub fn outcome(&self) -> Outcome {
        match self.status {
            STOPPED => Outcome::Stopped(Box::new(Stop {
                state: self.after,
                exception: self.exception,
                changes: self.changes,
            })),
            SYSTEM_CALL => Outcome::SystemCall,
            _ => Outcome::Lost("it was never run".into()),
        }
    }
}
