//! Random programs of instructions of most kinds, many of which the engine's own tests do not make programs of.

use crate::Random;
use crate::machine::CODE;

const ESP: u8 = 4;

/// A program in the making.
pub struct Mixed {
    pub random: Random,
    long: bool,
    /// Where it starts.
    pub start: u64,
    pub code: Vec<u8>,
    /// Where its instructions start.
    pub starts: Vec<u64>,
    /// Branches: the place of the displacement, and its size.
    branches: Vec<(usize, usize)>,
    favourites: [u8; 4],
}

/// Size of an operand in bits, or what comes before the opcode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Byte,
    Word,
    Double,
    Quad,
    /// Of XMM registers, with this prefix or none.
    Vector(u8),
}

impl Mixed {
    pub fn new(seed: u64, long: bool) -> Self {
        let mut random = Random(seed);
        let start = CODE + if random.percent(50) { random.below(0x800) } else { 0xF00 + random.below(0x100) };
        let favourites = [(); 4].map(|()| random.below(if long { 16 } else { 8 }) as u8);
        let (code, starts, branches) = Default::default();
        let mut program = Self { random, long, start, code, starts, branches, favourites };
        for _ in 0..4 + program.random.below(40) {
            program.instruction();
        }
        program.begin();
        program.code.extend([0x0F, 0x0B]);
        for (at, size) in std::mem::take(&mut program.branches) {
            let next = program.start + (at + size) as u64;
            let mut target = program.random.pick(&program.starts);
            if target < next && program.random.percent(80) {
                target = program.random.pick(&program.starts).max(next);
            }
            let distance = target.wrapping_sub(next) as i32;
            if size == 4 {
                program.code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
            } else {
                program.code[at] = i8::try_from(distance).unwrap_or(0) as u8;
            }
        }
        program
    }

    /// An instruction starts here.
    fn begin(&mut self) {
        self.starts.push(self.start + self.code.len() as u64);
    }

    fn register(&mut self) -> u8 {
        let random = &mut self.random;
        match random.below(20) {
            0..=13 => random.pick(&self.favourites),
            _ => random.below(if self.long { 16 } else { 8 }) as u8,
        }
    }

    fn size(&mut self) -> Size {
        self.random.pick(if self.long {
            &[Size::Byte, Size::Word, Size::Double, Size::Double, Size::Quad, Size::Quad][..]
        } else {
            &[Size::Byte, Size::Word, Size::Double, Size::Double]
        })
    }

    /// An instruction whose first operand, or only one, is in a register (`direct`) or in memory.
    fn modrm(&mut self, size: Size, opcode: &[u8], reg: u8, direct: bool) {
        self.begin();
        let (base, index) = (self.register(), self.register());
        let base = if !direct && self.random.percent(15) { ESP } else { base };
        // An index of 4 is none.
        let sib = !direct && (base & 7 == ESP || self.random.percent(25));
        let index = if sib && self.random.percent(50) { index } else { ESP };
        match size {
            Size::Word => self.code.push(0x66),
            Size::Vector(prefix) if prefix != 0 => self.code.push(prefix),
            _ => {}
        }
        if self.long {
            let wide = u8::from(size == Size::Quad) << 3;
            let rex = 0x40 | wide | reg >> 3 << 2 | (if sib { index >> 3 << 1 } else { 0 }) | base >> 3;
            if rex != 0x40 || self.random.percent(20) {
                self.code.push(rex);
            }
        }
        self.code.extend(opcode);
        let low = (reg & 7) << 3 | if sib { 4 } else { base & 7 };
        if direct {
            return self.code.push(0xC0 | low);
        }
        let random = &mut self.random;
        let displacement = match random.below(6) {
            0 | 1 if base & 7 != 5 => None,
            0..=3 => Some(random.below(48) as i32 - 24),
            4 => Some(random.pick(&[0x1000, -0x1000, 0xFFC, -0xFFE, 4 << 20, -(4 << 20)])),
            _ => Some(random.below(0x1000) as i32 - 0x800),
        };
        let short = displacement.map(i8::try_from);
        self.code.push(low | [0, 0x40, 0x80][short.map_or(0, |short| if short.is_ok() { 1 } else { 2 })]);
        if sib {
            self.code.push((random.below(4) as u8) << 6 | (index & 7) << 3 | base & 7);
        }
        match short {
            Some(Ok(byte)) => self.code.push(byte as u8),
            Some(Err(_)) => self.code.extend(displacement.unwrap_or(0).to_le_bytes()),
            None => {}
        }
    }

