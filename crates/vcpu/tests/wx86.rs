//! The host's side of the interface to `engine/`, with a module in its place that has nothing of a processor but the
//! interface: it carries out a program of letters.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use wasm_sandbox_vcpu::{
    BootMode, BootRegisters, Bus, CpuEngine, EngineKind, EngineModule, EngineSnapshot, EngineState,
    InterruptChanges, OwnState, PartsState, Slice, TranslationsState, VcpuError, WrittenRanges,
};

const RAM: u64 = 16 << 20;
const SLICE: u64 = 100_000;
/// Where the program starts.
const PROGRAM: usize = 0x1000;
/// Written: a note; a device writes to RAM; the machine ends.
const NOTE: u16 = 0x10;
const DMA: u16 = 0x11;
const END: u16 = 0x12;

static ENGINE: LazyLock<EngineModule> = LazyLock::new(|| {
    let wasm = wat::parse_str(include_str!("letters.wat")).unwrap();
    EngineModule::compile(EngineKind::Wx86, wasm).unwrap()
});

#[derive(Default)]
struct Seen {
    notes: Vec<u64>,
    interrupt: Option<u8>,
    end: bool,
    looks: u64,
    executed: u64,
    counts: bool,
}

/// A bus that takes notes.
struct Notes(Arc<Mutex<Seen>>);

impl Bus for Notes {
    fn now(&mut self) -> u64 {
        1_000_000_007
    }

    fn random(&mut self) -> u32 {
        0x0123_4567
    }

    fn port_read(&mut self, port: u16, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        data.fill(port as u8);
    }

    fn port_write(&mut self, port: u16, data: &[u8], ram: &mut [u8], written: &mut WrittenRanges) {
        let mut seen = self.0.lock().unwrap();
        match port {
            NOTE => seen.notes.push(u32::from_le_bytes(data.try_into().unwrap()).into()),
            DMA => {
                ram[0x5000..0x5002].fill(7);
                written.push(0x5000..0x5002);
                written.push(0x9000..0x9001);
            }
            END => seen.end = true,
            other => panic!("port {other:#x}"),
        }
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8], _: &mut [u8], _: &mut WrittenRanges) {
        assert!(data.len() <= 4);
        data.copy_from_slice(&(address as u32).to_le_bytes()[..data.len()]);
    }

    fn mmio_write(&mut self, address: u64, data: &[u8], _: &mut [u8], _: &mut WrittenRanges) {
        self.0.lock().unwrap().notes.extend([address, data.len() as u64, data[0].into()]);
    }

    fn advance(&mut self, _: &mut [u8], _: &mut WrittenRanges) -> Option<Duration> {
        self.0.lock().unwrap().looks += 1;
        Some(Duration::from_micros(3))
    }

    fn take_interrupt_changes(&mut self) -> InterruptChanges {
        panic!("it has no controllers")
    }

    fn interrupt_line(&self) -> bool {
        self.0.lock().unwrap().interrupt.is_some()
    }

    fn acknowledge_interrupt(&mut self) -> u8 {
        self.0.lock().unwrap().interrupt.take().unwrap_or(0xFF)
    }

    fn stop_requested(&self) -> bool {
        self.0.lock().unwrap().end
    }

    fn note_instructions(&mut self, executed: u64) {
        let mut seen = self.0.lock().unwrap();
        assert!(executed >= seen.executed, "{executed} after {}", seen.executed);
        seen.executed = executed;
    }

    fn counts_instructions(&self) -> bool {
        self.0.lock().unwrap().counts
    }
}

type Cpu = Box<dyn CpuEngine<Notes>>;

fn registers(mode: BootMode) -> BootRegisters {
    BootRegisters { mode, rip: PROGRAM as u64, rsi: 1, cr3: 20, gdt_base: 300, gdt_limit: 4000 }
}

/// A CPU at the start of `program`.
fn start(program: &[u8]) -> (Cpu, Arc<Mutex<Seen>>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let mut cpu = ENGINE.power_on(RAM, Notes(seen.clone())).unwrap();
    let (ram, _) = cpu.ram_and_bus();
    assert_eq!(ram.len() as u64, RAM);
    ram[PROGRAM..PROGRAM + program.len()].copy_from_slice(program);
    cpu.set_boot_registers(registers(BootMode::Protected)).unwrap();
    (cpu, seen)
}

