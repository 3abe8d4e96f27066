//! What 64-bit mode needs at a kernel's first instruction: page tables and a table of segment descriptors
//! (Documentation/x86/boot.rst of the kernel, "64-bit Boot Protocol").

use wasm_sandbox_devices::{GuestAddress, GuestMemory};
use wasm_sandbox_vcpu::{BootMode, BootRegisters};

use super::write;
use crate::MachineError;

/// The table of segment descriptors, in conventional memory.
const DESCRIPTORS: GuestAddress = GuestAddress(0x3_0000);
/// The page tables: one of level 4, one of level 3, and one of level 2 for each GiB.
const PAGE_TABLES: GuestAddress = GuestAddress(0x4_0000);
const TABLE_BYTES: u64 = 4096;
/// As much as can be addressed without page tables. RAM and devices are below.
const GIGABYTES: u64 = 4;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

/// Bits of an entry of a page table.
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;

/// Segments that begin at 0. The kernel expects code for 64-bit mode at 0x10 and data at 0x18.
const SEGMENTS: [u64; 4] = [0, 0, 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF];

/// Puts the tables into RAM: what is mapped, is mapped where it is. Returns how the CPU starts at `entry`.
pub(super) fn prepare(
    entry: u64,
    zero_page: GuestAddress,
    memory: &mut GuestMemory<'_>,
) -> Result<BootRegisters, MachineError> {
    write(memory, DESCRIPTORS, &bytes(SEGMENTS), "the segment descriptors")?;
    write(memory, PAGE_TABLES, &bytes(page_tables()), "the page tables")?;
    Ok(BootRegisters {
        mode: BootMode::Long,
        rip: entry,
        rsi: zero_page.0,
        cr3: PAGE_TABLES.0,
        gdt_base: DESCRIPTORS.0,
        gdt_limit: size_of_val(&SEGMENTS) as u32 - 1,
    })
}

/// All entries of all tables.
fn page_tables() -> impl Iterator<Item = u64> {
    let table = |index: u64| (PAGE_TABLES.0 + index * TABLE_BYTES) | PRESENT | WRITABLE;
    let level_4 = (0..ENTRIES).map(move |at| if at == 0 { table(1) } else { 0 });
    let level_3 = (0..ENTRIES).map(move |at| if at < GIGABYTES { table(2 + at) } else { 0 });
    let level_2 = (0..GIGABYTES * ENTRIES).map(|at| (at * LARGE_PAGE) | PRESENT | WRITABLE | LARGE);
    level_4.chain(level_3).chain(level_2)
}

fn bytes(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: u64 = 1 << 20;

    fn prepared(ram: &mut [u8]) -> BootRegisters {
        prepare(0x20_0000, GuestAddress(0x1_0000), &mut GuestMemory::new(ram)).unwrap()
    }

    fn word(ram: &[u8], at: u64) -> u64 {
        u64::from_le_bytes(ram[at as usize..][..8].try_into().unwrap())
    }

    /// As the processor does.
    fn translate(ram: &[u8], cr3: u64, address: u64) -> Option<u64> {
        let mut table = cr3;
        for level in (2..=4).rev() {
            let shift = 12 + 9 * (level - 1);
            let entry = word(ram, table + (address >> shift) % ENTRIES * 8);
            if entry & PRESENT == 0 {
                return None;
            }
            let frame = entry & 0x000F_FFFF_FFFF_F000;
            if entry & LARGE != 0 {
                return Some(frame + address % (1 << shift));
            }
            table = frame;
        }
        None
    }

    #[test]
    fn the_first_4_gib_are_mapped_to_themselves_and_nothing_else_is() {
        let mut ram = vec![0; RAM as usize];
        let BootRegisters { cr3, .. } = prepared(&mut ram);
        for address in [0, 0x1_0000, 0x20_0000, 0x3FFF_FFFF, 0x4000_0000, 0xD000_0FFF, 0xFFFF_FFFF] {
            assert_eq!(translate(&ram, cr3, address), Some(address), "{address:#x}");
        }
        for address in [1 << 32, 1 << 39, 0x0000_7FFF_FFFF_FFFF] {
            assert_eq!(translate(&ram, cr3, address), None, "{address:#x}");
        }
    }

    #[test]
    fn code_is_64_bit_at_0x10_and_data_can_be_written_at_0x18() {
        let mut ram = vec![0; RAM as usize];
        let BootRegisters { mode, rip, rsi, gdt_base, gdt_limit, .. } = prepared(&mut ram);
        assert_eq!((mode, rip, rsi, gdt_limit), (BootMode::Long, 0x20_0000, 0x1_0000, 0x1F));
        let (code, data) = (word(&ram, gdt_base + 0x10), word(&ram, gdt_base + 0x18));
        let (present, is_code, long) = (1u64 << 47, 1u64 << 43, 1u64 << 53);
        assert_eq!(code & (present | is_code | long), present | is_code | long);
        let writable = 1u64 << 41;
        assert_eq!(data & (present | is_code | writable), present | writable);
    }

    #[test]
    fn a_machine_without_room_is_refused() {
        let mut ram = vec![0; 0x4_1000];
        let mut memory = GuestMemory::new(&mut ram);
        let refused = prepare(0, GuestAddress(0), &mut memory);
        assert!(matches!(refused, Err(MachineError::TooLittleRam { .. })));
    }
}
