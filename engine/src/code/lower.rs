//! From bytes of code to blocks of micro-operations.

#![allow(unsafe_code, reason = "code is read from guest RAM, records are written to the arena")]

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction};

use super::pair::pair;
use super::{Block, General, Link, Links, Offset, Op, Translated, Uop};
use crate::memory::{Access, PAGE, PAGE_MASK};
use crate::{Cpu, Fault, Mode, general, system};

/// Longest instruction in bytes.
const LONGEST: usize = 15;
/// Most instructions in a block.
const MOST: usize = 128;

/// A block in the making.
pub(crate) struct Lowering {
    pub(super) uops: Vec<Uop>,
    instructions: u8,
    /// How the code is decoded.
    pub(super) mode: Mode,
    /// The bits of the mode the block depends on.
    pub(super) mode_mask: u8,
}

/// The bytes of an instruction that crosses a page.
struct Straddling {
    bytes: [u8; LONGEST],
    length: usize,
    second_page: u64,
}

impl Cpu {
    /// The block at `rip`, decoded if it is not known yet; noted for as long as addresses mean what they do. It may be
    /// `likely`, a block or 0.
    ///
    /// # Errors
    /// #PF or #GP of the fetch.
    pub(crate) fn find_and_note(&mut self, rip: u64, likely: Offset) -> Result<Offset, Fault> {
        let (linear, block) = self.find_block(rip, likely)?;
        // SAFETY: it is a block.
        let is_in_one_page = unsafe { (*self.code.at::<Block>(block)).second_page == u64::MAX };
        let global = is_in_one_page && self.memory.tlb(self.cpl == 3).is_global(linear);
        self.code.note_address(rip, linear, block, global);
        Ok(block)
    }

    /// The linear address and the block at `rip`, decoded if it is not known yet.
    ///
    /// # Errors
    /// #PF or #GP of the fetch.
    fn find_block(&mut self, rip: u64, likely: Offset) -> Result<(u64, Offset), Fault> {
        let (linear, physical) = self.fetch_address(rip)?;
        if let Some(block) = self.code.find(physical, likely) {
            // SAFETY: `find` returns blocks.
            let second_page = unsafe { (*self.code.at::<Block>(block)).second_page };
            if second_page == u64::MAX || self.fetch_next_page(linear)? == second_page {
                return Ok((linear, block));
            }
        }
        self.code.make_room();
        Ok((linear, self.make_block(linear, physical)?))
    }

    /// Linear and physical address of code at `rip`.
    fn fetch_address(&mut self, rip: u64) -> Result<(u64, u64), Fault> {
        let code = &self.segments[crate::Seg::Cs.index()];
        let linear = if self.mode.is_long() {
            rip
        } else {
            if rip > u64::from(code.limit) {
                return Err(Fault::GP0);
            }
            code.base.wrapping_add(rip) & u64::from(u32::MAX)
        };
        let physical = self.translate(linear, Access::Execute, self.cpl == 3)?;
        Ok((linear, physical))
    }

    /// Physical address of the page after that of `linear`.
    fn fetch_next_page(&mut self, linear: u64) -> Result<u64, Fault> {
        let next = ((linear | PAGE_MASK).wrapping_add(1)) & self.address_mask;
        self.translate(next, Access::Execute, self.cpl == 3)
    }

