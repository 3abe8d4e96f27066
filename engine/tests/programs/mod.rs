//! Random short programs of the instructions that are joined.

use crate::machine::CODE;

/// Random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((self.next() >> 32) * end) >> 32
    }

    /// True in so many of 100 cases.
    pub(crate) fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Distance between pages with the same entry in the TLB.
pub const BANK: u64 = 4 << 20;
/// Operations by their encoding.
const ADD: u8 = 0;
const AND: u8 = 4;
const SUB: u8 = 5;
const CMP: u8 = 7;
const ESP: u8 = 4;

/// A program in the making.
pub struct Program {
    pub(crate) random: Random,
    long: bool,
    /// Most instructions have operands of 64 bits for now.
    wide: bool,
    /// Where it starts.
    pub start: u64,
    pub code: Vec<u8>,
    /// Where its instructions start.
    pub starts: Vec<u64>,
    /// Branches: the place of the displacement, and its size.
    branches: Vec<(usize, usize)>,
    /// The registers it uses most.
    favourites: [u8; 4],
}

/// The operand of a ModRM byte.
#[derive(Clone, Copy)]
enum Rm {
    Register(u8),
    Memory(u8, i32),
}

impl Program {
    pub fn new(seed: u64, long: bool) -> Self {
        let mut random = Random(seed);
        let start = match random.below(4) {
            0 => CODE + random.below(0x800),
            1 => CODE + 0x1000 - random.below(16),
            _ => CODE + 0x1000 - random.below(120),
        };
        let favourites = [(); 4].map(|()| random.below(if long { 16 } else { 8 }) as u8);
        let (code, starts, branches) = Default::default();
        let mut program = Self { random, long, wide: false, start, code, starts, branches, favourites };
        for _ in 0..1 + program.random.below(12) {
            program.group();
        }
        program.begin();
        program.code.extend([0x0F, 0x0B]);
        program.aim();
        program
    }

    /// An instruction starts here.
    fn begin(&mut self) {
        self.starts.push(self.start + self.code.len() as u64);
    }

    /// Sets where the branches go.
    fn aim(&mut self) {
        for (at, size) in std::mem::take(&mut self.branches) {
            let next = self.start + (at + size) as u64;
            let mut target = self.random.pick(&self.starts);
            if target < next && self.random.percent(70) {
                // Rather forward, so that programs end.
                target = self.random.pick(&self.starts).max(next);
            }
            let distance = target.wrapping_sub(next) as i32;
            if size == 4 {
                self.code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
            } else {
                self.code[at] = i8::try_from(distance).unwrap_or(0) as u8;
            }
        }
    }

    fn register(&mut self) -> u8 {
        if self.random.percent(3) {
            ESP
        } else if self.random.percent(70) {
            self.random.pick(&self.favourites)
        } else {
            self.random.below(if self.long { 16 } else { 8 }) as u8
        }
    }

    fn displacement(&mut self) -> i32 {
        match self.random.below(8) {
            0..=2 => 0,
            3..=5 => self.random.below(48) as i32 - 24,
            6 => self.random.pick(&[0x1000, -0x1000, 0xFFC, -0xFFE, BANK as i32, -(BANK as i32)]),
            _ => self.random.below(0x4000) as i32 - 0x2000,
        }
    }

    fn memory(&mut self) -> Rm {
        let base = if self.random.percent(10) { ESP } else { self.register() };
        Rm::Memory(base, self.displacement())
    }

    fn immediate(&mut self) -> i32 {
        match self.random.below(4) {
            0 => self.random.pick(&[0, 1, -1, 4, -4, 0x1000, -0x1000, BANK as i32, i32::MIN, i32::MAX]),
            1 => self.random.next() as i32,
            _ => self.random.below(40) as i32 - 20,
        }
    }

    /// An instruction with a ModRM byte; `prefix` 0 is none.
    fn modrm(&mut self, prefix: u8, wide: bool, opcode: &[u8], reg: u8, rm: Rm) {
        self.begin();
        if prefix != 0 {
            self.code.push(prefix);
        }
        let (Rm::Register(base) | Rm::Memory(base, _)) = rm;
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | base >> 3;
        if rex != 0x40 {
            assert!(self.long);
            self.code.push(rex);
        }
        self.code.extend(opcode);
        let low = (reg & 7) << 3 | base & 7;
        let Rm::Memory(_, displacement) = rm else { return self.code.push(0xC0 | low) };
        let short = i8::try_from(displacement);
        let mode = match short {
            Ok(0) if base & 7 != 5 => 0,
            Ok(_) => 0x40,
            Err(_) => 0x80,
        };
        self.code.push(mode | low);
        if base & 7 == 4 {
            self.code.push(0x24);
        }
        match short {
            Ok(byte) if mode == 0x40 => self.code.push(byte as u8),
            Err(_) => self.code.extend(displacement.to_le_bytes()),
            _ => {}
        }
    }

