//! The engine, set up like a user program of a 64-bit system: runs the same cases.

use crate::case::{Case, Changes, Exception, FxImage, Mode, Outcome, State, Stop};
use crate::layout::{self, CODE, CODE_END, DATA, DATA_END, FILLER, LocalDescriptor, READ_ONLY, REGIONS, STACK, STACK_END};
use wasm_sandbox_engine::testing::Controls;
use wasm_sandbox_engine::{Cpu, Seg, Segment, Stop as Ended, TableRegister};

pub(crate) const RAM: usize = 0x8_0000;
/// Instructions, or steps of a repeated one, before a case is taken for endless.
const BUDGET: u64 = 1 << 20;

/// Page tables, by guest-physical address.
pub(crate) const TABLES: u64 = 0x3_0000;
/// Descriptor tables and the stack of ring 0, by guest-physical address.
pub(crate) const SYSTEM: u64 = 0x3_8000;
pub(crate) const SYSTEM_END: u64 = 0x4_0000;
/// Where they are mapped: in the half of addresses that belongs to the system.
const SYSTEM_LINEAR: u64 = 0xFFFF_FFFF_8000_0000;
const GDT: u64 = 0;
const LDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
const TSS: u64 = 0x3000;
const STUBS: u64 = 0x4000;
const STACK_TOP: u64 = 0x8000;
const HLT: u8 = 0xF4;
/// Bytes between the stubs of two vectors.
const STUB_STEP: u64 = 32;

/// The global descriptors of Linux on x86-64, from index 1 on.
const GLOBAL: [u64; 6] = [
    0x00CF_9B00_0000_FFFF,
    0x00AF_9B00_0000_FFFF,
    0x00CF_9300_0000_FFFF,
    0x00CF_FB00_0000_FFFF,
    0x00CF_F300_0000_FFFF,
    0x00AF_FB00_0000_FFFF,
];
const GDT_LIMIT: u16 = 16 * 8 - 1;
const LDT_LIMIT: u32 = 8 * 8 - 1;

