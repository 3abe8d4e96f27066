//! What a store of the v86 engine holds.

use std::ops::Range;
use std::time::Duration;

use wasmtime::{Instance, Memory, Store, TypedFunc};

use super::jit::Jit;
use crate::module::function;
use crate::{Bus, VcpuError, WrittenRanges};

/// The exports of v86.wasm that the host calls.
pub(super) struct Exports {
    pub(super) main_loop: TypedFunc<(), f64>,
    pub(super) device_raise_irq: TypedFunc<u32, ()>,
    pub(super) device_lower_irq: TypedFunc<u32, ()>,
    pub(super) jit_dirty_cache: TypedFunc<(u32, u32), ()>,
    pub(super) codegen_finalize_finished: TypedFunc<(u32, u32, u32), ()>,
    pub(super) update_state_flags: TypedFunc<(), ()>,
    pub(super) jit_clear_cache: TypedFunc<(), ()>,
}

impl Exports {
    pub(super) fn of<B: Bus>(instance: &Instance, store: &mut Store<State<B>>) -> Result<Self, VcpuError> {
        Ok(Self {
            main_loop: function(instance, store, "main_loop")?,
            device_raise_irq: function(instance, store, "device_raise_irq")?,
            device_lower_irq: function(instance, store, "device_lower_irq")?,
            jit_dirty_cache: function(instance, store, "jit_dirty_cache")?,
            codegen_finalize_finished: function(instance, store, "codegen_finalize_finished")?,
            update_state_flags: function(instance, store, "update_state_flags")?,
            jit_clear_cache: function(instance, store, "jit_clear_cache_js")?,
        })
    }
}

/// Data of the store: the bus and what the imports need to reach the module again.
pub(super) struct State<B> {
    pub(super) bus: B,
    /// Where the guest's RAM lies in linear memory (wasm offsets).
    pub(super) ram: Range<usize>,
    pub(super) memory: Option<Memory>,
    pub(super) exports: Option<Exports>,
    pub(super) jit: Option<Jit>,
    pub(super) written: WrittenRanges,
    /// How long the bus lets an idle CPU sleep, as of its last `advance`.
    pub(super) sleep: Option<Duration>,
    /// HLT with interrupts off was executed.
    pub(super) halted: bool,
    /// What v86 logged last: after a trap, the message of its panic.
    pub(super) last_message: Option<String>,
}

impl<B> State<B> {
    pub(super) fn new(bus: B) -> Self {
        Self {
            bus,
            ram: 0..0,
            memory: None,
            exports: None,
            jit: None,
            written: WrittenRanges::default(),
            sleep: None,
            halted: false,
            last_message: None,
        }
    }

    pub(super) fn memory(&self) -> Result<Memory, VcpuError> {
        self.memory.ok_or_else(too_early)
    }

    pub(super) fn exports(&self) -> Result<&Exports, VcpuError> {
        self.exports.as_ref().ok_or_else(too_early)
    }

    pub(super) fn jit(&mut self) -> Result<&mut Jit, VcpuError> {
        self.jit.as_mut().ok_or_else(too_early)
    }
}

fn too_early() -> VcpuError {
    VcpuError::Module("it called its host before it was set up".into())
}