    /// Bits of most operands.
    fn size(&self) -> u8 {
        if self.wide { 64 } else { 32 }
    }

    fn load(&mut self, register: u8) {
        let from = self.memory();
        self.modrm(0, self.wide, &[0x8B], register, from);
    }

    fn store(&mut self) {
        let (register, to) = (self.register(), self.memory());
        self.modrm(0, self.wide, &[0x89], register, to);
    }

    fn copy(&mut self) {
        let (to, from) = (self.register(), self.register());
        let wide = self.wide && !self.random.percent(20);
        self.modrm(0, wide, &[0x8B], to, Rm::Register(from));
    }

    /// One of the eight operations with an immediate operand, 8 bits wide or more.
    fn arithmetic(&mut self, operation: u8, rm: Rm, size: u8) {
        let value = self.immediate();
        let prefix = if size == 16 { 0x66 } else { 0 };
        if size == 8 {
            self.modrm(0, false, &[0x80], operation, rm);
            self.code.push(value as u8);
        } else if let Ok(byte) = i8::try_from(value) {
            self.modrm(prefix, size == 64, &[0x83], operation, rm);
            self.code.push(byte as u8);
        } else {
            self.modrm(prefix, size == 64, &[0x81], operation, rm);
            self.code.extend(&value.to_le_bytes()[..if size == 16 { 2 } else { 4 }]);
        }
    }

    fn jump_if(&mut self, conditions: &[u8]) {
        let condition =
            if self.random.percent(70) { self.random.pick(conditions) } else { self.random.below(16) as u8 };
        self.begin();
        if self.random.percent(70) {
            self.code.extend([0x70 | condition, 0]);
            self.branches.push((self.code.len() - 1, 1));
        } else {
            self.code.extend([0x0F, 0x80 | condition, 0, 0, 0, 0]);
            self.branches.push((self.code.len() - 4, 4));
        }
    }

    fn call(&mut self) {
        self.begin();
        self.code.extend([0xE8, 0, 0, 0, 0]);
        self.branches.push((self.code.len() - 4, 4));
    }

    /// PUSH, 0x50, or POP, 0x58.
    fn stack(&mut self, opcode: u8) {
        let register = self.register();
        self.begin();
        if register > 7 {
            self.code.push(0x41);
        }
        self.code.push(opcode | register & 7);
    }

    /// Moves and arithmetic, any two of which may be joined.
    fn simple(&mut self) {
        let (a, b) = (self.register(), self.register());
        let size = self.size();
        match self.random.below(13) {
            0 => self.load(a),
            1 => {
                let displacement = self.displacement();
                self.load(a);
                self.modrm(0, self.wide, &[0x8B], b, Rm::Memory(a, displacement));
            }
            2 | 3 => self.store(),
            4 => self.copy(),
            5..=7 => {
                let opcode = self.random.pick(&[0x01, 0x03, 0x09, 0x21, 0x23, 0x31]);
                self.modrm(0, self.wide, &[opcode], a, Rm::Register(b));
            }
            8 | 9 => {
                let operation = self.random.pick(&[ADD, ADD, AND, SUB]);
                self.arithmetic(operation, Rm::Register(a), size);
            }
            10 => {
                let of = self.memory();
                self.modrm(0, self.wide, &[0x8D], b, of);
            }
            11 => self.modrm(0, false, &[0x31], a, Rm::Register(a)),
            _ => {
                // ROL, ROR, SHL, SHR.
                let operation = self.random.pick(&[0, 1, 4, 5]);
                self.modrm(0, self.wide, &[0xC1], operation, Rm::Register(a));
                let count = self.random.below(u64::from(size) + 2) as u8;
                self.code.push(count);
            }
        }
    }

    /// Pushes, pops, and what may come before and after them.
    fn stack_group(&mut self) {
        let size = if self.long && self.random.percent(50) { 64 } else { 32 };
        match self.random.below(7) {
            0 => {
                (0..1 + self.random.below(5)).for_each(|_| self.stack(0x50));
                match self.random.below(4) {
                    0 => self.call(),
                    1 | 2 => self.arithmetic(SUB, Rm::Register(ESP), size),
                    _ => {}
                }
            }
            1 | 2 => {
                (0..1 + self.random.below(5)).for_each(|_| self.stack(0x58));
                if self.random.percent(40) {
                    self.ret();
                }
            }
            3 => {
                self.copy();
                self.call();
            }
            4 => {
                self.copy();
                self.stack(0x50);
                self.copy();
            }
            5 => {
                let register = self.register();
                self.load(register);
                self.ret();
            }
            _ => {
                let operation = self.random.pick(&[ADD, SUB]);
                self.arithmetic(operation, Rm::Register(ESP), size);
            }
        }
    }

    fn ret(&mut self) {
        self.begin();
        self.code.push(0xC3);
    }

