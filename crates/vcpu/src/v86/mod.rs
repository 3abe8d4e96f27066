//! The v86 CPU core (`v86.wasm` of the npm package `v86`, BSD-2-Clause) as a [`CpuEngine`].
//!
//! The module exports its memory and imports a function table; its whole state is the linear
//! memory. The two 8259 interrupt controllers are inside it.

mod bundle;
mod imports;
mod jit;
mod layout;
mod state;
mod translations;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wasmtime::{
    Extern, Instance, Linker, Module, Ref, RefType, Store, Table, TableType, TypedFunc, WasmParams,
    WasmResults,
};

use crate::memory::{Mapping, MemoryImage, with_next_memory};
use crate::module::{function, module_error, trapped};
use crate::snapshot::{Own, of_another_engine};
use crate::{
    BootMode, BootRegisters, Bus, CpuEngine, EngineKind, EngineModule, EngineSnapshot, Slice, Statistics,
    VcpuError, check_ram,
};
use state::{Exports, State};

pub(crate) use translations::Translations;
pub use translations::TranslationsState;

/// `set_jit_config` keys (`src/rust/jit.rs`).
const JIT_CONFIG_MAX_PAGES: u32 = 1;

/// Instances of translated code after which the store is replaced; wasmtime ends at 10 000.
const INSTANCES_BEFORE_RECYCLING: usize = 4000;

/// One v86 CPU with its RAM.
pub(crate) struct V86<B: Bus> {
    v86: EngineModule,
    store: Store<State<B>>,
    mapping: Arc<Mapping>,
    /// What the memory was mapped from.
    base: MemoryImage,
    instructions: u64,
    last_counter: u32,
}

impl<B: Bus> V86<B> {
    /// Makes a CPU with `ram_size` bytes of RAM, all zero, in its state after reset.
    ///
    /// # Errors
    /// [`VcpuError::RamSize`], or [`VcpuError::Module`] if the module lacks something.
    pub(crate) fn new(v86: &EngineModule, ram_size: u64, bus: B) -> Result<Self, VcpuError> {
        check_ram(ram_size)?;
        let base = MemoryImage::zeroed(v86.initial_memory()?);
        let mapping = Mapping::of(&base)?;
        let (store, instance) = instantiate(v86, &mapping, bus)?;
        let mut vcpu = Self { v86: v86.clone(), store, mapping, base, instructions: 0, last_counter: 0 };
        for (offset, data) in v86.data_segments()? {
            vcpu.poke(offset, data)?;
        }
        let init = function::<_, (), ()>(&instance, &mut vcpu.store, "rust_init")?;
        vcpu.call(&init, ())?;
        vcpu.poke(layout::MEMORY_SIZE, &(ram_size as u32).to_le_bytes())?;
        let allocate = function::<_, u32, u32>(&instance, &mut vcpu.store, "allocate_memory")?;
        let ram_start = vcpu.call(&allocate, ram_size as u32)? as usize;
        vcpu.store.data_mut().ram = ram_start..ram_start + ram_size as usize;
        let configure = function::<_, (u32, u32), ()>(&instance, &mut vcpu.store, "set_jit_config")?;
        vcpu.call(&configure, (JIT_CONFIG_MAX_PAGES, 1))?;
        let reset = function::<_, (), ()>(&instance, &mut vcpu.store, "reset_cpu")?;
        vcpu.call(&reset, ())?;
        Ok(vcpu)
    }

    /// Makes a CPU that continues from `snapshot`, whose memory it maps.
    ///
    /// # Errors
    /// [`VcpuError::Host`], or [`VcpuError::Module`] if the snapshot's code does not fit.
    pub(crate) fn restore(v86: &EngineModule, snapshot: &EngineSnapshot, bus: B) -> Result<Self, VcpuError> {
        let EngineSnapshot { memory, ram, instructions, own } = snapshot;
        let Own::V86(Translations { last_counter, code, pending }) = own else {
            return Err(of_another_engine(snapshot));
        };
        let mapping = Mapping::of(memory)?;
        let (store, _) = instantiate(v86, &mapping, bus)?;
        let (base, instructions, last_counter) = (memory.clone(), *instructions, *last_counter);
        let mut vcpu = Self { v86: v86.clone(), store, mapping, base, instructions, last_counter };
        vcpu.store.data_mut().ram = ram.clone();
        if snapshot.is_executable() {
            vcpu.install(code)?;
        } else {
            let clear = vcpu.store.data().exports()?.jit_clear_cache.clone();
            vcpu.call(&clear, ())?;
        }
        if let Some(pending) = pending {
            vcpu.store.data_mut().jit()?.submit(pending.clone())?;
        }
        Ok(vcpu)
    }

