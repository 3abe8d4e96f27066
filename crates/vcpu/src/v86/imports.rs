//! What v86.wasm imports from its host, module `env`.

use std::time::Duration;

use wasmtime::{AsContext, AsContextMut, Caller, Extern, Linker};

use super::jit::{self, Code, Pending};
use super::state::State;
use crate::code_bytes::CodeBytes;
use crate::{Bus, VcpuError};

/// `run_hardware_timers` may ask for another call after at most this many milliseconds.
const LONGEST_SLEEP_MS: f64 = 100.0;

type Result<T> = wasmtime::Result<T>;

/// Defines every import but the function table.
pub(super) fn define<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    define_time(linker)?;
    define_ports(linker)?;
    define_mmio(linker)?;
    define_jit(linker)?;
    linker.func_wrap(
        "env",
        "console_log_from_wasm",
        |mut caller: Caller<'_, State<B>>, at: u32, len: u32| {
            let message =
                caller_bytes(&mut caller, at, len).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let message = message.unwrap_or_else(|_| "(a message outside of memory)".into());
            tracing::debug!(target: "v86", "{message}");
            caller.data_mut().last_message = Some(message);
        },
    )?;
    Ok(())
}

fn define_time<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    linker.func_wrap("env", "microtick", |mut caller: Caller<'_, State<B>>| -> f64 {
        caller.data_mut().bus.now() as f64 / 1e6
    })?;
    linker.func_wrap("env", "get_rand_int", |mut caller: Caller<'_, State<B>>| -> u32 {
        caller.data_mut().bus.random()
    })?;
    linker.func_wrap(
        "env",
        "run_hardware_timers",
        |mut caller: Caller<'_, State<B>>, _acpi_enabled: i32, _now: f64| -> Result<f64> {
            let sleep = advance(&mut caller)?;
            install_translated_code(&mut caller)?;
            caller.data_mut().sleep = sleep;
            Ok(sleep.map_or(LONGEST_SLEEP_MS, |sleep| sleep.as_secs_f64() * 1e3).min(LONGEST_SLEEP_MS))
        },
    )?;
    linker.func_wrap("env", "cpu_event_halt", |mut caller: Caller<'_, State<B>>| {
        caller.data_mut().halted = true;
    })?;
    // The run loop asks the engine anyway before it sleeps.
    linker.func_wrap("env", "stop_idling", || {})?;
    Ok(())
}

fn define_ports<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    macro_rules! port {
        ($read:literal, $write:literal, $width:literal) => {
            linker.func_wrap("env", $read, |mut caller: Caller<'_, State<B>>, port: u32| -> Result<u32> {
                let mut data = [0; 4];
                with_ram(&mut caller, |bus, ram, written| {
                    bus.port_read(port as u16, &mut data[..$width], ram, written)
                })?;
                Ok(u32::from_le_bytes(data))
            })?;
            linker.func_wrap(
                "env",
                $write,
                |mut caller: Caller<'_, State<B>>, port: u32, value: u32| -> Result<()> {
                    with_ram(&mut caller, |bus, ram, written| {
                        bus.port_write(port as u16, &value.to_le_bytes()[..$width], ram, written)
                    })
                },
            )?;
        };
    }
    port!("io_port_read8", "io_port_write8", 1);
    port!("io_port_read16", "io_port_write16", 2);
    port!("io_port_read32", "io_port_write32", 4);
    Ok(())
}

fn define_mmio<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    macro_rules! read {
        ($name:literal, $width:literal) => {
            linker.func_wrap(
                "env",
                $name,
                |mut caller: Caller<'_, State<B>>, address: u32| -> Result<u32> {
                    let mut data = [0; 4];
                    with_ram(&mut caller, |bus, ram, written| {
                        bus.mmio_read(address.into(), &mut data[..$width], ram, written)
                    })?;
                    Ok(u32::from_le_bytes(data))
                },
            )?;
        };
    }
    macro_rules! write {
        ($name:literal, $width:literal, $($value:ident),+) => {
            linker.func_wrap(
                "env",
                $name,
                |mut caller: Caller<'_, State<B>>, address: u32, $($value: u32),+| -> Result<()> {
                    let words = [$($value),+].map(u32::to_le_bytes);
                    with_ram(&mut caller, |bus, ram, written| {
                        bus.mmio_write(address.into(), &words.as_flattened()[..$width], ram, written)
                    })
                },
            )?;
        };
    }
    read!("mmap_read8", 1);
    read!("mmap_read32", 4);
    write!("mmap_write8", 1, value);
    write!("mmap_write16", 2, value);
    write!("mmap_write32", 4, value);
    write!("mmap_write64", 8, low, high);
    write!("mmap_write128", 16, a, b, c, d);
    Ok(())
}

