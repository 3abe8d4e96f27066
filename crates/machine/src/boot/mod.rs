//! Booting Linux without firmware (Documentation/x86/boot.rst of the kernel, "32-bit Boot Protocol" and "64-bit Boot
//! Protocol").

mod elf;
mod long_mode;
mod zero_page;

use wasm_sandbox_devices::{GuestAddress, GuestMemory};
use wasm_sandbox_vcpu::{BootMode, BootRegisters};

use crate::{Arch, MachineError};
use zero_page::{E820_RAM, ZeroPage};

/// The boot parameters ("zero page"), in conventional memory.
const ZERO_PAGE: GuestAddress = GuestAddress(0x1_0000);
/// The command line.
const COMMAND_LINE: GuestAddress = GuestAddress(0x2_0000);
/// Longest command line in bytes with its NUL (COMMAND_LINE_SIZE of x86).
const COMMAND_LINE_BYTES: usize = 2048;
/// End of conventional memory; from here to 1 MiB a PC has its adapters.
const CONVENTIONAL_MEMORY_END: u64 = 0x9_F000;
/// Start of the memory above.
const EXTENDED_MEMORY: u64 = 0x10_0000;
/// The kernel wants its initial RAM file system below this (`initrd_addr_max` of old loaders).
const INITRD_LIMIT: u64 = 0x3700_0000;
const PAGE: u64 = 4096;

/// What is booted.
#[derive(Clone, Copy, Debug)]
pub struct BootSource<'a> {
    /// What it is made for.
    pub arch: Arch,
    /// An uncompressed kernel: `vmlinux`, an ELF file.
    pub kernel: &'a [u8],
    /// The initial RAM file system: a cpio archive.
    pub initrd: &'a [u8],
    /// The kernel's command line.
    pub command_line: &'a str,
}

/// Loads kernel, initial RAM file system and boot parameters into RAM, and tells where the CPU is to
/// start.
///
/// # Errors
/// [`MachineError::Kernel`] and [`MachineError::TooLittleRam`].
pub fn load(source: BootSource<'_>, memory: &mut GuestMemory<'_>) -> Result<BootRegisters, MachineError> {
    let kernel = elf::load(source.arch, source.kernel, memory)?;
    let initrd = load_initrd(source.initrd, kernel.end, memory)?;
    load_command_line(source.command_line, memory)?;

    let mut zero_page = ZeroPage::new();
    zero_page.set_command_line(COMMAND_LINE.0 as u32);
    zero_page.set_initrd(initrd.0 as u32, source.initrd.len() as u32);
    zero_page.add_memory(0, CONVENTIONAL_MEMORY_END, E820_RAM);
    zero_page.add_memory(EXTENDED_MEMORY, memory.size() - EXTENDED_MEMORY, E820_RAM);
    write(memory, ZERO_PAGE, zero_page.as_bytes(), "the boot parameters")?;
    match source.arch {
        Arch::I686 => Ok(BootRegisters {
            mode: BootMode::Protected,
            rip: kernel.entry,
            rsi: ZERO_PAGE.0,
            cr3: 0,
            gdt_base: 0,
            gdt_limit: 0,
        }),
        Arch::X86_64 => long_mode::prepare(kernel.entry, ZERO_PAGE, memory),
    }
}

/// As high as possible, so that it does not split the memory the kernel hands out.
fn load_initrd(
    initrd: &[u8],
    kernel_end: u64,
    memory: &mut GuestMemory<'_>,
) -> Result<GuestAddress, MachineError> {
    let length = initrd.len() as u64;
    let top = memory.size().min(INITRD_LIMIT);
    let start = top.checked_sub(length).map(|start| start / PAGE * PAGE).filter(|start| *start >= kernel_end);
    let too_little = MachineError::TooLittleRam {
        what: "the kernel with its initial RAM file system",
        needed: kernel_end + length,
        available: memory.size(),
    };
    let start = GuestAddress(start.ok_or(too_little)?);
    write(memory, start, initrd, "the initial RAM file system")?;
    Ok(start)
}

fn load_command_line(text: &str, memory: &mut GuestMemory<'_>) -> Result<(), MachineError> {
    if text.len() >= COMMAND_LINE_BYTES || text.contains('\0') {
        return Err(MachineError::Kernel(format!(
            "its command line must have no NUL and less than {COMMAND_LINE_BYTES} bytes; it has {}",
            text.len()
        )));
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    write(memory, COMMAND_LINE, &bytes, "the command line")
}

fn write(
    memory: &mut GuestMemory<'_>,
    at: GuestAddress,
    bytes: &[u8],
    what: &'static str,
) -> Result<(), MachineError> {
    let available = memory.size();
    memory.write(at, bytes).map_err(|error| MachineError::TooLittleRam {
        what,
        needed: error.start + error.length,
        available,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_line_is_refused() {
        let mut ram = vec![0; 1 << 20];
        let mut memory = GuestMemory::new(&mut ram);
        assert!(load_command_line(&"x".repeat(2047), &mut memory).is_ok());
        assert!(load_command_line(&"x".repeat(2048), &mut memory).is_err());
        assert!(load_command_line("a\0b", &mut memory).is_err());
    }

    #[test]
    fn the_initrd_lies_page_aligned_at_the_top_of_ram() {
        let mut ram = vec![0; 1 << 20];
        let mut memory = GuestMemory::new(&mut ram);
        let at = load_initrd(&[5; 5000], 0, &mut memory).unwrap();
        assert_eq!(at, GuestAddress((1 << 20) - 8192));
        assert_eq!(memory.slice(at, 5000).unwrap(), &[5; 5000]);
        assert!(load_initrd(&[5; 5000], (1 << 20) - 4096, &mut memory).is_err());
    }
}
