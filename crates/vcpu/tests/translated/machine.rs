//! The RAM of a machine that executes one case after the other: tables, handlers, and the driver, a program that brings
//! everything into a case's state, starts its program in ring 3 or 0, and notes how that ended.

use wasm_sandbox_vcpu::{BootMode, BootRegisters};

use crate::bus::{END_PORT, TIMER_PORT};

pub const RAM: u64 = 32 << 20;
/// Where programs find their code.
pub const CODE: u64 = 0x2_0000;
/// Pages of code of each program.
pub const CODE_BYTES: u64 = 0x2000;

// Where things lie in RAM. Programs do not see it there.
const GDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
const TSS: u64 = 0x3000;
const HANDLERS: u64 = 0x4000;
const DRIVER: u64 = 0x5000;
/// The case, where the cases end, the place of the next result, and what LIDT reads.
const NEXT_CASE: u64 = 0x7000;
const CASES_END: u64 = 0x7008;
const NEXT_RESULT: u64 = 0x7010;
const IDTR: u64 = 0x7020;
/// Top of the driver's stack.
const STACK: u64 = 0x9000;
/// Turns paging on.
const STUB: u64 = 0xF000;
const ROOT: u64 = 0x1_0000;
const TABLE: u64 = 0x1_3000;
/// Frames of data, filled anew for each case.
pub const FRAMES: u64 = 0x10_0000;
pub const FRAME_COUNT: u64 = 8;
pub const CASES: u64 = 0x20_0000;
/// What the frames of data are filled with, for each program.
pub const DATA: u64 = 0x40_0000;
pub const DATA_BYTES: u64 = FRAME_COUNT * 0x1000;
/// Frames of code, and what they are filled with.
pub const CODE_FRAMES: u64 = 0xB0_0000;
pub const PRISTINE_CODE: u64 = 0xD0_0000;
pub const RESULTS: u64 = 0x100_0000;
/// Nothing is there.
pub const NO_RAM: u64 = 0x9000_0000;

/// Bytes of a case and of a result.
pub const RECORD: u64 = 0x400;
// What is where in a case; before that there are the number of entries of page tables, where data, the code's
// frames and the pristine code lie, and the timer's instructions.
pub const CASE_ENTRIES: u64 = 0x20;
pub const CASE_WORDS: u64 = 0x160;
pub const CASE_FX: u64 = 0x200;
// What is where in a result.
const RESULT_CR2: u64 = 0xB8;
const RESULT_SUMS: u64 = 0xC0;
const RESULT_FX: u64 = 0x100;
const RESULT_ENTRIES: u64 = 0x300;

pub const KERNEL_CODE: u64 = 0x10;
pub const KERNEL_DATA: u64 = 0x18;
pub const USER_CODE: u64 = 0x23;
pub const USER_DATA: u64 = 0x2B;
const TASK: u8 = 0x48;

/// Distance between pages with the same entry in the TLB.
const BANK: u64 = 4 << 20;

/// A machine's RAM in the making, in 32-bit or 64-bit mode.
pub struct Machine<'a> {
    pub ram: &'a mut [u8],
    pub long: bool,
}

/// Instructions in the making. All of them are written as 32-bit code.
struct Assembler {
    code: Vec<u8>,
    long: bool,
}

impl Assembler {
    fn bytes(&mut self, bytes: &[u8]) {
        self.code.extend(bytes);
    }

    /// An instruction with operands of 64 bits in 64-bit mode.
    fn wide(&mut self, bytes: &[u8]) {
        if self.long {
            self.code.push(0x48);
        }
        self.code.extend(bytes);
    }

    /// The distance of something from RBX as the end of an instruction, or another number.
    fn number(&mut self, number: u64) {
        self.code.extend((number as u32).to_le_bytes());
    }

    /// mov ebx, base
    fn base(&mut self) {
        self.wide(&[0xBB]);
        let bytes = if self.long { 8 } else { 4 };
        self.code.extend(&kernel(self.long).to_le_bytes()[..bytes]);
    }

    /// The end of a branch back to `target`.
    fn back(&mut self, target: usize) {
        self.code.push(target.wrapping_sub(self.code.len() + 1) as u8);
    }
}

