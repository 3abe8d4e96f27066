//! The CPU at one moment: what a snapshot keeps of it, and how it goes on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wasmtime::Module;

use super::bundle;
use super::jit::{Code, Function, Pending};
use super::module::{V86Module, module_error};
use crate::compiler;
use crate::memory::MemoryImage;
use crate::{EngineState, VcpuError};

/// A v86 CPU with its RAM at one moment. Clones share everything.
#[derive(Clone)]
pub struct V86Snapshot {
    pub(super) memory: MemoryImage,
    pub(super) ram: Range<usize>,
    pub(super) instructions: u64,
    pub(super) last_counter: u32,
    pub(super) code: BTreeMap<u32, Code>,
    pub(super) pending: Option<Pending>,
}

impl V86Snapshot {
    /// The memory: RAM and the CPU's own state.
    pub fn memory(&self) -> &MemoryImage {
        &self.memory
    }

    /// Guest instructions retired so far.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// What must be kept beside the memory to make the snapshot again with
    /// [`V86Snapshot::from_state`].
    pub fn state(&self) -> EngineState {
        EngineState {
            ram: self.ram.start as u64..self.ram.end as u64,
            instructions: self.instructions,
            last_counter: self.last_counter,
            translated: self.code.iter().map(|(index, code)| (*index, code.wasm.to_vec())).collect(),
            pending: self.pending.as_ref().map(|pending| {
                (pending.index, pending.start, pending.state_flags, pending.wasm.to_vec())
            }),
        }
    }

    /// Makes a snapshot of its parts. Its translated code is there as wasm only: [`V86Snapshot::load_code`]
    /// or [`V86Snapshot::compile_code`] make it usable, otherwise the CPU translates anew.
    ///
    /// # Errors
    /// [`VcpuError::Snapshot`] if the parts do not fit together.
    pub fn from_state(memory: MemoryImage, state: EngineState) -> Result<Self, VcpuError> {
        let EngineState { ram, instructions, last_counter, translated, pending } = state;
        if ram.start > ram.end || ram.end > memory.size() || !(ram.end - ram.start).is_multiple_of(super::RAM_GRANULE) {
            return Err(VcpuError::Snapshot("its RAM lies outside of its memory".into()));
        }
        let mut code = BTreeMap::new();
        for (index, wasm) in translated {
            super::jit::check_index(index)?;
            code.insert(index, Code { wasm: wasm.into(), function: None });
        }
        let pending = match pending {
            None => None,
            Some((index, start, state_flags, wasm)) => {
                super::jit::check_index(index)?;
                Some(Pending { index, start, state_flags, wasm: wasm.into() })
            }
        };
        Ok(Self { memory, ram: ram.start as usize..ram.end as usize, instructions, last_counter, code, pending })
    }

    /// The translated code merged into one wasm module; the input of a code cache.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not of the form in which v86 writes it.
    pub fn bundle(&self) -> Result<Vec<u8>, VcpuError> {
        bundle::merge(self.code.iter().map(|(index, code)| (*index, &*code.wasm)))
    }

    /// Compiles `bundle`, made by [`V86Snapshot::bundle`], into machine code for
    /// [`V86Snapshot::load_code`]. Takes a while: about 0.1 s for each translated page.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is no valid module.
    pub fn compile_code(bundle: &[u8]) -> Result<Vec<u8>, VcpuError> {
        compiler::engine(compiler::Effort::Optimized)?.precompile_module(bundle).map_err(module_error)
    }

    /// Takes the machine code of the bundle from the file at `code`, which is mapped, not read.
    ///
    /// # Safety
    /// The file must be unchanged since [`V86Snapshot::compile_code`] made it, and stay so: it is
    /// executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version or another processor made it.
    #[allow(unsafe_code)]
    pub unsafe fn load_code(&mut self, v86: &V86Module, code: &std::path::Path) -> Result<(), VcpuError> {
        // SAFETY: the caller vouches for the origin of the file.
        let module = unsafe { Module::deserialize_file(&v86.engine, code) }.map_err(module_error)?;
        let module = Arc::new(module);
        for (index, code) in &mut self.code {
            code.function = Some(Function { module: module.clone(), export: bundle::export_name(*index) });
        }
        Ok(())
    }

    /// Whether all translated code can be executed.
    pub(super) fn is_executable(&self) -> bool {
        self.code.values().all(|code| code.function.is_some())
    }
}