    /// RAM from `physical` to the end of its page; empty for devices.
    fn code_bytes(&self, physical: u64) -> &'static [u8] {
        let length = PAGE - (physical & PAGE_MASK);
        if physical.saturating_add(length) > self.memory.ram_bytes() {
            return &[];
        }
        // SAFETY: just checked to be within RAM, which is never freed; nobody writes to it while a block is
        // made but page-table walks, whose bytes may be read torn without harm.
        unsafe { std::slice::from_raw_parts(self.memory.ram().add(physical as usize), length as usize) }
    }

    /// Decodes the one instruction at `rip`, its `ip` being its offset in the page.
    ///
    /// # Errors
    /// #PF or #GP of the fetch.
    pub(crate) fn decode_one(&mut self, rip: u64) -> Result<Instruction, Fault> {
        let (linear, physical) = self.fetch_address(rip)?;
        let bytes = self.code_bytes(physical);
        let mut insn = Instruction::default();
        let offset = linear & PAGE_MASK;
        if !decode(self.mode.bits(), bytes, offset, &mut insn) {
            let all = self.straddling(linear, bytes)?;
            decode(self.mode.bits(), all.bytes.get(..all.length).unwrap_or(&[]), offset, &mut insn);
        }
        Ok(insn)
    }

    fn straddling(&mut self, linear: u64, bytes: &[u8]) -> Result<Straddling, Fault> {
        let second_page = self.fetch_next_page(linear)?;
        let mut all = [0; LONGEST];
        let mut length = 0;
        for (to, from) in all.iter_mut().zip(bytes.iter().chain(self.code_bytes(second_page))) {
            *to = *from;
            length += 1;
        }
        Ok(Straddling { bytes: all, length, second_page })
    }

    fn make_block(&mut self, linear: u64, physical: u64) -> Result<Offset, Fault> {
        let bits = self.mode.bits();
        let bytes = self.code_bytes(physical);
        let start = linear & PAGE_MASK;
        let mut lowering = Lowering {
            uops: Vec::with_capacity(32),
            instructions: 0,
            mode: self.mode,
            mode_mask: Mode::ALWAYS,
        };
        let mut insn = Instruction::default();
        let mut done = 0usize;
        let mut second_page = u64::MAX;
        loop {
            let rest = bytes.get(done..).unwrap_or(&[]);
            let offset = start + done as u64;
            let complete = decode(bits, rest, offset, &mut insn);
            if !complete {
                if done == 0 {
                    let all = self.straddling(linear, rest)?;
                    decode(bits, all.bytes.get(..all.length).unwrap_or(&[]), offset, &mut insn);
                    second_page = all.second_page;
                    done += insn.len();
                    lowering.add(self, &insn, offset as u16);
                    if lowering.ends() {
                        break;
                    }
                }
                lowering.end(start + done as u64);
                break;
            }
            done += insn.len();
            lowering.add(self, &insn, offset as u16);
            if lowering.ends() {
                break;
            }
            if usize::from(lowering.instructions) >= MOST || done >= bytes.len() {
                lowering.end(start + done as u64);
                break;
            }
        }
        let had_code = self.code.has_code(physical);
        let block = Block {
            physical,
            second_page,
            next: 0,
            number: 0,
            mode: self.mode,
            mode_mask: lowering.mode_mask,
            instructions: lowering.instructions,
            translated: Translated::NONE,
        };
        let offset = self.code.insert(block, done as u64, &lowering.uops);
        if !had_code {
            self.memory.protect(physical & !PAGE_MASK);
        }
        if second_page != u64::MAX {
            self.memory.protect(second_page & !PAGE_MASK);
        }
        Ok(offset)
    }

    /// RAM was written, by the CPU or by a device; the range may have any length.
    pub fn code_written(&mut self, physical: u64, bytes: u64) {
        let mut at = physical;
        let end = physical.saturating_add(bytes).min(self.memory.ram_bytes());
        while at < end {
            let next = ((at | PAGE_MASK) + 1).min(end);
            self.code.written(at, next - at);
            at = next;
        }
    }
}

/// Decodes one instruction; false if bytes are missing. An invalid one has the code `INVALID`.
fn decode(bits: u32, bytes: &[u8], ip: u64, insn: &mut Instruction) -> bool {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let mut decoder = Decoder::with_ip(bits, bytes, ip, DecoderOptions::AMD);
    decoder.decode_out(insn);
    let is_cut = decoder.last_error() == DecoderError::NoMoreBytes;
    if insn.code() == Code::INVALID && insn.len() >= LONGEST && is_too_long(bits, bytes) {
        insn.set_len(LONGEST + 1);
    }
    if insn.code() == Code::Pause && bits == 64 {
        decode_pause(bytes, ip, insn);
    }
    if !is_cut || bytes.len() >= LONGEST {
        return true;
    }
    if is_bare_undefined(bits, bytes) {
        *insn = Instruction::default();
        insn.set_len(bytes.len());
        return true;
    }
    false
}

