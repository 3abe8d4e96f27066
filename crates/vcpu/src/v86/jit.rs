//! Translated code: from `codegen_finalize` through the compiler to the function table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{AsContextMut, Engine, Extern, Instance, Module, Ref, Table};

use crate::code_bytes::CodeBytes;
use crate::compiler::{Compiled, Compiler};
use crate::{Statistics, VcpuError};

/// Function *i* of the JIT lives at this element of the table plus *i* (`WASM_TABLE_OFFSET`).
const FIRST_JIT_ELEMENT: u64 = 1024;
/// Number of functions the JIT manages (`WASM_TABLE_SIZE`).
const JIT_ELEMENTS: u32 = 900;
/// Elements of the function table.
pub(super) const TABLE_ELEMENTS: u32 = FIRST_JIT_ELEMENT as u32 + JIT_ELEMENTS;
/// Name of the function that a translated module exports.
const FUNCTION: &str = "f";

/// When the host has no room for code: after so long, it is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What stands, or can be put, into one element of the JIT's part of the table.
#[derive(Clone)]
pub(super) struct Code {
    /// The module as v86 wrote it.
    pub(super) wasm: CodeBytes,
    /// Its machine code, if there is any yet.
    pub(super) function: Option<Function>,
}

/// A compiled function.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) module: Arc<Module>,
    pub(super) export: String,
}

/// The one compilation that v86 allows to be under way.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) index: u32,
    pub(super) start: u32,
    pub(super) state_flags: u32,
    pub(super) wasm: Arc<[u8]>,
}

/// Host side of v86's JIT.
pub(super) struct Jit {
    run_engine: Engine,
    quick_engine: Engine,
    /// Started with the first module there is to compile.
    compiler: Option<Compiler>,
    table: Table,
    /// What translated modules may import from `e`: v86's exports, and its memory as `m`.
    exports: HashMap<String, Extern>,
    code: BTreeMap<u32, Code>,
    pending: Option<Pending>,
    /// When compiling `pending` is tried again, if the host had no room for it.
    retry_at: Option<Instant>,
    /// Tag of the latest compilation; answers to older ones are stale.
    sequence: u64,
    /// Instances made in this store; wasmtime frees them only with the store.
    instances: usize,
    statistics: Statistics,
}

impl Jit {
    pub(super) fn new(
        run_engine: Engine,
        quick_engine: Engine,
        table: Table,
        exports: HashMap<String, Extern>,
    ) -> Self {
        Self {
            run_engine,
            quick_engine,
            compiler: None,
            table,
            exports,
            code: BTreeMap::new(),
            pending: None,
            retry_at: None,
            sequence: 0,
            instances: 0,
            statistics: Statistics::default(),
        }
    }

    /// v86 has written a module: hand it to the compiler.
    pub(super) fn submit(&mut self, pending: Pending) -> Result<(), VcpuError> {
        check_index(pending.index)?;
        self.sequence += 1;
        self.statistics.module_bytes += pending.wasm.len() as u64;
        self.pending = Some(pending);
        self.compile_pending()
    }

    fn compile_pending(&mut self) -> Result<(), VcpuError> {
        self.retry_at = None;
        if self.compiler.is_none() {
            match Compiler::start(&self.run_engine, &self.quick_engine) {
                Ok(compiler) => self.compiler = Some(compiler),
                Err(error) => self.put_off(&error.to_string()),
            }
        }
        match (&self.compiler, &self.pending) {
            (Some(compiler), Some(pending)) => compiler.submit(self.sequence, pending.wasm.clone()),
            _ => Ok(()),
        }
    }

    /// Without machine code, v86 interprets what it has translated, and translates nothing else.
    fn put_off(&mut self, reason: &str) {
        tracing::warn!(reason, "translated code is not compiled for now: the guest is slower");
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
    }

    /// Takes the compiled module, if it is ready, with what v86 is to be told of it.
    pub(super) fn poll(&mut self) -> Result<Option<(Pending, Arc<Module>)>, VcpuError> {
        if self.retry_at.is_some_and(|time| time <= Instant::now()) {
            self.compile_pending()?;
        }
        let (Some(_), Some(compiler)) = (&self.pending, &self.compiler) else { return Ok(None) };
        let Some(Compiled { tag, module, duration }) = compiler.poll()? else { return Ok(None) };
        if tag != self.sequence {
            return Ok(None);
        }
        match module {
            Ok(module) => {
                self.statistics.modules_compiled += 1;
                self.statistics.compile_time += duration;
                Ok(self.pending.take().map(|pending| (pending, Arc::new(module))))
            }
            Err(reason) => {
                self.put_off(&reason);
                Ok(None)
            }
        }
    }

