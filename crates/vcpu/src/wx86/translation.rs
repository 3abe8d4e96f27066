//! Translated code of the engine: its modules, their machine code, and the engine's table.
//!
//! `engine/src/translate` is the other side. The engine translates in two parts, the kernel's code and that of programs, and
//! in more parts what programs come to execute [later](super::later). It
//! calls a part through an element of its function table, and knows for which there is machine code: everything else is
//! interpreted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::{Extern, Func, Instance, Module, Ref, Store, Table};

use super::functions::{Functions, IMPORTS, check, export_name, part_of};
use super::state::State;
use crate::code_bytes::CodeBytes;
use crate::compiler::{self, Effort};
use crate::module::module_error;
use crate::{Bus, EngineModule, VcpuError};

/// The parts that the engine can have. The first has the kernel's code, the second that of programs.
pub(super) const PARTS: usize = 14;
/// The first of those that are made while the guest runs.
const FIRST_LATER: usize = 2;

/// Largest module that is taken from a snapshot, in bytes; that of the usual tools has 14 MB.
const LARGEST_MODULE: usize = 64 << 20;

/// Translated code at one moment. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Translation {
    /// By their numbers, which are below [`PARTS`].
    parts: BTreeMap<usize, Part>,
}

/// The module of one part.
#[derive(Clone)]
struct Part {
    wasm: CodeBytes,
    /// The SHA-256 sum of that.
    sum: [u8; 32],
    /// Its machine code, if there is any.
    module: Option<Module>,
}

/// What a snapshot keeps of wx86 beside its memory: what is translated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsState {
    /// Parts that there are, and the lengths of their wasm modules in bytes and their SHA-256 sums. The modules themselves are
    /// kept apart, one after the other.
    pub parts: Vec<(u32, u64, [u8; 32])>,
}

impl PartsState {
    /// Bytes of all modules; `None` if no number can tell.
    pub(crate) fn code_bytes(&self) -> Option<u64> {
        self.parts.iter().try_fold(0u64, |sum, (_, length, _)| sum.checked_add(*length))
    }
}

impl Translation {
    /// The modules of these functions, which are to be compiled.
    pub(super) fn of(functions: Functions) -> Self {
        let modules = functions.modules().into_iter().enumerate();
        Self { parts: modules.filter_map(|(number, wasm)| Some((number, Part::new(wasm?, None)))).collect() }
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
        let mut translation = Self::default();
        let mut offset = code_offset;
        for (part, length, sum) in state.parts {
            let wasm = CodeBytes::next_in(file, &mut offset, length, LARGEST_MODULE)?;
            let before = translation.parts.insert(part as usize, Part { wasm, sum, module: None });
            if part as usize >= PARTS || before.is_some() {
                return Err(VcpuError::Snapshot(format!("it translates a part {part}")));
            }
        }
        Ok(translation)
    }

    pub(crate) fn state(&self) -> PartsState {
        let state = |(number, part): (&usize, &Part)| (*number as u32, part.wasm.len() as u64, part.sum);
        PartsState { parts: self.parts.iter().map(state).collect() }
    }

    /// Writes the modules one after the other.
    pub(crate) fn write(&self, target: &mut impl Write) -> std::io::Result<()> {
        self.parts.values().try_for_each(|part| target.write_all(&part.wasm.read()?))
    }

    /// Tells it from other translated code; `None` if nothing is translated.
    pub(crate) fn identity(&self) -> Option<[u8; 32]> {
        let mut hasher = Sha256::new();
        self.parts.values().for_each(|part| hasher.update(part.sum));
        (!self.parts.is_empty()).then(|| hasher.finalize().into())
    }

    /// Takes the machine code of the parts that `other` has, too; whether there are any.
    pub(crate) fn share(&mut self, other: &Self) -> bool {
        let mut shared = false;
        for (number, own) in &mut self.parts {
            let Some(other) = other.parts.get(number) else { continue };
            if own.sum == other.sum && own.module.is_none() && other.module.is_some() {
                *own = other.clone();
                shared = true;
            }
        }
        shared
    }

