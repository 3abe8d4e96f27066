//! Robustness: whatever a guest does, the engine comes back.

use crate::case::{FxImage, Mode, State};
use crate::generate::{Catalogue, Generator, Shape};
use crate::guest::{Guest, RAM, SYSTEM, SYSTEM_END, System, TABLES};
use crate::layout::{CODE, CODE_END, DATA, DS};
use crate::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use wasm_sandbox_engine::testing::Controls;

/// What is random besides the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program of ring 3.
    User,
    /// A program of ring 0, which may change anything.
    Kernel,
    /// Page tables; a program of either ring.
    PageTables,
    /// Descriptor tables and control registers; a program of either ring.
    Tables,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Kernel, Self::PageTables, Self::Tables];
}

/// How many instructions programs are put together from.
const POOL: u64 = 20_000;
/// Instructions of a program.
const BUDGET: u64 = 3000;
/// A program that takes longer than this never comes back.
const PATIENCE: Duration = Duration::from_secs(60);

/// 64-bit code of ring 0, and its data.
const KERNEL_CS: u16 = 0x10;
const KERNEL_DS: u16 = 0x18;
/// 32-bit code of ring 0.
const KERNEL_CS32: u16 = 0x08;

/// Runs random programs.
pub struct Fuzzer {
    guest: Guest,
    ram: Vec<u8>,
    /// Instructions of 32-bit and of 64-bit code.
    instructions: [Vec<Vec<u8>>; 2],
}

impl Default for Fuzzer {
    fn default() -> Self {
        let mut guest = Guest::new(System::Long, true);
        guest.return_from_exceptions();
        let ram = guest.cpu().ram().to_vec();
        let instructions = [Mode::Bits32, Mode::Bits64].map(|mode| {
            let catalogue = Catalogue::new(mode, |_, _| true);
            let generator = Generator { catalogue, shape: Shape::Single, seed: 0 };
            (0..POOL).filter_map(|number| generator.sample(number)).map(|sample| sample.case.code).collect()
        });
        Self { guest, ram, instructions }
    }
}

impl Fuzzer {
    /// Runs one program; says how many instructions.
    pub fn run(&mut self, target: Target, seed: u64, number: u64) -> u64 {
        let random = &mut Random::of(seed, number);
        let mode = if random.one_in(2) { Mode::Bits32 } else { Mode::Bits64 };
        self.guest.cpu().ram().copy_from_slice(&self.ram);
        let program = self.program(random, mode);
        self.guest.put(CODE.into(), &program);
        self.guest.set_controls();
        match target {
            Target::PageTables => self.page_tables(random),
            Target::Tables => self.tables(random),
            Target::User | Target::Kernel => {}
        }
        self.guest.cpu().code_changed(0, RAM as u64);
        let is_kernel = target == Target::Kernel || (target != Target::User && random.one_in(2));
        let state = state(random, mode, is_kernel);
        self.guest.load(&state, mode);
        let cpu = self.guest.cpu();
        cpu.settle(if is_kernel { 0 } else { 3 });
        let before = cpu.instructions();
        let _ = cpu.run(1 + random.below(BUDGET));
        cpu.instructions().wrapping_sub(before)
    }

    /// Code of random instructions, random bytes, or both.
    fn program(&self, random: &mut Random, mode: Mode) -> Vec<u8> {
        let length = (CODE_END - CODE) as usize;
        let mut code: Vec<u8> = Vec::with_capacity(length + 16);
        let kinds = random.below(4);
        while code.len() < length {
            if kinds == 0 || (kinds == 1 && random.one_in(4)) {
                code.extend(random.next().to_le_bytes());
            } else {
                let pool = &self.instructions[usize::from(mode == Mode::Bits64)];
                code.extend(&pool[random.index(pool.len())]);
            }
            if code.len() > 256 && random.one_in(20) {
                // The same over and over.
                let again = code.clone();
                while code.len() < length {
                    code.extend(&again);
                }
            }
        }
        code.truncate(length);
        code
    }

    /// Entries that mostly lead into RAM.
    fn page_tables(&mut self, random: &mut Random) {
        let everything = random.one_in(8);
        for _ in 0..1 + random.below(40) {
            let at = TABLES + (random.below(7) << 12) + random.below(512) * 8;
            let known = random.pick(&[0, 0, 511 * 8, 510 * 8, 0x20 * 8]);
            let at = if random.one_in(2) { at & !0xFFF | known } else { at };
            let entry = match random.below(3) {
                0 => random.next(),
                1 => random.below(0x80) << 12 | random.next() & 0xFFF,
                _ => random.below(0x80) << 12 | 7 | random.next() & 0x8000_0000_0000_0180,
            };
            self.guest.put(at, &entry.to_le_bytes());
        }
        if everything {
            for at in (TABLES..TABLES + 0x7000).step_by(8) {
                self.guest.put(at, &random.next().to_le_bytes());
            }
        }
        let mut controls = controls(random, false);
        if random.one_in(2) {
            controls.cr3 = random.next() & 0x7_FFFF;
        }
        self.guest.cpu().set_controls(controls);
    }

