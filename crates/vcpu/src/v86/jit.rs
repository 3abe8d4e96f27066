//! Translated code: from `codegen_finalize` through the compiler to the function table.

use std::collections::HashMap;

use wasmtime::{AsContextMut, Extern, Instance, Module, Ref, Table};

use crate::compiler::{Compiled, Compiler};
use crate::{Statistics, VcpuError};

/// Function *i* of the JIT lives at this element of the table plus *i* (`WASM_TABLE_OFFSET`).
const FIRST_JIT_ELEMENT: u64 = 1024;
/// Number of functions the JIT manages (`WASM_TABLE_SIZE`).
const JIT_ELEMENTS: u64 = 900;
/// Elements of the function table.
pub(super) const TABLE_ELEMENTS: u32 = (FIRST_JIT_ELEMENT + JIT_ELEMENTS) as u32;

/// The one compilation that v86 allows to be under way.
struct Pending {
    index: u32,
    start: u32,
    state_flags: u32,
}

/// A finished module whose function stands in the table; v86 is to be told.
pub(super) struct Installed {
    pub(super) index: u32,
    pub(super) start: u32,
    pub(super) state_flags: u32,
}

/// Host side of v86's JIT.
pub(super) struct Jit {
    compiler: Compiler,
    table: Table,
    /// What translated modules may import from `e`: v86's exports, and its memory as `m`.
    exports: HashMap<String, Extern>,
    pending: Option<Pending>,
    sequence: u64,
    statistics: Statistics,
}

impl Jit {
    pub(super) fn new(compiler: Compiler, table: Table, exports: HashMap<String, Extern>) -> Self {
        Self { compiler, table, exports, pending: None, sequence: 0, statistics: Statistics::default() }
    }

    /// v86 has written a module: hand it to the compiler.
    pub(super) fn submit(
        &mut self,
        index: u32,
        start: u32,
        state_flags: u32,
        wasm: Vec<u8>,
    ) -> Result<(), VcpuError> {
        self.sequence += 1;
        self.statistics.module_bytes += wasm.len() as u64;
        self.pending = Some(Pending { index, start, state_flags });
        self.compiler.submit(self.sequence, wasm)
    }

    /// Takes the compiled module, if it is ready.
    pub(super) fn poll(&mut self) -> Result<Option<(Compiled, Installed)>, VcpuError> {
        if self.pending.is_none() {
            return Ok(None);
        }
        let Some(compiled) = self.compiler.poll()? else { return Ok(None) };
        if compiled.tag != self.sequence {
            return Ok(None);
        }
        self.statistics.modules_compiled += 1;
        self.statistics.compile_time += compiled.duration;
        let pending = self.pending.take();
        Ok(pending.map(|Pending { index, start, state_flags }| {
            (compiled, Installed { index, start, state_flags })
        }))
    }

    /// The imports of a translated module, in its order, and the table to put its function into.
    pub(super) fn link(&self, module: &Module) -> Result<(Vec<Extern>, Table), VcpuError> {
        let imports = module
            .imports()
            .map(|import| {
                self.exports.get(import.name()).cloned().ok_or_else(|| {
                    VcpuError::Module(format!("translated code imports the unknown {:?}", import.name()))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok((imports, self.table))
    }

    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// Instantiates `module` and puts its function into element `index` of the JIT's part of `table`.
pub(super) fn install(
    mut store: impl AsContextMut,
    module: &Module,
    imports: &[Extern],
    table: Table,
    index: u32,
) -> Result<(), VcpuError> {
    let failed = |error: wasmtime::Error| VcpuError::Module(format!("translated code: {error:#}"));
    let instance = Instance::new(&mut store, module, imports).map_err(failed)?;
    let function = instance
        .get_func(&mut store, "f")
        .ok_or_else(|| VcpuError::Module("translated code exports no function `f`".into()))?;
    table.set(&mut store, element(index), Ref::Func(Some(function))).map_err(failed)
}

/// Empties element `index` of the JIT's part of `table`.
pub(super) fn clear(mut store: impl AsContextMut, table: Table, index: u32) -> wasmtime::Result<()> {
    table.set(&mut store, element(index), Ref::Func(None))
}

fn element(index: u32) -> u64 {
    FIRST_JIT_ELEMENT + u64::from(index)
}
