//! Several instructions in one micro-operation do what they do one by one: random programs are executed both ways.

mod machine;
mod programs;

use machine::*;
use programs::{BANK, Program, Random};
use wasm_sandbox_engine::{Cpu, Seg, Segment, Stop};

/// Frames of data, filled anew for each program.
const FRAMES: u64 = 0x10_0000;
const FRAME_COUNT: u64 = 8;
/// Frames of code.
const CODE_FRAMES: u64 = CODE;
/// mov cr3, eax; hlt
const FLUSH: u64 = 0xE000;
/// What may differ after a program, as ranges of physical memory: tables, code, the stack of handlers, data.
const COMPARED: [(u64, u64); 4] =
    [(ROOT, 0x1_0000), (CODE_FRAMES, 0x2000), (STACK0 - 0x1000, 0x1000), (FRAMES, FRAME_COUNT * 0x1000)];
/// Instructions after which a program has been executed long enough.
const ENOUGH: u64 = 150;

/// Linear pages whose meaning changes; those of code have their own frames.
fn pages(long: bool) -> Vec<u64> {
    let mut pages = vec![0, CODE + 0x1000, if long { !0xFFF } else { 0xFFFF_F000 }];
    for bank in 0..3 {
        pages.extend((0x50..0x54).map(|page| bank * BANK + page * 0x1000));
        if bank > 0 {
            pages.extend([bank * BANK + CODE, bank * BANK + CODE + 0x1000]);
        }
    }
    pages
}

/// A machine with tables for all of `pages`.
fn machine(kind: Kind, stepping: bool) -> Machine {
    let mut machine = Machine::new(kind, &[]);
    let long = kind == Kind::Long;
    for page in 0..if long { 512 } else { 1024 } {
        machine.map(page << 12, page << 12 | 3);
    }
    // Without SYSCALL, which programs that write into themselves might find.
    let (cr4, efer) = if long { (0x2A0, 0xD00) } else { (0x290, 0) };
    machine.controls(0x8001_0011, cr4, efer);
    let tables = [(1, 0x1_4000), (2, 0x1_5000)];
    if long {
        for (bank, table) in tables {
            machine.put(0x1_2000 + 16 * bank, table | 7);
        }
        for (at, table) in [(ROOT, 0x1_8000), (0x1_8000, 0x1_9000), (0x1_9000, 0x1_7000)] {
            machine.put(at + 0xFF8, table | 7);
        }
    } else {
        for (bank, table) in tables.into_iter().chain([(1023, 0x1_7000)]) {
            machine.put32(ROOT + 4 * bank, table as u32 | 7);
        }
    }
    machine.write(FLUSH, &[0x0F, 0x22, 0xD8, 0xF4]);
    // A breakpoint that is never met: instructions are executed one by one.
    machine.cpu.dr[0] = 0x7654_3210;
    machine.cpu.dr[7] = if stepping { 0x401 } else { 0x400 };
    machine
}

/// Where the page-table entry of a page is.
fn entry_place(linear: u64, long: bool) -> u64 {
    let bank = match linear / BANK {
        0 => TABLE,
        1 => 0x1_4000,
        2 => 0x1_5000,
        _ => 0x1_7000,
    };
    if long { bank + (linear >> 12 & 511) * 8 } else { bank + (linear >> 12 & 1023) * 4 }
}

/// A value for a register or memory: often a pointer to the end of a page, or to code.
fn value(random: &mut Random, pages: &[u64], program: &Program) -> u64 {
    match random.below(12) {
        0 => random.below(64),
        1 => random.next() & 0xFFFF_FFFF,
        2 => random.pick(&[0, 1, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFF0, (1 << 47) - 6, !0 << 47, 1 << 63]),
        3 | 4 => random.pick(&program.starts),
        5 => program.start + random.below(program.code.len() as u64),
        _ => {
            let page = random.pick(pages);
            let edge = [0, 0, 0, 4, 8, 12, 16, 20].map(|bytes| bytes + random.below(10) * random.below(2));
            page + match random.below(3) {
                0 => random.pick(&edge),
                1 => 0x1000 - random.pick(&edge).max(1),
                _ => random.below(0x1000) & !15,
            }
        }
    }
}