fn notes(seen: &Mutex<Seen>) -> Vec<u64> {
    std::mem::take(&mut seen.lock().unwrap().notes)
}

#[test]
fn everything_goes_through_the_interface() {
    let (mut cpu, seen) = start(b"wbwnwRwiwMrw@");
    assert_eq!(cpu.run().unwrap(), Slice::Halted);
    let random = 0x0123_4567;
    let expected = [42, 32 + 4321, 1_000_000_007, random, 0x1313_1313, 0xD000_0000, 8, 0x13, 0xD000_0010];
    assert_eq!(notes(&seen), expected, "data, registers, time, randomness, a port, two accesses to memory");
    assert_eq!(cpu.statistics().instructions, 13);
    cpu.set_boot_registers(registers(BootMode::Long)).unwrap();
    cpu.run().unwrap();
    assert_eq!(notes(&seen)[1], 64 + 4321);
}

#[test]
fn the_engine_is_told_to_throw_code_away() {
    let (mut cpu, seen) = start(b"vw@");
    cpu.renew_code().unwrap();
    assert_eq!(cpu.run().unwrap(), Slice::Halted);
    assert_eq!(notes(&seen), [1]);
}

#[test]
#[allow(unsafe_code)]
fn translated_code_is_entered_where_there_is_machine_code_for_it() {
    let (mut cpu, seen) = start(b"xwhxw@");
    assert_eq!(cpu.run().unwrap(), Slice::Idle(Some(Duration::from_micros(3))));
    assert_eq!(notes(&seen), [9], "without any, the engine interprets");
    cpu.translate_code(1).unwrap();
    let mut snapshot = cpu.snapshot().unwrap();
    let code = snapshot.compile_code(2).unwrap();
    assert_eq!(code.len(), 1, "the other part has no functions");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &code[0]).unwrap();
    let goes_on = |snapshot: &EngineSnapshot| {
        let seen = Arc::<Mutex<Seen>>::default();
        seen.lock().unwrap().interrupt = Some(1);
        let mut cpu: Cpu = ENGINE.restore(snapshot, Notes(seen.clone())).unwrap();
        assert_eq!(cpu.run().unwrap(), Slice::Halted);
        (notes(&seen), cpu.snapshot().unwrap())
    };
    assert_eq!(goes_on(&snapshot).0, [9], "the engine knows that there is none");
    // SAFETY: it is what has just been compiled.
    unsafe { snapshot.load_code(&ENGINE, file.path()).unwrap() };
    let (translated, later) = goes_on(&snapshot);
    assert_eq!(translated, [17]);
    assert!(later.compile_code(2).unwrap().is_empty(), "it has its machine code");
    // SAFETY: there is nothing in it.
    assert!(unsafe { snapshot.load_code(&ENGINE, std::path::Path::new("/dev/null")) }.is_err());
    // A part that there is not.
    assert!(matches!(start(b"h").0.translate_code(15), Err(VcpuError::Module(_))));
}

