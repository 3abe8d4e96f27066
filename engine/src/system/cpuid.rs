//! CPUID: what this CPU is and has.

use iced_x86::{Instruction, Register as R};

use crate::paging::PHYSICAL_BITS;
use crate::{Cpu, Fault};

/// A feature: leaf, subleaf, register (0 EAX to 3 EDX), bit, and its name in the manual.
pub(crate) type Feature = (u32, u32, usize, u32, &'static str);

/// Everything that is announced; and everything that is announced works.
pub(crate) const FEATURES: &[Feature] = &[
    (1, 0, 3, 0, "FPU"),
    (1, 0, 3, 2, "DE"),
    (1, 0, 3, 3, "PSE"),
    (1, 0, 3, 4, "TSC"),
    (1, 0, 3, 5, "MSR"),
    (1, 0, 3, 6, "PAE"),
    (1, 0, 3, 8, "CX8"),
    (1, 0, 3, 11, "SEP"),
    (1, 0, 3, 13, "PGE"),
    (1, 0, 3, 15, "CMOV"),
    (1, 0, 3, 16, "PAT"),
    (1, 0, 3, 19, "CLFSH"),
    (1, 0, 3, 23, "MMX"),
    (1, 0, 3, 24, "FXSR"),
    (1, 0, 3, 25, "SSE"),
    (1, 0, 3, 26, "SSE2"),
    (1, 0, 2, 0, "SSE3"),
    (1, 0, 2, 1, "PCLMULQDQ"),
    (1, 0, 2, 9, "SSSE3"),
    (1, 0, 2, 13, "CMPXCHG16B"),
    (1, 0, 2, 19, "SSE4_1"),
    (1, 0, 2, 20, "SSE4_2"),
    (1, 0, 2, 22, "MOVBE"),
    (1, 0, 2, 23, "POPCNT"),
    (1, 0, 2, 25, "AESNI"),
    (1, 0, 2, 30, "RDRAND"),
    (1, 0, 2, 31, "HYPERVISOR"),
    (7, 0, 1, 0, "FSGSBASE"),
    (7, 0, 1, 3, "BMI1"),
    (7, 0, 1, 7, "SMEP"),
    (7, 0, 1, 8, "BMI2"),
    (7, 0, 1, 9, "ERMS"),
    (7, 0, 1, 18, "RDSEED"),
    (7, 0, 1, 29, "SHA"),
    (7, 0, 2, 2, "UMIP"),
    (7, 0, 2, 22, "RDPID"),
    (7, 0, 3, 4, "FSRM"),
    (0x8000_0001, 0, 2, 0, "LAHF64"),
    (0x8000_0001, 0, 2, 5, "LZCNT"),
    (0x8000_0001, 0, 3, 11, "SYSCALL"),
    (0x8000_0001, 0, 3, 20, "NX"),
    (0x8000_0001, 0, 3, 27, "RDTSCP"),
    (0x8000_0001, 0, 3, 29, "LM"),
    (0x8000_0007, 0, 3, 8, "INVARIANT_TSC"),
];

/// Twelve bytes as EBX, EDX, ECX, the order of the vendor's name in leaf 0.
const VENDOR: [u32; 3] =
    [u32::from_le_bytes(*b"Genu"), u32::from_le_bytes(*b"ineI"), u32::from_le_bytes(*b"ntel")];
/// Family 6; a model without known errata to work around.
const SIGNATURE: u32 = 0x0000_0600;
/// The name in leaves 0x80000002 to 0x80000004.
const BRAND: [u8; 48] = *b"wasm-sandbox wx86\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Highest leaves.
const HIGHEST: u32 = 7;
const HIGHEST_HYPERVISOR: u32 = 0x4000_0000;
const HIGHEST_EXTENDED: u32 = 0x8000_0008;

pub(super) fn cpuid(cpu: &mut Cpu, _: &Instruction) -> Result<(), Fault> {
    let leaf = cpu.register(R::EAX) as u32;
    let subleaf = cpu.register(R::ECX) as u32;
    let mut out = [0u32; 4];
    match leaf {
        0 => out = [HIGHEST, VENDOR[0], VENDOR[2], VENDOR[1]],
        1 => {
            // CLFLUSH lines of 64 bytes; one logical processor.
            out = [SIGNATURE, 8 << 8 | 1 << 16, 0, 0];
        }
        // Four levels of nothing: caches are not described.
        2 => out = [1, 0, 0, 0],
        0x4000_0000 => {
            let name = [*b"Wasm", *b"Sand", *b"box\0"].map(u32::from_le_bytes);
            out = [HIGHEST_HYPERVISOR, name[0], name[1], name[2]];
        }
        0x8000_0000 => out[0] = HIGHEST_EXTENDED,
        0x8000_0001 => out[0] = SIGNATURE,
        0x8000_0002..=0x8000_0004 => {
            let start = (leaf as usize & 0xF).wrapping_sub(2) << 4;
            for (value, bytes) in out.iter_mut().zip(BRAND.get(start..).unwrap_or(&[]).chunks_exact(4)) {
                *value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            }
        }
        0x8000_0008 => out[0] = PHYSICAL_BITS | 48 << 8,
        _ => {}
    }
    for (in_leaf, in_subleaf, register, bit, _) in FEATURES {
        let subleaf_matters = *in_leaf == 7;
        if *in_leaf == leaf
            && (!subleaf_matters || *in_subleaf == subleaf)
            && let Some(value) = out.get_mut(*register)
        {
            *value |= 1 << bit;
        }
    }
    for (register, value) in [R::EAX, R::EBX, R::ECX, R::EDX].into_iter().zip(out) {
        cpu.set_register(register, u64::from(value));
    }
    Ok(())
}
