//! Booting the guest's kernel in other emulators without firmware: it is put into memory by its 32-bit boot
//! protocol (Documentation/x86/boot.rst), and a ROM of a few instructions enters it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where things go in guest-physical memory.
const ZERO_PAGE: u32 = 0x1_0000;
const COMMAND_LINE: u32 = 0x1_1000;
const STACK: u32 = 0x2_0000;
const KERNEL: u32 = 0x10_0000;
const INITRD: u32 = 0x300_0000;
/// End of conventional memory.
const LOW_END: u32 = 0x9_F000;
const ROM_SIZE: usize = 0x1_0000;

/// Files and where an emulator must load them.
#[derive(Clone, Debug)]
pub struct Loads {
    /// The ROM, which ends at 1 MB and at 4 GB.
    pub rom: PathBuf,
    /// The rest: addresses and files.
    pub memory: Vec<(u32, PathBuf)>,
}

/// Writes everything that boots `kernel` with `initrd` into the directory `at`.
pub fn prepare(kernel: &Path, initrd: &[u8], command_line: &str, ram: u32, at: &Path) -> Result<Loads> {
    let elf = fs::read(kernel).with_context(|| format!("reading {}", kernel.display()))?;
    let (flat, entry) = flatten(&elf)?;
    ensure!(KERNEL as usize + flat.len() + (4 << 20) < INITRD as usize, "the kernel is too large");
    let mut line = command_line.as_bytes().to_vec();
    line.push(0);
    let write = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let path = at.join(name);
        fs::write(&path, content)?;
        Ok(path)
    };
    Ok(Loads {
        rom: write("rom.bin", &rom(entry))?,
        memory: vec![
            (ZERO_PAGE, write("zero-page.bin", &zero_page(u32::try_from(initrd.len())?, ram))?),
            (COMMAND_LINE, write("command-line.bin", &line)?),
            (KERNEL, write("kernel.bin", &flat)?),
            (INITRD, write("initrd.bin", initrd)?),
        ],
    })
}

/// The loadable segments of a 32-bit executable as they lie in memory from [`KERNEL`] on, and its entry.
fn flatten(elf: &[u8]) -> Result<(Vec<u8>, u32)> {
    ensure!(elf.starts_with(b"\x7fELF\x01\x01"), "the kernel is no 32-bit ELF file");
    let word = |at: usize| -> Result<u32> {
        let bytes = elf.get(at..at + 4).context("the kernel's headers are cut short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    let (entry, headers, count) = (word(24)?, word(28)? as usize, word(44)? as usize & 0xFFFF);
    const HEADER_SIZE: usize = 32;
    const PT_LOAD: u32 = 1;
    let mut flat = Vec::new();
    for header in (0..count).map(|index| headers + index * HEADER_SIZE) {
        if word(header)? != PT_LOAD {
            continue;
        }
        let (offset, size) = (word(header + 4)? as usize, word(header + 16)? as usize);
        let address = word(header + 12)?.checked_sub(KERNEL).context("the kernel begins too low")? as usize;
        let bytes = elf.get(offset..offset + size).context("a segment of the kernel is cut short")?;
        flat.resize(flat.len().max(address + size), 0);
        flat[address..address + size].copy_from_slice(bytes);
    }
    Ok((flat, entry))
}

/// `struct boot_params`.
fn zero_page(initrd_size: u32, ram: u32) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1FE, &[0x55, 0xAA]);
    put(0x202, b"HdrS");
    put(0x206, &0x020Fu16.to_le_bytes());
    // A loader without a number; the kernel is loaded high.
    put(0x210, &[0xFF, 1]);
    put(0x218, &INITRD.to_le_bytes());
    put(0x21C, &initrd_size.to_le_bytes());
    put(0x228, &COMMAND_LINE.to_le_bytes());
    let map = [(0, LOW_END), (KERNEL, ram - KERNEL)];
    put(0x1E8, &[map.len() as u8]);
    const RAM: u32 = 1;
    for (index, (start, size)) in map.into_iter().enumerate() {
        let at = 0x2D0 + index * 20;
        put(at, &u64::from(start).to_le_bytes());
        put(at + 8, &u64::from(size).to_le_bytes());
        put(at + 16, &RAM.to_le_bytes());
    }
    page
}

/// From the reset vector to protected mode to the kernel.
fn rom(entry: u32) -> Vec<u8> {
    // In the ROM's copy below 1 MB.
    const BASE: u32 = 0xF_0000;
    const PROTECTED: usize = 0x20;
    const GDT: usize = 0x60;
    const GDT_POINTER: usize = 0x80;
    let mut rom = vec![0; ROM_SIZE];
    let mut put = |at: usize, parts: &[&[u8]]| {
        let bytes = parts.concat();
        rom[at..at + bytes.len()].copy_from_slice(&bytes);
    };
    let address = |offset: usize| (BASE + offset as u32).to_le_bytes();
    put(
        0,
        &[
            &[0xFA, 0xFC],                                         // cli; cld
            &[0x66, 0x2E, 0x0F, 0x01, 0x16, GDT_POINTER as u8, 0], // lgdt cs:[GDT_POINTER]
            &[0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0],     // cr0 |= 1
            &[0x66, 0xEA],
            &address(PROTECTED),
            &[0x10, 0], // jmp 0x10:PROTECTED
        ],
    );
    put(
        PROTECTED,
        &[
            &[0x66, 0xB8, 0x18, 0],                                        // mov ax, 0x18
            &[0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, 0x8E, 0xE0, 0x8E, 0xE8], // ds, es, ss, fs, gs = ax
            &[0xBC],
            &STACK.to_le_bytes(), // mov esp, STACK
            &[0xBE],
            &ZERO_PAGE.to_le_bytes(),              // mov esi, ZERO_PAGE
            &[0x31, 0xDB, 0x31, 0xFF, 0x31, 0xED], // ebx = edi = ebp = 0
            &[0xB9],
            &entry.to_le_bytes(),
            &[0xFF, 0xE1], // mov ecx, entry; jmp ecx
        ],
    );
    let segment = |kind: u8| [0xFF, 0xFF, 0, 0, 0, kind, 0xCF, 0];
    put(GDT, &[&[0; 16], &segment(0x9A), &segment(0x92)]);
    put(GDT_POINTER, &[&31u16.to_le_bytes(), &address(GDT)]);
    // The reset vector: jmp 0.
    put(ROM_SIZE - 16, &[&[0xE9], &13u16.to_le_bytes()]);
    rom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rom_begins_at_its_reset_vector() {
        let rom = rom(0x0010_0000);
        assert_eq!(rom.len(), ROM_SIZE);
        let jump = &rom[0xFFF0..0xFFF3];
        let target = 0xFFF3u16.wrapping_add(u16::from_le_bytes([jump[1], jump[2]]));
        assert_eq!((jump[0], target), (0xE9, 0));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        for file in [&b""[..], b"\x7fELF", b"\x7fELF\x01\x01"] {
            assert!(flatten(file).is_err());
        }
    }
}