    /// Notes what stands in element `index` now.
    pub(super) fn set_code(&mut self, index: u32, code: Option<Code>) {
        match code {
            Some(code) => self.code.insert(index, code),
            None => self.code.remove(&index),
        };
    }

    /// The live code and the compilation under way, for a snapshot.
    pub(super) fn live(&self) -> (&BTreeMap<u32, Code>, &Option<Pending>) {
        (&self.code, &self.pending)
    }

    /// The imports of a translated module, in its order.
    pub(super) fn imports_of(&self, module: &Module) -> Result<Vec<Extern>, VcpuError> {
        module
            .imports()
            .map(|import| {
                self.exports.get(import.name()).cloned().ok_or_else(|| {
                    VcpuError::Module(format!("translated code imports the unknown {:?}", import.name()))
                })
            })
            .collect()
    }

    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn count_instance(&mut self) {
        self.instances += 1;
    }

    /// Instances made in this store so far.
    pub(super) fn instances(&self) -> usize {
        self.instances
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Goes on counting from here.
    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }
}

/// Refuses an index outside the JIT's part of the table.
pub(super) fn check_index(index: u32) -> Result<(), VcpuError> {
    if index < JIT_ELEMENTS {
        Ok(())
    } else {
        Err(VcpuError::Module(format!("translated code has the table index {index}")))
    }
}

/// Instantiates the module of one translated function and puts the function into the table.
pub(super) fn install(
    mut store: impl AsContextMut,
    module: &Module,
    imports: &[Extern],
    table: Table,
    index: u32,
) -> Result<(), VcpuError> {
    let instance = Instance::new(&mut store, module, imports).map_err(failed)?;
    put(store, &instance, FUNCTION, table, index)
}

/// Puts the function `export` of `instance` into element `index` of the JIT's part of `table`.
pub(super) fn put(
    mut store: impl AsContextMut,
    instance: &Instance,
    export: &str,
    table: Table,
    index: u32,
) -> Result<(), VcpuError> {
    let function = instance
        .get_func(&mut store, export)
        .ok_or_else(|| VcpuError::Module(format!("translated code exports no function `{export}`")))?;
    table.set(&mut store, element(index), Ref::Func(Some(function))).map_err(failed)
}

/// The function that `module`, made of one translated page, exports.
pub(super) fn function_of(module: Arc<Module>) -> Function {
    Function { module, export: FUNCTION.into() }
}

/// Empties element `index` of the JIT's part of `table`.
pub(super) fn clear(mut store: impl AsContextMut, table: Table, index: u32) -> wasmtime::Result<()> {
    table.set(&mut store, element(index), Ref::Func(None))
}

fn failed(error: wasmtime::Error) -> VcpuError {
    VcpuError::Module(format!("translated code: {error:#}"))
}

fn element(index: u32) -> u64 {
    FIRST_JIT_ELEMENT + u64::from(index)
}

#[cfg(test)]
mod tests {
    use wasmtime::{RefType, Store, TableType};

    use super::*;
    use crate::compiler::{self, Effort};

    #[test]
    fn what_cannot_be_compiled_is_tried_again() {
        let engines = [Effort::Optimized, Effort::Quick].map(|effort| compiler::engine(effort).unwrap());
        let [run_engine, quick_engine] = engines;
        let mut store = Store::new(&run_engine, ());
        let table_type = TableType::new(RefType::FUNCREF, TABLE_ELEMENTS, None);
        let table = Table::new(&mut store, table_type, Ref::Func(None)).unwrap();
        let mut jit = Jit::new(run_engine, quick_engine, table, HashMap::new());
        let no_module: Arc<[u8]> = Arc::from(*b"no module");
        jit.submit(Pending { index: 7, start: 0, state_flags: 0, wasm: no_module }).unwrap();
        while jit.retry_at.is_none() {
            assert!(jit.poll().unwrap().is_none());
            std::thread::yield_now();
        }
        // As if the host had room again, a second later.
        jit.pending.as_mut().unwrap().wasm = Arc::from(*b"\0asm\x01\0\0\0");
        jit.retry_at = Some(Instant::now());
        let pending = loop {
            if let Some((pending, _)) = jit.poll().unwrap() {
                break pending;
            }
            std::thread::yield_now();
        };
        assert_eq!((pending.index, jit.statistics.modules_compiled, jit.retry_at), (7, 1, None));
    }
}
