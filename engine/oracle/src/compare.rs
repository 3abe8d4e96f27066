//! What the engine did compared with what the processor did.

use crate::approximate::{self, Tolerance};
use crate::case::{Case, FxImage, Mode, Outcome, Stop};
use crate::generate::decode;
use crate::guest::{little_endian, overwrite};
use crate::intel;
use crate::layout::{self, REGIONS};
use crate::undefined;
use iced_x86::{Instruction, Mnemonic, OpKind};
use std::collections::BTreeMap;

/// Status flags, TF, DF, NT, AC, ID. IF and IOPL cannot change, RF is the processor's own.
const FLAGS: u64 = 0x24_4DD5;
/// The x87's status: the top of its stack.
const TOP: u16 = 7 << 11;
const INVALID_OPCODE: u32 = 6;
pub(crate) const GENERAL_PROTECTION: u32 = 13;
pub(crate) const PAGE_FAULT: u32 = 14;
pub(crate) const ALIGNMENT_CHECK: u32 = 17;
/// Where Linux's own addresses begin, with the page before them.
const END_OF_USER: u64 = 0x7FFF_FFFF_F000;
/// The error code's bit for a page that is there.
const PRESENT: u32 = 1;
const REGISTERS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];

/// All that differs, in words: `what native/engine`. Nothing if nothing does.
pub fn differences(case: &Case, native: &Outcome, engine: &Outcome) -> Vec<String> {
    match (native, engine) {
        (Outcome::Stopped(native), Outcome::Stopped(engine)) => stops(case, native, engine),
        (Outcome::SystemCall, _) => Vec::new(),
        (Outcome::Hung, Outcome::Hung) => Vec::new(),
        (Outcome::Hung, Outcome::Stopped(_)) if intel::may_hang(case) => Vec::new(),
        (native, engine) => vec![format!("native: {}, engine: {}", name(native), name(engine))],
    }
}

fn name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Stopped(stop) => format!("exception {} at {:#x}", stop.exception.vector, stop.state.rip),
        Outcome::SystemCall => "a system call".into(),
        Outcome::Hung => "did not stop".into(),
        Outcome::Lost(reason) => reason.clone(),
    }
}

/// Whether the case began and ended in 64-bit code. Other code cannot see the upper halves of registers.
fn is_long(case: &Case, stop: &Stop) -> bool {
    case.mode == Mode::Bits64 && stop.state.selectors[1] == layout::CS64
}

/// A selector as far as the native side sees it: returning from the kernel clears the RPL of null selectors in data
/// segment registers.
fn seen(segment: usize, selector: u16) -> u64 {
    let is_null = selector < 4 && !matches!(segment, 1 | 2);
    if is_null { 0 } else { selector.into() }
}

/// Whether the engine refuses what only AMD's processors let pass: MXCSR's bit 17, and FXSAVE and FXRSTOR of images across the
/// end of a segment of 4 GiB.
fn is_refused(native: &Stop, engine: &Stop, first: &Instruction) -> bool {
    const MISALIGNED: u32 = 1 << 17;
    let moves_image = matches!(first.mnemonic(), Mnemonic::Fxsave | Mnemonic::Fxrstor);
    let differs =
        native.exception.vector != GENERAL_PROTECTION && engine.exception.vector == GENERAL_PROTECTION;
    differs && (native.state.fx.mxcsr() & MISALIGNED != 0 || moves_image)
}

/// Whether one of them wanted bytes from behind the code of an instruction that the other has found invalid already.
fn fetches_further(native: &Stop, engine: &Stop) -> bool {
    let wants = |stop: &Stop| {
        stop.exception.vector == PAGE_FAULT && stop.exception.address == u64::from(layout::CODE_END)
    };
    let refuses = |stop: &Stop| stop.exception.vector == INVALID_OPCODE;
    let disagree = (wants(native) && refuses(engine)) || (refuses(native) && wants(engine));
    disagree && native.state.rip == engine.state.rip
}

/// Whether it is an opcode that does not exist, and too long with operands it would have: #UD or #GP, the manuals do not say.
fn is_long_and_invalid(case: &Case, native: &Stop, engine: &Stop) -> bool {
    const PREFIXES: [u8; 11] = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3];
    let start = native.state.rip.wrapping_sub(case.state.rip) as usize;
    let code = case.code.get(start..).unwrap_or_default();
    let prefixes = code.iter().take_while(|byte| PREFIXES.contains(byte)).count();
    let either = [INVALID_OPCODE, GENERAL_PROTECTION];
    prefixes >= 7
        && [native, engine].iter().all(|stop| either.contains(&stop.exception.vector))
        && native.state.rip == engine.state.rip
}

