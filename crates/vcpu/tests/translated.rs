//! Translated code does what the interpreter does: random programs leave the same RAM and the same count of
//! instructions both ways.
//!
//! A machine executes each program in several states. Once it has done so, what it has executed is translated, and two
//! machines go on from its snapshot and do it all again: one interprets, the other has the translated code.

#[path = "translated/bus.rs"]
mod bus;
#[path = "translated/cases.rs"]
mod cases;
#[path = "translated/machine.rs"]
mod machine;
#[path = "translated/mixed.rs"]
mod mixed;
#[path = "../../../engine/tests/programs/mod.rs"]
mod programs;

use std::path::PathBuf;
use std::sync::LazyLock;

use bus::{TIMER_VECTOR, Timer};
use cases::{Guest, PROGRAMS, STARTS};
use machine::*;
use programs::Random;
use wasm_sandbox_vcpu::{CpuEngine, EngineKind, EngineModule, EngineSnapshot, Slice};

/// Slices after which a machine that has not come to its end never will.
const ENOUGH_SLICES: u64 = 20_000;

/// How often code was executed that is translated first, where the rest is translated later.
const OFTEN: u32 = 2;

/// The engine, which the build makes.
static ENGINE: LazyLock<EngineModule> = LazyLock::new(|| {
    let target = || {
        let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from).join("artifacts")
    };
    let directory = std::env::var_os("WASM_SANDBOX_ARTIFACTS").map_or_else(target, PathBuf::from);
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make build`", path.display()))
    };
    let (code, wasm) = (read("wx86.cwasm"), read("wx86.wasm"));
    #[allow(unsafe_code)]
    // SAFETY: the build has made one from the other, and writes files in whole.
    let module = unsafe { EngineModule::load(EngineKind::Wx86, &code, wasm) };
    module.expect("the engine fits; else run `make build`")
});

type Cpu = Box<dyn CpuEngine<Timer>>;

/// The programs of a batch, and the cases in their order.
struct Batch {
    guests: Vec<Guest>,
    /// The number of each case's program.
    order: Vec<u64>,
    long: bool,
}

/// What a machine has done up to its end.
struct Run {
    instructions: u64,
    ram: Vec<u8>,
    /// Instructions at the start and the end of each case.
    counts: Vec<u64>,
}

impl Run {
    fn result(&self, case: usize) -> &[u8] {
        &self.ram[RESULTS as usize + case * RECORD as usize..][..RECORD as usize]
    }
}

/// Runs a machine up to its end.
fn run(cpu: &mut Cpu, what: &str) -> Run {
    let before = cpu.statistics().instructions;
    for _ in 0..ENOUGH_SLICES {
        let slice = cpu.run().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(slice, Slice::Ran, "{what}: a program has harmed the driver");
        if cpu.bus().ended {
            let instructions = cpu.statistics().instructions - before;
            let counts = std::mem::take(&mut cpu.bus().counts).iter().map(|count| count - before).collect();
            return Run { instructions, ram: cpu.ram_and_bus().0.to_vec(), counts };
        }
    }
    panic!("{what}: it does not end");
}

impl Batch {
    fn new(first_seed: u64, long: bool, ram: &mut [u8]) -> Self {
        let mut machine = Machine { ram, long };
        let mut guests: Vec<Guest> =
            (0..PROGRAMS).map(|number| Guest::new(first_seed + number, long)).collect();
        for (number, guest) in (0..).zip(&mut guests) {
            let (data, code) = (guest.data(), guest.frames_of_code());
            machine.write(DATA + number * DATA_BYTES, &data);
            machine.write(CODE_FRAMES + number * CODE_BYTES, &code);
            machine.write(PRISTINE_CODE + number * CODE_BYTES, &code);
        }
        // A program several times in a row, or after all the others.
        let in_a_row = Random(first_seed).percent(50);
        let of_case = |case| if in_a_row { case / STARTS } else { case % PROGRAMS };
        let order: Vec<u64> = (0..PROGRAMS * STARTS).map(of_case).collect();
        for (at, &number) in (CASES..).step_by(RECORD as usize).zip(&order) {
            let case = guests[number as usize].case(number);
            machine.write(at, &case);
        }
        machine.lay_out(order.len() as u64);
        Self { guests, order, long }
    }

    /// What there is to know of a case.
    fn describe(&self, case: usize, run: &Run) -> String {
        let number = self.order[case] as usize;
        let guest = &self.guests[number];
        let (start, code) = (guest.start, &guest.code);
        let record = &run.ram[CASES as usize + case * RECORD as usize..];
        let words = |bytes: &[u8]| -> Vec<u64> {
            if self.long {
                bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
            } else {
                bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word).into()).collect()
            }
        };
        let entries = record[CASE_ENTRIES as usize..CASE_WORDS as usize].as_chunks::<16>().0.iter();
        let entries: Vec<_> = entries
            .map(|entry| u128::from_le_bytes(*entry))
            .map(|entry| (entry as u64, entry >> 64))
            .collect();
        format!(
            "case {case}, program {number}, seed {:#x}, ring 0: {}, at {start:x}: {code:02x?}\n\
             start {:x?}\nentries {entries:x?}",
            guest.seed,
            guest.kernel,
            words(&record[CASE_WORDS as usize..CASE_FX as usize]),
        )
    }

    /// The vector of the event that has ended a case.
    fn vector(&self, case: usize, run: &Run) -> u8 {
        run.result(case)[if self.long { 15 * 8 } else { 7 * 4 }]
    }

    /// Compares the results of all cases; `exactly`: with the count of instructions, and also where the timer has
    /// ended a case.
    fn compare(&self, one: &Run, other: &Run, exactly: bool) {
        for case in 0..self.order.len() {
            if !exactly && [one, other].iter().any(|run| self.vector(case, run) == TIMER_VECTOR) {
                continue;
            }
            let (a, b) = (one.result(case), other.result(case));
            let differ: Vec<String> = (0..a.len())
                .step_by(4)
                .filter(|at| a[*at..at + 4] != b[*at..at + 4])
                .map(|at| format!("{at:x}: {:02x?} {:02x?}", &a[at..at + 4], &b[at..at + 4]))
                .collect();
            assert!(differ.is_empty(), "{}\nresults {differ:#?}", self.describe(case, one));
            let spent = |run: &Run| [run.counts[2 * case], run.counts[2 * case + 1]];
            if exactly {
                assert!(
                    spent(one) == spent(other),
                    "{}\n{:?} {:?}",
                    self.describe(case, one),
                    spent(one),
                    spent(other)
                );
            }
        }
    }
}

/// The snapshot with its machine code, which is that of all its code or of some.
fn with_code(snapshot: &EngineSnapshot, all: bool) -> EngineSnapshot {
    let directory = tempfile::tempdir().unwrap();
    let parts = snapshot.compile_code(2).unwrap();
    assert_eq!(parts.len(), 2, "the driver and the programs");
    let mut snapshot = snapshot.clone();
    for (number, (part, least)) in parts.iter().zip([10_000, if all { 100_000 } else { 10_000 }]).enumerate()
    {
        assert!(part.len() > least, "part {number} has {} bytes", part.len());
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, part).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: it was compiled just now, and nobody else writes to the directory.
        unsafe { snapshot.load_code(&ENGINE, &path) }.unwrap();
    }
    snapshot
}

/// Executes a batch of programs in all ways.
fn check(first_seed: u64, long: bool) {
    let mut cpu: Cpu = ENGINE.power_on(RAM, Timer::default()).unwrap();
    let batch = Batch::new(first_seed, long, cpu.ram_and_bus().0);
    cpu.set_boot_registers(boot(long)).unwrap();
    cpu.renew_code().unwrap();
    let counted = run(&mut cpu, "counting");
    // All of it, or what is executed often, and the rest later.
    let least = if (first_seed / PROGRAMS).is_multiple_of(2) { 1 } else { OFTEN };
    cpu.translate_code(least).unwrap();
    let snapshot = cpu.snapshot().unwrap();
    drop(cpu);
    let translated = with_code(&snapshot, least == 1);
    let [interpreted, translated] =
        [("interpreted", &snapshot), ("translated", &translated)].map(|(what, snapshot)| {
            let mut cpu: Cpu = ENGINE.restore(snapshot, Timer::default()).unwrap();
            if what == "translated" && least > 1 {
                assert!(cpu.translate_programs().unwrap(), "something is left");
            }
            run(&mut cpu, what)
        });
    batch.compare(&interpreted, &translated, true);
    assert_eq!(interpreted.instructions, translated.instructions);
    let differs = interpreted.ram.iter().zip(&translated.ram).position(|(one, other)| one != other);
    assert_eq!(differs, None, "a place in RAM");
    batch.compare(&counted, &interpreted, false);
    // Else they would test little.
    let events = (0..batch.order.len()).filter(|case| batch.vector(*case, &counted) != TIMER_VECTOR).count();
    assert!(events * 2 > batch.order.len(), "{events} of {} programs came to an event", batch.order.len());
}

fn check_batches(first_seed: u64, long: bool) {
    let full = std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some();
    for batch in 0..if full { 200 } else { 15 } {
        check(first_seed + batch * PROGRAMS, long);
    }
}

#[test]
fn translated_32_bit_programs_do_what_interpreted_ones_do() {
    check_batches(0, false);
}

#[test]
fn translated_64_bit_programs_do_what_interpreted_ones_do() {
    check_batches(1 << 40, true);
}
