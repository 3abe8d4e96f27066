//! A CPU that is moved while its guest makes translated code: to fresh host structures, and through snapshots.
//!
//! The guest changes its own code again and again, so that translations come and go; what it computes tells
//! whether one of them was lost, mixed up or run after its time.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use wasm_sandbox_vcpu::{
    BootMode, BootRegisters, Bus, CpuEngine, EngineKind, EngineModule, EngineSnapshot, EngineState,
    InterruptChanges, MemoryImage, OwnState, PAGE, Slice, TranslationsState, WrittenRanges,
};

const RAM: u64 = 16 << 20;
/// Where the guest starts, and its page that changes.
const PROGRAM: usize = 0x10_0000;
const HOT_PAGE: u32 = 0x20_0000;
/// Where results are written.
const PORT: u16 = 0x10;
/// Rounds of the hot loop, of three instructions each: translation begins after 200 000.
const ROUNDS: u32 = 400_000;

/// v86.wasm, which the build fetches.
static ENGINE: LazyLock<EngineModule> = LazyLock::new(|| {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/artifacts");
    let directory = std::env::var_os("WASM_SANDBOX_ARTIFACTS").map_or_else(default, PathBuf::from);
    let path = directory.join("v86.wasm");
    let wasm =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make build`", path.display()));
    EngineModule::compile(EngineKind::V86, wasm).expect("the engine fits")
});

/// A bus with one port that takes notes.
struct Notes {
    started: Instant,
    results: Arc<Mutex<Vec<u32>>>,
}

impl Bus for Notes {
    fn now(&mut self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn random(&mut self) -> u32 {
        4
    }

    fn port_read(&mut self, _: u16, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        data.fill(0xFF);
    }

    fn port_write(&mut self, port: u16, data: &[u8], _: &mut [u8], _: &mut WrittenRanges) {
        assert_eq!(port, PORT);
        self.results.lock().unwrap().push(u32::from_le_bytes(data.try_into().unwrap()));
    }

    fn mmio_read(&mut self, _: u64, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        data.fill(0xFF);
    }

    fn mmio_write(&mut self, _: u64, _: &[u8], _: &mut [u8], _: &mut WrittenRanges) {}

    fn advance(&mut self, _: &mut [u8], _: &mut WrittenRanges) -> Option<Duration> {
        None
    }

    fn take_interrupt_changes(&mut self) -> InterruptChanges {
        InterruptChanges::default()
    }

    fn interrupt_line(&self) -> bool {
        false
    }

    fn acknowledge_interrupt(&mut self) -> u8 {
        0xFF
    }

    fn stop_requested(&self) -> bool {
        false
    }

    fn note_instructions(&mut self, _: u64) {}

    fn counts_instructions(&self) -> bool {
        false
    }
}

type Cpu = Box<dyn CpuEngine<Notes>>;
type Results = Arc<Mutex<Vec<u32>>>;

fn bus() -> (Notes, Results) {
    let results = Results::default();
    (Notes { started: Instant::now(), results: results.clone() }, results)
}

/// A CPU at the start of the program.
fn start() -> (Cpu, Results) {
    let (bus, results) = bus();
    let mut cpu: Cpu = ENGINE.power_on(RAM, bus).unwrap();
    let [_, hot1, hot2, hot3] = HOT_PAGE.to_le_bytes();
    let [r0, r1, r2, r3] = ROUNDS.to_le_bytes();
    let call_from = PROGRAM as u32 + 28;
    let [c0, c1, c2, c3] = HOT_PAGE.wrapping_sub(call_from).to_le_bytes();
    #[rustfmt::skip]
    let program = [
        0xBC, 0x00, 0x00, 0x30, 0x00,             // mov esp, 0x300000
        0xBE, 0x01, 0x00, 0x00, 0x00,             // mov esi, 1
        0x89, 0x35, 0x01, hot1, hot2, hot3,       // next: mov [hot + 1], esi
        0xB9, r0, r1, r2, r3,                     // mov ecx, ROUNDS
        0x31, 0xC0,                               // xor eax, eax
        0xE8, c0, c1, c2, c3,                     // call hot
        0xE7, PORT as u8,                         // out PORT, eax
        0x46,                                     // inc esi
        0xEB, 0xE9,                               // jmp next
    ];
    #[rustfmt::skip]
    let hot = [
        0x05, 0, 0, 0, 0,                         // hot: add eax, <changes>
        0x49,                                     // dec ecx
        0x75, 0xF8,                               // jnz hot
        0xC3,                                     // ret
    ];
    let (ram, _) = cpu.ram_and_bus();
    ram[PROGRAM..PROGRAM + program.len()].copy_from_slice(&program);
    ram[HOT_PAGE as usize..HOT_PAGE as usize + hot.len()].copy_from_slice(&hot);
    let registers = BootRegisters {
        mode: BootMode::Protected,
        rip: PROGRAM as u64,
        rsi: 0,
        cr3: 0,
        gdt_base: 0,
        gdt_limit: 0,
    };
    cpu.set_boot_registers(registers).unwrap();
    (cpu, results)
}

fn translations(state: EngineState) -> TranslationsState {
    match state.own {
        OwnState::V86(translations) => translations,
        other => panic!("{other:?}"),
    }
}

/// What the program writes in its `number`th turn, from 1 on.
fn expected(number: u32) -> u32 {
    number.wrapping_mul(ROUNDS)
}

fn count(results: &Results) -> u32 {
    results.lock().unwrap().len() as u32
}

fn run_to(cpu: &mut Cpu, results: &Results, turns: u32) {
    while count(results) < turns {
        assert_eq!(cpu.run().unwrap(), Slice::Ran);
    }
}

/// All results so far are those of the turns from `first` on.
fn check(results: &Results, first: u32) {
    let results = results.lock().unwrap();
    let expected: Vec<u32> = (first..).take(results.len()).map(expected).collect();
    assert_eq!(*results, expected);
}

#[test]
fn the_program_is_translated_while_it_changes() {
    let (mut cpu, results) = start();
    run_to(&mut cpu, &results, 20);
    check(&results, 1);
    let statistics = cpu.statistics();
    assert!(statistics.modules_compiled >= 10, "{statistics:?}: this file tests nothing");
    assert!(statistics.instructions >= 20 * 3 * u64::from(ROUNDS), "{statistics:?}");
}

#[test]
fn recycling_after_every_slice_changes_nothing() {
    let (mut cpu, results) = start();
    let place = cpu.ram_and_bus().0.as_ptr();
    for _ in 0..150 {
        assert_eq!(cpu.run().unwrap(), Slice::Ran);
        cpu = cpu.recycle().unwrap();
        assert_eq!(cpu.ram_and_bus().0.as_ptr(), place, "memory was copied");
        assert_eq!(cpu.ram_and_bus().0.len() as u64, RAM);
    }
    let turns = count(&results) + 5;
    run_to(&mut cpu, &results, turns);
    check(&results, 1);
}

#[test]
fn counters_go_on_when_the_cpu_is_recycled() {
    let (mut cpu, results) = start();
    run_to(&mut cpu, &results, 8);
    let before = cpu.statistics();
    cpu = cpu.recycle().unwrap();
    assert_eq!(cpu.statistics(), before);
    let turns = count(&results) + 8;
    run_to(&mut cpu, &results, turns);
    let after = cpu.statistics();
    assert!(after.instructions > before.instructions && after.modules_compiled > before.modules_compiled);
}

#[test]
fn translated_code_survives_recycling() {
    let (mut cpu, results) = start();
    run_to(&mut cpu, &results, 4);
    let translated = loop {
        assert_eq!(cpu.run().unwrap(), Slice::Ran);
        let translated = translations(cpu.snapshot().unwrap().state()).translated;
        if !translated.is_empty() {
            break translated;
        }
    };
    cpu = cpu.recycle().unwrap();
    assert_eq!(translations(cpu.snapshot().unwrap().state()).translated, translated);
    run_to(&mut cpu, &results, 12);
    check(&results, 1);
}

#[test]
fn it_is_time_to_recycle_long_before_wasmtime_ends() {
    // Each module that was ever installed counts, so that a machine cannot reach wasmtime's limit of 10 000.
    let (mut cpu, results) = start();
    run_to(&mut cpu, &results, 8);
    assert!(!cpu.wants_recycling());
    let full_tests = std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some();
    if full_tests {
        while !cpu.wants_recycling() {
            assert_eq!(cpu.run().unwrap(), Slice::Ran);
            assert!(cpu.statistics().modules_compiled < 8000);
        }
        cpu = cpu.recycle().unwrap();
        assert!(!cpu.wants_recycling());
        let turns = count(&results) + 8;
        run_to(&mut cpu, &results, turns);
        check(&results, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_moves_at_any_time_change_nothing(moves in prop::collection::vec((0u32..40, 0u8..3), 1..8)) {
        let (mut cpu, mut results) = start();
        let mut first = 1;
        for (slices, kind) in moves {
            for _ in 0..slices {
                prop_assert_eq!(cpu.run().unwrap(), Slice::Ran);
            }
            match kind {
                0 => cpu = cpu.recycle().unwrap(),
                1 => {
                    let snapshot = cpu.snapshot().unwrap();
                    check(&results, first);
                    first += count(&results);
                    let (bus, fresh) = bus();
                    results = fresh;
                    cpu = ENGINE.restore(&snapshot, bus).unwrap();
                }
                _ => {
                    // One that goes its own way must not disturb this one.
                    let (bus, others) = bus();
                    let start = first + count(&results);
                    let mut other: Cpu = ENGINE.restore(&cpu.snapshot().unwrap(), bus).unwrap();
                    run_to(&mut other, &others, 2);
                    check(&others, start);
                }
            }
        }
        let turns = count(&results) + 3;
        run_to(&mut cpu, &results, turns);
        check(&results, first);
    }
}

/// Whether a CPU can be made that goes on from the state of a real one with this much memory.
fn goes_on_with(size: u64) -> bool {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let mut state = start().0.snapshot().unwrap().state();
    state.ram = 0..size.min(16 << 20);
    state.own = OwnState::V86(TranslationsState { translated: Vec::new(), ..translations(state.clone()) });
    let snapshot = EngineSnapshot::from_state(MemoryImage::zeroed(size), state, &file, 0);
    snapshot.is_ok_and(|snapshot| ENGINE.restore(&snapshot, bus().0).is_ok())
}

#[test]
fn memories_that_no_cpu_has_are_refused() {
    const GIB: u64 = 1 << 30;
    assert!(goes_on_with(64 << 20), "otherwise this test tests nothing");
    let sizes = [
        0,
        PAGE,
        64 << 10,
        (64 << 20) + PAGE,
        4 * GIB + PAGE,
        4 * GIB + (64 << 10),
        5 * GIB,
        u64::MAX - 0xFFFF,
        1 << 63,
    ];
    for size in sizes {
        assert!(!goes_on_with(size), "{size} bytes");
    }
}

#[test]
fn a_translation_under_way_that_is_none_does_no_harm() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    for wasm in [b"".to_vec(), b"\0asm\x01\0\0\0".to_vec(), vec![0xFF; 100_000]] {
        let (mut cpu, _) = start();
        let snapshot = cpu.snapshot().unwrap();
        let pending = Some((0, 0x1000, 0, wasm));
        let own = OwnState::V86(TranslationsState { pending, ..translations(snapshot.state()) });
        let state = EngineState { own, ..snapshot.state() };
        let snapshot = EngineSnapshot::from_state(snapshot.memory().clone(), state, &file, 0).unwrap();
        let (bus, results) = bus();
        let mut cpu: Cpu = ENGINE.restore(&snapshot, bus).unwrap();
        // It is an error of the machine, unless a translation of the guest's own takes its place before.
        while count(&results) < 5 && cpu.run().is_ok() {}
        check(&results, 1);
    }
}