    /// An immediate operand of `bytes`.
    fn immediate(&mut self, bytes: usize) {
        let random = &mut self.random;
        let value = match random.below(4) {
            0 => random.pick(&[0, 1, !0, 0x7F, 0x80, 0x7FFF_FFFF, 0x8000_0000, 0x7FFF, 0x1000]),
            1 => random.next(),
            _ => random.below(40).wrapping_sub(20),
        };
        self.code.extend(&value.to_le_bytes()[..bytes]);
    }

    /// An immediate operand as wide as the others, but at most of 32 bits.
    fn full_immediate(&mut self, size: Size) {
        self.immediate(match size {
            Size::Byte => 1,
            Size::Word => 2,
            _ => 4,
        });
    }

    fn plain(&mut self, bytes: &[u8]) {
        self.begin();
        self.code.extend(bytes);
    }

    /// A branch with a displacement of 8 or, behind this opcode, of 32 bits.
    fn branch(&mut self, opcode: &[u8], size: usize) {
        self.plain(opcode);
        self.branches.push((self.code.len(), size));
        self.code.resize(self.code.len() + size, 0);
    }

    fn condition(&mut self, opcode: u8) -> u8 {
        opcode | self.random.below(16) as u8
    }

    /// Something that depends on flags, or goes elsewhere.
    fn of_flags(&mut self) {
        let (size, reg, direct) = (self.size(), self.register(), self.random.percent(70));
        let full = if size == Size::Byte { Size::Double } else { size };
        match self.random.below(10) {
            0..=3 => {
                let opcode = self.condition(0x70);
                self.branch(&[opcode], 1);
            }
            4 => {
                let opcode = self.condition(0x80);
                self.branch(&[0x0F, opcode], 4);
            }
            5 | 6 => {
                let opcode = self.condition(0x90);
                self.modrm(Size::Byte, &[0x0F, opcode], 0, direct);
            }
            7 => {
                let opcode = self.condition(0x40);
                self.modrm(full, &[0x0F, opcode], reg, direct);
            }
            8 => {
                // ADC, SBB.
                let opcode = self.random.pick(&[0x10, 0x12, 0x18, 0x1A]);
                self.modrm(size, &[opcode | u8::from(size != Size::Byte)], reg, direct);
            }
            _ => {
                // PUSHF; LAHF, SAHF, CMC, CLC, STC.
                let opcode = self.random.pick(&[0x9C, 0x9F, 0x9E, 0xF5, 0xF8, 0xF9]);
                self.plain(&[opcode]);
            }
        }
    }

