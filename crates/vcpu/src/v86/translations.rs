//! Translated code at one moment: what a snapshot keeps of it, and its machine code.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::Module;

use super::bundle;
use super::jit::{Code, Function, Pending};
use crate::VcpuError;
use crate::code_bytes::CodeBytes;
use crate::compiler::{self, Effort};
use crate::module::{EngineModule, module_error};

/// Largest translated module that is taken from a snapshot, in bytes; v86 writes at most some
/// hundred KiB.
const LARGEST_MODULE: usize = 16 << 20;

/// What a v86 CPU has beside its memory. Clones share everything.
#[derive(Clone)]
pub(crate) struct Translations {
    /// v86's own, wrapping instruction counter, as it was read last.
    pub(super) last_counter: u32,
    pub(super) code: BTreeMap<u32, Code>,
    pub(super) pending: Option<Pending>,
}

/// What a snapshot keeps of v86 beside its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslationsState {
    /// The engine's own, wrapping instruction counter, as it was read last.
    pub last_counter: u32,
    /// Translated code: table index and length of the wasm module in bytes. The modules themselves
    /// are kept apart, one after the other.
    pub translated: Vec<(u32, u64)>,
    /// The translation being compiled: table index, guest-physical start, state flags, wasm module.
    pub pending: Option<(u32, u32, u32, Vec<u8>)>,
}

impl TranslationsState {
    /// Bytes of all modules; `None` if no number can tell.
    pub(crate) fn code_bytes(&self) -> Option<u64> {
        self.translated.iter().try_fold(0u64, |sum, (_, length)| sum.checked_add(*length))
    }
}

impl Translations {
    pub(crate) fn state(&self) -> TranslationsState {
        TranslationsState {
            last_counter: self.last_counter,
            translated: self.code.iter().map(|(index, code)| (*index, code.wasm.len() as u64)).collect(),
            pending: self
                .pending
                .as_ref()
                .map(|pending| (pending.index, pending.start, pending.state_flags, pending.wasm.to_vec())),
        }
    }

    /// `file` has the modules from `code_offset` on.
    pub(crate) fn from_state(
        state: TranslationsState,
        file: &Arc<File>,
        code_offset: u64,
    ) -> Result<Self, VcpuError> {
        let TranslationsState { last_counter, translated, pending } = state;
        let mut code = BTreeMap::new();
        let mut offset = code_offset;
        for (index, length) in translated {
            super::jit::check_index(index)?;
            let wasm = CodeBytes::next_in(file, &mut offset, length, LARGEST_MODULE)?;
            code.insert(index, Code { wasm, function: None });
        }
        let pending = match pending {
            None => None,
            Some((index, start, state_flags, wasm)) => {
                super::jit::check_index(index)?;
                Some(Pending { index, start, state_flags, wasm: wasm.into() })
            }
        };
        Ok(Self { last_counter, code, pending })
    }

    /// Writes the modules one after the other.
    pub(crate) fn write(&self, target: &mut impl Write) -> std::io::Result<()> {
        self.code.values().try_for_each(|code| target.write_all(&code.wasm.read()?))
    }

    /// Machine code of all modules, in `parts` parts at a time.
    pub(crate) fn compile(&self, parts: usize) -> Result<Vec<Vec<u8>>, VcpuError> {
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

    /// Takes the machine code of one part from the file at `code`.
    ///
    /// # Safety
    /// The file must be unchanged since [`Translations::compile`] made its content, and stay so.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn load(&mut self, v86: &EngineModule, code: &Path) -> Result<(), VcpuError> {
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

    /// Whether there is machine code for all of it.
    pub(crate) fn are_executable(&self) -> bool {
        self.code.values().all(|code| code.function.is_some())
    }
}
