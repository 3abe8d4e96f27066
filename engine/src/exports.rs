//! What the host calls: the exports of the WebAssembly module.

#![allow(unsafe_code, reason = "exported names, and the one CPU of the module")]

use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::log;
use crate::{Boot, Cpu, TableRegister};

/// Whether the CPU has been made.
static MADE: AtomicBool = AtomicBool::new(false);

/// Room for the CPU below the stack, which the linker puts at the start of memory; the module's build makes the stack larger
/// by as much.
const ROOM: usize = 64 << 10;

/// Where the module's one CPU lies: nearly at the start of memory. From there, what it begins with is reached by displacements of
/// one byte, and there is no other data in as many places of translated code.
#[inline(always)]
pub(crate) fn cpu_place() -> *mut Cpu {
    const PLACE: usize = 16;
    const { assert!(PLACE.is_multiple_of(align_of::<Cpu>()) && PLACE + size_of::<Cpu>() <= ROOM) };
    std::ptr::with_exposed_provenance_mut(PLACE)
}

/// The CPU, if it was made.
fn cpu() -> Option<&'static mut Cpu> {
    // SAFETY: it was made, and no other reference is alive: the module has one thread, the host never calls in while a call is
    // under way, and imports never call back.
    MADE.load(Ordering::Relaxed).then(|| unsafe { &mut *cpu_place() })
}

/// Makes a CPU with `ram_bytes` (a multiple of 64 KiB) of RAM; where RAM lies, or 0 if there is no room. Called once.
#[unsafe(no_mangle)]
pub extern "C" fn engine_new(ram_bytes: u32) -> u32 {
    std::panic::set_hook(Box::new(|info| log(&info.to_string())));
    let Some(made) = Cpu::new(ram_bytes as usize) else { return 0 };
    let ram = made.memory.ram() as u32;
    // SAFETY: no reference to the CPU is alive, and nothing else is there.
    unsafe { cpu_place().write(*made) };
    MADE.store(true, Ordering::Relaxed);
    ram
}

/// Sets the registers as the 32-bit (`mode` 32) or 64-bit (64) Linux boot protocol demands.
#[unsafe(no_mangle)]
pub extern "C" fn engine_boot(mode: u32, rip: u64, rsi: u64, cr3: u64, gdt_base: u64, gdt_limit: u32) {
    if let Some(cpu) = cpu() {
        let gdtr = TableRegister { base: gdt_base, limit: gdt_limit as u16 };
        cpu.boot(Boot { long_mode: mode == 64, rip, rsi, cr3, gdtr });
    }
}

/// Runs for about this many instructions; a `Stop`.
#[unsafe(no_mangle)]
pub extern "C" fn engine_run(instructions: u64) -> u32 {
    cpu().map_or(crate::Stop::Shutdown, |cpu| cpu.run(instructions)) as u32
}

/// Throws decoded code away: what is executed from now on is decoded anew, lies together in the order of its execution, and is
/// counted.
#[unsafe(no_mangle)]
pub extern "C" fn engine_renew_code() {
    if let Some(cpu) = cpu() {
        cpu.renew_code();
    }
}

/// Where the `Shared` block lies.
#[unsafe(no_mangle)]
pub extern "C" fn engine_shared() -> u32 {
    cpu().map_or(0, |cpu| &raw const cpu.shared as u32)
}

/// A device has written RAM.
#[unsafe(no_mangle)]
pub extern "C" fn engine_invalidate(start: u64, end: u64) {
    if let Some(cpu) = cpu() {
        cpu.code_written(start, end.saturating_sub(start));
    }
}

/// Where the host puts what calls translated code: the number of the table's entries before that, less one, as parts are
/// counted from 1. Bit *n* of `parts` is whether there is machine code for part *n*. Called after `engine_new`, and for each
/// restored machine.
#[unsafe(no_mangle)]
pub extern "C" fn engine_set_translations(index: u32, parts: u32) {
    if let Some(cpu) = cpu() {
        (cpu.translations, cpu.parts) = (index, parts);
    }
}

/// Translates the blocks that were executed at least `least` times since `engine_renew_code`; the host gets the functions.
#[unsafe(no_mangle)]
pub extern "C" fn engine_translate(least: u32) {
    if let Some(cpu) = cpu() {
        cpu.translate_code(least, crate::host::translated);
    }
}

/// Translates pages of programs that have at least `least` samples, as part `part`, from 3 on; the host gets the functions.
#[unsafe(no_mangle)]
pub extern "C" fn engine_translate_later(part: u32, least: u32) {
    if let Some(cpu) = cpu() {
        let function = |body: &[u8], unlikely: &[u32]| crate::host::translated(part, body, unlikely);
        cpu.translate_later(part, least, function);
    }
}

/// What was translated last by `engine_translate_later`, as part `part`, is compiled, and can be called.
#[unsafe(no_mangle)]
pub extern "C" fn engine_use_later_translation(part: u32) {
    if let Some(cpu) = cpu() {
        cpu.use_later_translation(part);
    }
}

/// For translated code: executes a general instruction; an `Exit`.
#[unsafe(no_mangle)]
pub extern "C" fn engine_general(uop: u32, block: u32) -> u32 {
    cpu().map_or(0, |cpu| cpu.execute_general(uop as *const _, block as *const _).number())
}

/// For translated code: whether a condition holds, by its encoding.
#[unsafe(no_mangle)]
pub extern "C" fn engine_condition(condition: u32) -> u32 {
    cpu().map_or(0, |cpu| cpu.lazy.condition(condition as u8).into())
}

/// For translated code: EFLAGS as PUSHF stores them.
#[unsafe(no_mangle)]
pub extern "C" fn engine_pushed_flags() -> u32 {
    cpu().map_or(0, |cpu| cpu.pushed_flags())
}

/// For translated code: changes some of the status flags.
#[unsafe(no_mangle)]
pub extern "C" fn engine_change_flags(mask: u32, bits: u32) {
    if let Some(cpu) = cpu() {
        cpu.set_status_flags(mask, bits);
    }
}

/// For translated code: the high half of a product of unsigned numbers.
#[unsafe(no_mangle)]
pub extern "C" fn engine_unsigned_high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// For translated code: the high half of a product of signed numbers.
#[unsafe(no_mangle)]
pub extern "C" fn engine_signed_high(a: i64, b: i64) -> i64 {
    ((i128::from(a) * i128::from(b)) >> 64) as i64
}
