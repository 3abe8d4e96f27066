//! The engine, set up like a user program of a Linux system: runs the same cases.

mod tables;

use crate::case::{Case, Changes, Exception, FxImage, Mode, Outcome, State, Stop};
use crate::layout::{self, FILLER, REGIONS};
pub use tables::{RAM, SYSTEM, SYSTEM_END, System, TABLES};
use tables::{STUB_STEP, STUBS, cached, has_error_code};
use wasm_sandbox_engine::{Cpu, Seg, Stop as Ended};

/// Instructions, or steps of a repeated one, before a case is taken for endless.
const BUDGET: u64 = 1 << 20;

/// The engine with memory laid out for cases.
pub struct Guest {
    cpu: Box<Cpu>,
    system: System,
    background: Vec<(u32, Vec<u8>)>,
    baseline: Vec<(u32, Vec<u8>)>,
    through_gates: bool,
}

impl Guest {
    /// A new one; `through_gates` lets exceptions be delivered to handlers of ring 0, rather than caught
    /// before.
    ///
    /// # Panics
    /// When there is no memory.
    pub fn new(system: System, through_gates: bool) -> Self {
        let cpu = Cpu::new(RAM).expect("memory");
        let background: Vec<(u32, Vec<u8>)> =
            REGIONS.map(|region| (region.start, layout::background(region))).into();
        let mut guest = Self { cpu, system, baseline: background.clone(), background, through_gates };
        for (start, bytes) in guest.background.clone() {
            guest.put(start.into(), &bytes);
        }
        for (at, bytes) in system.memory() {
            guest.put(at, &bytes);
        }
        guest.set_controls();
        guest
    }

    /// The CPU.
    pub(crate) fn cpu(&mut self) -> &mut Cpu {
        &mut self.cpu
    }

    /// Puts bytes into RAM.
    pub(crate) fn put(&mut self, physical: u64, bytes: &[u8]) {
        let start = physical as usize;
        self.cpu.ram()[start..start + bytes.len()].copy_from_slice(bytes);
        self.cpu.code_changed(physical, bytes.len() as u64);
    }

    /// Makes handlers that go on one byte after the fault, in any case within the code.
    pub(crate) fn return_from_exceptions(&mut self) {
        for (at, code) in tables::returning_handlers() {
            self.put(at, &code);
        }
    }

    /// Sets control and table registers as they are at the beginning.
    pub(crate) fn set_controls(&mut self) {
        let registers = self.system.registers();
        let cpu = &mut self.cpu;
        (cpu.gdtr, cpu.idtr) = (registers.gdtr, registers.idtr);
        (cpu.ldtr, cpu.tr) = (registers.ldtr, registers.tr);
        cpu.set_controls(registers.controls);
        cpu.catch.enabled = !self.through_gates;
    }

    /// Runs a case.
    pub fn run(&mut self, case: &Case) -> Outcome {
        self.put(case.state.rip, &case.code);
        for patch in &case.patches {
            self.put(patch.address.into(), &patch.bytes);
            overwrite(&mut self.baseline, patch.address, &patch.bytes);
        }
        self.load(&case.state, case.mode);
        self.cpu.catch.caught = None;
        let ended = self.cpu.run(BUDGET);
        let stopped = self.stopped(ended);
        let changes = self.changes();
        self.put(case.state.rip, &vec![FILLER; case.code.len()]);
        match stopped {
            Ok((state, exception)) => Outcome::Stopped(Box::new(Stop { state, exception, changes })),
            Err(outcome) => {
                // Something may have gone further than a case should.
                self.set_controls();
                outcome
            }
        }
    }

    /// Sets registers.
    pub(crate) fn load(&mut self, state: &State, mode: Mode) {
        let cpu = &mut self.cpu;
        cpu.regs[..16].copy_from_slice(&state.gprs);
        cpu.rip = state.rip;
        cpu.set_flags(state.rflags as u32);
        for (segment, selector) in cpu.segments.iter_mut().zip(state.selectors) {
            *segment = cached(selector);
        }
        if mode == Mode::Bits64 {
            cpu.segments[Seg::Fs.index()].base = state.bases[0];
            cpu.segments[Seg::Gs.index()].base = state.bases[1];
        }
        cpu.set_fx_image(&state.fx.0);
        cpu.settle(3);
    }

