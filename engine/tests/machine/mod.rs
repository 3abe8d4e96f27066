//! A small machine for tests: page tables, GDT, IDT and TSS in RAM, handlers that halt with their vector, byte
//! code in ring 0 or 3.

#![allow(dead_code, reason = "each test uses a part")]

use wasm_sandbox_engine::{Boot, Cpu, Seg, Segment, Stop, TableRegister};

/// Where things lie. All of it is mapped to itself.
pub const GDT: u64 = 0x1000;
pub const IDT: u64 = 0x2000;
pub const TSS: u64 = 0x3000;
/// Handler of vector n at `HANDLERS + 16 * n`.
pub const HANDLERS: u64 = 0x4000;
/// Root of the page tables, and the tables below it.
pub const ROOT: u64 = 0x10000;
/// The page table of the lowest 2 or 4 MiB.
pub const TABLE: u64 = 0x13000;
/// Code of the test.
pub const CODE: u64 = 0x20000;
/// Top of the stack of ring 0 in the TSS.
pub const STACK0: u64 = 0x30000;
/// Top of the stack of the code under test.
pub const STACK: u64 = 0x38000;
/// Tops of the stacks of IST 1 and 2.
pub const IST: [u64; 2] = [0x3A000, 0x3C000];
/// Data that everybody may use.
pub const DATA: u64 = 0x40000;

/// Selectors.
pub const KERNEL_CODE: u16 = 0x10;
pub const KERNEL_DATA: u16 = 0x18;
pub const USER_CODE: u16 = 0x23;
pub const USER_DATA: u16 = 0x2B;
/// 32-bit user code in long mode, 64-bit kernel code for SYSRET's order.
pub const USER_COMPAT: u16 = 0x33;
/// A code segment that is not present.
pub const ABSENT: u16 = 0x38;
/// A data segment that is not present, DPL 3.
pub const ABSENT_DATA: u16 = 0x43;
/// The TSS, of two entries.
pub const TASK: u16 = 0x48;

/// How the machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 32-bit, no paging.
    Flat,
    /// 32-bit, two levels.
    Narrow,
    /// 32-bit, PAE.
    Pae,
    /// 64-bit.
    Long,
}

/// A CPU and how it runs.
pub struct Machine {
    pub cpu: Box<Cpu>,
    pub kind: Kind,
}

/// What a handler found: its vector, error code and frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub vector: u8,
    pub error: Option<u64>,
    pub rip: u64,
    pub cs: u64,
    pub flags: u64,
}

impl Machine {
    /// A machine whose code under test is `code`, at [`CODE`], in ring 0.
    pub fn new(kind: Kind, code: &[u8]) -> Self {
        let mut cpu = Cpu::new(8 << 20).expect("room");
        let long = kind == Kind::Long;
        let gdtr = TableRegister { base: GDT, limit: 0x57 };
        cpu.boot(Boot { long_mode: long, rip: CODE, rsi: 0, cr3: ROOT, gdtr });
        let mut machine = Self { cpu, kind };
        machine.tables();
        machine.descriptors(long);
        machine.write(CODE, code);
        machine.cpu.regs[4] = STACK;
        match kind {
            Kind::Flat => {}
            Kind::Narrow => machine.controls(0x8001_0011, 0x90, 0),
            Kind::Pae => machine.controls(0x8001_0011, 0xB0, 0x800),
            Kind::Long => machine.controls(0x8001_0011, 0xA0, 0xD01),
        }
        machine.cpu.gdtr = gdtr;
        machine
    }

    /// Sets CR3 to the root, CR4, EFER and CR0, by a program in ring 0.
    pub fn controls(&mut self, cr0: u32, cr4: u32, efer: u32) {
        const STUB: u64 = 0xF000;
        // mov eax, ROOT; mov cr3, eax; mov eax, cr4; mov cr4, eax; mov ecx, EFER; mov eax, efer; xor edx, edx;
        // wrmsr; mov eax, cr0; mov cr0, eax; hlt
        let mut stub = vec![0xB8];
        stub.extend((ROOT as u32).to_le_bytes());
        stub.extend([0x0F, 0x22, 0xD8, 0xB8]);
        stub.extend(cr4.to_le_bytes());
        stub.extend([0x0F, 0x22, 0xE0, 0xB9, 0x80, 0, 0, 0xC0, 0xB8]);
        stub.extend(efer.to_le_bytes());
        stub.extend([0x31, 0xD2, 0x0F, 0x30, 0xB8]);
        stub.extend(cr0.to_le_bytes());
        stub.extend([0x0F, 0x22, 0xC0, 0xF4]);
        self.write(STUB, &stub);
        self.cpu.rip = STUB;
        assert_eq!(self.cpu.run(100), Stop::Halted);
        self.cpu.halted = false;
        self.cpu.rip = CODE;
    }

    /// Bytes of a word of a frame.
    pub fn word(&self) -> u64 {
        if self.kind == Kind::Long { 8 } else { 4 }
    }

