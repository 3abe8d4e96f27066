//! This project's own CPU engine (`engine/`, compiled to WebAssembly) as a [`CpuEngine`].
//!
//! The module exports its memory, which is its whole state, and imports what it wants of the machine
//! from `host`. It has no interrupt controller: host and module share a block of memory with the level
//! of the INTR input. `engine/src/exports.rs` is the other side of all this.

mod functions;
mod imports;
mod later;
mod shared;
mod state;
mod translation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Instance, Linker, Store, WasmParams, WasmResults};

use crate::memory::{Mapping, MemoryImage, with_next_memory};
use crate::module::{function, module_error, trapped};
use crate::snapshot::{Own, of_another_engine};
use crate::{
    BootMode, BootRegisters, Bus, CpuEngine, EngineModule, EngineSnapshot, Slice, Statistics, VcpuError,
    check_ram,
};
use later::{Compiling, Permit};
use shared::Shared;
use state::{Exports, State};
pub use translation::PartsState;
pub(crate) use translation::Translation;
use translation::install_part;

/// Instructions of one slice: about half a millisecond.
const SLICE: u64 = 100_000;

/// After so much sleep, what the guest executes is no longer in the caches of the host's processor.
const LONG_IDLE: Duration = Duration::from_millis(2);

/// How long a compiler thread is waited for at a time.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

// What `engine_run` returns.
const BUDGET_USED: u32 = 0;
const WAITS: u32 = 1;
const HALTED: u32 = 2;
const TRIPLE_FAULT: u32 = 3;
const STOPPED: u32 = 4;

/// One CPU with its RAM.
pub(crate) struct Wx86<B: Bus> {
    store: Store<State<B>>,
    exports: Exports,
    /// What the memory was mapped from.
    base: MemoryImage,
    instance: Instance,
    /// Code that is translated.
    translation: Translation,
    /// Where the table has what enters the first part.
    first_part: u32,
    /// Whether more is translated while the guest runs, and what is being compiled.
    translates: bool,
    compiling: Option<Compiling>,
    instructions: u64,
    /// Since when the CPU sleeps.
    idle_since: Option<Instant>,
}

impl<B: Bus> Wx86<B> {
    /// See [`EngineModule::power_on`].
    pub(crate) fn new(module: &EngineModule, ram_bytes: u64, bus: B) -> Result<Self, VcpuError> {
        check_ram(ram_bytes)?;
        let zeroed = MemoryImage::zeroed(module.initial_memory()?);
        let mut vcpu = Self::over(module, zeroed, Translation::default(), bus)?;
        let memory = vcpu.store.data().memory()?;
        for (offset, data) in module.data_segments()? {
            memory.write(&mut vcpu.store, offset, data).map_err(module_error)?;
        }
        let new = vcpu.exports.new.clone();
        let start = vcpu.call(&new, ram_bytes as u32)? as usize;
        if start == 0 {
            return Err(module_error("it has no room for the RAM"));
        }
        vcpu.set_translations()?;
        vcpu.share(start..start + ram_bytes as usize)?;
        Ok(vcpu)
    }

    /// See [`EngineModule::restore`].
    pub(crate) fn restore(
        module: &EngineModule,
        snapshot: &EngineSnapshot,
        bus: B,
    ) -> Result<Self, VcpuError> {
        let EngineSnapshot { memory, ram, instructions, own: Own::Wx86(translation) } = snapshot else {
            return Err(of_another_engine(snapshot));
        };
        let mut vcpu = Self::over(module, memory.clone(), translation.clone(), bus)?;
        vcpu.translates = true;
        vcpu.set_translations()?;
        vcpu.share(ram.clone())?;
        vcpu.instructions = *instructions;
        Ok(vcpu)
    }

    /// An instance over a memory with the content of `base`, with its translated code.
    fn over(
        module: &EngineModule,
        base: MemoryImage,
        translation: Translation,
        bus: B,
    ) -> Result<Self, VcpuError> {
        let mapping: Arc<Mapping> = Mapping::of(&base)?;
        let mut store = Store::new(&module.engine, State::new(bus));
        let mut linker = Linker::new(&module.engine);
        imports::define(&mut linker).map_err(module_error)?;
        let instance: Instance = with_next_memory(mapping, || linker.instantiate(&mut store, &module.module))
            .map_err(module_error)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let exports = Exports {
            new: function(&instance, &mut store, "engine_new")?,
            boot: function(&instance, &mut store, "engine_boot")?,
            run: function(&instance, &mut store, "engine_run")?,
            renew_code: function(&instance, &mut store, "engine_renew_code")?,
            shared: function(&instance, &mut store, "engine_shared")?,
            invalidate: function(&instance, &mut store, "engine_invalidate")?,
            set_translations: function(&instance, &mut store, "engine_set_translations")?,
            translate: function(&instance, &mut store, "engine_translate")?,
            translate_later: function(&instance, &mut store, "engine_translate_later")?,
            use_later_translation: function(&instance, &mut store, "engine_use_later_translation")?,
        };
        let first_part = translation.install(&mut store, &instance)?;
        Ok(Self {
            store,
            exports,
            base,
            instance,
            translation,
            first_part,
            translates: false,
            compiling: None,
            instructions: 0,
            idle_since: Instant::now().checked_sub(LONG_IDLE),
        })
    }

