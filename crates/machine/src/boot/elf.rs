//! Loading `vmlinux`.

use object::LittleEndian;
use object::elf::{EM_386, ET_EXEC, FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use wasm_sandbox_devices::{GuestAddress, GuestMemory};

use super::write;
use crate::MachineError;

/// A kernel in RAM.
#[derive(Debug)]
pub(super) struct LoadedKernel {
    /// First instruction, guest-physical.
    pub(super) entry: u32,
    /// First byte after it (with its zeroed data), guest-physical.
    pub(super) end: u64,
}

/// Copies the loadable segments to their physical addresses.
pub(super) fn load(file: &[u8], memory: &mut GuestMemory<'_>) -> Result<LoadedKernel, MachineError> {
    let invalid = |error: object::read::Error| MachineError::Kernel(error.to_string());
    let header = FileHeader32::<LittleEndian>::parse(file).map_err(invalid)?;
    let endian = LittleEndian;
    if header.e_machine(endian) != EM_386 || header.e_type(endian) != ET_EXEC {
        return Err(MachineError::Kernel("it is not a 32-bit x86 executable".into()));
    }
    let mut end = 0;
    for segment in header.program_headers(endian, file).map_err(invalid)? {
        if segment.p_type(endian) != PT_LOAD {
            continue;
        }
        let bytes =
            segment.data(endian, file).map_err(|()| MachineError::Kernel("a segment is cut short".into()))?;
        let start = u64::from(segment.p_paddr(endian));
        write(memory, GuestAddress(start), bytes, "the kernel")?;
        end = end.max(start + u64::from(segment.p_memsz(endian)));
    }
    if end == 0 {
        return Err(MachineError::Kernel("it has no loadable segment".into()));
    }
    if end > memory.size() {
        return Err(MachineError::TooLittleRam { what: "the kernel", needed: end, available: memory.size() });
    }
    // RAM is zero at power-on, so the rest of each segment (bss) needs no clearing.
    Ok(LoadedKernel { entry: header.e_entry(endian), end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut ram = vec![0; 1 << 16];
        let mut memory = GuestMemory::new(&mut ram);
        for file in [&b""[..], b"\x7fELF", &[0x7f; 4096]] {
            assert!(matches!(load(file, &mut memory), Err(MachineError::Kernel(_))));
        }
    }
}