/// Whether a case stopped at a fault of segmentation or paging of the instruction at this address.
fn is_fault_at(rip: u64, stop: &Stop) -> bool {
    let vector = stop.exception.vector;
    ((10..=PAGE_FAULT).contains(&vector) || vector == ALIGNMENT_CHECK) && stop.state.rip == rip
}

struct Differences(Vec<String>);

impl Differences {
    fn check(&mut self, name: &str, native: u64, engine: u64) {
        if native != engine {
            self.0.push(format!("{name} {native:x}/{engine:x}"));
        }
    }

    fn bytes(&mut self, name: &str, native: &[u8], engine: &[u8]) {
        if native != engine {
            let hex = |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
            self.0.push(format!("{name} {}/{}", hex(native), hex(engine)));
        }
    }
}

fn stops(case: &Case, native: &Stop, engine: &Stop) -> Vec<String> {
    let mut found = Differences(Vec::new());
    let (before, after) = (&native.state, &engine.state);
    let first = decode(case.mode, &case.code, case.state.rip).0;
    let stopped_at = before.rip;
    let is_inside = (case.state.rip..case.state.rip + case.code.len() as u64).contains(&stopped_at);
    if is_inside
        && undefined::has_free_order(&undefined::instruction_at(case, stopped_at))
        && [native, engine].into_iter().all(|stop| is_fault_at(stopped_at, stop))
    {
        return found.0;
    }
    if is_refused(native, engine, &first)
        || fetches_further(native, engine)
        || is_long_and_invalid(case, native, engine)
        || intel::goes_its_own_way(case, native, engine)
    {
        return found.0;
    }
    let ignored = intel::ignored(case, native);
    exceptions(&mut found, native, engine, ignored.address);
    found.check("rip", before.rip, after.rip);
    let completed = native.state.rip != case.state.rip || undefined::is_loop(case);
    let undefined_result = match completed {
        true => undefined::result(&first, Some(&case.state)),
        false => undefined::result_at_fault(&first),
    };
    if !undefined_result {
        let (registers, mask) = if is_long(case, native) { (16, u64::MAX) } else { (8, u64::from(u32::MAX)) };
        for (register, name) in REGISTERS.iter().enumerate().take(registers) {
            let is_index = matches!(*name, "rcx" | "rsi" | "rdi");
            let mask = if is_index && ignored.upper_halves { u64::from(u32::MAX) } else { mask };
            found.check(name, before.gprs[register] & mask, after.gprs[register] & mask);
        }
        memory(&mut found, case, &first, native, engine);
    }
    let undefined_flags = if completed {
        undefined::flags_at(case, native.state.rip) | ignored.flags
    } else {
        undefined::flags_at_fault(&first)
    };
    let mask = FLAGS & !undefined_flags;
    found.check("flags", before.rflags & mask, after.rflags & mask);
    for (segment, name) in SEGMENTS.iter().enumerate() {
        found.check(name, seen(segment, before.selectors[segment]), seen(segment, after.selectors[segment]));
    }
    found.check("fs.base", before.bases[0], after.bases[0]);
    found.check("gs.base", before.bases[1], after.bases[1]);
    fx(&mut found, case, &before.fx, &after.fx, ignored.x87);
    found.0
}

fn exceptions(found: &mut Differences, native: &Stop, engine: &Stop, ignores_address: bool) {
    let (expected, got) = (native.exception, engine.exception);
    found.check("exception", expected.vector.into(), got.vector.into());
    if expected.vector != got.vector {
        return;
    }
    let mut mask = u32::MAX;
    if expected.vector == PAGE_FAULT {
        if !ignores_address {
            found.check("cr2", expected.address, got.address);
        }
        // Linux does not tell programs which of its own pages are there.
        if expected.address >= END_OF_USER {
            mask &= !PRESENT;
        }
    }
    found.check("error", (expected.error_code & mask).into(), (got.error_code & mask).into());
}