    /// Puts translated code into the table of a new store.
    fn install(&mut self, code: &BTreeMap<u32, jit::Code>) -> Result<(), VcpuError> {
        let mut instances: HashMap<*const Module, Instance> = HashMap::new();
        for (index, entry) in code {
            let Some(function) = &entry.function else { continue };
            let jit = self.store.data_mut().jit()?;
            let table = jit.table();
            let instance = match instances.get(&Arc::as_ptr(&function.module)) {
                Some(instance) => *instance,
                None => {
                    jit.count_instance();
                    let imports = jit.imports_of(&function.module)?;
                    let instance =
                        Instance::new(&mut self.store, &function.module, &imports).map_err(module_error)?;
                    instances.insert(Arc::as_ptr(&function.module), instance);
                    instance
                }
            };
            jit::put(&mut self.store, &instance, &function.export, table, *index)?;
            self.store.data_mut().jit()?.set_code(*index, Some(entry.clone()));
        }
        Ok(())
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, VcpuError> {
        function.call(&mut self.store, parameters).map_err(|error| self.trapped(error))
    }

    fn trapped(&mut self, error: wasmtime::Error) -> VcpuError {
        trapped(error, self.store.data_mut().last_message.take())
    }

    /// Writes to v86's memory.
    fn poke(&mut self, offset: usize, value: &[u8]) -> Result<(), VcpuError> {
        let memory = self.store.data().memory()?;
        memory.write(&mut self.store, offset, value).map_err(module_error)
    }

    fn count_instructions(&mut self) -> Result<(), VcpuError> {
        let memory = self.store.data().memory()?;
        let mut bytes = [0; 4];
        memory.read(&self.store, layout::INSTRUCTION_COUNTER, &mut bytes).map_err(module_error)?;
        let counter = u32::from_le_bytes(bytes);
        self.instructions += u64::from(counter.wrapping_sub(self.last_counter));
        self.last_counter = counter;
        Ok(())
    }
}

/// Makes a store with an instance of v86 over `mapping`, which is not touched.
fn instantiate<B: Bus>(
    v86: &EngineModule,
    mapping: &Arc<Mapping>,
    bus: B,
) -> Result<(Store<State<B>>, Instance), VcpuError> {
    let mut store = Store::new(&v86.engine, State::new(bus));
    let table_type = TableType::new(RefType::FUNCREF, jit::TABLE_ELEMENTS, None);
    let table = Table::new(&mut store, table_type, Ref::Func(None)).map_err(module_error)?;

    let mut linker = Linker::new(&v86.engine);
    imports::define(&mut linker).map_err(module_error)?;
    linker.define(&store, "env", "__indirect_function_table", table).map_err(module_error)?;
    let instance = with_next_memory(mapping.clone(), || linker.instantiate(&mut store, &v86.module));
    let instance = instance.map_err(module_error)?;

    let memory = instance
        .get_memory(&mut store, "memory")
        .ok_or_else(|| VcpuError::Module("no export `memory`".into()))?;
    let mut exports: HashMap<String, Extern> =
        instance.exports(&mut store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
    exports.insert("m".into(), memory.into());

    let calls = Exports::of(&instance, &mut store)?;
    let jit = jit::Jit::new(v86.engine.clone(), v86.quick_engine()?.clone(), table, exports);
    let state = store.data_mut();
    state.memory = Some(memory);
    state.exports = Some(calls);
    state.jit = Some(jit);
    Ok((store, instance))
}

impl<B: Bus> CpuEngine<B> for V86<B> {
    fn bus(&mut self) -> &mut B {
        &mut self.store.data_mut().bus
    }

    fn ram_and_bus(&mut self) -> (&mut [u8], &mut B) {
        let Some(memory) = self.store.data().memory else { return (&mut [], self.bus()) };
        let (bytes, state) = memory.data_and_store_mut(&mut self.store);
        (bytes.get_mut(state.ram.clone()).unwrap_or_default(), &mut state.bus)
    }

    fn set_boot_registers(&mut self, registers: BootRegisters) -> Result<(), VcpuError> {
        let address = |register: u64| u32::try_from(register).ok();
        let (BootMode::Protected, Some(eip), Some(esi)) =
            (registers.mode, address(registers.rip), address(registers.rsi))
        else {
            return Err(VcpuError::Unsupported { engine: EngineKind::V86, what: "64-bit mode" });
        };
        let cr0_pe = 1u32;
        self.poke(layout::CR, &cr0_pe.to_le_bytes())?;
        for flag in [layout::PROTECTED_MODE, layout::IS_32, layout::STACK_SIZE_32] {
            self.poke(flag, &[1])?;
        }
        for segment in 0..layout::SEGMENTS {
            // The boot GDT of Documentation/x86/boot.rst: 0x10 is code, 0x18 is data.
            let (selector, access) = if segment == layout::CS { (0x10u16, 0x9B) } else { (0x18, 0x93) };
            self.poke(layout::SREG + 2 * segment, &selector.to_le_bytes())?;
            self.poke(layout::SEGMENT_ACCESS_BYTES + segment, &[access])?;
            self.poke(layout::SEGMENT_IS_NULL + segment, &[0])?;
            self.poke(layout::SEGMENT_OFFSETS + 4 * segment, &0u32.to_le_bytes())?;
            self.poke(layout::SEGMENT_LIMITS + 4 * segment, &u32::MAX.to_le_bytes())?;
        }
        let reserved_flag = 2u32;
        self.poke(layout::FLAGS, &reserved_flag.to_le_bytes())?;
        self.poke(layout::REG32 + 4 * layout::ESI, &esi.to_le_bytes())?;
        self.poke(layout::INSTRUCTION_POINTER, &eip.to_le_bytes())?;
        let update = self.store.data().exports()?.update_state_flags.clone();
        self.call(&update, ())
    }

    fn run(&mut self) -> Result<Slice, VcpuError> {
        // Otherwise the guest would learn only after thousands of instructions of what came meanwhile: a
        // restored machine, for instance, that its random numbers must be new ones.
        imports::advance(&mut self.store).map_err(|error| self.trapped(error))?;
        let main_loop = self.store.data().exports()?.main_loop.clone();
        let sleep_ms = self.call(&main_loop, ())?;
        self.count_instructions()?;
        let state = self.store.data();
        Ok(match sleep_ms {
            _ if state.halted => Slice::Halted,
            0.0 => Slice::Ran,
            _ => Slice::Idle(state.sleep),
        })
    }

    fn snapshot(&mut self) -> Result<EngineSnapshot, VcpuError> {
        let memory = self.store.data().memory()?;
        let memory = MemoryImage::capture(memory.data(&self.store), &self.base)?;
        let (instructions, last_counter) = (self.instructions, self.last_counter);
        let state = self.store.data_mut();
        let ram = state.ram.clone();
        let (code, pending) = state.jit()?.live();
        let own = Own::V86(Translations { last_counter, code: code.clone(), pending: pending.clone() });
        Ok(EngineSnapshot { memory, ram, instructions, own })
    }

    fn wants_recycling(&self) -> bool {
        let jit = self.store.data().jit.as_ref();
        jit.is_some_and(|jit| jit.instances() >= INSTANCES_BEFORE_RECYCLING)
    }

    fn recycle(self: Box<Self>) -> Result<Box<dyn CpuEngine<B>>, VcpuError> {
        let Self { v86, mut store, mapping, base, instructions, last_counter } = *self;
        let jit = store.data_mut().jit()?;
        let (code, pending) = jit.live();
        let (code, pending, statistics) = (code.clone(), pending.clone(), jit.statistics());
        let State { bus, ram, sleep, halted, .. } = store.into_data();
        let (mut store, _) = instantiate(&v86, &mapping, bus)?;
        let state = store.data_mut();
        (state.ram, state.sleep, state.halted) = (ram, sleep, halted);
        let mut vcpu = Self { v86, store, mapping, base, instructions, last_counter };
        vcpu.install(&code)?;
        if let Some(pending) = pending {
            vcpu.store.data_mut().jit()?.submit(pending)?;
        }
        vcpu.store.data_mut().jit()?.set_statistics(statistics);
        Ok(Box::new(vcpu))
    }

    fn statistics(&self) -> Statistics {
        let jit = self.store.data().jit.as_ref().map(jit::Jit::statistics).unwrap_or_default();
        Statistics { instructions: self.instructions, ..jit }
    }
}
