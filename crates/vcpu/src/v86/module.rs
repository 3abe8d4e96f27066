//! v86.wasm, compiled.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use wasm_encoder::RawSection;
use wasmparser::{DataKind, Operator, Parser, Payload};
use wasmtime::{Engine, Module};

use crate::VcpuError;
use crate::compiler::{self, Effort};

/// v86.wasm, ready to make CPUs of. Clones share everything.
///
/// It is compiled without its data segments: a CPU that continues from a snapshot gets its memory as
/// a whole, and a fresh one has the segments written by [`V86Module::data_segments`].
#[derive(Clone)]
pub struct V86Module {
    pub(super) engine: Engine,
    pub(super) module: Module,
    wasm: Cow<'static, [u8]>,
    quick: Arc<OnceLock<Engine>>,
}

impl V86Module {
    /// Compiles the bytes of v86.wasm; takes seconds.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn compile(wasm: impl Into<Cow<'static, [u8]>>) -> Result<Self, VcpuError> {
        let wasm = wasm.into();
        let engine = compiler::engine(Effort::Optimized)?;
        let module = Module::new(&engine, without_data(&wasm)?).map_err(module_error)?;
        Ok(Self { engine, module, wasm, quick: Arc::default() })
    }

    /// Compiles the bytes of v86.wasm into machine code that [`V86Module::load`] takes.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, VcpuError> {
        compiler::portable_engine()?.precompile_module(&without_data(wasm)?).map_err(module_error)
    }

    /// Loads machine code made by [`V86Module::precompile`] from `wasm`.
    ///
    /// # Safety
    /// `code` must be unchanged since `precompile` made it: it is executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version made it or this processor cannot run it.
    #[allow(unsafe_code)]
    pub unsafe fn load(code: &[u8], wasm: impl Into<Cow<'static, [u8]>>) -> Result<Self, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        // SAFETY: the caller vouches for the origin of `code`.
        let module = unsafe { Module::deserialize(&engine, code) }.map_err(module_error)?;
        Ok(Self { engine, module, wasm: wasm.into(), quick: Arc::default() })
    }

    /// What machine code depends on that [`V86Snapshot::compile_code`](super::V86Snapshot::compile_code) makes:
    /// this processor and the version of the compiler. Where it is the same, the code can be loaded.
    pub fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// The engine that compiles quickly, made when it is first needed.
    pub(super) fn quick_engine(&self) -> Result<&Engine, VcpuError> {
        if let Some(engine) = self.quick.get() {
            return Ok(engine);
        }
        let engine = compiler::engine(Effort::Quick)?;
        Ok(self.quick.get_or_init(|| engine))
    }

    /// Bytes of memory that a fresh module starts with.
    pub(super) fn initial_memory(&self) -> Result<u64, VcpuError> {
        let export = self.module.get_export("memory");
        let memory = export.as_ref().and_then(|export| export.memory());
        let memory = memory.ok_or_else(|| module_error("no export `memory`"))?;
        Ok(memory.minimum() * memory.page_size())
    }

    /// Where in memory a fresh module's data lies, and the data.
    pub(super) fn data_segments(&self) -> Result<Vec<(usize, &[u8])>, VcpuError> {
        let mut segments = Vec::new();
        for payload in Parser::new(0).parse_all(&self.wasm) {
            let Payload::DataSection(section) = payload.map_err(module_error)? else { continue };
            for data in section {
                let data = data.map_err(module_error)?;
                let DataKind::Active { memory_index: 0, offset_expr } = data.kind else {
                    return Err(module_error("a passive data segment"));
                };
                match offset_expr.get_operators_reader().read().map_err(module_error)? {
                    Operator::I32Const { value } => segments.push((value as u32 as usize, data.data)),
                    _ => return Err(module_error("a data segment whose offset is not constant")),
                }
            }
        }
        Ok(segments)
    }
}

pub(super) fn module_error(error: impl std::fmt::Display) -> VcpuError {
    VcpuError::Module(format!("{error:#}"))
}

/// `wasm` without its data.
fn without_data(wasm: &[u8]) -> Result<Vec<u8>, VcpuError> {
    let mut stripped = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(module_error)?;
        if matches!(
            payload,
            Payload::DataSection(_) | Payload::DataCountSection { .. } | Payload::CustomSection(_)
        ) {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            let data = wasm.get(range).ok_or_else(|| module_error("a section outside of the file"))?;
            stripped.section(&RawSection { id, data });
        }
    }
    Ok(stripped.finish())
}