    /// A comparison and a branch, and what may come before them.
    fn branch_group(&mut self) {
        const EQUAL: [u8; 2] = [4, 5];
        const SIGNED: [u8; 6] = [4, 5, 8, 9, 14, 15];
        const ALL: [u8; 12] = [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15];
        let (a, b) = (self.register(), self.register());
        let (register, memory) = (Rm::Register(b), self.memory());
        let other = if self.random.percent(70) { a } else { b };
        match self.random.below(5) {
            0 => self.load(a),
            1 | 2 => self.arithmetic(ADD, Rm::Register(a), 32),
            _ => {}
        }
        let size = self.random.pick(if self.long { &[8, 16, 32, 32, 64][..] } else { &[8, 16, 32, 32] });
        let (prefix, wide) = (if size == 16 { 0x66 } else { 0 }, size == 64);
        let full = u8::from(size != 8);
        let conditions = match self.random.below(9) {
            0 | 1 => {
                self.modrm(0, self.wide, &[0x85], other, Rm::Register(other));
                &EQUAL[..]
            }
            2 => {
                self.modrm(prefix, wide, &[0xF6 | full], 0, register);
                let mask = self.immediate().to_le_bytes();
                self.code.extend(&mask[..[1, 2, 4][usize::from(size.min(32) / 16)]]);
                &SIGNED
            }
            3 => {
                self.arithmetic(CMP, Rm::Register(other), 32);
                &[2, 4, 5]
            }
            4 => {
                self.modrm(prefix, wide, &[0x84 | full], a, register);
                &SIGNED
            }
            5 => {
                let rm = self.random.pick(&[register, memory]);
                self.arithmetic(CMP, rm, size);
                &ALL
            }
            6 => {
                let opcode = self.random.pick(&[0x38, 0x3A]) | full;
                let rm = self.random.pick(&[register, memory]);
                self.modrm(prefix, wide, &[opcode], a, rm);
                &ALL
            }
            7 => {
                let (operation, rm) = self.random.pick(&[(AND, register), (SUB, memory)]);
                let size = self.size();
                self.arithmetic(operation, rm, size);
                &EQUAL
            }
            _ => {
                let rm = self.random.pick(&[Rm::Register(other), memory]);
                self.modrm(0, false, &[0xF6], 0, rm);
                let mask = self.random.next() as u8;
                self.code.push(mask);
                &SIGNED
            }
        };
        self.jump_if(conditions);
    }

    /// Operands of 8 and 16 bits, and XMM registers.
    fn other(&mut self) {
        let (a, b, x) = (self.register(), self.register(), self.random.below(8) as u8);
        let (memory, vector) = (self.memory(), Rm::Register(a & 7));
        let rm = self.random.pick(&[vector, memory]);
        let wide = self.long && self.random.percent(40);
        match self.random.below(12) {
            0..=2 => {
                // INC, DEC, NEG, NOT, of 1 to 8 bytes.
                let narrow = self.random.percent(40);
                let (opcode, operation) = self.random.pick(&[(0xFE, 0), (0xFE, 1), (0xF6, 2), (0xF6, 3)]);
                let rm = self.random.pick(&[Rm::Register(a), Rm::Register(b), memory]);
                let prefix = if !narrow && self.random.percent(40) { 0x66 } else { 0 };
                self.modrm(prefix, wide && !narrow, &[opcode | u8::from(!narrow)], operation, rm);
            }
            3 | 4 => {
                let operation = self.random.pick(&[4, 5, 7]);
                let (prefix, opcode) = self.random.pick(&[(0, 0xC0), (0x66, 0xC1)]);
                self.modrm(prefix, false, &[opcode], operation, Rm::Register(a));
                let count = self.random.below(20) as u8;
                self.code.push(count);
            }
            5 | 6 => {
                let (prefix, opcode) =
                    self.random.pick(&[(0xF3, 0x6F), (0xF3, 0x7F), (0x66, 0x6F), (0x66, 0x7F)]);
                self.modrm(prefix, false, &[0x0F, opcode], x, rm);
            }
            7 => {
                let (prefix, opcode) = self.random.pick(&[(0xF3, 0x7E), (0x66, 0xD6)]);
                self.modrm(prefix, false, &[0x0F, opcode], x, rm);
            }
            8 | 9 => {
                let rm = self.random.pick(&[Rm::Register(a), memory]);
                let opcode = self.random.pick(&[0x6E, 0x7E]);
                self.modrm(0x66, wide, &[0x0F, opcode], x, rm);
            }
            10 => {
                let opcode = self.random.pick(&[0xEF, 0x74]);
                self.modrm(0x66, false, &[0x0F, opcode], x, rm);
            }
            _ => self.modrm(0x66, false, &[0x0F, 0xD7], b, vector),
        }
    }

    fn group(&mut self) {
        self.wide = self.long && self.random.percent(50);
        match self.random.below(10) {
            0..=3 => (0..1 + self.random.below(4)).for_each(|_| self.simple()),
            4 | 5 => self.stack_group(),
            6..=8 => self.branch_group(),
            _ => self.other(),
        }
    }
}