/// The engine with memory laid out for cases.
pub struct Guest {
    cpu: Box<Cpu>,
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
    pub fn new(through_gates: bool) -> Self {
        let cpu = Cpu::new(RAM).expect("memory");
        let background: Vec<(u32, Vec<u8>)> =
            REGIONS.map(|region| (region.start, layout::background(region))).into();
        let mut guest = Self { cpu, baseline: background.clone(), background, through_gates };
        guest.fill_memory();
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

    fn put_u64(&mut self, physical: u64, value: u64) {
        self.put(physical, &value.to_le_bytes());
    }

    fn fill_memory(&mut self) {
        const TABLE: u64 = 7;
        let [top, low, low_directory, low_table, high, high_directory, high_table] =
            std::array::from_fn(|index| TABLES + 0x1000 * index as u64);
        self.put_u64(top, low | TABLE);
        self.put_u64(low, low_directory | TABLE);
        self.put_u64(low_directory, low_table | TABLE);
        self.put_u64(top + 511 * 8, high | TABLE);
        self.put_u64(high + 510 * 8, high_directory | TABLE);
        self.put_u64(high_directory, high_table | TABLE);
        const NO_EXECUTE: u64 = 1 << 63;
        let pages = [
            (DATA, READ_ONLY, 7 | NO_EXECUTE),
            (READ_ONLY, DATA_END, 5 | NO_EXECUTE),
            (STACK, STACK_END, 7 | NO_EXECUTE),
            (CODE, CODE_END, 5),
        ];
        for (start, end, rights) in pages {
            for page in (u64::from(start)..u64::from(end)).step_by(0x1000) {
                self.put_u64(low_table + page / 0x1000 * 8, page | rights);
            }
        }
        for page in (SYSTEM..SYSTEM_END).step_by(0x1000) {
            self.put_u64(high_table + (page - SYSTEM) / 0x1000 * 8, page | 3);
        }
        for (start, bytes) in self.background.clone() {
            self.put(start.into(), &bytes);
        }
        self.put(CODE.into(), &vec![FILLER; (CODE_END - CODE) as usize]);
        self.fill_descriptors();
    }

    fn fill_descriptors(&mut self) {
        for (descriptor, index) in GLOBAL.into_iter().zip(1..) {
            self.put_u64(SYSTEM + GDT + index * 8, descriptor);
        }
        self.put_u64(SYSTEM + GDT + 15 * 8, 0x0040_F500_0000_0001);
        self.put_system_descriptor(8, 0x8B, SYSTEM_LINEAR + TSS, 0x67);
        self.put_system_descriptor(10, 0x82, SYSTEM_LINEAR + LDT, LDT_LIMIT.into());
        for entry in layout::LOCAL_DESCRIPTORS {
            self.put_u64(SYSTEM + LDT + u64::from(entry.index) * 8, descriptor(&entry));
        }
        for vector in 0..256 {
            let target = SYSTEM_LINEAR + STUBS + STUB_STEP * vector;
            let user = u64::from(matches!(vector, 3 | 4)) * 0x6000;
            let low = target & 0xFFFF | 0x10 << 16 | (0x8E00 | user) << 32 | (target >> 16 & 0xFFFF) << 48;
            self.put_u64(SYSTEM + IDT + vector * 16, low);
            self.put_u64(SYSTEM + IDT + vector * 16 + 8, target >> 32);
            self.put(SYSTEM + STUBS + STUB_STEP * vector, &[HLT]);
        }
        self.put_u64(SYSTEM + TSS + 4, SYSTEM_LINEAR + STACK_TOP);
        // No map of ports.
        self.put(SYSTEM + TSS + 0x66, &0x68u16.to_le_bytes());
    }

    /// Makes handlers that go on one byte after the fault, in any case within the code.
    pub(crate) fn return_from_exceptions(&mut self) {
        for vector in 0..256 {
            let mut code = Vec::new();
            if has_error_code(vector) {
                // add rsp, 8
                code.extend([0x48, 0x83, 0xC4, 0x08]);
            }
            // inc qword [rsp]; and qword [rsp], 1FFFh; or qword [rsp], 20000h; iretq
            code.extend([0x48, 0xFF, 0x04, 0x24, 0x48, 0x81, 0x24, 0x24, 0xFF, 0x1F, 0, 0]);
            code.extend([0x48, 0x81, 0x0C, 0x24, 0, 0, 2, 0, 0x48, 0xCF]);
            self.put(SYSTEM + STUBS + STUB_STEP * vector, &code);
        }
    }

    fn put_system_descriptor(&mut self, index: u64, kind: u64, base: u64, limit: u64) {
        let low = limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | kind << 40 | (base >> 24 & 0xFF) << 56;
        self.put_u64(SYSTEM + GDT + index * 8, low);
        self.put_u64(SYSTEM + GDT + index * 8 + 8, base >> 32);
    }

    /// Sets control and table registers as they are at the beginning.
    pub(crate) fn set_controls(&mut self) {
        const PE_MP_ET_NE_WP_AM_PG: u64 = 0x8005_0033;
        const PAE_PGE_OSFXSR_OSXMMEXCPT_UMIP_FSGSBASE: u64 = 0x1_0EA0;
        const SCE_LME_LMA_NXE: u64 = 0xD01;
        let cpu = &mut self.cpu;
        cpu.gdtr = TableRegister { base: SYSTEM_LINEAR + GDT, limit: GDT_LIMIT };
        cpu.idtr = TableRegister { base: SYSTEM_LINEAR + IDT, limit: 0xFFF };
        cpu.ldtr =
            Segment { selector: 0x50, attributes: 0x82, limit: LDT_LIMIT, base: SYSTEM_LINEAR + LDT };
        cpu.tr = Segment { selector: 0x40, attributes: 0x8B, limit: 0x67, base: SYSTEM_LINEAR + TSS };
        cpu.set_controls(Controls {
            cr0: PE_MP_ET_NE_WP_AM_PG,
            cr3: TABLES,
            cr4: PAE_PGE_OSFXSR_OSXMMEXCPT_UMIP_FSGSBASE,
            efer: SCE_LME_LMA_NXE,
        });
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
            Err(outcome) => outcome,
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
        let stub = state.rip.wrapping_sub(SYSTEM_LINEAR + STUBS);
        if ended != Ended::Halted || stub >= 256 * STUB_STEP {
            return match ended {
                Ended::Budget => Err(Outcome::Hung),
                ended => Err(Outcome::Lost(format!("the engine ended with {ended:?} at {:#x}", state.rip))),
            };
        }
        let vector = (stub / STUB_STEP) as u8;
        let start = (SYSTEM + state.gprs[4].wrapping_sub(SYSTEM_LINEAR)) as usize;
        let frame = self.cpu.ram().get(start..(SYSTEM_END as usize).max(start)).unwrap_or_default();
        let mut words = frame.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
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
                let words = now.as_chunks::<8>().0.iter().zip(baseline.as_chunks::<8>().0);
                for ((word, before), index) in words.zip(0..) {
                    if word != before {
                        changes.add(*start + index * 8, u64::from_le_bytes(*word));
                    }
                }
                now.copy_from_slice(background);
                baseline.copy_from_slice(background);
            } else if baseline != background {
                now.copy_from_slice(background);
                baseline.copy_from_slice(background);
            }
        }
        changes
    }
}

/// Whether exceptions with this number have an error code.
fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

/// Puts bytes into one of some regions.
pub fn overwrite(regions: &mut [(u32, Vec<u8>)], address: u32, bytes: &[u8]) {
    for (start, region) in regions {
        let at = address.wrapping_sub(*start) as usize;
        if let Some(place) = region.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// The eight bytes of a local descriptor.
fn descriptor(entry: &LocalDescriptor) -> u64 {
    let LocalDescriptor { base, limit, .. } = *entry;
    // Linux sets the accessed bit.
    let kind = match (entry.code, entry.expand_down) {
        (true, _) => 0x9 | u64::from(!entry.restricted) << 1,
        (false, down) => 0x1 | u64::from(!entry.restricted) << 1 | u64::from(down) << 2,
    };
    let (base, limit) = (u64::from(base), u64::from(limit));
    let access = kind | 0x70 | u64::from(entry.present) << 7;
    // Bit 4: available, 6: 32 bits.
    let flags = 0x5 | u64::from(entry.in_pages) << 3;
    limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | access << 40
        | (limit >> 16) << 48
        | flags << 52
        | (base >> 24) << 56
}

/// What a segment register holds after loading one of the selectors that cases begin with.
fn cached(selector: u16) -> Segment {
    let index = selector >> 3;
    match (selector & !3, selector & 4) {
        (0, _) => Segment { selector, ..Segment::default() },
        (_, 0) => GLOBAL
            .get(usize::from(index) - 1)
            .map_or_else(Segment::default, |descriptor| Segment::from_descriptor(selector, *descriptor)),
        _ => {
            let entry = layout::LOCAL_DESCRIPTORS.iter().find(|entry| entry.index == u32::from(index));
            entry.map_or_else(Segment::default, |entry| Segment::from_descriptor(selector, descriptor(entry)))
        }
    }
}
