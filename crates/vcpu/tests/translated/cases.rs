//! Random programs, and random states to start them in.

use crate::Random;
use crate::machine::*;
use crate::mixed::Mixed;
use crate::programs::{BANK, Program};

/// Programs of a batch, and how often each is started.
pub const PROGRAMS: u64 = 200;
pub const STARTS: u64 = 10;
/// Instructions, with those of the driver, after which a program has been executed long enough.
const ENOUGH: u64 = 2000;
/// The bit of page-table entries of pages that are not to be executed.
const NO_EXECUTE: u64 = 1 << 63;

/// A program, and what all its starts have in common.
pub struct Guest {
    pub seed: u64,
    /// Where the program starts.
    pub start: u64,
    pub code: Vec<u8>,
    /// Where its instructions start.
    starts: Vec<u64>,
    random: Random,
    long: bool,
    /// Whether it is executed in ring 0.
    pub kernel: bool,
    /// Whether it may write into its own code.
    writable: bool,
    /// Whether most pages are there, and most values are pointers to them.
    calm: bool,
    pages: Vec<u64>,
}

/// Linear pages that programs use, but for the first one of code.
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

impl Guest {
    pub fn new(seed: u64, long: bool) -> Self {
        let (mut random, start, code, starts) = if seed.is_multiple_of(2) {
            let Program { random, start, code, starts, .. } = Program::new(seed, long);
            (random, start, code, starts)
        } else {
            let Mixed { random, start, code, starts, .. } = Mixed::new(seed, long);
            (random, start, code, starts)
        };
        // Only 64-bit mode has stacks for handlers whatever the program does with its own.
        let kernel = long && random.percent(30);
        let writable = !kernel && random.percent(20);
        let calm = random.percent(60);
        Self { seed, start, code, starts, random, long, kernel, writable, calm, pages: pages(long) }
    }

    /// A value for a register or memory: often a pointer to the end of a page, or to code.
    fn value(&mut self) -> u64 {
        let Self { random, start, code, starts, kernel, calm, pages, .. } = self;
        let most = *calm && random.percent(80);
        match random.below(12) {
            _ if most => random.pick(&pages[3..]) + random.below(0x200) * 8,
            0 => random.below(64),
            1 => random.next() & 0xFFFF_FFFF,
            2 => {
                random.pick(&[0, 1, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFF0, (1 << 47) - 6, !0 << 47, 1 << 63])
            }
            3 | 4 => random.pick(starts),
            // Not in ring 0: who knows what instructions that would be.
            5 if !*kernel => *start + random.below(code.len() as u64),
            _ => {
                let mut page = random.pick(pages);
                if *kernel && page == CODE + 0x1000 {
                    page = 0x5_0000;
                }
                let edge =
                    [0, 0, 0, 4, 8, 12, 16, 20].map(|bytes| bytes + random.below(10) * random.below(2));
                page + match random.below(3) {
                    0 => random.pick(&edge),
                    1 => 0x1000 - random.pick(&edge).max(1),
                    _ => random.below(0x1000) & !15,
                }
            }
        }
    }

    /// What the frames of data begin with.
    pub fn data(&mut self) -> Vec<u8> {
        let mut data = vec![0; DATA_BYTES as usize];
        for frame in data.chunks_mut(0x1000) {
            let step = if self.long && self.random.percent(50) { 8 } else { 4 };
            let every = if self.calm { step } else { 256 };
            for at in (0..64).chain(0xFC0..0x1000).step_by(step).chain((64..0xFC0).step_by(every)) {
                frame[at..at + step].copy_from_slice(&self.value().to_le_bytes()[..step]);
            }
        }
        data
    }

    /// The frames of code.
    pub fn frames_of_code(&self) -> Vec<u8> {
        let mut code = vec![0xCC; CODE_BYTES as usize];
        let at = (self.start - CODE) as usize;
        code[at..at + self.code.len()].copy_from_slice(&self.code);
        code
    }

    /// Entries of page tables: where they lie, and their values.
    fn entries(&mut self, frames: u64) -> Vec<(u64, u64)> {
        let code = if self.writable { 7 } else { 5 };
        let mut entries = vec![(entry_place(CODE, self.long), frames | code)];
        for page in self.pages.clone() {
            let random = &mut self.random;
            let (frame, is_code) = match random.below(20) {
                _ if page == CODE + 0x1000 => (frames + 0x1000, true),
                0 => (NO_RAM, false),
                1 | 2 => (frames + random.below(2) * 0x1000, true),
                _ => (FRAMES + random.below(FRAME_COUNT) * 0x1000, false),
            };
            let rights = random.pick(&[0, 0, 3, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
            let mut entry = frame | if self.calm && random.percent(97) { 7 } else { rights };
            if is_code && !self.writable {
                entry &= !2;
            }
            if self.kernel && page != CODE + 0x1000 {
                entry |= NO_EXECUTE;
            }
            entries.push((entry_place(page, self.long), entry));
        }
        entries
    }

    /// The record of a case, of program `number` of the batch.
    pub fn case(&mut self, number: u64) -> Vec<u8> {
        let mut case = vec![0; RECORD as usize];
        let mut put = |at: u64, bytes: &[u8]| case[at as usize..][..bytes.len()].copy_from_slice(bytes);
        let frames = CODE_FRAMES + number * CODE_BYTES;
        let entries = self.entries(frames);
        for (index, (place, entry)) in entries.iter().enumerate() {
            let at = CASE_ENTRIES + 16 * index as u64;
            put(at, &place.to_le_bytes());
            put(at + 8, &entry.to_le_bytes());
        }
        let timer = match self.random.below(8) {
            0 => 1 + self.random.below(100),
            _ => ENOUGH,
        };
        let (data, code) = (DATA + number * DATA_BYTES, PRISTINE_CODE + number * CODE_BYTES);
        for (at, value) in (0..).step_by(4).zip([entries.len() as u64, data, frames, code, timer]) {
            put(at, &(value as u32).to_le_bytes());
        }
        let mut words: Vec<u64> = (0..if self.long { 15 } else { 7 }).map(|_| self.value()).collect();
        let mut stack = self.value();
        let random = &mut self.random;
        if random.percent(50) {
            stack = random.pick(&self.pages) + 0x800 + 4 * random.below(0x200);
        }
        // With interrupts on.
        let flags = random.next() & 0x8D5 | 0x202;
        let (code, data) = if self.kernel { (KERNEL_CODE, KERNEL_DATA) } else { (USER_CODE, USER_DATA) };
        // From its start, or from some other instruction, as programs end early.
        let rip = if random.percent(50) { self.start } else { random.pick(&self.starts) };
        words.extend([rip, code, flags, stack, data]);
        let size = if self.long { 8 } else { 4 };
        for (index, word) in words.iter().enumerate() {
            put(CASE_WORDS + size * index as u64, &word.to_le_bytes()[..size as usize]);
        }
        put(CASE_FX, &0x37F_u16.to_le_bytes());
        put(CASE_FX + 24, &0x1F80_u32.to_le_bytes());
        for at in (CASE_FX + 160..CASE_FX + 416).step_by(8) {
            put(at, &self.random.next().to_le_bytes());
        }
        case
    }
}