    /// Descriptors, gates, task state.
    fn tables(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(100) {
            let at = (SYSTEM + random.below(SYSTEM_END - SYSTEM)) & !7;
            self.guest.put(at, &random.next().to_le_bytes());
        }
        let controls = controls(random, true);
        let cpu = self.guest.cpu();
        cpu.set_controls(controls);
        for table in [&mut cpu.gdtr, &mut cpu.idtr] {
            if random.one_in(6) {
                table.base = random.next() & random.pick(&[0x7_FFFF, u64::MAX]);
            }
            if random.one_in(6) {
                table.limit = random.next() as u16;
            }
        }
        if random.one_in(4) {
            cpu.dr = std::array::from_fn(|_| random.next() & random.pick(&[0x2_1FFF, u64::MAX]));
        }
    }
}

/// The usual control registers with a few other bits.
fn controls(random: &mut Random, wild: bool) -> Controls {
    let mut controls = Controls { cr0: 0x8005_0033, cr3: TABLES, cr4: 0x1_0EA0, efer: 0xD01 };
    for _ in 0..random.below(4) {
        match random.below(3) {
            0 => controls.cr0 ^= 1 << random.below(32),
            1 => controls.cr4 ^= 1 << random.below(24),
            _ if wild => controls.efer ^= 1 << random.below(16),
            _ => {}
        }
    }
    controls
}

/// Registers that often lead to memory.
fn state(random: &mut Random, mode: Mode, is_kernel: bool) -> State {
    let mut state = State::new(mode);
    for register in &mut state.gprs {
        *register = match random.below(4) {
            0 => random.next(),
            1 => random.below(0x1_0000),
            _ => u64::from(DATA) + random.below(0x3000),
        };
    }
    state.gprs[4] = 0xC000 + random.below(0x1000);
    state.rip = u64::from(CODE) + random.below(0x200);
    state.rflags = 0x202 | random.next() & 0x24_4DD5;
    state.fx = FxImage(std::array::from_fn(|_| random.byte()));
    state.fx.set_mxcsr(random.next_u32() & 0xFFFF);
    if is_kernel {
        let code = if mode == Mode::Bits64 { KERNEL_CS } else { KERNEL_CS32 };
        state.selectors = [DS, code, KERNEL_DS, DS, 0, 0];
    }
    state
}

/// What was run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Programs.
    pub programs: u64,
    /// Instructions of all of them.
    pub instructions: u64,
}

/// Runs programs until they have had this many instructions, or are as many as can be expected for these.
///
/// # Errors
/// The program that made the engine panic. One that never comes back ends the process.
pub fn fuzz(target: Target, seed: u64, instructions: u64) -> Result<Run, String> {
    let number = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (number, over) = (Arc::clone(&number), Arc::clone(&over));
        std::thread::spawn(move || watch(target, seed, &number, &over))
    };
    let mut fuzzer = Fuzzer::default();
    let mut run = Run::default();
    let mut failure = None;
    while run.instructions < instructions && run.programs < instructions / 10 && failure.is_none() {
        let program = run.programs;
        match catch_unwind(AssertUnwindSafe(|| fuzzer.run(target, seed, program))) {
            Ok(instructions) => run.instructions += instructions,
            Err(_) => {
                failure = Some(format!("{target:?}, seed {seed}: program {program} made the engine panic"))
            }
        }
        run.programs += 1;
        number.store(run.programs, Ordering::Relaxed);
    }
    over.store(true, Ordering::Relaxed);
    watch.thread().unpark();
    let _ = watch.join();
    failure.map_or(Ok(run), Err)
}

/// Ends the process when a program does not come back.
fn watch(target: Target, seed: u64, number: &AtomicU64, over: &AtomicBool) {
    let mut last = u64::MAX;
    while !over.load(Ordering::Relaxed) {
        std::thread::park_timeout(PATIENCE);
        let now = number.load(Ordering::Relaxed);
        if now == last && !over.load(Ordering::Relaxed) {
            eprintln!("{target:?}, seed {seed}: program {now} never comes back");
            std::process::abort();
        }
        last = now;
    }
}
