//! What the engine imports from its host, module `host`.

use wasmtime::{AsContext, AsContextMut, Caller, Linker};

use super::state::State;
use crate::{Bus, VcpuError, WrittenRanges};

type Result<T> = wasmtime::Result<T>;

/// Defines every import.
pub(super) fn define<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    linker.func_wrap("host", "now", |mut caller: Caller<'_, State<B>>| -> Result<u64> {
        let memory = caller.data().memory()?;
        let (bytes, state) = memory.data_and_store_mut(&mut caller);
        state.bus.note_instructions(state.shared.instructions(bytes));
        Ok(state.bus.now())
    })?;
    linker.func_wrap("host", "random", |mut caller: Caller<'_, State<B>>| -> u64 {
        let bus = &mut caller.data_mut().bus;
        u64::from(bus.random()) << 32 | u64::from(bus.random())
    })?;
    linker.func_wrap("host", "acknowledge_interrupt", |mut caller: Caller<'_, State<B>>| -> Result<u32> {
        with_ram(&mut caller, |bus, _, _| bus.acknowledge_interrupt().into())
    })?;
    define_ports(linker)?;
    define_mmio(linker)?;
    linker.func_wrap(
        "host",
        "translated",
        |mut caller: Caller<'_, State<B>>,
         part: u32,
         at: u32,
         length: u32,
         hints: u32,
         count: u32|
         -> Result<()> {
            let memory = caller.data().memory()?;
            let (bytes, state) = memory.data_and_store_mut(&mut caller);
            let part_of =
                |at: u32, length: usize| bytes.get(at as usize..).and_then(|bytes| bytes.get(..length));
            let outside = || VcpuError::Module("a function outside of memory".into());
            let body = part_of(at, length as usize).ok_or_else(outside)?;
            let hints = part_of(hints, count as usize * 4).ok_or_else(outside)?;
            let (hints, _) = hints.as_chunks();
            Ok(state.functions.push(part, body, hints.iter().map(|hint| u32::from_le_bytes(*hint)))?)
        },
    )?;
    linker.func_wrap(
        "host",
        "log",
        |mut caller: Caller<'_, State<B>>, at: u32, length: u32| -> Result<()> {
            let memory = caller.data().memory()?;
            let bytes =
                memory.data(&caller).get(at as usize..).and_then(|bytes| bytes.get(..length as usize));
            let message = bytes.map_or_else(
                || "(a message outside of memory)".into(),
                |bytes| String::from_utf8_lossy(bytes).into_owned(),
            );
            tracing::debug!(target: "wx86", "{message}");
            caller.data_mut().last_message = Some(message);
            Ok(())
        },
    )?;
    Ok(())
}

fn define_ports<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    linker.func_wrap(
        "host",
        "port_read",
        |mut caller: Caller<'_, State<B>>, port: u32, bytes: u32| -> Result<u32> {
            let mut data = [0; 4];
            let filled = first(&mut data, bytes)?;
            with_ram(&mut caller, |bus, ram, written| bus.port_read(port as u16, filled, ram, written))?;
            Ok(u32::from_le_bytes(data))
        },
    )?;
    linker.func_wrap(
        "host",
        "port_write",
        |mut caller: Caller<'_, State<B>>, port: u32, bytes: u32, value: u32| -> Result<()> {
            let mut data = value.to_le_bytes();
            let data = first(&mut data, bytes)?;
            with_ram(&mut caller, |bus, ram, written| bus.port_write(port as u16, data, ram, written))
        },
    )?;
    Ok(())
}

fn define_mmio<B: Bus>(linker: &mut Linker<State<B>>) -> Result<()> {
    linker.func_wrap(
        "host",
        "mmio_read",
        |mut caller: Caller<'_, State<B>>, address: u64, bytes: u32| -> Result<u64> {
            let mut data = [0; 8];
            let filled = first(&mut data, bytes)?;
            with_ram(&mut caller, |bus, ram, written| {
                // Devices have registers of at most four bytes.
                for (address, part) in (address..).step_by(4).zip(filled.chunks_mut(4)) {
                    bus.mmio_read(address, part, ram, written);
                }
            })?;
            Ok(u64::from_le_bytes(data))
        },
    )?;
    linker.func_wrap(
        "host",
        "mmio_write",
        |mut caller: Caller<'_, State<B>>, address: u64, bytes: u32, value: u64| -> Result<()> {
            let mut data = value.to_le_bytes();
            let data = first(&mut data, bytes)?;
            with_ram(&mut caller, |bus, ram, written| bus.mmio_write(address, data, ram, written))
        },
    )?;
    Ok(())
}

/// The first `count` bytes of `data`.
fn first(data: &mut [u8], count: u32) -> Result<&mut [u8]> {
    let data = data.get_mut(..count as usize).filter(|data| data.len().is_power_of_two());
    Ok(data.ok_or_else(|| VcpuError::Module(format!("an access of {count} bytes")))?)
}

/// Runs `access` with the bus and all of RAM, then shows the engine the INTR input. If a device wrote to
/// RAM, or the machine will not go on, the engine is asked to return: calling it from here, in the middle
/// of its work, would not do.
pub(super) fn with_ram<B: Bus, R>(
    context: &mut impl AsContextMut<Data = State<B>>,
    access: impl FnOnce(&mut B, &mut [u8], &mut WrittenRanges) -> R,
) -> Result<R> {
    let memory = context.as_context().data().memory()?;
    let (bytes, state) = memory.data_and_store_mut(context.as_context_mut());
    let State { bus, ram, shared, written, .. } = state;
    bus.note_instructions(shared.instructions(bytes));
    let ram = bytes
        .get_mut(ram.clone())
        .ok_or_else(|| VcpuError::Module("RAM lies outside of linear memory".into()))?;
    let result = access(bus, ram, written);
    shared.set_interrupt_line(bytes, bus.interrupt_line());
    if !written.is_empty() || bus.stop_requested() {
        shared.stop(bytes);
    }
    Ok(result)
}
