//! Translated code of the engine: its modules, their machine code, and the engine's table.
//!
//! `engine/src/translate` is the other side. The engine translates in two parts, the kernel's code and that of programs. It
//! calls a part through an element of its function table; where there is no machine code for it, that element has the
//! engine's own `engine_interpret`, and everything goes on, but more slowly.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::{AsContextMut, Extern, Func, Instance, Module, Ref, Store, Table};

use super::functions::{Functions, IMPORTS, check, export_name, part_of};
use super::state::State;
use crate::code_bytes::CodeBytes;
use crate::compiler::{self, Effort};
use crate::module::module_error;
use crate::{Bus, EngineModule, VcpuError};

/// The parts that the engine translates in.
pub(super) const PARTS: usize = 2;

/// Translated code at one moment. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Translation {
    parts: [Option<Part>; PARTS],
    identity: [u8; 32],
}

/// The module of one part.
#[derive(Clone)]
struct Part {
    wasm: CodeBytes,
    /// Its machine code, if there is any.
    module: Option<Module>,
}

/// What a snapshot keeps of wx86 beside its memory: what is translated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsState {
    /// Tells it from other translated code: the SHA-256 sum of its modules.
    pub identity: [u8; 32],
    /// Parts that there are, and the lengths of their wasm modules in bytes. The modules themselves are kept apart, one
    /// after the other.
    pub parts: Vec<(u32, u64)>,
}

impl PartsState {
    /// Bytes of all modules; `None` if no number can tell.
    pub(crate) fn code_bytes(&self) -> Option<u64> {
        self.parts.iter().try_fold(0u64, |sum, (_, length)| sum.checked_add(*length))
    }
}

impl Translation {
    /// The modules of these functions, which are to be compiled.
    pub(super) fn of(functions: Functions) -> Self {
        let modules = functions.modules();
        let identity = identity_of(modules.iter().flatten());
        let part = |wasm| Part { wasm: CodeBytes::Memory(wasm), module: None };
        Self { parts: modules.map(|module| module.map(part)), identity }
    }

    /// `file` has the modules from `code_offset` on.
    ///
    /// # Errors
    /// [`VcpuError::Snapshot`] if there is no such part, or too much of it.
    pub(crate) fn from_state(
        state: PartsState,
        file: &Arc<File>,
        code_offset: u64,
    ) -> Result<Self, VcpuError> {
        let mut translation = Self { identity: state.identity, ..Self::default() };
        let mut offset = code_offset;
        for (part, length) in state.parts {
            let place = translation.parts.get_mut(part as usize).filter(|place| place.is_none());
            let place = place.ok_or_else(|| VcpuError::Snapshot(format!("it translates a part {part}")))?;
            *place = Some(Part { wasm: CodeBytes::next_in(file, &mut offset, length)?, module: None });
        }
        Ok(translation)
    }

    pub(crate) fn state(&self) -> PartsState {
        let parts = (0..).zip(&self.parts);
        let parts = parts.filter_map(|(number, part)| Some((number, part.as_ref()?.wasm.len() as u64)));
        PartsState { identity: self.identity, parts: parts.collect() }
    }

    /// Writes the modules one after the other.
    pub(crate) fn write(&self, target: &mut impl Write) -> std::io::Result<()> {
        self.parts.iter().flatten().try_for_each(|part| target.write_all(&part.wasm.read()?))
    }

    /// Tells it from other translated code; `None` if nothing is translated.
    pub(crate) fn identity(&self) -> Option<[u8; 32]> {
        self.parts.iter().any(Option::is_some).then_some(self.identity)
    }

    /// Takes the machine code of `other`, if that is the same translated code; whether it is.
    pub(crate) fn share(&mut self, other: &Self) -> bool {
        let is_same = self.identity().is_some() && self.identity() == other.identity();
        if is_same {
            *self = other.clone();
        }
        is_same
    }

    /// Whether there is machine code for some of it.
    pub(super) fn has_machine_code(&self) -> bool {
        self.parts.iter().flatten().any(|part| part.module.is_some())
    }

    /// Whether there is machine code for all of it.
    pub(crate) fn is_executable(&self) -> bool {
        self.parts.iter().flatten().all(|part| part.module.is_some())
    }

