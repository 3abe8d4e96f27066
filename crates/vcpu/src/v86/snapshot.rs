//! The CPU at one moment: what a snapshot keeps of it, and how it goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Module;

use super::bundle;
use super::jit::{Code, CodeBytes, Function, Pending};
use super::module::{V86Module, module_error};
use crate::compiler::{self, Effort};
use crate::memory::MemoryImage;
use crate::{EngineState, VcpuError};

/// Largest 32-bit wasm memory, and what its size is a multiple of.
const LARGEST_MEMORY: u64 = 4 << 30;
const WASM_PAGE: u64 = 64 << 10;
/// Largest translated module that is taken from a snapshot, in bytes; v86 writes at most some
/// hundred KiB.
const LARGEST_MODULE: usize = 16 << 20;

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
            translated: self.code.iter().map(|(index, code)| (*index, code.wasm.len() as u64)).collect(),
            pending: self
                .pending
                .as_ref()
                .map(|pending| (pending.index, pending.start, pending.state_flags, pending.wasm.to_vec())),
        }
    }

    /// Writes the modules of translated code one after the other, as [`EngineState::translated`]
    /// lists them.
    ///
    /// # Errors
    /// Those of reading them and of `target`.
    pub fn write_code(&self, target: &mut impl Write) -> std::io::Result<()> {
        self.code.values().try_for_each(|code| target.write_all(&code.wasm.read()?))
    }

    /// Makes a snapshot of its parts; `file` has the modules of translated code from `code_offset` on.
    /// Its translated code is there as wasm only: [`V86Snapshot::load_code`] makes
    /// it usable, otherwise the CPU translates anew.
    ///
    /// # Errors
    /// [`VcpuError::Snapshot`] if the parts do not fit together.
    pub fn from_state(
        memory: MemoryImage,
        state: EngineState,
        file: &Arc<File>,
        code_offset: u64,
    ) -> Result<Self, VcpuError> {
        let EngineState { ram, instructions, last_counter, translated, pending } = state;
        if memory.size() > LARGEST_MEMORY || !memory.size().is_multiple_of(WASM_PAGE) {
            return Err(VcpuError::Snapshot("its memory has a size that no wasm memory has".into()));
        }
        if ram.start > ram.end
            || ram.end > memory.size()
            || !(ram.end - ram.start).is_multiple_of(super::RAM_GRANULE)
        {
            return Err(VcpuError::Snapshot("its RAM lies outside of its memory".into()));
        }
        let mut code = BTreeMap::new();
        let mut offset = code_offset;
        for (index, length) in translated {
            super::jit::check_index(index)?;
            let too_long = || VcpuError::Snapshot("it has endless translated code".into());
            let wasm_length = usize::try_from(length).ok().filter(|length| *length <= LARGEST_MODULE);
            let wasm =
                CodeBytes::File { file: file.clone(), offset, length: wasm_length.ok_or_else(too_long)? };
            code.insert(index, Code { wasm, function: None });
            offset = offset.checked_add(length).ok_or_else(too_long)?;
        }
        let pending = match pending {
            None => None,
            Some((index, start, state_flags, wasm)) => {
                super::jit::check_index(index)?;
                Some(Pending { index, start, state_flags, wasm: wasm.into() })
            }
        };
        Ok(Self {
            memory,
            ram: ram.start as usize..ram.end as usize,
            instructions,
            last_counter,
            code,
            pending,
        })
    }

    /// Compiles all translated code into machine code for [`V86Snapshot::load_code`], in `parts` parts
    /// at a time. Takes about 0.15 s for each translated page.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not of the form in which v86 writes it.
    pub fn compile_code(&self, parts: usize) -> Result<Vec<Vec<u8>>, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        let modules: Vec<(u32, Arc<[u8]>)> = self
            .code
            .iter()
            .map(|(index, code)| Ok((*index, code.wasm.read()?)))
            .collect::<std::io::Result<_>>()?;
        let compile = |part: usize| {
            let of_part = modules.iter().skip(part).step_by(parts.max(1));
            let bundle = bundle::merge(of_part.map(|(index, wasm)| (*index, &**wasm)))?;
            engine.precompile_module(&bundle).map_err(module_error)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..parts.max(1)).map(|part| scope.spawn(move || compile(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(VcpuError::CompilerGone))).collect()
        })
    }

    /// Takes the machine code of one part from the file at `code`, which is mapped, not read.
    ///
    /// # Safety
    /// The file must be unchanged since [`V86Snapshot::compile_code`] made its content, and stay so:
    /// it is executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version or another processor made it, or if it belongs to
    /// another snapshot.
    #[allow(unsafe_code)]
    pub unsafe fn load_code(&mut self, v86: &V86Module, code: &Path) -> Result<(), VcpuError> {
        // SAFETY: the caller vouches for the origin of the file.
        let module = unsafe { Module::deserialize_file(&v86.engine, code) }.map_err(module_error)?;
        let module = Arc::new(module);
        for export in module.exports() {
            let index = bundle::index_of(export.name());
            let code = index.and_then(|index| self.code.get_mut(&index));
            let code = code.ok_or_else(|| module_error("it belongs to another snapshot"))?;
            code.function = Some(Function { module: module.clone(), export: export.name().to_owned() });
        }
        Ok(())
    }

    /// Whether there is machine code for all translated code; without it, the CPU translates anew.
    pub fn is_executable(&self) -> bool {
        self.code.values().all(|code| code.function.is_some())
    }
}
