//! An engine's wasm module, compiled.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use wasm_encoder::RawSection;
use wasmparser::{DataKind, Operator, Parser, Payload};
use wasmtime::{Engine, Instance, Module, Store, TypedFunc, WasmParams, WasmResults};

use crate::compiler::{self, Effort};
use crate::v86::V86;
use crate::wx86::Wx86;
use crate::{Bus, CpuEngine, EngineKind, EngineSnapshot, VcpuError};

/// The wasm module of a CPU engine, ready to make CPUs of. Clones share everything.
///
/// It is compiled without its data segments: a CPU that continues from a snapshot gets its memory as
/// a whole, and a fresh one has the segments written by [`EngineModule::data_segments`].
#[derive(Clone)]
pub struct EngineModule {
    kind: EngineKind,
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    wasm: Cow<'static, [u8]>,
    quick: Arc<OnceLock<Engine>>,
}

impl EngineModule {
    /// Compiles the wasm of the engine `kind`; takes seconds.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn compile(kind: EngineKind, wasm: impl Into<Cow<'static, [u8]>>) -> Result<Self, VcpuError> {
        let wasm = wasm.into();
        let engine = compiler::engine(Effort::Optimized)?;
        let module = Module::new(&engine, without_data(&wasm)?).map_err(module_error)?;
        Ok(Self { kind, engine, module, wasm, quick: Arc::default() })
    }

    /// Compiles an engine's wasm into machine code that [`EngineModule::load`] takes.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, VcpuError> {
        compiler::portable_engine()?.precompile_module(&without_data(wasm)?).map_err(module_error)
    }

    /// Loads machine code made by [`EngineModule::precompile`] from `wasm`, that of the engine `kind`.
    ///
    /// # Safety
    /// `code` must be unchanged since `precompile` made it: it is executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version made it or this processor cannot run it.
    #[allow(unsafe_code)]
    pub unsafe fn load(
        kind: EngineKind,
        code: &[u8],
        wasm: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        // SAFETY: the caller vouches for the origin of `code`.
        let module = unsafe { Module::deserialize(&engine, code) }.map_err(module_error)?;
        Ok(Self { kind, engine, module, wasm: wasm.into(), quick: Arc::default() })
    }

    /// Which engine it is.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Makes a CPU with `ram_bytes` of RAM, all zero, in its state after reset.
    ///
    /// # Errors
    /// [`VcpuError::RamSize`], or [`VcpuError::Module`] if the module lacks something.
    pub fn power_on<B: Bus>(&self, ram_bytes: u64, bus: B) -> Result<Box<dyn CpuEngine<B>>, VcpuError> {
        Ok(match self.kind {
            EngineKind::V86 => Box::new(V86::new(self, ram_bytes, bus)?),
            EngineKind::Wx86 => Box::new(Wx86::new(self, ram_bytes, bus)?),
        })
    }

    /// Makes a CPU that continues from `snapshot`, whose memory it maps.
    ///
    /// # Errors
    /// [`VcpuError::Host`], [`VcpuError::Snapshot`] if it is of another engine, or
    /// [`VcpuError::Module`] if its code does not fit.
    pub fn restore<B: Bus>(
        &self,
        snapshot: &EngineSnapshot,
        bus: B,
    ) -> Result<Box<dyn CpuEngine<B>>, VcpuError> {
        Ok(match self.kind {
            EngineKind::V86 => Box::new(V86::restore(self, snapshot, bus)?),
            EngineKind::Wx86 => Box::new(Wx86::restore(self, snapshot, bus)?),
        })
    }

    /// What machine code depends on that [`EngineSnapshot::compile_code`] makes:
    /// this processor and the version of the compiler. Where it is the same, the code can be loaded.
    pub fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// The engine that compiles quickly, made when it is first needed.
    pub(crate) fn quick_engine(&self) -> Result<&Engine, VcpuError> {
        if let Some(engine) = self.quick.get() {
            return Ok(engine);
        }
        let engine = compiler::engine(Effort::Quick)?;
        Ok(self.quick.get_or_init(|| engine))
    }

    /// Bytes of memory that a fresh module starts with.
    pub(crate) fn initial_memory(&self) -> Result<u64, VcpuError> {
        let export = self.module.get_export("memory");
        let memory = export.as_ref().and_then(|export| export.memory());
        let memory = memory.ok_or_else(|| module_error("no export `memory`"))?;
        Ok(memory.minimum() * memory.page_size())
    }

    /// Where in memory a fresh module's data lies, and the data.
    pub(crate) fn data_segments(&self) -> Result<Vec<(usize, &[u8])>, VcpuError> {
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

pub(crate) fn module_error(error: impl std::fmt::Display) -> VcpuError {
    VcpuError::Module(format!("{error:#}"))
}

/// The exported function `name` of type `P -> R`.
pub(crate) fn function<T: 'static, P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<T>,
    name: &str,
) -> Result<TypedFunc<P, R>, VcpuError> {
    instance
        .get_typed_func(store, name)
        .map_err(|error| VcpuError::Module(format!("export `{name}`: {error:#}")))
}

/// What a call of the engine failed with; `message` is what it logged last.
pub(crate) fn trapped(error: wasmtime::Error, message: Option<String>) -> VcpuError {
    error.downcast::<VcpuError>().unwrap_or_else(|error| VcpuError::Trapped {
        message: message.unwrap_or_else(|| format!("{error:#}")),
    })
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