#[test]
#[allow(unsafe_code)]
fn translated_code_goes_with_a_snapshot_in_a_file_and_is_compiled_there() {
    let (mut cpu, _) = start(b"xwhxw@");
    cpu.run().unwrap();
    cpu.translate_code(1).unwrap();
    let snapshot = cpu.snapshot().unwrap();
    let code_bytes = snapshot.state().code_bytes().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before").unwrap();
    snapshot.write_code(&mut file).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6 + code_bytes);
    let file = Arc::new(file);
    let from = |change: fn(&mut PartsState)| {
        let mut state = snapshot.state();
        let OwnState::Wx86(parts) = &mut state.own else { panic!("it is one of wx86") };
        change(parts);
        EngineSnapshot::from_state(snapshot.memory().clone(), state, &file, 6)
    };
    let mut stored = from(|_| {}).unwrap();
    assert_eq!(stored.state(), snapshot.state());
    assert!(stored.code_identity().is_some() && stored.code_identity() == snapshot.code_identity());
    assert!(!stored.is_executable());
    let (of_file, of_memory) = (stored.compile_code(2).unwrap(), snapshot.compile_code(2).unwrap());
    assert_eq!((of_file.len(), of_file[0].len()), (1, of_memory[0].len()));
    let code = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(code.path(), &of_file[0]).unwrap();
    // SAFETY: it is what has just been compiled.
    unsafe { stored.load_code(&ENGINE, code.path()).unwrap() };
    assert!(stored.is_executable());
    // Who has the same has its machine code, and no other.
    let mut same = from(|_| {}).unwrap();
    assert!(same.share_code(&stored) && same.is_executable());
    let mut other = from(|parts| parts.parts[0].2[0] ^= 1).unwrap();
    assert!(!other.share_code(&stored) && !other.is_executable());
    assert!(matches!(other.compile_code(2), Err(VcpuError::Snapshot(_))), "it is kept under another's name");
    let mut nothing = from(|parts| parts.parts.clear()).unwrap();
    assert!(!nothing.share_code(&stored) && nothing.code_identity().is_none());
    // What is no such code.
    assert!(matches!(from(|parts| parts.parts[0].0 = 14), Err(VcpuError::Snapshot(_))));
    assert!(matches!(from(|parts| parts.parts.push(parts.parts[0])), Err(VcpuError::Snapshot(_))));
    for length in [1 << 30, u64::MAX] {
        let mut state = snapshot.state();
        state.own = OwnState::Wx86(PartsState { parts: vec![(0, length, [0; 32])] });
        let refused = EngineSnapshot::from_state(snapshot.memory().clone(), state, &file, 6);
        assert!(matches!(refused, Err(VcpuError::Snapshot(_))), "{length}");
    }
    assert!(from(|parts| parts.parts[0].1 -= 1).unwrap().compile_code(2).is_err(), "it is cut short");
}

#[test]
fn what_becomes_worth_it_is_translated_while_the_guest_runs() {
    // Asks for a translation once, and goes on.
    let mut program = b"xwlxw".to_vec();
    program.extend(b"xw------".repeat(100_000));
    let (mut cpu, seen) = start(&program);
    cpu.run().unwrap();
    assert!(notes(&seen).iter().all(|note| *note == 9), "a machine that was powered on does not");
    let snapshot = start(&program).0.snapshot().unwrap();
    let seen = Arc::<Mutex<Seen>>::default();
    let mut cpu: Cpu = ENGINE.restore(&snapshot, Notes(seen.clone())).unwrap();
    let since = std::time::Instant::now();
    let mut all = Vec::new();
    while !all.contains(&17) {
        assert!(since.elapsed() < Duration::from_secs(120), "nothing is compiled: {}", all.len());
        cpu.run().unwrap();
        all = notes(&seen);
        cpu.set_boot_registers(registers(BootMode::Protected)).unwrap();
    }
    assert_eq!(all.iter().filter(|note| ![9, 17].contains(*note)).count(), 0);
    // Who goes on from it has it, too.
    let later = cpu.snapshot().unwrap();
    assert!(later.is_executable() && later.code_identity().is_some());
    let seen = Arc::<Mutex<Seen>>::default();
    let mut cpu: Cpu = ENGINE.restore(&later, Notes(seen.clone())).unwrap();
    cpu.run().unwrap();
    assert!(notes(&seen).iter().all(|note| *note == 17));
    assert!(cpu.translate_programs().unwrap(), "another part");
}

#[test]
fn a_slice_has_so_many_instructions() {
    let (mut cpu, seen) = start(b"w");
    for slice in 1..4 {
        assert_eq!(cpu.run().unwrap(), Slice::Ran);
        assert_eq!(cpu.statistics().instructions, slice * SLICE);
    }
    assert_eq!(notes(&seen), [42]);
    assert_eq!(seen.lock().unwrap().looks, 3);
}

#[test]
fn where_time_follows_instructions_timers_are_looked_at_when_they_are_due() {
    let (mut cpu, seen) = start(b"w");
    seen.lock().unwrap().counts = true;
    assert_eq!(cpu.run().unwrap(), Slice::Ran);
    assert_eq!(cpu.statistics().instructions, SLICE);
    let Seen { looks, executed, .. } = *seen.lock().unwrap();
    assert_eq!((looks, executed), (SLICE.div_ceil(3000), SLICE / 3000 * 3000), "a timer every 3 us");
}

#[test]
fn it_waits_for_an_interrupt() {
    let (mut cpu, seen) = start(b"hw");
    for _ in 0..3 {
        assert_eq!(cpu.run().unwrap(), Slice::Idle(Some(Duration::from_micros(3))));
    }
    assert_eq!(cpu.statistics().instructions, 0);
    seen.lock().unwrap().interrupt = Some(0x3C);
    assert_eq!(cpu.run().unwrap(), Slice::Ran);
    assert_eq!(notes(&seen), [0x3C]);
}