    /// A number for a part that is made while the guest runs, if there is one left.
    pub(super) fn free(&self) -> Option<usize> {
        (FIRST_LATER..PARTS).find(|part| !self.parts.contains_key(part))
    }

    /// The parts that there is machine code for.
    pub(super) fn compiled(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter(|(_, part)| part.module.is_some()).map(|(number, _)| *number)
    }

    /// Whether there is machine code for all of it.
    pub(crate) fn is_executable(&self) -> bool {
        self.parts.values().all(|part| part.module.is_some())
    }

    /// Machine code of each part that has none. They may come from a file that was made with ill intent.
    pub(crate) fn compile(&self) -> Result<Vec<Vec<u8>>, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        let compile = |number: usize, part: &Part| {
            let wasm = part.wasm.read().map_err(module_error)?;
            // What is compiled is kept under this name, for all who have it.
            if sum_of(&wasm) != part.sum {
                return Err(VcpuError::Snapshot("its translated code is not what it says".into()));
            }
            check(number, &wasm)?;
            engine.precompile_module(&wasm).map_err(module_error)
        };
        let parts = self.parts.iter().filter(|(_, part)| part.module.is_none());
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                parts.map(|(number, part)| scope.spawn(move || compile(*number, part))).collect();
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
        let part = part.and_then(|part| self.parts.get_mut(&part));
        part.ok_or_else(|| module_error("it belongs to another snapshot"))?.module = Some(module);
        Ok(())
    }

    /// Notes the machine code of a part, which is to be put into the table.
    pub(super) fn add(&mut self, number: usize, wasm: Arc<[u8]>, module: Module) {
        self.parts.insert(number, Part::new(wasm, Some(module)));
    }

    /// Makes elements for all parts in the engine's table, and puts those in that there are; the index of the first.
    pub(super) fn install<B: Bus>(
        &self,
        store: &mut Store<State<B>>,
        instance: &Instance,
    ) -> Result<u32, VcpuError> {
        let table = table(store, instance)?;
        let first = table.grow(&mut *store, PARTS as u64, Ref::Func(None)).map_err(module_error)?;
        let first = u32::try_from(first).map_err(module_error)?;
        for (number, part) in &self.parts {
            if let Some(module) = &part.module {
                install_part(store, instance, first, *number, module)?;
            }
        }
        Ok(first)
    }
}

impl Part {
    fn new(wasm: Arc<[u8]>, module: Option<Module>) -> Self {
        Self { sum: sum_of(&wasm), wasm: CodeBytes::Memory(wasm), module }
    }
}

/// Puts what enters a part into the element of the table of the engine that belongs to it; `first` is that of the first part.
pub(super) fn install_part<B: Bus>(
    store: &mut Store<State<B>>,
    instance: &Instance,
    first: u32,
    number: usize,
    module: &Module,
) -> Result<(), VcpuError> {
    let memory: Extern = store.data().memory()?.into();
    let mut imports = vec![memory];
    for (name, _) in IMPORTS {
        imports.push(engine_function(store, instance, name)?.into());
    }
    let part = Instance::new(&mut *store, module, &imports).map_err(module_error)?;
    let enter = part.get_func(&mut *store, &export_name(number));
    let enter = enter.ok_or_else(|| module_error("translated code cannot be entered"))?;
    let place = u64::from(first) + number as u64;
    table(store, instance)?.set(store, place, Ref::Func(Some(enter))).map_err(module_error)
}

fn engine_function<B: Bus>(
    store: &mut Store<State<B>>,
    instance: &Instance,
    name: &str,
) -> Result<Func, VcpuError> {
    instance.get_func(store, name).ok_or_else(|| module_error(format!("no export `{name}`")))
}

fn table<B: Bus>(store: &mut Store<State<B>>, instance: &Instance) -> Result<Table, VcpuError> {
    const NAME: &str = "__indirect_function_table";
    instance.get_table(store, NAME).ok_or_else(|| module_error(format!("no export `{NAME}`")))
}

fn sum_of(wasm: &[u8]) -> [u8; 32] {
    Sha256::digest(wasm).into()
}