/// Where all of RAM lies for the driver, out of reach of programs.
pub fn kernel(long: bool) -> u64 {
    if long { 0x2A55_1000_0000 } else { 0x1000_0000 }
}

/// Where the page-table entry of a page lies that programs use.
pub fn entry_place(linear: u64, long: bool) -> u64 {
    let bank = match linear / BANK {
        0 => TABLE,
        1 => 0x1_4000,
        2 => 0x1_5000,
        _ => 0x1_7000,
    };
    if long { bank + (linear >> 12 & 511) * 8 } else { bank + (linear >> 12 & 1023) * 4 }
}

/// How the machine starts.
pub fn boot(long: bool) -> BootRegisters {
    let mode = if long { BootMode::Long } else { BootMode::Protected };
    let rip = if long { kernel(long) + DRIVER } else { STUB };
    BootRegisters { mode, rip, rsi: 0, cr3: ROOT, gdt_base: kernel(long) + GDT, gdt_limit: 0x57 }
}

impl Machine<'_> {
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.ram[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn put(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    fn put32(&mut self, at: u64, value: u64) {
        self.write(at, &(value as u32).to_le_bytes());
    }

    /// Everything but cases and programs.
    pub fn lay_out(&mut self, cases: u64) {
        self.tables();
        self.descriptors();
        let limit = if self.long { 0xFFF } else { 0x7FF };
        self.write(IDTR, &[limit as u8, (limit >> 8) as u8]);
        self.put(IDTR + 2, kernel(self.long) + IDT);
        self.put(CASES_END, CASES + cases * RECORD);
        let (driver, event) = self.driver();
        self.write(DRIVER, &driver);
        self.handlers(DRIVER + event as u64);
    }

    fn tables(&mut self) {
        let base = kernel(self.long);
        if self.long {
            let (upper, middle) = (0x1_A000, 0x1_B000);
            let links = [
                (ROOT, 0x1_1007),
                (0x1_1000, 0x1_2007),
                (0x1_2000, TABLE | 7),
                (0x1_2010, 0x1_4007),
                (0x1_2020, 0x1_5007),
                (ROOT + 0xFF8, 0x1_8007),
                (0x1_8FF8, 0x1_9007),
                (0x1_9FF8, 0x1_7007),
                (ROOT + (base >> 39 & 511) * 8, upper | 3),
                (upper + (base >> 30 & 511) * 8, middle | 3),
            ];
            for (at, entry) in links {
                self.put(at, entry);
            }
            for number in 0..RAM >> 21 {
                self.put(middle + ((base >> 21 & 511) + number) * 8, number << 21 | 0x183);
            }
        } else {
            for (bank, table) in [(0, TABLE), (1, 0x1_4000), (2, 0x1_5000), (1023, 0x1_7000)] {
                self.put32(ROOT + 4 * bank, table | 7);
            }
            for number in 0..RAM >> 22 {
                self.put32(ROOT + ((base >> 22) + number) * 4, number << 22 | 0x183);
            }
            self.put32(entry_place(STUB, false), STUB | 1);
        }
    }

    fn descriptors(&mut self) {
        let base = kernel(self.long);
        let flat = |access: u64, size: u64| 0x000F_0000_0000_FFFF | access << 40 | size << 52;
        let size = if self.long { 0xA } else { 0xC };
        for (at, access, size) in
            [(0x10, 0x9B, size), (0x18, 0x93, 0xC), (0x20, 0xFB, size), (0x28, 0xF3, 0xC)]
        {
            self.put(GDT + at, flat(access, size));
        }
        let tss = base + TSS;
        let low = 0x0000_8900_0000_0067 | (tss & 0xFF_FFFF) << 16 | (tss >> 24 & 0xFF) << 56;
        self.put(GDT + u64::from(TASK), low);
        self.put(GDT + u64::from(TASK) + 8, tss >> 32);
        if self.long {
            self.put(TSS + 4, base + STACK);
            // That of IST 1.
            self.put(TSS + 0x24, base + STACK);
        } else {
            self.put32(TSS + 4, base + STACK);
            self.put32(TSS + 8, KERNEL_DATA);
        }
        self.put32(TSS + 100, 0x68 << 16);
        for vector in 0..256 {
            let to = base + HANDLERS + 16 * vector;
            let gate = 0x8E00_0000_0000 | to & 0xFFFF | KERNEL_CODE << 16 | (to >> 16 & 0xFFFF) << 48;
            if self.long {
                self.put(IDT + 16 * vector, gate | 1 << 32);
                self.put(IDT + 16 * vector + 8, to >> 32);
            } else {
                self.put(IDT + 8 * vector, gate);
            }
        }
        if !self.long {
            self.stub();
        }
    }

    /// Turns paging on, and goes to the driver.
    fn stub(&mut self) {
        let mut stub = Assembler { code: Vec::new(), long: false };
        // mov eax, ROOT; mov cr3, eax; mov eax, ...; mov cr4, eax; mov eax, ...; mov cr0, eax; jmp driver
        stub.bytes(&[0xB8]);
        stub.number(ROOT);
        stub.bytes(&[0x0F, 0x22, 0xD8, 0xB8]);
        stub.number(0x294);
        stub.bytes(&[0x0F, 0x22, 0xE0, 0xB8]);
        stub.number(0x8001_0011);
        stub.bytes(&[0x0F, 0x22, 0xC0, 0xEA]);
        stub.number(kernel(false) + DRIVER);
        stub.bytes(&[KERNEL_CODE as u8, 0]);
        self.write(STUB, &stub.code);
    }

    /// One for each vector, which pushes an error code if the CPU did not, and the vector, and goes to `event`.
    fn handlers(&mut self, event: u64) {
        for vector in 0..256 {
            let mut handler = Assembler { code: Vec::new(), long: self.long };
            if !matches!(vector, 8 | 10..=14 | 17) {
                // push 0
                handler.bytes(&[0x6A, 0]);
            }
            // push vector; jmp event
            handler.bytes(&[0x68]);
            handler.number(vector);
            handler.bytes(&[0xE9]);
            let at = HANDLERS + 16 * vector;
            let next = at + handler.code.len() as u64 + 4;
            handler.number(event.wrapping_sub(next));
            self.write(at, &handler.code);
        }
    }

    /// The driver, and where in it events are handled.
    fn driver(&self) -> (Vec<u8>, usize) {
        let mut code = Assembler { code: Vec::new(), long: self.long };
        let start = code.prepare();
        let next = code.code.len();
        code.start_case(start);
        let event = code.code.len();
        code.end_case(next);
        assert!(code.code.len() < 0x1000);
        (code.code, event)
    }
}

impl Assembler {
    /// What is done once; where it starts to be done for each round.
    fn prepare(&mut self) -> usize {
        if self.long {
            // mov ecx, EFER; mov eax, LME + LMA + NXE; xor edx, edx; wrmsr; mov eax, ...; mov cr4, rax;
            // mov eax, ...; mov cr0, rax
            self.bytes(&[0xB9, 0x80, 0, 0, 0xC0, 0xB8, 0, 0xD, 0, 0, 0x31, 0xD2, 0x0F, 0x30, 0xB8]);
            self.number(0x2A4);
            self.bytes(&[0x0F, 0x22, 0xE0, 0xB8]);
            self.number(0x8001_0011);
            self.bytes(&[0x0F, 0x22, 0xC0]);
        }
        self.base();
        // lidt [ebx + IDTR]; mov eax, TASK; ltr ax
        self.bytes(&[0x0F, 0x01, 0x9B]);
        self.number(IDTR);
        self.bytes(&[0xB8, TASK, 0, 0, 0, 0x0F, 0x00, 0xD8]);
        self.segments();
        let start = self.code.len();
        // mov ecx, 650000; loop: dec ecx; jnz loop
        self.bytes(&[0xB9]);
        self.number(650_000);
        self.bytes(&[0xFF, 0xC9, 0x75, 0xFC]);
        // mov dword [ebx + NEXT_CASE], CASES; mov dword [ebx + NEXT_RESULT], RESULTS
        for (place, value) in [(NEXT_CASE, CASES), (NEXT_RESULT, RESULTS)] {
            self.bytes(&[0xC7, 0x83]);
            self.number(place);
            self.number(value);
        }
        start
    }

    /// mov eax, USER_DATA, and into DS, ES, FS and GS
    fn segments(&mut self) {
        self.bytes(&[0xB8, USER_DATA as u8, 0, 0, 0]);
        self.bytes(&[0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xE0, 0x8E, 0xE8]);
    }

    /// Starts the next case, or after the last one everything anew.
    fn start_case(&mut self, start: usize) {
        // lea esp, [ebx + STACK]; mov esi, [ebx + NEXT_CASE]; cmp esi, [ebx + CASES_END]; jne go;
        self.wide(&[0x8D, 0xA3]);
        self.number(STACK);
        self.bytes(&[0x8B, 0xB3]);
        self.number(NEXT_CASE);
        self.bytes(&[0x3B, 0xB3]);
        self.number(CASES_END);
        self.bytes(&[0x75, 0x09]);
        // xor eax, eax; out END_PORT, eax; jmp start; go:
        self.bytes(&[0x31, 0xC0, 0xE7, END_PORT, 0xE9]);
        self.number((start as u64).wrapping_sub(self.code.len() as u64 + 4));
        // add esi, ebx; mov ecx, [esi]; lea edx, [esi + CASE_ENTRIES]
        self.wide(&[0x01, 0xDE]);
        self.bytes(&[0x8B, 0x0E]);
        self.wide(&[0x8D, 0x56, CASE_ENTRIES as u8]);
        let entry = self.code.len();
        // entry: mov edi, [edx]; mov eax, [edx + 8]; mov [edi + ebx], eax; add edx, 16; dec ecx; jnz entry
        self.bytes(&[0x8B, 0x3A]);
        self.wide(&[0x8B, 0x42, 8]);
        self.wide(&[0x89, 0x04, 0x1F]);
        self.wide(&[0x83, 0xC2, 16]);
        self.bytes(&[0xFF, 0xC9, 0x75]);
        self.back(entry);
        // mov eax, cr3; mov cr3, eax; xor eax, eax; mov cr2, eax; push esi
        self.bytes(&[0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8, 0x31, 0xC0, 0x0F, 0x22, 0xD0, 0x56]);
        // mov esi, [esi + 4]; add esi, ebx; lea edi, [ebx + FRAMES]; mov ecx, ...; rep movsd
        self.bytes(&[0x8B, 0x76, 4]);
        self.wide(&[0x01, 0xDE]);
        self.wide(&[0x8D, 0xBB]);
        self.number(FRAMES);
        self.bytes(&[0xB9]);
        self.number(DATA_BYTES / 4);
        self.bytes(&[0xF3, 0xA5]);
        // Code that is unchanged is not written: it would have to be decoded anew.
        self.code_pointers();
        // repe cmpsd; je same; ...; rep movsd; same:
        self.bytes(&[0xF3, 0xA7, 0x74, 0]);
        let from = self.code.len();
        self.code_pointers();
        self.bytes(&[0xF3, 0xA5]);
        self.code[from - 1] = (self.code.len() - from) as u8;
        // pop esi; mov eax, [esi + 16]; out TIMER_PORT, eax; fxrstor [esi + CASE_FX]; lea esp, [esi + CASE_WORDS]
        self.bytes(&[0x5E, 0x8B, 0x46, 16, 0xE7, TIMER_PORT, 0x0F, 0xAE, 0x8E]);
        self.number(CASE_FX);
        self.wide(&[0x8D, 0xA6]);
        self.number(CASE_WORDS);
        // pop eax, ecx, edx, ebx, ebp, esi, edi
        self.bytes(&[0x58, 0x59, 0x5A, 0x5B, 0x5D, 0x5E, 0x5F]);
        if self.long {
            (0x58..=0x5F).for_each(|pop| self.bytes(&[0x41, pop]));
        }
        // iret
        self.wide(&[0xCF]);
    }

    /// mov esi, [esp]; mov edi, [esi + 8]; add edi, ebx; mov esi, [esi + 12]; add esi, ebx; mov ecx, ...
    fn code_pointers(&mut self) {
        self.wide(&[0x8B, 0x34, 0x24]);
        self.bytes(&[0x8B, 0x7E, 8]);
        self.wide(&[0x01, 0xDF]);
        self.bytes(&[0x8B, 0x76, 12]);
        self.wide(&[0x01, 0xDE]);
        self.bytes(&[0xB9]);
        self.number(CODE_BYTES / 4);
    }

    /// Handles an event: notes everything, and goes on with the next case.
    fn end_case(&mut self, next: usize) {
        if self.long {
            (0x50..=0x57).rev().for_each(|push| self.bytes(&[0x41, push]));
        }
        // push edi, esi, ebp, ebx, edx, ecx, eax
        self.bytes(&[0x57, 0x56, 0x55, 0x53, 0x52, 0x51, 0x50]);
        self.segments();
        self.base();
        // cld; xor eax, eax; out TIMER_PORT, eax; mov edi, [ebx + NEXT_RESULT]; add edi, ebx; push edi;
        // lea esi, [esp + 8 or 4]
        self.bytes(&[0xFC, 0x31, 0xC0, 0xE7, TIMER_PORT, 0x8B, 0xBB]);
        self.number(NEXT_RESULT);
        self.wide(&[0x01, 0xDF]);
        self.bytes(&[0x57]);
        self.wide(&[0x8D, 0x74, 0x24, if self.long { 8 } else { 4 }]);
        // mov ecx, words; rep movsd; pop edi
        self.bytes(&[0xB9, if self.long { 44 } else { 14 }, 0, 0, 0, 0xF3, 0xA5, 0x5F]);
        // mov eax, cr2; mov [edi + RESULT_CR2], eax; fxsave [edi + RESULT_FX]; lea edx, [edi + RESULT_SUMS]
        self.bytes(&[0x0F, 0x20, 0xD0]);
        self.wide(&[0x89, 0x87]);
        self.number(RESULT_CR2);
        self.bytes(&[0x0F, 0xAE, 0x87]);
        self.number(RESULT_FX);
        self.wide(&[0x8D, 0x97]);
        self.number(RESULT_SUMS);
        // lea esi, [ebx + FRAMES]; mov ebp, FRAME_COUNT
        self.wide(&[0x8D, 0xB3]);
        self.number(FRAMES);
        self.bytes(&[0xBD, FRAME_COUNT as u8, 0, 0, 0]);
        let frame = self.code.len();
        // frame: mov ecx, 1024; xor eax, eax; word: rol eax, 5; add eax, [esi]; add esi, 4; dec ecx; jnz word;
        self.bytes(&[0xB9, 0, 4, 0, 0, 0x31, 0xC0]);
        let word = self.code.len();
        self.bytes(&[0xC1, 0xC0, 5, 0x03, 0x06]);
        self.wide(&[0x83, 0xC6, 4]);
        self.bytes(&[0xFF, 0xC9, 0x75]);
        self.back(word);
        // mov [edx], eax; add edx, 4; dec ebp; jnz frame
        self.bytes(&[0x89, 0x02]);
        self.wide(&[0x83, 0xC2, 4]);
        self.bytes(&[0xFF, 0xCD, 0x75]);
        self.back(frame);
        // mov esi, [ebx + NEXT_CASE]; add esi, ebx; mov ecx, [esi]; lea edx, [esi + CASE_ENTRIES];
        // add edi, RESULT_ENTRIES
        self.bytes(&[0x8B, 0xB3]);
        self.number(NEXT_CASE);
        self.wide(&[0x01, 0xDE]);
        self.bytes(&[0x8B, 0x0E]);
        self.wide(&[0x8D, 0x56, CASE_ENTRIES as u8]);
        self.wide(&[0x81, 0xC7]);
        self.number(RESULT_ENTRIES);
        let entry = self.code.len();
        // entry: mov esi, [edx]; mov eax, [esi + ebx]; mov [edi], eax; add edx, 16; add edi, 8; dec ecx; jnz entry
        self.bytes(&[0x8B, 0x32]);
        self.wide(&[0x8B, 0x04, 0x1E]);
        self.wide(&[0x89, 0x07]);
        self.wide(&[0x83, 0xC2, 16]);
        self.wide(&[0x83, 0xC7, 8]);
        self.bytes(&[0xFF, 0xC9, 0x75]);
        self.back(entry);
        // add dword [ebx + NEXT_CASE], RECORD; add dword [ebx + NEXT_RESULT], RECORD; jmp next
        for place in [NEXT_CASE, NEXT_RESULT] {
            self.bytes(&[0x81, 0x83]);
            self.number(place);
            self.number(RECORD);
        }
        self.bytes(&[0xE9]);
        self.number((next as u64).wrapping_sub(self.code.len() as u64 + 4));
    }
}