/// x87, MMX and SSE. Pointers to the last x87 instruction are not looked at: AMD processors keep them only
/// while an exception is pending (APM vol. 2, 11.5).
fn fx(found: &mut Differences, case: &Case, native: &FxImage, engine: &FxImage, ignores_top: bool) {
    if native == engine {
        return;
    }
    let tolerance = approximate::tolerance(case);
    found.check("fcw", native.control().into(), engine.control().into());
    // C1 says which way an approximation was rounded.
    let mut status = if tolerance == Tolerance::LastPlace { !(1 << 9) } else { u16::MAX };
    if ignores_top {
        status &= !TOP;
    }
    found.check("fsw", (native.status() & status).into(), (engine.status() & status).into());
    if !ignores_top {
        found.check("ftw", native.0[4].into(), engine.0[4].into());
    }
    found.check("mxcsr", native.mxcsr().into(), engine.mxcsr().into());
    for register in 0..8 {
        let (native, engine) = (native.st(register), engine.st(register));
        if !ignores_top && !tolerance.accepts_st(&native, &engine) {
            found.bytes(&format!("st{register}"), &native, &engine);
        }
    }
    let registers = if case.mode == Mode::Bits64 { 16 } else { 8 };
    for register in 0..registers {
        let (native, engine) = (native.xmm(register), engine.xmm(register));
        if !tolerance.accepts_xmm(native, engine) {
            found.bytes(&format!("xmm{register}"), &native.to_le_bytes(), &engine.to_le_bytes());
        }
    }
}

fn memory(found: &mut Differences, case: &Case, first: &Instruction, native: &Stop, engine: &Stop) {
    if native.changes.sum == engine.changes.sum && native.changes.count == engine.changes.count {
        return;
    }
    let mut regions: Vec<(u32, Vec<u8>)> =
        REGIONS.iter().map(|region| (region.start, layout::background(*region))).collect();
    for patch in &case.patches {
        overwrite(&mut regions, patch.address, &patch.bytes);
    }
    let mut words: BTreeMap<u32, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for (address, word) in native.changes.named() {
        words.entry(address).or_default().0 = Some(word);
    }
    for (address, word) in engine.changes.named() {
        words.entry(address).or_default().1 = Some(word);
    }
    let unspecified = unspecified(case, first);
    let mut named = 0;
    for (address, (expected, got)) in words {
        let before = word_at(&regions, address);
        let expected = expected.unwrap_or(before).to_le_bytes();
        let got = got.unwrap_or(before).to_le_bytes();
        for byte in 0..8 {
            let at = address + byte as u32;
            let ignored = unspecified.iter().any(|range| range.contains(&at));
            if expected[byte] != got[byte] && !ignored {
                named += 1;
                if named <= 4 {
                    found.check(&format!("[{at:x}]"), expected[byte].into(), got[byte].into());
                }
            }
        }
    }
    let beyond = native.changes.count.max(engine.changes.count) as usize > crate::case::NAMED_CHANGES;
    if named > 4 || (named == 0 && beyond && unspecified.is_empty()) {
        found.0.push(format!("memory {}/{} words", native.changes.count, engine.changes.count));
    }
}

fn word_at(regions: &[(u32, Vec<u8>)], address: u32) -> u64 {
    for (start, region) in regions {
        let at = address.wrapping_sub(*start) as usize;
        if let Some(bytes) = region.get(at..at.saturating_add(8)) {
            return little_endian(bytes);
        }
    }
    0
}

/// Bytes that the instruction stores and nobody specifies: pointers of the x87, reserved fields.
fn unspecified(case: &Case, first: &Instruction) -> Vec<std::ops::Range<u32>> {
    if first.op_count() == 0 || first.op0_kind() != OpKind::Memory {
        return Vec::new();
    }
    let address = first.virtual_address(0, 0, |register, _, _| {
        Some(match register.full_register() {
            iced_x86::Register::FS => layout::FS_BASE.into(),
            iced_x86::Register::GS => layout::GS_BASE.into(),
            full if full.is_gpr64() => {
                let value = case.state.gprs[full.number()];
                if register.size() == 4 {
                    value & u64::from(u32::MAX)
                } else {
                    value & (u64::MAX >> (64 - 8 * register.size().min(8)))
                }
            }
            _ => 0,
        })
    });
    let at = address.unwrap_or(0) as u32;
    let range = |start: u32, end: u32| at.wrapping_add(start)..at.wrapping_add(end);
    let is_short = first.memory_size().size() == 14 || first.memory_size().size() == 94;
    match first.mnemonic() {
        Mnemonic::Fxsave | Mnemonic::Fxsave64 => {
            let mut ranges = vec![range(5, 24), range(28, 32), range(416, 512)];
            ranges.extend((0..8).map(|register| range(42 + 16 * register, 48 + 16 * register)));
            ranges
        }
        Mnemonic::Fnstenv | Mnemonic::Fnsave if is_short => vec![range(6, 14)],
        // The upper halves of words are reserved, and then the pointers come.
        Mnemonic::Fnstenv | Mnemonic::Fnsave => {
            vec![range(2, 4), range(6, 8), range(10, 28)]
        }
        _ => Vec::new(),
    }
}