    /// Writes RAM from outside.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = at as usize;
        self.cpu.ram()[start..start + bytes.len()].copy_from_slice(bytes);
        self.cpu.code_written(at, bytes.len() as u64);
    }

    /// Writes 8 bytes.
    pub fn put(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    /// Writes 4 bytes.
    pub fn put32(&mut self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    /// Reads 4 or 8 bytes.
    pub fn get(&mut self, at: u64, bytes: u64) -> u64 {
        let start = at as usize;
        let mut value = [0; 8];
        value[..bytes as usize].copy_from_slice(&self.cpu.ram()[start..start + bytes as usize]);
        u64::from_le_bytes(value)
    }

    fn tables(&mut self) {
        match self.kind {
            Kind::Flat => {}
            Kind::Narrow => {
                self.put32(ROOT, TABLE as u32 | 7);
                for page in 0..1024 {
                    self.put32(TABLE + page * 4, (page * 4096) as u32 | 7);
                }
            }
            Kind::Pae | Kind::Long => {
                let directory = 0x12000;
                if self.kind == Kind::Long {
                    self.put(ROOT, 0x11007);
                    self.put(0x11000, directory | 7);
                } else {
                    self.put(ROOT, directory | 1);
                }
                self.put(directory, TABLE | 7);
                for page in 0..512 {
                    self.put(TABLE + page * 8, (page * 4096) | 7);
                }
            }
        }
    }

    /// Sets the page-table entry of a page below 2 MiB.
    pub fn map(&mut self, linear: u64, entry: u64) {
        let page = linear >> 12;
        if self.kind == Kind::Narrow {
            self.put32(TABLE + page * 4, entry as u32);
        } else {
            self.put(TABLE + page * 8, entry);
        }
    }

    /// The page-table entry of a page below 2 MiB.
    pub fn entry(&mut self, linear: u64) -> u64 {
        let bytes = if self.kind == Kind::Narrow { 4 } else { 8 };
        self.get(TABLE + (linear >> 12) * bytes, bytes)
    }

    fn descriptors(&mut self, long: bool) {
        let size: u64 = if long { 0x00A0_0000_0000_0000 } else { 0x00C0_0000_0000_0000 };
        let flat = |access: u64, size: u64| 0x000F_0000_0000_FFFF | access << 40 | size;
        let big = 0x00C0_0000_0000_0000;
        self.put(GDT + 0x10, flat(0x9B, size));
        self.put(GDT + 0x18, flat(0x93, big));
        self.put(GDT + 0x20, flat(0xFB, size));
        self.put(GDT + 0x28, flat(0xF3, big));
        self.put(GDT + 0x30, flat(0xFB, big));
        self.put(GDT + 0x38, flat(0x1B, size));
        self.put(GDT + 0x40, flat(0x73, big));
        self.put(GDT + 0x48, 0x0000_8900_0000_0067 | TSS << 16);
        self.put(GDT + 0x50, 0);
        if long {
            self.put(TSS + 4, STACK0);
            for (n, top) in IST.into_iter().enumerate() {
                self.put(TSS + 0x24 + 8 * n as u64, top);
            }
        } else {
            self.put32(TSS + 4, STACK0 as u32);
            self.put32(TSS + 8, u32::from(KERNEL_DATA));
        }
        self.put32(TSS + 100, 0x68 << 16);
        self.cpu.tr = Segment { selector: TASK, attributes: 0x8B, limit: 0x67, base: TSS };
        self.cpu.idtr = TableRegister { base: IDT, limit: if long { 0xFFF } else { 0x7FF } };
        for vector in 0..256 {
            self.gate(vector as u8, 0x8E, KERNEL_CODE, 0);
            if vector < 128 {
                self.write(HANDLERS + 16 * vector, &[0xF4]);
            }
        }
    }

    /// Sets the gate of `vector`: access byte, selector, interrupt stack.
    pub fn gate(&mut self, vector: u8, access: u64, selector: u16, stack: u64) {
        let to = HANDLERS + 16 * u64::from(vector);
        let low = to & 0xFFFF | u64::from(selector) << 16 | stack << 32 | access << 40 | (to >> 16) << 48;
        if self.kind == Kind::Long {
            self.put(IDT + 16 * u64::from(vector), low);
            self.put(IDT + 16 * u64::from(vector) + 8, 0);
        } else {
            self.put(IDT + 8 * u64::from(vector), low);
        }
    }

    /// Makes the code under test run in ring 3, as 32-bit code if `compatible`.
    pub fn user(&mut self, compatible: bool) {
        let long = self.kind == Kind::Long && !compatible;
        let size = if long { Segment::LONG } else { Segment::BIG };
        let selector = if compatible { USER_COMPAT } else { USER_CODE };
        for segment in &mut self.cpu.segments {
            *segment = Segment::flat(USER_DATA, 3, 3, Segment::BIG);
        }
        self.cpu.segments[Seg::Cs.index()] = Segment::flat(selector, 0xB, 3, size);
        self.cpu.set_cpl(3);
    }

    /// Runs until a handler halts, and says what it found.
    pub fn event(&mut self) -> Event {
        let stop = self.cpu.run(10_000);
        assert!(matches!(stop, Stop::Halted | Stop::Idle), "{stop:?} at {:x}", self.cpu.rip);
        let rip = self.cpu.rip;
        assert!((HANDLERS..HANDLERS + 0x800).contains(&rip), "halted at {rip:x}");
        let vector = ((rip - HANDLERS) / 16) as u8;
        let word = self.word();
        let mut at = self.cpu.regs[4];
        let mut next = |machine: &mut Self| {
            let value = machine.get(at, word);
            at += word;
            value
        };
        let error = matches!(vector, 8 | 10..=14 | 17).then(|| next(self));
        Event { vector, error, rip: next(self), cs: next(self), flags: next(self) }
    }

    /// The vector and error code of the next event.
    pub fn fault(&mut self) -> (u8, u64) {
        let event = self.event();
        (event.vector, event.error.unwrap_or(0))
    }

    /// CR2, as a program in ring 0 sees it.
    pub fn cr2(&mut self) -> u64 {
        const STUB: u64 = 0xF800;
        // mov eax, cr2; hlt
        self.write(STUB, &[0x0F, 0x20, 0xD0, 0xF4]);
        self.cpu.halted = false;
        self.cpu.rip = STUB;
        assert_eq!(self.cpu.run(10), Stop::Halted);
        self.cpu.regs[0]
    }
}