    fn instruction(&mut self) {
        let (size, reg, direct) = (self.size(), self.register(), self.random.percent(60));
        let full = if size == Size::Byte { Size::Double } else { size };
        let wide = u8::from(size != Size::Byte);
        match self.random.below(20) {
            0 | 1 => {
                let opcode = self.random.below(8) as u8 * 8 + self.random.pick(&[0, 2]);
                self.modrm(size, &[opcode | wide], reg, direct);
            }
            2 => {
                let operation = self.random.below(8) as u8;
                self.modrm(size, &[0x80 | wide], operation, direct);
                self.full_immediate(size);
            }
            3 => {
                let operation = self.random.below(8) as u8;
                self.modrm(full, &[0x83], operation, direct);
                self.immediate(1);
            }
            4 => {
                // Rotates and shifts by a constant, by 1, by CL.
                let operation = self.random.below(8) as u8;
                let opcode = self.random.pick(&[0xC0, 0xC0, 0xD0, 0xD2]);
                self.modrm(size, &[opcode | wide], operation, direct);
                if opcode == 0xC0 {
                    self.immediate(1);
                }
            }
            5 => {
                // NOT, NEG, MUL, IMUL, seldom DIV, IDIV.
                let operation = self.random.pick(&[2, 3, 3, 4, 5, 4, 5, 2, 3, 6, 7]);
                self.modrm(size, &[0xF6 | wide], operation, direct);
            }
            6 => {
                let operation = self.random.below(2) as u8;
                self.modrm(size, &[0xFE | wide], operation, direct);
            }
            7 => {
                let opcode = self.random.pick(&[0x88, 0x8A, 0x8A, 0x84, 0x86]);
                self.modrm(size, &[opcode | wide], reg, direct);
            }
            8 => {
                self.modrm(size, &[0xC6 | wide], 0, direct);
                self.full_immediate(size);
            }
            9 => {
                let opcode = self.random.pick(&[0xB6, 0xB7, 0xBE, 0xBF]);
                self.modrm(full, &[0x0F, opcode], reg, direct);
            }
            10 if self.long && self.random.percent(50) => self.modrm(full, &[0x63], reg, direct),
            10 => self.modrm(full, &[0x8D], reg, false),
            11 => match self.random.below(3) {
                0 => self.modrm(full, &[0x0F, 0xAF], reg, direct),
                1 => {
                    self.modrm(full, &[0x6B], reg, direct);
                    self.immediate(1);
                }
                _ => {
                    self.modrm(full, &[0x69], reg, direct);
                    self.full_immediate(full);
                }
            },
            12 => {
                // BT, BTS, BTR, BTC, SHLD, SHRD by CL, CMPXCHG, XADD, BSF, BSR.
                let opcode = [0xA3, 0xAB, 0xB3, 0xBB, 0xA5, 0xAD, 0xB1, 0xC1, 0xBC, 0xBD];
                let opcode = self.random.pick(&opcode);
                self.modrm(full, &[0x0F, opcode], reg, direct);
            }
            13 if self.random.percent(40) => match self.random.below(6) {
                // Bits by an immediate operand, CMPXCHG8B, a pop to memory, a fence.
                0..=2 => {
                    let operation = 4 + self.random.below(4) as u8;
                    self.modrm(full, &[0x0F, 0xBA], operation, direct);
                    self.immediate(1);
                }
                3 => self.modrm(Size::Double, &[0x0F, 0xC7], 1, false),
                4 => self.modrm(Size::Double, &[0x8F], 0, direct),
                _ => self.plain(&[0x0F, 0xAE, 0xE8]),
            },
            13 => {
                let push = self.random.pick(&[0x50, 0x50, 0x58]) | reg & 7;
                self.begin();
                self.code.extend(if reg > 7 { &[0x41][..] } else { &[] });
                self.code.push(push);
            }
            14 => match self.random.below(6) {
                0 => self.branch(&[0xE8], 4),
                1 => self.branch(&[0xEB], 1),
                2 => self.plain(&[0xC3]),
                3 => self.modrm(Size::Double, &[0xFF], 6, direct),
                4 => {
                    let operation = self.random.pick(&[2, 4]);
                    self.modrm(Size::Double, &[0xFF], operation, direct);
                }
                _ => {
                    self.plain(&[0x68]);
                    self.immediate(4);
                }
            },
            15 => {
                // CBW, CWD, NOP, LEAVE; string instructions.
                let opcode =
                    self.random.pick(&[0x98, 0x99, 0x90, 0xC9, 0xA4, 0xA5, 0xAA, 0xAB, 0xAC, 0xA6, 0xAE]);
                self.plain(&[opcode]);
            }
            16 => {
                // Vectors: moves, and operations that only set a register.
                let size = Size::Vector(self.random.pick(&[0, 0x66, 0xF3]));
                let opcodes = match size {
                    Size::Vector(0) => &[0x10, 0x11, 0x28, 0x29, 0x57, 0x54, 0x12, 0x13, 0x16][..],
                    Size::Vector(0x66) => {
                        &[0x6F, 0x7F, 0xEF, 0xDB, 0xEB, 0xFE, 0xD4, 0xFA, 0x74, 0x60, 0x6C, 0xDA]
                    }
                    _ => &[0x6F, 0x7F, 0x7E, 0x10, 0x11],
                };
                let opcode = self.random.pick(opcodes);
                self.modrm(size, &[0x0F, opcode], reg, direct);
            }
            _ => self.of_flags(),
        }
        if self.random.percent(25) {
            self.of_flags();
        }
    }
}