    /// Tells the engine where parts are called.
    fn set_translations(&mut self) -> Result<(), VcpuError> {
        let set_translations = self.exports.set_translations.clone();
        let parts = self.translation.compiled().fold(0, |parts, part| parts | 1 << engine_number(part));
        self.call(&set_translations, (self.first_part - engine_number(0), parts))
    }

    /// Has more translated if that is worth it, and uses what has been.
    fn translate(&mut self) -> Result<(), VcpuError> {
        if self.compiling.is_some() {
            return self.use_compiled(Duration::ZERO);
        }
        let state = self.store.data();
        let wanted = self.translates && state.shared.wants_translation(state.memory()?.data(&self.store));
        match wanted.then(Permit::get).flatten() {
            Some(permit) => self.begin_translation(later::SAMPLES, Some(permit)),
            None => Ok(()),
        }
    }

    /// Begins to compile pages of programs with so many samples.
    fn begin_translation(&mut self, samples: u32, permit: Option<Permit>) -> Result<(), VcpuError> {
        let Some(part) = self.translation.free() else {
            self.translates = false;
            return Ok(());
        };
        let translate_later = self.exports.translate_later.clone();
        self.call(&translate_later, (engine_number(part), samples))?;
        let mut modules = std::mem::take(&mut self.store.data_mut().functions).modules();
        if let Some(wasm) = modules.get_mut(part).and_then(Option::take) {
            self.compiling = Some(Compiling::start(self.store.engine(), part, wasm, permit)?);
        }
        Ok(())
    }

    /// Takes what is being compiled, if it is there within so much time.
    fn use_compiled(&mut self, wait: Duration) -> Result<(), VcpuError> {
        let Some(compiling) = &self.compiling else { return Ok(()) };
        let module = match compiling.result(wait) {
            Ok(None) => return Ok(()),
            Ok(Some(module)) => module,
            Err(error) => {
                // It is interpreted on.
                tracing::warn!("translated code is not compiled: {error}");
                (self.compiling, self.translates) = (None, false);
                return Ok(());
            }
        };
        let Some(Compiling { part, wasm, .. }) = self.compiling.take() else { return Ok(()) };
        install_part(&mut self.store, &self.instance, self.first_part, part, &module)?;
        self.translation.add(part, wasm, module);
        let use_later_translation = self.exports.use_later_translation.clone();
        self.call(&use_later_translation, engine_number(part))
    }

    /// Notes where RAM and the shared block are.
    fn share(&mut self, ram: std::ops::Range<usize>) -> Result<(), VcpuError> {
        let shared = self.exports.shared.clone();
        let shared = Shared::at(self.call(&shared, ())?);
        let memory = self.store.data().memory()?;
        let size = memory.data_size(&self.store);
        if ram.end > size || !shared.fits(size) {
            return Err(module_error("its RAM lies outside of its memory"));
        }
        let state = self.store.data_mut();
        (state.ram, state.shared) = (ram, shared);
        Ok(())
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &wasmtime::TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, VcpuError> {
        self.store.data_mut().last_message = None;
        function
            .call(&mut self.store, parameters)
            .map_err(|error| trapped(error, self.store.data_mut().last_message.take()))
    }

    /// Lets the bus catch up with the present; how long the CPU may sleep if it has nothing to do.
    fn advance(&mut self) -> Result<Option<Duration>, VcpuError> {
        let sleep = imports::with_ram(&mut self.store, |bus, ram, written| bus.advance(ram, written))
            .map_err(|error| trapped(error, None))?;
        for range in self.store.data_mut().written.take() {
            let invalidate = self.exports.invalidate.clone();
            self.call(&invalidate, (range.start, range.end))?;
        }
        Ok(sleep)
    }

    /// Tells the engine if the CPU has slept for long.
    fn note_idleness(&mut self) -> Result<(), VcpuError> {
        if self.idle_since.take().is_some_and(|since| since.elapsed() >= LONG_IDLE) {
            let memory = self.store.data().memory()?;
            let (bytes, state) = memory.data_and_store_mut(&mut self.store);
            state.shared.was_idle(bytes);
        }
        Ok(())
    }

    /// Runs for about `budget` instructions; what `engine_run` returns.
    fn run_for(&mut self, budget: u64) -> Result<u32, VcpuError> {
        let run = self.exports.run.clone();
        let ended = self.call(&run, budget)?;
        let state = self.store.data();
        self.instructions = state.shared.instructions(state.memory()?.data(&self.store));
        Ok(ended)
    }
}

/// The engine counts parts from 1.
const fn engine_number(part: usize) -> u32 {
    part as u32 + 1
}

impl<B: Bus> CpuEngine<B> for Wx86<B> {
    fn bus(&mut self) -> &mut B {
        &mut self.store.data_mut().bus
    }

