//! Loading `vmlinux`.

use object::LittleEndian;
use object::elf::{EM_386, EM_X86_64, ET_EXEC, FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use wasm_sandbox_devices::{GuestAddress, GuestMemory};

use super::write;
use crate::{Arch, MachineError};

/// A kernel in RAM.
#[derive(Debug)]
pub(super) struct LoadedKernel {
    /// First instruction, guest-physical.
    pub(super) entry: u64,
    /// First byte after it (with its zeroed data), guest-physical.
    pub(super) end: u64,
}

/// Copies the loadable segments to their physical addresses.
pub(super) fn load(
    arch: Arch,
    file: &[u8],
    memory: &mut GuestMemory<'_>,
) -> Result<LoadedKernel, MachineError> {
    match arch {
        Arch::I686 => load_class::<FileHeader32<LittleEndian>>(arch, EM_386, file, memory),
        Arch::X86_64 => load_class::<FileHeader64<LittleEndian>>(arch, EM_X86_64, file, memory),
    }
}

fn load_class<Header: FileHeader<Endian = LittleEndian>>(
    arch: Arch,
    machine: u16,
    file: &[u8],
    memory: &mut GuestMemory<'_>,
) -> Result<LoadedKernel, MachineError> {
    let invalid = |error: object::read::Error| MachineError::Kernel(error.to_string());
    let header = Header::parse(file).map_err(invalid)?;
    let endian = LittleEndian;
    if header.e_machine(endian) != machine || header.e_type(endian) != ET_EXEC {
        return Err(MachineError::Kernel(format!("it is not an executable for {arch}")));
    }
    let mut end = 0;
    for segment in header.program_headers(endian, file).map_err(invalid)? {
        if segment.p_type(endian) != PT_LOAD {
            continue;
        }
        let bytes =
            segment.data(endian, file).map_err(|()| MachineError::Kernel("a segment is cut short".into()))?;
        let start: u64 = segment.p_paddr(endian).into();
        write(memory, GuestAddress(start), bytes, "the kernel")?;
        let size: u64 = segment.p_memsz(endian).into();
        end = end.max(start.saturating_add(size));
    }
    if end == 0 {
        return Err(MachineError::Kernel("it has no loadable segment".into()));
    }
    if end > memory.size() {
        return Err(MachineError::TooLittleRam { what: "the kernel", needed: end, available: memory.size() });
    }
    // RAM is zero at power-on, so the rest of each segment (bss) needs no clearing.
    Ok(LoadedKernel { entry: header.e_entry(endian).into(), end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut ram = vec![0; 1 << 16];
        let mut memory = GuestMemory::new(&mut ram);
        for file in [&b""[..], b"\x7fELF", &[0x7f; 4096]] {
            for arch in Arch::ALL {
                assert!(matches!(load(arch, file, &mut memory), Err(MachineError::Kernel(_))));
            }
        }
    }

    /// A 64-bit executable with one segment of two bytes, `size` in memory, at 0x8000.
    fn executable(size: u64) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let (kind, machine, version) = (ET_EXEC, EM_X86_64, 1u32);
        file.extend([kind.to_le_bytes(), machine.to_le_bytes()].concat());
        file.extend(version.to_le_bytes());
        let (entry, headers, sections) = (0x8000u64, 64u64, 0u64);
        file.extend([entry, headers, sections].map(u64::to_le_bytes).concat());
        file.extend(0u32.to_le_bytes());
        file.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
        file.extend([PT_LOAD, 5].map(u32::to_le_bytes).concat());
        let (offset, virtual_address, address, length, alignment) =
            (120u64, u64::MAX << 31, 0x8000u64, 2u64, 1u64);
        file.extend(
            [offset, virtual_address, address, length, size, alignment].map(u64::to_le_bytes).concat(),
        );
        file.extend([0xEB, 0xFE]);
        file
    }

    #[test]
    fn a_64_bit_kernel_lies_at_its_physical_address() {
        let mut ram = vec![0; 1 << 16];
        let mut memory = GuestMemory::new(&mut ram);
        let kernel = load(Arch::X86_64, &executable(0x1000), &mut memory).unwrap();
        assert_eq!((kernel.entry, kernel.end), (0x8000, 0x9000));
        assert_eq!(memory.slice(GuestAddress(0x8000), 2).unwrap(), [0xEB, 0xFE]);
    }

    #[test]
    fn a_kernel_for_another_machine_or_without_room_is_refused() {
        let mut ram = vec![0; 1 << 16];
        let mut memory = GuestMemory::new(&mut ram);
        let other = load(Arch::I686, &executable(2), &mut memory);
        assert!(matches!(other, Err(MachineError::Kernel(_))));
        for size in [0x8001, u64::MAX] {
            let large = load(Arch::X86_64, &executable(size), &mut memory);
            assert!(matches!(large, Err(MachineError::TooLittleRam { .. })), "{size}");
        }
    }
}
