//! What a store of the wx86 engine holds.

use std::ops::Range;

use wasmtime::{Memory, TypedFunc};

use super::functions::Functions;
use super::shared::Shared;
use crate::{VcpuError, WrittenRanges};

/// The exports that the host calls.
pub(super) struct Exports {
    /// RAM in bytes; the wasm offset of RAM, or 0.
    pub(super) new: TypedFunc<u32, u32>,
    /// Mode in bits, RIP, RSI, CR3, GDT base and limit.
    pub(super) boot: TypedFunc<(u32, u64, u64, u64, u64, u32), ()>,
    /// Most instructions; how it ended.
    pub(super) run: TypedFunc<u64, u32>,
    /// Throws decoded code away.
    pub(super) renew_code: TypedFunc<(), ()>,
    /// The wasm offset of the shared block.
    pub(super) shared: TypedFunc<(), u32>,
    /// Guest-physical start and end of what a device has written.
    pub(super) invalidate: TypedFunc<(u64, u64), ()>,
    /// Where in the table translated code is called, and which parts there are.
    pub(super) set_translations: TypedFunc<(u32, u32), ()>,
    /// Translates what was executed so often.
    pub(super) translate: TypedFunc<u32, ()>,
    /// Translates, as a part, pages that were sampled so often.
    pub(super) translate_later: TypedFunc<(u32, u32), ()>,
    /// What was translated by that is there.
    pub(super) use_later_translation: TypedFunc<u32, ()>,
}

/// Data of the store: the bus and what the imports need to reach the memory.
pub(super) struct State<B> {
    pub(super) bus: B,
    /// Where the guest's RAM lies in linear memory (wasm offsets).
    pub(super) ram: Range<usize>,
    pub(super) shared: Shared,
    pub(super) memory: Option<Memory>,
    /// What devices have written and the engine does not know yet.
    pub(super) written: WrittenRanges,
    /// What the engine is translating.
    pub(super) functions: Functions,
    /// What the engine logged last: after a trap, the message of its panic.
    pub(super) last_message: Option<String>,
}

impl<B> State<B> {
    pub(super) fn new(bus: B) -> Self {
        Self {
            bus,
            ram: 0..0,
            shared: Shared::default(),
            memory: None,
            written: WrittenRanges::default(),
            functions: Functions::default(),
            last_message: None,
        }
    }

    pub(super) fn memory(&self) -> Result<Memory, VcpuError> {
        self.memory
            .ok_or_else(|| VcpuError::Module("no export `memory`, or it calls its host too early".into()))
    }
}
