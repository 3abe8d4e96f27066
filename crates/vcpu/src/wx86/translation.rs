//! Translated code of the engine: from the functions it writes to a module, and from that into its table.
//!
//! `engine/src/translate` is the other side. The engine translates in two parts, the kernel's code and that of programs. It
//! calls a part through an element of its function table; where there is no machine code for it, that element has the
//! engine's own `engine_interpret`, and everything goes on, but more slowly.

use std::path::Path;
use std::sync::Arc;

use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, EntityType, ExportKind, ExportSection, FunctionSection,
    ImportSection, MemoryType, TypeSection, ValType,
};
use wasmtime::{AsContextMut, Extern, Func, Instance, Module, Ref, Store, Table};

use super::state::State;
use crate::compiler::{self, Effort};
use crate::module::module_error;
use crate::{Bus, EngineModule, VcpuError};

/// The parts that the engine translates in.
pub(super) const PARTS: usize = 2;
/// Name of the export with which a part is entered; its number follows.
const ENTER: &str = "enter";
/// The functions that each part begins with, and which of them that is.
const OWN_FUNCTIONS: u32 = 4;
const ENTER_NUMBER: u32 = 2;

const NARROW: ValType = ValType::I32;
const WIDE: ValType = ValType::I64;
/// Types of functions: that of pages of code and of `enter` is the first.
const TYPES: [(&[ValType], &[ValType]); 8] = [
    (&[NARROW], &[NARROW]),
    (&[NARROW, NARROW], &[NARROW]),
    (&[], &[NARROW]),
    (&[NARROW, NARROW], &[]),
    (&[WIDE, WIDE], &[WIDE]),
    (&[WIDE], &[NARROW]),
    (&[NARROW, NARROW, NARROW], &[NARROW]),
    (&[WIDE, NARROW], &[NARROW]),
];
const CODE_TYPE: u32 = 0;
/// What is imported from the engine, in the order of `engine/src/translate/helpers.rs`, with the types.
const IMPORTS: [(&str, u32); 6] = [
    ("engine_general", 1),
    ("engine_condition", 0),
    ("engine_pushed_flags", 2),
    ("engine_change_flags", 3),
    ("engine_unsigned_high", 4),
    ("engine_signed_high", 4),
];
/// Types of the functions that each part begins with: going to an address (known before, or not), `enter`, a general
/// instruction and what follows.
const OWN_TYPES: [u32; OWN_FUNCTIONS as usize] = [7, 7, CODE_TYPE, 6];

/// Translated code at one moment. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Translation {
    /// Modules that have no machine code yet, with the number of their part.
    wasm: Vec<(usize, Arc<[u8]>)>,
    /// Modules, by their part.
    modules: [Option<Module>; PARTS],
}

/// A function, as the engine gives it.
struct Function {
    body: Vec<u8>,
    /// Where in it are branches that are hardly ever taken.
    unlikely: Vec<u32>,
}

/// The functions of both parts.
#[derive(Default)]
pub(super) struct Functions([Vec<Function>; PARTS]);

impl Functions {
    /// The next function of `part`, which is counted from 1.
    pub(super) fn push(
        &mut self,
        part: u32,
        body: &[u8],
        unlikely: impl Iterator<Item = u32>,
    ) -> Result<(), VcpuError> {
        let functions = (part as usize).checked_sub(1).and_then(|part| self.0.get_mut(part));
        let functions = functions.ok_or_else(|| module_error(format!("it translates a part {part}")))?;
        functions.push(Function { body: body.to_vec(), unlikely: unlikely.collect() });
        Ok(())
    }
}

impl Translation {
    /// The modules of these functions, which are to be compiled.
    pub(super) fn of(functions: Functions) -> Self {
        let parts = functions.0.into_iter().enumerate().filter(|(_, functions)| !functions.is_empty());
        let wasm = parts.map(|(part, functions)| (part, module(part, &functions).into())).collect();
        Self { wasm, ..Self::default() }
    }

    /// Whether there is machine code for some of it.
    pub(super) fn is_executable(&self) -> bool {
        self.modules.iter().any(Option::is_some)
    }

    /// Machine code of each part.
    pub(crate) fn compile(&self) -> Result<Vec<Vec<u8>>, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        let compile = |wasm: &[u8]| engine.precompile_module(wasm).map_err(module_error);
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.wasm.iter().map(|(_, wasm)| scope.spawn(move || compile(wasm))).collect();
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
        let name = module.exports().next().map(|export| export.name().to_owned());
        let part = name.as_deref().and_then(|name| name.strip_prefix(ENTER)?.parse().ok());
        let part: usize = part.unwrap_or(PARTS);
        let place = self.modules.get_mut(part).ok_or_else(|| module_error("it is of another engine"))?;
        *place = Some(module);
        self.wasm.retain(|(other, _)| *other != part);
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
        if self.is_executable() {
            let memory: Extern = store.data().memory()?.into();
            let mut imports = vec![memory];
            for (name, _) in IMPORTS {
                imports.push(function(store, name)?.into());
            }
            for (part, module) in self.modules.iter().enumerate() {
                let Some(module) = module else { continue };
                let enter = enter(store.as_context_mut(), module, part, &imports)?;
                table.set(&mut *store, first + part as u64, Ref::Func(Some(enter))).map_err(module_error)?;
            }
        }
        u32::try_from(first).map_err(module_error)
    }
}

fn enter(
    mut store: impl AsContextMut,
    module: &Module,
    part: usize,
    imports: &[Extern],
) -> Result<Func, VcpuError> {
    let instance = Instance::new(&mut store, module, imports).map_err(module_error)?;
    let enter = instance.get_func(&mut store, &format!("{ENTER}{part}"));
    enter.ok_or_else(|| module_error("translated code cannot be entered"))
}

/// The module of a part's functions.
fn module(part: usize, bodies: &[Function]) -> Vec<u8> {
    let mut types = TypeSection::new();
    for (parameters, results) in TYPES {
        types.ty().function(parameters.iter().copied(), results.iter().copied());
    }
    let mut imports = ImportSection::new();
    // No maximum: the importer must take whatever the exporter has.
    let memory =
        MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import("engine", "memory", memory);
    for (name, of_type) in IMPORTS {
        imports.import("engine", name, EntityType::Function(of_type));
    }
    let own = IMPORTS.len() as u32;
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut hints = BranchHints::new();
    for ((number, Function { body, unlikely }), index) in bodies.iter().enumerate().zip(own..) {
        functions.function(OWN_TYPES.get(number).copied().unwrap_or(CODE_TYPE));
        code.raw(body);
        let not_taken = |place: &u32| BranchHint { branch_func_offset: *place, branch_hint_value: 0 };
        hints.function_hints(index, unlikely.iter().map(not_taken));
    }
    let mut exports = ExportSection::new();
    exports.export(&format!("{ENTER}{part}"), ExportKind::Func, own + ENTER_NUMBER);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports);
    module.section(&hints).section(&code);
    module.finish()
}