/// What a program starts with.
struct Start {
    regs: [u64; 16],
    xmm: [u128; 16],
    flags: u32,
    ram: Vec<(u64, Vec<u8>)>,
}

impl Start {
    fn new(program: &mut Program, tables: &[u8], long: bool) -> Self {
        let mut random = Random(program.random.next());
        let pages = pages(long);
        let mut tables = tables.to_vec();
        for &page in &pages {
            let frame = match random.below(20) {
                0 => 0x90_0000,
                1 | 2 => CODE_FRAMES + random.below(2) * 0x1000,
                _ => FRAMES + random.below(FRAME_COUNT) * 0x1000,
            };
            let frame = if page == CODE + 0x1000 { page } else { frame };
            let entry = frame | random.pick(&[0, 0, 3, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
            let at = (entry_place(page, long) - ROOT) as usize;
            tables[at..at + 4].copy_from_slice(&(entry as u32).to_le_bytes());
        }
        let at = (entry_place(CODE, long) - ROOT) as usize;
        tables[at..at + 4].copy_from_slice(&(CODE as u32 | 7).to_le_bytes());
        let mut data = vec![0; (FRAME_COUNT * 0x1000) as usize];
        for frame in data.chunks_mut(0x1000) {
            let step = if long && random.percent(50) { 8 } else { 4 };
            for at in (0..64).chain(0xFC0..0x1000).chain((64..0xFC0).step_by(256)).step_by(step) {
                let value = value(&mut random, &pages, program).to_le_bytes();
                frame[at..at + step].copy_from_slice(&value[..step]);
            }
        }
        let mut code = vec![0xCC; 0x2000];
        let at = (program.start - CODE) as usize;
        code[at..at + program.code.len()].copy_from_slice(&program.code);
        let mut regs = [(); 16].map(|()| value(&mut random, &pages, program));
        if random.percent(50) {
            regs[4] = random.pick(&pages) + 0x800 + 4 * random.below(0x200);
        }
        let xmm = [(); 16].map(|()| u128::from(random.next()) << 64 | u128::from(random.next()));
        let flags = random.next() as u32 & 0x8D5 | 2;
        let ram =
            vec![(ROOT, tables), (CODE_FRAMES, code), (STACK0 - 0x1000, vec![0; 0x1000]), (FRAMES, data)];
        Self { regs, xmm, flags, ram }
    }

    /// Brings a machine into this state, in ring 3.
    fn set(&self, machine: &mut Machine, rip: u64) {
        for (at, bytes) in &self.ram {
            // Decoded code that has not changed may be used again.
            if machine.cpu.ram()[*at as usize..][..bytes.len()] != bytes[..] {
                machine.write(*at, bytes);
            }
        }
        let size = if machine.kind == Kind::Long { Segment::LONG } else { Segment::BIG };
        let cpu = &mut machine.cpu;
        cpu.segments = [Segment::flat(KERNEL_DATA, 3, 0, Segment::BIG); 6];
        cpu.segments[Seg::Cs.index()] = Segment::flat(KERNEL_CODE, 0xB, 0, size);
        cpu.set_cpl(0);
        (cpu.rip, cpu.regs[0], cpu.halted) = (FLUSH, ROOT, false);
        assert_eq!(cpu.run(2), Stop::Halted);
        machine.user(false);
        let cpu = &mut machine.cpu;
        cpu.regs[..16].copy_from_slice(&self.regs);
        (cpu.rip, cpu.xmm, cpu.halted) = (rip, self.xmm, false);
        (cpu.fpu, cpu.mxcsr) = (Default::default(), 0x1F80);
        cpu.set_flags(self.flags);
    }
}

/// What is to be equal.
#[derive(Debug, PartialEq)]
struct State {
    rip: u64,
    regs: Vec<u64>,
    xmm: [u128; 16],
    flags: u32,
    cpl: u8,
    halted: bool,
    /// Instructions since `before`.
    instructions: u64,
    /// That of a page fault.
    address: u64,
}

fn state(cpu: &Cpu, before: u64) -> State {
    let mask = if cpu.long_mode_active() { u64::MAX } else { 0xFFFF_FFFF };
    State {
        rip: cpu.rip,
        regs: cpu.regs[..16].iter().map(|value| value & mask).collect(),
        xmm: cpu.xmm,
        flags: cpu.flags(),
        cpl: cpu.cpl,
        halted: cpu.halted,
        instructions: cpu.instructions() - before,
        address: if cpu.rip == HANDLERS + 14 * 16 + 1 { cpu.fault_address } else { 0 },
    }
}

/// Executes a program in blocks, with budgets of `budget` each, and one by one. True if it came to an event.
fn execute(machines: &mut [Machine; 2], start: &Start, rip: u64, budget: u64) -> bool {
    for machine in machines.iter_mut() {
        start.set(machine, rip);
    }
    let [joined, single] = machines;
    let before = [&joined.cpu, &single.cpu].map(|cpu| cpu.instructions());
    loop {
        let now = joined.cpu.instructions();
        joined.cpu.run(budget);
        if joined.cpu.cpl == 0 && !joined.cpu.halted {
            // An event, whose handler has not begun yet.
            joined.cpu.run(1);
        }
        let done = joined.cpu.instructions() - now;
        assert!(done > 0, "nothing done");
        for _ in 0..done {
            let rip = single.cpu.rip;
            single.cpu.run(1);
            if single.cpu.rip == rip && !single.cpu.halted {
                // A repeated string instruction, in code that was written at random: it traps after each element.
                return false;
            }
        }
        let ended = joined.cpu.halted || joined.cpu.instructions() - before[0] > ENOUGH;
        let (one, other) = (state(&joined.cpu, before[0]), state(&single.cpu, before[1]));
        assert!(one == other, "joined {one:x?}\none by one {other:x?}");
        if !ended {
            continue;
        }
        for (at, bytes) in COMPARED {
            let range = at as usize..(at + bytes) as usize;
            let (one, other) = (&joined.cpu.ram()[range.clone()], &single.cpu.ram()[range]);
            if one != other {
                let place = one.iter().zip(other).position(|(a, b)| a != b).unwrap_or(0);
                panic!("memory at {:x}", at + place as u64);
            }
        }
        return joined.cpu.halted;
    }
}

/// Says which program it was, should the test fail.
struct Report<'a>(&'a Program, u64, u64);

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(program, seed, budget) = self;
            eprintln!("seed {seed:#x}, budget {budget}, at {:x}: {:02x?}", program.start, program.code);
        }
    }
}

fn check(kind: Kind, first_seed: u64) {
    let full = std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some();
    let count = if full { 3_000_000 } else { 60_000 };
    let mut machines = [false, true].map(|stepping| machine(kind, stepping));
    let tables = machines[0].cpu.ram()[ROOT as usize..][..0x1_0000].to_vec();
    let long = kind == Kind::Long;
    let mut ended = 0;
    for seed in first_seed..first_seed + count {
        let mut program = Program::new(seed, long);
        let start = Start::new(&mut program, &tables, long);
        let small = 1 + program.random.below(12);
        for budget in [1000, small] {
            let _report = Report(&program, seed, budget);
            ended += u64::from(execute(&mut machines, &start, program.start, budget));
        }
    }
    // Else they would test little.
    assert!(ended > count, "{ended} of {count} programs came to an event");
}

#[test]
fn joined_instructions_of_32_bit_code_do_what_they_do_one_by_one() {
    check(Kind::Narrow, 0);
}

#[test]
fn joined_instructions_of_64_bit_code_do_what_they_do_one_by_one() {
    check(Kind::Long, 1 << 40);
}
