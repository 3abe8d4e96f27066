//! Compiling wasm: the engines' configuration, and the thread that compiles translated code while
//! the guest runs on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Module, OptLevel, RegallocAlgorithm, Strategy};

use crate::VcpuError;
use crate::memory::HostMemoryCreator;

/// Room for the engines' deepest recursion (a guest cannot deepen it) with a margin.
const WASM_STACK_BYTES: usize = 1 << 20;

/// How much work goes into machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Code that runs well; for what is compiled once, ahead of time.
    Optimized,
    /// Code that is there soon; for what the guest waits for.
    Quick,
}

/// The wasmtime configuration that all modules of one store share; `effort` alone may differ
/// between the engine that compiles a module and the one that runs it.
pub(crate) fn config(effort: Effort) -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    match effort {
        Effort::Optimized => config.cranelift_opt_level(OptLevel::Speed),
        Effort::Quick => config
            .cranelift_opt_level(OptLevel::None)
            .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass),
    };
    // Backtraces into translated code tell nothing, and their tables cost memory and compile time.
    config.wasm_backtrace_max_frames(None).native_unwind_info(false).generate_address_map(false);
    // Translated code says which of its branches are hardly ever taken: what is there lies apart then.
    config.wasm_branch_hinting(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    // Its results differ from host to host.
    config.wasm_relaxed_simd(false);
    config.with_host_memory(Arc::new(HostMemoryCreator));
    config
}

/// Makes an engine with `effort`.
pub(crate) fn engine(effort: Effort) -> Result<Engine, VcpuError> {
    Engine::new(&config(effort)).map_err(|error| VcpuError::Module(format!("{error:#}")))
}

/// Makes an engine whose machine code runs on every x86-64 processor since 2013 (x86-64-v3 without
/// the optional rest), for code that travels with the program.
pub(crate) fn portable_engine() -> Result<Engine, VcpuError> {
    let mut config = config(Effort::Optimized);
    let unfit = |error: wasmtime::Error| VcpuError::Module(format!("{error:#}"));
    config.target("x86_64-unknown-linux-gnu").map_err(unfit)?;
    for feature in
        ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_lzcnt", "has_bmi1", "has_bmi2"]
    {
        // SAFETY-relevant only at load time: wasmtime refuses code whose features the processor lacks.
        #[allow(unsafe_code)]
        unsafe {
            config.cranelift_flag_enable(feature);
        }
    }
    Engine::new(&config).map_err(unfit)
}

/// A module of translated code, compiled.
pub(crate) struct Compiled {
    /// What the requester gave to recognise it by.
    pub(crate) tag: u64,
    /// The code, or why it cannot be compiled.
    pub(crate) module: Result<Module, String>,
    /// Compile time.
    pub(crate) duration: Duration,
}

/// A background thread that turns wasm bytes into [`Module`]s, in order.
pub(crate) struct Compiler {
    requests: Option<Sender<(u64, Arc<[u8]>)>>,
    results: Receiver<Compiled>,
    thread: Option<JoinHandle<()>>,
}

impl Compiler {
    /// Starts the thread; its modules run in stores of `run_engine`.
    pub(crate) fn start(run_engine: &Engine, quick_engine: &Engine) -> Result<Self, VcpuError> {
        let (requests, request_queue) = channel::<(u64, Arc<[u8]>)>();
        let (result_queue, results) = channel();
        let run_engine = run_engine.clone();
        let quick = quick_engine.clone();
        let thread = std::thread::Builder::new()
            .name("compiler".into())
            .spawn(move || {
                for (tag, wasm) in request_queue {
                    let started = Instant::now();
                    let module = compile(&quick, &run_engine, &wasm);
                    let compiled = Compiled { tag, module, duration: started.elapsed() };
                    if result_queue.send(compiled).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| VcpuError::Module(format!("no thread for the compiler: {error}")))?;
        Ok(Self { requests: Some(requests), results, thread: Some(thread) })
    }

    /// Queues `wasm`; the answer carries `tag`.
    pub(crate) fn submit(&self, tag: u64, wasm: Arc<[u8]>) -> Result<(), VcpuError> {
        let requests = self.requests.as_ref().ok_or(VcpuError::CompilerGone)?;
        requests.send((tag, wasm)).map_err(|_| VcpuError::CompilerGone)
    }

    /// A finished module, if there is one.
    pub(crate) fn poll(&self) -> Result<Option<Compiled>, VcpuError> {
        match self.results.try_recv() {
            Ok(compiled) => Ok(Some(compiled)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(VcpuError::CompilerGone),
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // The thread ends after the module at hand; a panic there has been reported already.
            let _ = thread.join();
        }
    }
}

fn compile(quick: &Engine, run_engine: &Engine, wasm: &[u8]) -> Result<Module, String> {
    let code = quick.precompile_module(wasm).map_err(|error| format!("{error:#}"))?;
    deserialize(run_engine, &code).map_err(|error| format!("{error:#}"))
}

/// Loads machine code that this program made itself.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: `code` was made by `precompile_module` of this very process and never left its
    // memory; wasmtime checks version and settings itself.
    unsafe { Module::deserialize(engine, code) }
}
