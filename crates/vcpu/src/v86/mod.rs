//! The v86 CPU core (`v86.wasm` of the npm package `v86`, BSD-2-Clause) as a [`CpuEngine`].
//!
//! The module exports its memory and imports a function table; its whole state is the linear
//! memory. The two 8259 interrupt controllers are inside it.

mod imports;
mod jit;
mod layout;
mod state;

use std::collections::HashMap;

use wasmtime::{Engine, Extern, Linker, Module, Ref, RefType, Store, Table, TableType};

use crate::compiler::{self, Compiler, Effort};
use crate::{BootRegisters, Bus, CpuEngine, Slice, Statistics, VcpuError};
use state::{Exports, State, function};

/// Smallest RAM of a machine in bytes.
pub const MINIMUM_RAM: u64 = 16 << 20;
/// Largest RAM of a machine in bytes: addresses from 2 GiB on are memory-mapped devices.
pub const MAXIMUM_RAM: u64 = 2 << 30;
/// RAM sizes are multiples of this.
const RAM_GRANULE: u64 = 64 << 10;

/// `set_jit_config` keys (`src/rust/jit.rs`).
const JIT_CONFIG_MAX_PAGES: u32 = 1;

/// v86.wasm, ready to make CPUs of.
#[derive(Clone)]
pub struct V86Module {
    engine: Engine,
    module: Module,
}

impl V86Module {
    /// Compiles the bytes of v86.wasm; takes seconds.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn compile(wasm: &[u8]) -> Result<Self, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        let module = Module::new(&engine, wasm).map_err(module_error)?;
        Ok(Self { engine, module })
    }

    /// Compiles the bytes of v86.wasm into machine code that [`V86Module::load`] takes.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if it is not a valid module.
    pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, VcpuError> {
        compiler::portable_engine()?.precompile_module(wasm).map_err(module_error)
    }

    /// Loads machine code made by [`V86Module::precompile`].
    ///
    /// # Safety
    /// `code` must be unchanged since `precompile` made it: it is executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version made it or this processor cannot run it.
    #[allow(unsafe_code)]
    pub unsafe fn load(code: &[u8]) -> Result<Self, VcpuError> {
        let engine = compiler::engine(Effort::Optimized)?;
        // SAFETY: the caller vouches for the origin of `code`.
        let module = unsafe { Module::deserialize(&engine, code) }.map_err(module_error)?;
        Ok(Self { engine, module })
    }
}

fn module_error(error: wasmtime::Error) -> VcpuError {
    VcpuError::Module(format!("{error:#}"))
}

/// One v86 CPU with its RAM.
pub struct V86<B: Bus> {
    store: Store<State<B>>,
    instructions: u64,
    last_counter: u32,
}

impl<B: Bus> V86<B> {
    /// Makes a CPU with `ram_size` bytes of RAM, all zero, in its state after reset.
    ///
    /// # Errors
    /// [`VcpuError::RamSize`], or [`VcpuError::Module`] if the module lacks something.
    pub fn new(v86: &V86Module, ram_size: u64, bus: B) -> Result<Self, VcpuError> {
        if !(MINIMUM_RAM..=MAXIMUM_RAM).contains(&ram_size) || !ram_size.is_multiple_of(RAM_GRANULE) {
            return Err(VcpuError::RamSize { requested: ram_size, minimum: MINIMUM_RAM, maximum: MAXIMUM_RAM });
        }
        let mut store = Store::new(&v86.engine, State::new(bus));
        let table_type = TableType::new(RefType::FUNCREF, jit::TABLE_ELEMENTS, None);
        let table = Table::new(&mut store, table_type, Ref::Func(None)).map_err(module_error)?;

        let mut linker = Linker::new(&v86.engine);
        imports::define(&mut linker).map_err(module_error)?;
        linker.define(&store, "env", "__indirect_function_table", table).map_err(module_error)?;
        let instance = linker.instantiate(&mut store, &v86.module).map_err(module_error)?;

        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| VcpuError::Module("no export `memory`".into()))?;
        let mut exports: HashMap<String, Extern> =
            instance.exports(&mut store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
        exports.insert("m".into(), memory.into());
        let compiler = Compiler::start(&v86.engine)?;

        let calls = Exports::of(&instance, &mut store)?;
        let state = store.data_mut();
        state.memory = Some(memory);
        state.exports = Some(calls);
        state.jit = Some(jit::Jit::new(compiler, table, exports));

        let mut vcpu = Self { store, instructions: 0, last_counter: 0 };
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

    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        function: &wasmtime::TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, VcpuError> {
        function.call(&mut self.store, parameters).map_err(|error| self.trapped(error))
    }

    fn trapped(&mut self, error: wasmtime::Error) -> VcpuError {
        match error.downcast::<VcpuError>() {
            Ok(own) => own,
            Err(error) => {
                let message = self.store.data_mut().last_message.take();
                VcpuError::Trapped { message: message.unwrap_or_else(|| format!("{error:#}")) }
            }
        }
    }

    /// Writes to v86's registers.
    fn poke(&mut self, offset: usize, value: &[u8]) -> Result<(), VcpuError> {
        let memory = self.store.data().memory()?;
        memory.write(&mut self.store, offset, value).map_err(|error| VcpuError::Module(error.to_string()))
    }

    fn count_instructions(&mut self) -> Result<(), VcpuError> {
        let memory = self.store.data().memory()?;
        let mut bytes = [0; 4];
        memory
            .read(&self.store, layout::INSTRUCTION_COUNTER, &mut bytes)
            .map_err(|error| VcpuError::Module(error.to_string()))?;
        let counter = u32::from_le_bytes(bytes);
        self.instructions += u64::from(counter.wrapping_sub(self.last_counter));
        self.last_counter = counter;
        Ok(())
    }
}

impl<B: Bus> CpuEngine<B> for V86<B> {
    fn name(&self) -> &'static str {
        "v86"
    }

    fn bus(&mut self) -> &mut B {
        &mut self.store.data_mut().bus
    }

    fn ram_and_bus(&mut self) -> (&mut [u8], &mut B) {
        let Some(memory) = self.store.data().memory else { return (&mut [], self.bus()) };
        let (bytes, state) = memory.data_and_store_mut(&mut self.store);
        (bytes.get_mut(state.ram.clone()).unwrap_or_default(), &mut state.bus)
    }

    fn set_boot_registers(&mut self, registers: BootRegisters) -> Result<(), VcpuError> {
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
        self.poke(layout::REG32 + 4 * layout::ESI, &registers.esi.to_le_bytes())?;
        self.poke(layout::INSTRUCTION_POINTER, &registers.eip.to_le_bytes())?;
        let update = self.store.data().exports()?.update_state_flags.clone();
        self.call(&update, ())
    }

    fn run(&mut self) -> Result<Slice, VcpuError> {
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

    fn statistics(&self) -> Statistics {
        let jit = self.store.data().jit.as_ref().map(jit::Jit::statistics).unwrap_or_default();
        Statistics { instructions: self.instructions, ..jit }
    }
}