fn define_jit<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    linker.func_wrap(
        "env",
        "codegen_finalize",
        |mut caller: Caller<'_, State<B>>,
         index: u32,
         start: u32,
         flags: u32,
         at: u32,
         len: u32|
         -> Result<()> {
            let wasm = caller_bytes(&mut caller, at, len)?;
            let pending = Pending { index, start, state_flags: flags, wasm: wasm.into() };
            Ok(caller.data_mut().jit()?.submit(pending)?)
        },
    )?;
    linker.func_wrap(
        "env",
        "jit_clear_func",
        |mut caller: Caller<'_, State<B>>, index: u32| -> Result<()> {
            jit::check_index(index)?;
            let jit = caller.data_mut().jit()?;
            jit.set_code(index, None);
            let table = jit.table();
            jit::clear(&mut caller, table, index)
        },
    )?;
    Ok(())
}

/// Lets the bus catch up with the present and tells the CPU of interrupts; returns how long the CPU may
/// sleep if it has nothing to do.
pub(super) fn advance<B: Bus>(context: &mut impl AsContextMut<Data = State<B>>) -> Result<Option<Duration>> {
    let sleep = with_ram(context, |bus, ram, written| bus.advance(ram, written))?;
    deliver_interrupts(context)?;
    Ok(sleep)
}

/// Runs `access` with the bus and all of RAM, then drops translations of code it overwrote.
fn with_ram<B: Bus, R>(
    context: &mut impl AsContextMut<Data = State<B>>,
    access: impl FnOnce(&mut B, &mut [u8], &mut crate::WrittenRanges) -> R,
) -> Result<R> {
    let memory = context.as_context().data().memory()?;
    let (bytes, state) = memory.data_and_store_mut(context.as_context_mut());
    let ram = bytes
        .get_mut(state.ram.clone())
        .ok_or_else(|| VcpuError::Module("RAM lies outside of linear memory".into()))?;
    let result = access(&mut state.bus, ram, &mut state.written);
    if !state.written.is_empty() {
        let ranges = state.written.take();
        let dirty = state.exports()?.jit_dirty_cache.clone();
        for range in ranges {
            dirty.call(&mut *context, (range.start as u32, range.end as u32))?;
        }
    }
    Ok(result)
}

/// Tells the interrupt controller, which is inside v86, about lines that changed. In any other import than
/// `run_hardware_timers` this would be wrong: translated code keeps registers in wasm locals, and
/// raising a line may switch to the interrupt handler at once.
fn deliver_interrupts<B: Bus>(context: &mut impl AsContextMut<Data = State<B>>) -> Result<()> {
    let mut context = context.as_context_mut();
    let changes = context.data_mut().bus.take_interrupt_changes();
    if changes == Default::default() {
        return Ok(());
    }
    let exports = context.data().exports()?;
    let (lower, raise) = (exports.device_lower_irq.clone(), exports.device_raise_irq.clone());
    for (mask, function) in [(changes.lower, lower), (changes.raise, raise)] {
        for line in (0..u16::BITS).filter(|line| mask & (1 << line) != 0) {
            function.call(&mut context, line)?;
        }
    }
    Ok(())
}

/// Puts a module that the compiler has finished into the function table.
fn install_translated_code<B: Bus>(caller: &mut Caller<'_, State<B>>) -> Result<()> {
    let Some((pending, module)) = caller.data_mut().jit()?.poll()? else { return Ok(()) };
    let jit = caller.data_mut().jit()?;
    let (imports, table) = (jit.imports_of(&module)?, jit.table());
    jit.count_instance();
    let Pending { index, start, state_flags, wasm } = pending;
    jit::install(&mut *caller, &module, &imports, table, index)?;
    let code = Code { wasm: CodeBytes::Memory(wasm), function: Some(jit::function_of(module)) };
    caller.data_mut().jit()?.set_code(index, Some(code));
    let finished = caller.data().exports()?.codegen_finalize_finished.clone();
    // If the page was written meanwhile, v86 calls `jit_clear_func` no more: the element stays until
    // its index is used again, which does no harm.
    finished.call(&mut *caller, (index, start, state_flags))
}

fn caller_bytes<B: Bus>(caller: &mut Caller<'_, State<B>>, at: u32, len: u32) -> Result<Vec<u8>> {
    let memory = match caller.data().memory() {
        Ok(memory) => memory,
        // `rust_init` may log before the exports are known.
        Err(_) => caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .ok_or_else(|| VcpuError::Module("no export `memory`".into()))?,
    };
    let bytes = memory.data(&*caller).get(at as usize..).and_then(|bytes| bytes.get(..len as usize));
    Ok(bytes.ok_or_else(|| VcpuError::Module("a range outside of linear memory".into()))?.to_vec())
}
