//! Compiling, while the guest runs, what its programs have come to execute often: the engine says that there is something
//! (`engine/src/translate/later.rs`), and translates it; the machine code is made on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wasmtime::{Engine, Module};

use crate::VcpuError;
use crate::module::module_error;

/// Samples in a page of code that is worth it.
pub(super) const SAMPLES: u32 = 2;

/// Threads of the process that compile. More of them would take processors away from machines that work.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// So many threads at most: half of the host's processors, but one at least. Asking the system takes longer than a machine may
/// wait each time.
static MOST_THREADS: LazyLock<usize> = LazyLock::new(|| {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
});

/// The right to a thread; it ends with the value.
pub(super) struct Permit(());

impl Permit {
    /// One, unless [`MOST_THREADS`] compile.
    pub(super) fn get() -> Option<Self> {
        let one_more = |threads| (threads < *MOST_THREADS).then_some(threads + 1);
        THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok().then_some(Self(()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part that is being compiled. Dropping it lets the thread end by itself: nobody waits for it.
pub(super) struct Compiling {
    /// The number of the part.
    pub(super) part: usize,
    pub(super) wasm: Arc<[u8]>,
    result: Receiver<Result<Module, VcpuError>>,
}

impl Compiling {
    /// Starts to compile the module of a part for stores of `engine`.
    pub(super) fn start(
        engine: &Engine,
        part: usize,
        wasm: Arc<[u8]>,
        permit: Option<Permit>,
    ) -> Result<Self, VcpuError> {
        let (sender, result) = sync_channel(1);
        let (engine, module) = (engine.clone(), wasm.clone());
        let compile = move || {
            let compiled = Module::new(&engine, &module).map_err(module_error);
            drop(permit);
            // The machine may be gone.
            let _ = sender.send(compiled);
        };
        let thread = std::thread::Builder::new().name("compiler".into()).spawn(compile);
        thread.map_err(|error| VcpuError::Module(format!("no thread for the compiler: {error}")))?;
        Ok(Self { part, wasm, result })
    }

    /// The machine code, if it is there, within so much time.
    ///
    /// # Errors
    /// There will be none.
    pub(super) fn result(&self, wait: Duration) -> Result<Option<Module>, VcpuError> {
        let result = if wait.is_zero() {
            self.result.try_recv().map_err(|error| error == TryRecvError::Empty)
        } else {
            self.result.recv_timeout(wait).map_err(|error| error == RecvTimeoutError::Timeout)
        };
        match result {
            Ok(module) => module.map(Some),
            Err(true) => Ok(None),
            Err(false) => Err(VcpuError::CompilerGone),
        }
    }
}