    /// Registers and exception, by what was caught or what lies on the stack of ring 0.
    fn stopped(&mut self, ended: Ended) -> Result<(State, Exception), Outcome> {
        let mut state = self.state();
        let address = |vector: u8, cpu: &Cpu| if vector == 14 { cpu.cr2() } else { 0 };
        if let (Ended::Shutdown, Some(caught)) = (ended, self.cpu.catch.caught) {
            state.rip = caught.rip;
            let mut vector = caught.vector;
            if vector == 6 && self.cpu.ram().get(state.rip as usize) == Some(&FILLER) {
                // Without a handler for `int3`.
                (vector, state.rip) = (3, state.rip + 1);
            }
            let exception = Exception {
                vector: vector.into(),
                error_code: caught.error.unwrap_or(0),
                address: address(caught.vector, &self.cpu),
            };
            return Ok((state, exception));
        }
        let base = self.system.linear();
        let stub = state.rip.wrapping_sub(base + STUBS);
        if ended != Ended::Halted || stub >= 256 * STUB_STEP {
            return match ended {
                Ended::Budget => Err(Outcome::Hung),
                ended => Err(Outcome::Lost(format!("the engine ended with {ended:?} at {:#x}", state.rip))),
            };
        }
        let vector = (stub / STUB_STEP) as u8;
        let start = SYSTEM.wrapping_add(state.gprs[4].wrapping_sub(base)).min(SYSTEM_END) as usize;
        let frame = self.cpu.ram().get(start..SYSTEM_END as usize).unwrap_or_default();
        let width = if self.system == System::Long { 8 } else { 4 };
        let mut words = frame.chunks_exact(width).map(little_endian);
        let mut word = || words.next().unwrap_or(0);
        let error_code = if has_error_code(vector.into()) { word() as u32 } else { 0 };
        let [rip, cs, rflags, rsp, ss] = std::array::from_fn(|_| word());
        (state.rip, state.rflags, state.gprs[4]) = (rip, rflags, rsp);
        state.selectors[Seg::Cs.index()] = cs as u16;
        state.selectors[Seg::Ss.index()] = ss as u16;
        let exception = Exception { vector: vector.into(), error_code, address: address(vector, &self.cpu) };
        Ok((state, exception))
    }

    fn state(&self) -> State {
        let cpu = &self.cpu;
        State {
            fx: FxImage(cpu.fx_image()),
            gprs: std::array::from_fn(|register| cpu.regs[register]),
            rip: cpu.rip,
            rflags: cpu.flags().into(),
            bases: [cpu.segments[Seg::Fs.index()].base, cpu.segments[Seg::Gs.index()].base],
            selectors: std::array::from_fn(|segment| cpu.segments[segment].selector),
        }
    }

    /// Compares memory with what it was, and makes it as it was before the case.
    fn changes(&mut self) -> Changes {
        let mut changes = Changes::NONE;
        let ram = self.cpu.ram();
        for ((start, baseline), (_, background)) in self.baseline.iter_mut().zip(&self.background) {
            let first = *start as usize;
            let now = &mut ram[first..first + baseline.len()];
            if now != baseline.as_slice() {
                for (index, (word, before)) in now.chunks_exact(8).zip(baseline.chunks_exact(8)).enumerate() {
                    if word != before {
                        changes.add(*start + index as u32 * 8, little_endian(word));
                    }
                }
            }
            if now != background.as_slice() {
                now.copy_from_slice(background);
            }
            if baseline != background {
                baseline.copy_from_slice(background);
            }
        }
        changes
    }
}

/// The number in a few bytes.
pub fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Puts bytes into one of some regions.
pub fn overwrite(regions: &mut [(u32, Vec<u8>)], address: u32, bytes: &[u8]) {
    for (start, region) in regions {
        let at = address.wrapping_sub(*start) as usize;
        if let Some(place) = at.checked_add(bytes.len()).and_then(|end| region.get_mut(at..end)) {
            place.copy_from_slice(bytes);
        }
    }
}