    fn ram_and_bus(&mut self) -> (&mut [u8], &mut B) {
        let Ok(memory) = self.store.data().memory() else { return (&mut [], self.bus()) };
        let (bytes, state) = memory.data_and_store_mut(&mut self.store);
        (bytes.get_mut(state.ram.clone()).unwrap_or_default(), &mut state.bus)
    }

    fn set_boot_registers(&mut self, registers: BootRegisters) -> Result<(), VcpuError> {
        let BootRegisters { mode, rip, rsi, cr3, gdt_base, gdt_limit } = registers;
        let bits = match mode {
            BootMode::Protected => 32,
            BootMode::Long => 64,
        };
        let boot = self.exports.boot.clone();
        self.call(&boot, (bits, rip, rsi, cr3, gdt_base, gdt_limit))
    }

    fn run(&mut self) -> Result<Slice, VcpuError> {
        self.note_idleness()?;
        self.translate()?;
        let end = self.instructions + SLICE;
        loop {
            // Zero: an interrupt is there already.
            let timer = self.advance()?.filter(|time| !time.is_zero() && self.bus().counts_instructions());
            let timer = timer.map_or(SLICE, |time| u64::try_from(time.as_nanos()).unwrap_or(SLICE));
            match self.run_for(end.saturating_sub(self.instructions).min(timer).max(1))? {
                BUDGET_USED if self.instructions >= end => return Ok(Slice::Ran),
                BUDGET_USED => {}
                WAITS => {
                    self.idle_since = Some(Instant::now());
                    return Ok(Slice::Idle(self.advance()?));
                }
                HALTED => return Ok(Slice::Halted),
                TRIPLE_FAULT => return Ok(Slice::TripleFault),
                STOPPED if self.bus().stop_requested() || self.instructions >= end => return Ok(Slice::Ran),
                // A device has written to RAM.
                STOPPED => {}
                other => return Err(module_error(format!("`engine_run` returned {other}"))),
            }
        }
    }

    fn renew_code(&mut self) -> Result<(), VcpuError> {
        let renew = self.exports.renew_code.clone();
        self.call(&renew, ())
    }

    fn translate_code(&mut self, least: u32) -> Result<(), VcpuError> {
        let translate = self.exports.translate.clone();
        self.call(&translate, least)?;
        self.translation = Translation::of(std::mem::take(&mut self.store.data_mut().functions));
        self.compiling = None;
        Ok(())
    }

    fn translate_programs(&mut self) -> Result<bool, VcpuError> {
        self.begin_translation(0, None)?;
        let begun = self.compiling.is_some();
        while self.compiling.is_some() {
            self.use_compiled(LONGEST_WAIT)?;
        }
        Ok(begun)
    }

    fn snapshot(&mut self) -> Result<EngineSnapshot, VcpuError> {
        // What devices have written is to be told to the engine of this memory.
        self.advance()?;
        let state = self.store.data();
        let memory = MemoryImage::capture(state.memory()?.data(&self.store), &self.base)?;
        let (ram, instructions) = (state.ram.clone(), self.instructions);
        Ok(EngineSnapshot { memory, ram, instructions, own: Own::Wx86(self.translation.clone()) })
    }

    fn wants_recycling(&self) -> bool {
        false
    }

    fn recycle(self: Box<Self>) -> Result<Box<dyn CpuEngine<B>>, VcpuError> {
        Ok(self)
    }

    fn statistics(&self) -> Statistics {
        Statistics { instructions: self.instructions, ..Statistics::default() }
    }
}