#[test]
fn what_a_device_has_written_is_told_to_the_engine_at_once() {
    let (mut cpu, seen) = start(b"dvw");
    assert_eq!(cpu.run().unwrap(), Slice::Ran);
    assert_eq!(notes(&seen), [0x5000 + 0x5002 + 0x9000 + 0x9001]);
    assert_eq!(cpu.ram_and_bus().0[0x5000..0x5003], [7, 7, 0]);
    assert_eq!(cpu.statistics().instructions, SLICE, "the slice went on");
}

#[test]
fn a_machine_that_ends_stops_at_once() {
    let (mut cpu, seen) = start(b"wew");
    assert_eq!(cpu.run().unwrap(), Slice::Ran);
    assert_eq!((notes(&seen).len(), cpu.statistics().instructions), (1, 2));
}

#[test]
fn each_end_is_told() {
    for (program, end) in [(b"@", Slice::Halted), (b"t", Slice::TripleFault)] {
        assert_eq!(start(program).0.run().unwrap(), end);
    }
    let Err(VcpuError::Trapped { message }) = start(b"p").0.run() else { panic!("it goes on") };
    assert_eq!(message, "a panic");
    let Err(VcpuError::Trapped { message }) = start(b"q").0.run() else { panic!("it goes on") };
    assert!(message.contains("unreachable"), "{message}");
    assert!(matches!(start(b"?").0.run(), Err(VcpuError::Module(_))), "a result that there is not");
}

#[test]
fn a_restored_cpu_goes_on_where_it_was() {
    let (mut cpu, seen) = start(b"hwRw@");
    cpu.run().unwrap();
    let snapshot = cpu.snapshot().unwrap();
    assert_eq!((snapshot.kind(), snapshot.instructions()), (EngineKind::Wx86, 0));
    assert!(snapshot.memory().stored_bytes() < 1 << 20 && snapshot.is_executable());
    assert!(snapshot.compile_code(2).unwrap().is_empty());
    seen.lock().unwrap().interrupt = Some(1);
    cpu.run().unwrap();
    let first = notes(&seen);
    // What the first one has done meanwhile is its own business.
    cpu.ram_and_bus().0[PROGRAM..PROGRAM + 5].fill(b'p');
    let file = Arc::new(tempfile::tempfile().unwrap());
    let stored = EngineSnapshot::from_state(snapshot.memory().clone(), snapshot.state(), &file, 0).unwrap();
    for snapshot in [snapshot, stored] {
        let seen = Arc::<Mutex<Seen>>::default();
        let mut cpu: Cpu = ENGINE.restore(&snapshot, Notes(seen.clone())).unwrap();
        assert!(!cpu.wants_recycling());
        assert_eq!(cpu.run().unwrap(), Slice::Idle(Some(Duration::from_micros(3))));
        seen.lock().unwrap().interrupt = Some(1);
        cpu = cpu.recycle().unwrap();
        assert_eq!(cpu.run().unwrap(), Slice::Halted);
        assert_eq!((notes(&seen), cpu.statistics().instructions), (first.clone(), 5));
    }
}

#[test]
fn what_is_no_state_of_it_is_refused() {
    let bus = || Notes(Arc::default());
    for bytes in [0, 1 << 20, RAM + 1, 3 << 30, u64::MAX] {
        assert!(matches!(ENGINE.power_on(bytes, bus()), Err(VcpuError::RamSize { .. })), "{bytes}");
    }
    let snapshot = start(b"h").0.snapshot().unwrap();
    let file = Arc::new(tempfile::tempfile().unwrap());
    let restored = |state| {
        let snapshot = EngineSnapshot::from_state(snapshot.memory().clone(), state, &file, 0);
        snapshot.and_then(|snapshot| ENGINE.restore(&snapshot, bus())).is_ok()
    };
    assert!(restored(snapshot.state()));
    let translations = TranslationsState { last_counter: 0, translated: Vec::new(), pending: None };
    assert!(!restored(EngineState { own: OwnState::V86(translations), ..snapshot.state() }));
    assert!(!restored(EngineState { ram: 65536..65536 + 2 * RAM, ..snapshot.state() }));
}
