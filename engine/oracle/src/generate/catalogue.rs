//! Which instructions there are to test.

use crate::case::Mode;
use iced_x86::{Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, OpCodeInfo};
use std::fmt;

/// Instructions that one author cares for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Arithmetic, logic, moves, stack, near branches.
    Integer,
    /// String instructions with their prefixes.
    String,
    /// Segments, far branches, interrupts, what needs privilege, FXSAVE.
    System,
    /// x87.
    X87,
    /// MMX, SSE and what came after it.
    Simd,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Integer, Self::String, Self::System, Self::X87, Self::Simd];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::String => "string",
            Self::System => "system",
            Self::X87 => "x87",
            Self::Simd => "simd",
        })
    }
}

/// What the engine is to have.
const INTEGER_FEATURES: [CpuidFeature; 17] = {
    use CpuidFeature::*;
    [
        INTEL8086,
        INTEL186,
        INTEL286,
        INTEL386,
        INTEL486,
        X64,
        CMOV,
        CX8,
        CMPXCHG16B,
        MULTIBYTENOP,
        PAUSE,
        POPCNT,
        LZCNT,
        MOVBE,
        BMI1,
        BMI2,
        PREFETCHW,
    ]
};
const SIMD_FEATURES: [CpuidFeature; 12] = {
    use CpuidFeature::*;
    [MMX, SSE, SSE2, SSE3, SSSE3, SSE4_1, SSE4_2, AES, PCLMULQDQ, SHA, CLFSH, CET_IBT]
};
const X87_FEATURES: [CpuidFeature; 3] = [CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387];
const SYSTEM_FEATURES: [CpuidFeature; 4] =
    [CpuidFeature::FXSR, CpuidFeature::FSGSBASE, CpuidFeature::SYSCALL, CpuidFeature::MSR];

/// What depends on more than the state of a case, or that a kernel or hypervisor carries out itself (INT1: KVM shows the
/// wrong address).
const EXCLUDED: [Mnemonic; 16] = {
    use Mnemonic::*;
    [
        Syscall, Sysenter, Sysexit, Sysexitq, Cpuid, Rdtsc, Rdpmc, Sgdt, Sidt, Sldt, Str, Smsw, Int1, Umov,
        Lmsw, Invlpg,
    ]
};

/// Whether native outcome and engine are comparable for an instruction, wherever it came from.
pub fn is_comparable(instruction: &Instruction) -> bool {
    let code = instruction.code();
    if code == Code::INVALID {
        return true;
    }
    let is_system_call = code == Code::Int_imm8 && instruction.immediate8() == 0x80;
    // Prefixes F2 and F3 turn these into each other on AMD's processors, which no manual says.
    let is_odd_loop = matches!(code.mnemonic(), Mnemonic::Loope | Mnemonic::Loopne)
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    family_of(code.op_code()).is_some() && !is_system_call && !is_odd_loop
}

/// The family of an instruction that can be tested.
pub fn family_of(op_code: &OpCodeInfo) -> Option<Family> {
    let code = op_code.code();
    let mnemonic = code.mnemonic();
    let features = code.cpuid_features();
    let known = |feature: &CpuidFeature| {
        INTEGER_FEATURES.contains(feature)
            || SIMD_FEATURES.contains(feature)
            || X87_FEATURES.contains(feature)
            || SYSTEM_FEATURES.contains(feature)
    };
    let encoded = match op_code.encoding() {
        EncodingKind::Legacy => true,
        EncodingKind::VEX => {
            features.iter().all(|feature| matches!(feature, CpuidFeature::BMI1 | CpuidFeature::BMI2))
        }
        _ => false,
    };
    if !encoded || !op_code.is_instruction() || !features.iter().all(known) || EXCLUDED.contains(&mnemonic) {
        return None;
    }
    if features.iter().any(|feature| X87_FEATURES.contains(feature)) || mnemonic == Mnemonic::Wait {
        return Some(Family::X87);
    }
    if features.iter().any(|feature| SIMD_FEATURES.contains(feature)) {
        return Some(Family::Simd);
    }
    if features.iter().any(|feature| SYSTEM_FEATURES.contains(feature)) || is_system(op_code) {
        return Some(Family::System);
    }
    Some(if code.is_string_instruction() { Family::String } else { Family::Integer })
}