    /// Machine code of each part that has none. They may come from a file that was made with ill intent.
    pub(crate) fn compile(&self) -> Result<Vec<Vec<u8>>, VcpuError> {
        if self.is_executable() {
            return Ok(Vec::new());
        }
        let read = |part: &Option<Part>| part.as_ref().map(|part| part.wasm.read()).transpose();
        let modules = self.parts.iter().map(read).collect::<std::io::Result<Vec<_>>>();
        let modules = modules.map_err(module_error)?;
        // What is compiled is kept under this name, for all who have it.
        if identity_of(modules.iter().flatten()) != self.identity {
            return Err(VcpuError::Snapshot("its translated code is not what it says".into()));
        }
        let engine = compiler::engine(Effort::Optimized)?;
        let compile = |part: usize, wasm: &[u8]| {
            check(part, wasm)?;
            engine.precompile_module(wasm).map_err(module_error)
        };
        let missing = |(number, part): &(usize, &Option<Part>)| {
            let part = part.as_ref().filter(|part| part.module.is_none());
            part.and(modules.get(*number)?.as_deref()).map(|wasm| (*number, wasm))
        };
        let missing: Vec<_> = self.parts.iter().enumerate().filter_map(|part| missing(&part)).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                missing.iter().map(|(part, wasm)| scope.spawn(|| compile(*part, wasm))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(VcpuError::CompilerGone))).collect()
        })
    }

    /// Takes the machine code of one part from the file at `code`.
    ///
    /// # Safety
    /// The file must be unchanged since [`Translation::compile`] made its content, and stay so.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn load(&mut self, engine: &EngineModule, code: &Path) -> Result<(), VcpuError> {
        // SAFETY: the caller vouches for the origin of the file.
        let module = unsafe { Module::deserialize_file(&engine.engine, code) }.map_err(module_error)?;
        let part = module.exports().next().and_then(|export| part_of(export.name()));
        let part = part.and_then(|part| self.parts.get_mut(part)?.as_mut());
        part.ok_or_else(|| module_error("it belongs to another snapshot"))?.module = Some(module);
        Ok(())
    }

    /// Puts the parts that there are, and `engine_interpret` for the others, behind the elements of the engine's table;
    /// the index of the first of them.
    pub(super) fn install<B: Bus>(
        &self,
        store: &mut Store<State<B>>,
        instance: &Instance,
    ) -> Result<u32, VcpuError> {
        let function = |store: &mut Store<State<B>>, name: &str| {
            instance.get_func(&mut *store, name).ok_or_else(|| module_error(format!("no export `{name}`")))
        };
        let table: Option<Table> = instance.get_table(&mut *store, "__indirect_function_table");
        let table = table.ok_or_else(|| module_error("no export `__indirect_function_table`"))?;
        let interpret = function(store, "engine_interpret")?;
        let first =
            table.grow(&mut *store, PARTS as u64, Ref::Func(Some(interpret))).map_err(module_error)?;
        if self.has_machine_code() {
            let memory: Extern = store.data().memory()?.into();
            let mut imports = vec![memory];
            for (name, _) in IMPORTS {
                imports.push(function(store, name)?.into());
            }
            for (number, part) in self.parts.iter().enumerate() {
                let Some(module) = part.as_ref().and_then(|part| part.module.as_ref()) else { continue };
                let enter = enter(store.as_context_mut(), module, number, &imports)?;
                let place = first + number as u64;
                table.set(&mut *store, place, Ref::Func(Some(enter))).map_err(module_error)?;
            }
        }
        u32::try_from(first).map_err(module_error)
    }
}

fn identity_of<'a>(modules: impl Iterator<Item = &'a Arc<[u8]>>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    // How a module begins tells where the one before it ends, and its export which part it is.
    modules.for_each(|wasm| hasher.update(wasm));
    hasher.finalize().into()
}

fn enter(
    mut store: impl AsContextMut,
    module: &Module,
    part: usize,
    imports: &[Extern],
) -> Result<Func, VcpuError> {
    let instance = Instance::new(&mut store, module, imports).map_err(module_error)?;
    let enter = instance.get_func(&mut store, &export_name(part));
    enter.ok_or_else(|| module_error("translated code cannot be entered"))
}