/// Whether `bytes` are prefixes and the opcode of UD0 or UD1: whatever comes after it is not fetched.
#[cold]
fn is_bare_undefined(bits: u32, bytes: &[u8]) -> bool {
    let is_prefix = |byte: &u8| {
        matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
            || (bits == 64 && byte & 0xF0 == 0x40)
    };
    let opcode = bytes.iter().position(|byte| !is_prefix(byte)).and_then(|at| bytes.get(at..));
    matches!(opcode, Some([0x0F, 0xB9 | 0xFF, ..]))
}

/// Whether an invalid instruction goes on behind its 15 bytes: without the first of its prefixes, it is cut off.
#[cold]
fn is_too_long(bits: u32, bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bits, bytes.get(1..).unwrap_or_default(), DecoderOptions::AMD);
    let _ = decoder.decode();
    decoder.last_error() == DecoderError::NoMoreBytes
}

/// PAUSE with REX.B is XCHG with R8, whatever iced thinks.
#[cold]
fn decode_pause(bytes: &[u8], ip: u64, insn: &mut Instruction) {
    let Some([prefixes @ .., rex, _]) = bytes.get(..insn.len()) else { return };
    if rex & 0xF1 == 0x41 {
        let mut without_rep: Vec<u8> =
            prefixes.iter().map(|&byte| if byte == 0xF3 { 0x3E } else { byte }).collect();
        without_rep.extend([*rex, 0x90]);
        Decoder::with_ip(64, &without_rep, ip, DecoderOptions::AMD).decode_out(insn);
    }
}

impl Lowering {
    /// Adds an instruction.
    fn add(&mut self, cpu: &mut Cpu, insn: &Instruction, offset: u16) {
        if self.select(insn, offset) {
            return;
        }
        let handler = general::handler(insn.code()).unwrap_or(general::undefined);
        let record = cpu.code.allocate(size_of::<General>());
        // SAFETY: just allocated for it.
        unsafe { cpu.code.at::<General>(record).write(General { handler, insn: *insn }) };
        let is_branch = insn.flow_control() != FlowControl::Next;
        let is_system = insn.code() == Code::INVALID
            || (system::handler(insn.code()).is_some() && !system::goes_on(insn.code()));
        let op = if is_branch || is_system { Op::GeneralEnd } else { Op::General };
        let mut uop = Self::uop(op, offset);
        uop.a = insn.len() as u8;
        uop.b = u8::from(is_branch && !is_system);
        uop.imm = record as i32;
        self.push(uop);
    }

    /// Adds the micro-operation of one instruction.
    pub(super) fn push(&mut self, uop: Uop) {
        self.instructions += 1;
        self.uops.push(uop);
        // What was joined may be joined again.
        while let [.., before, last] = self.uops.as_slice()
            && let Some(pair) = pair(before, last)
        {
            self.uops.truncate(self.uops.len().saturating_sub(2));
            self.uops.push(pair);
        }
    }

    /// A micro-operation of the instruction at `offset`.
    pub(super) fn uop(op: Op, offset: u16) -> Uop {
        let none = (crate::state::ZERO * 8) as u8;
        Uop { op, offset, a: 0, b: 0, base: none, index: none, disp: 0, imm: 0 }
    }

    /// Whether the last instruction ends the block.
    fn ends(&self) -> bool {
        self.uops.last().is_some_and(|uop| matches!(uop.op, Op::GeneralEnd | Op::Links))
    }

    /// Ends the block before the instruction at `offset`.
    fn end(&mut self, offset: u64) {
        self.links(Op::End, offset as u16, 0);
    }

    /// Adds what a branch is followed by, or what ends a block without one.
    pub(super) fn links(&mut self, op: Op, offset: u16, target: i32) {
        self.uops.push(Links { op, offset, taken: Link::NONE, other: Link::NONE, target }.into());
    }
}