fn is_system(op_code: &OpCodeInfo) -> bool {
    use Mnemonic::*;
    use iced_x86::OpCodeOperandKind as Operand;
    let of_segments =
        |kind: &Operand| matches!(kind, Operand::seg_reg | Operand::farbr2_2 | Operand::farbr4_2);
    let named = matches!(
        op_code.mnemonic(),
        Lar | Lsl
            | Verr
            | Verw
            | Arpl
            | Lds
            | Les
            | Lfs
            | Lgs
            | Lss
            | Retf
            | Iret
            | Iretd
            | Iretq
            | Int
            | Int1
            | Int3
            | Into
            | Hlt
            | Cli
            | Sti
            | In
            | Out
            | Insb
            | Insw
            | Insd
            | Outsb
            | Outsw
            | Outsd
            | Ud0
            | Ud1
            | Ud2
            | Clts
            | Invd
            | Wbinvd
            | Lgdt
            | Lidt
            | Lldt
            | Ltr
            | Wrmsr
            | Rdmsr
    );
    let pushes_segment =
        matches!(op_code.mnemonic(), Push | Pop) && op_code.op_kinds().first().is_some_and(of_segments);
    let far = matches!(op_code.mnemonic(), Jmp | Call)
        && matches!(
            op_code.memory_size(),
            iced_x86::MemorySize::SegPtr16 | iced_x86::MemorySize::SegPtr32 | iced_x86::MemorySize::SegPtr64
        );
    named || far || pushes_segment || op_code.is_privileged() || op_code.op_kinds().iter().any(of_segments)
}

/// Whether this machine has what an instruction needs.
#[cfg(target_arch = "x86_64")]
fn native(feature: CpuidFeature) -> bool {
    use std::arch::is_x86_feature_detected as has;
    match feature {
        CpuidFeature::SSE3 => has!("sse3"),
        CpuidFeature::SSSE3 => has!("ssse3"),
        CpuidFeature::SSE4_1 => has!("sse4.1"),
        CpuidFeature::SSE4_2 => has!("sse4.2"),
        CpuidFeature::AES => has!("aes"),
        CpuidFeature::PCLMULQDQ => has!("pclmulqdq"),
        CpuidFeature::SHA => has!("sha"),
        CpuidFeature::POPCNT => has!("popcnt"),
        CpuidFeature::LZCNT => has!("lzcnt"),
        CpuidFeature::MOVBE => has!("movbe"),
        CpuidFeature::BMI1 => has!("bmi1"),
        CpuidFeature::BMI2 => has!("bmi2"),
        CpuidFeature::CMPXCHG16B => has!("cmpxchg16b"),
        _ => true,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn native(_: CpuidFeature) -> bool {
    false
}

/// Whether this machine's processor is one of AMD's, whose decoding the engine follows.
pub fn is_amd() -> bool {
    #[cfg(target_arch = "x86_64")]
    let vendor = std::arch::x86_64::__cpuid(0).ecx.to_le_bytes();
    #[cfg(not(target_arch = "x86_64"))]
    let vendor = *b"none";
    // "AuthenticAMD"
    vendor == *b"cAMD"
}

/// The instructions of a mode.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The mode.
    pub mode: Mode,
    /// What can be tested, with its family.
    pub codes: Vec<(Code, Family)>,
    /// What this machine does not have.
    pub skipped: Vec<Code>,
}

impl Catalogue {
    /// All instructions of a mode for which `wanted` says yes.
    pub fn new(mode: Mode, wanted: impl Fn(Code, Family) -> bool) -> Self {
        let mut catalogue = Self { mode, codes: Vec::new(), skipped: Vec::new() };
        for code in Code::values() {
            let op_code = code.op_code();
            let Some(family) = family_of(op_code) else { continue };
            // With `fwait` it is two instructions.
            // SYSRET in compatibility mode is AMD's alone.
            let is_amds = mode == Mode::Bits32 && code == Code::Sysretd;
            if !op_code.is_available_in_mode(mode.bits())
                || op_code.fwait()
                || is_amds
                || !wanted(code, family)
            {
                continue;
            }
            if code.cpuid_features().iter().all(|feature| native(*feature)) {
                catalogue.codes.push((code, family));
            } else {
                catalogue.skipped.push(code);
            }
        }
        catalogue
    }
}
