//! What CPUID announces, compared with the instructions that have handlers.

use std::collections::BTreeSet;

use iced_x86::{Code, CpuidFeature};

use super::cpuid::FEATURES;
use crate::general;

/// iced's name of a feature, if it is one with instructions.
fn iced_name(name: &str) -> Option<&str> {
    Some(match name {
        "CMPXCHG16B" | "CLFSH" | "FXSR" | "MMX" | "SSE" | "SSE2" | "SSE3" | "SSSE3" | "SSE4_1" | "SSE4_2"
        | "PCLMULQDQ" | "MOVBE" | "POPCNT" | "RDRAND" | "RDSEED" | "RDPID" | "RDTSCP" | "FSGSBASE"
        | "BMI1" | "BMI2" | "SHA" | "LZCNT" | "SYSCALL" | "MSR" | "SEP" | "TSC" | "CMOV" | "FPU" => name,
        "CX8" => name,
        "AESNI" => "AES",
        _ => return None,
    })
}

/// The features of every instruction with a handler.
fn handled() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for code in Code::values().filter(|code| general::handler(*code).is_some()) {
        names.extend(code.cpuid_features().iter().map(|feature| format!("{feature:?}")));
    }
    names
}

#[test]
fn instructions_of_announced_features_have_handlers() {
    let announced: BTreeSet<&str> = FEATURES.iter().filter_map(|feature| iced_name(feature.4)).collect();
    let mut missing = Vec::new();
    for code in Code::values() {
        let features = code.cpuid_features();
        let all = features
            .iter()
            .all(|feature| announced.contains(format!("{feature:?}").as_str()) || is_baseline(*feature));
        if all && !is_no_instruction(code) && general::handler(code).is_none() {
            missing.push(code);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// Codes that are undefined on purpose, or that the decoder never makes: data, and x87 instructions with their WAIT.
fn is_no_instruction(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        INVALID
            | DeclareByte
            | DeclareWord
            | DeclareDword
            | DeclareQword
            | Zero_bytes
            | Ud0
            | Ud0_r16_rm16
            | Ud0_r32_rm32
            | Ud0_r64_rm64
            | Ud1_r16_rm16
            | Ud1_r32_rm32
            | Ud1_r64_rm64
            | Ud2
            | Fstenv_m14byte
            | Fstcw_m2byte
            | Feni
            | Fdisi
            | Fclex
            | Finit
            | Fsave_m94byte
            | Fstsw_m2byte
    )
}

/// Handled without being announced, each for a reason.
fn is_exempt(name: &str) -> bool {
    match name {
        // Without a bit of their own.
        "CPUID" | "RDPMC" | "MULTIBYTENOP" | "PAUSE" | "FPU287" | "FPU387" => true,
        // Hints, in encodings that older processors execute as NOP.
        "CET_IBT" | "CET_SS" | "CLDEMOTE" | "KNC" | "PREFETCHW" | "PREFETCHWT1" => true,
        // There is no cache; nobody gains by choosing these.
        "CLFLUSHOPT" | "CLWB" => true,
        // Works, but is not announced yet: what libraries choose by it is not measured.
        "ADX" => true,
        _ => false,
    }
}

/// What every processor of the announced family has, without a bit.
fn is_baseline(feature: CpuidFeature) -> bool {
    use CpuidFeature::*;
    matches!(feature, INTEL8086 | INTEL186 | INTEL286 | INTEL386 | INTEL486 | X64)
}

#[test]
fn handled_instructions_are_announced() {
    let announced: BTreeSet<&str> = FEATURES.iter().filter_map(|feature| iced_name(feature.4)).collect();
    let baseline: BTreeSet<String> = CpuidFeature::values()
        .filter(|feature| is_baseline(*feature))
        .map(|feature| format!("{feature:?}"))
        .collect();
    let mut extra = handled();
    extra.retain(|name| !announced.contains(name.as_str()) && !baseline.contains(name) && !is_exempt(name));
    assert!(extra.is_empty(), "{extra:?}");
}
