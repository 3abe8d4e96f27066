//! String instructions: MOVS, STOS, LODS, CMPS, SCAS, with or without REP.
//!
//! What can be done in bulk is done a page at a time (`bulk.rs`); the rest (elements across pages, devices,
//! segment limits, the ends of address ranges) element by element. Registers are always up to date to the last
//! element, so a fault needs nothing but to be passed on.

use iced_x86::{Code, Instruction, OpKind, Register};

use super::bulk::{self, Span};
use crate::operand::{mask, memory_segment, sign_extend};
use crate::{Cpu, Fault, Handler, Seg, flag};

pub(super) fn handler(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Movsb_m8_m8 => |cpu, insn| movs(cpu, insn, 1),
        Code::Movsw_m16_m16 => |cpu, insn| movs(cpu, insn, 2),
        Code::Movsd_m32_m32 => |cpu, insn| movs(cpu, insn, 4),
        Code::Movsq_m64_m64 => |cpu, insn| movs(cpu, insn, 8),
        Code::Stosb_m8_AL => |cpu, insn| stos(cpu, insn, 1),
        Code::Stosw_m16_AX => |cpu, insn| stos(cpu, insn, 2),
        Code::Stosd_m32_EAX => |cpu, insn| stos(cpu, insn, 4),
        Code::Stosq_m64_RAX => |cpu, insn| stos(cpu, insn, 8),
        Code::Lodsb_AL_m8 => |cpu, insn| lods(cpu, insn, Register::AL),
        Code::Lodsw_AX_m16 => |cpu, insn| lods(cpu, insn, Register::AX),
        Code::Lodsd_EAX_m32 => |cpu, insn| lods(cpu, insn, Register::EAX),
        Code::Lodsq_RAX_m64 => |cpu, insn| lods(cpu, insn, Register::RAX),
        Code::Cmpsb_m8_m8 => |cpu, insn| cmps(cpu, insn, 1),
        Code::Cmpsw_m16_m16 => |cpu, insn| cmps(cpu, insn, 2),
        Code::Cmpsd_m32_m32 => |cpu, insn| cmps(cpu, insn, 4),
        Code::Cmpsq_m64_m64 => |cpu, insn| cmps(cpu, insn, 8),
        Code::Scasb_AL_m8 => |cpu, insn| scas(cpu, insn, 1),
        Code::Scasw_AX_m16 => |cpu, insn| scas(cpu, insn, 2),
        Code::Scasd_EAX_m32 => |cpu, insn| scas(cpu, insn, 4),
        Code::Scasq_RAX_m64 => |cpu, insn| scas(cpu, insn, 8),
        _ => return None,
    })
}

const RCX: usize = 1;
const RSI: usize = 6;
const RDI: usize = 7;
/// Bytes that one execution moves at most, before interrupts have their chance.
const MOST_BYTES: u64 = 64 << 10;
/// Elements that one execution takes at most one by one.
const MOST_SINGLE: u32 = 1024;

/// What holds for all elements.
struct Strings {
    /// Bytes of an element.
    bytes: u32,
    /// Ones where addresses and the counter have bits.
    mask: u64,
    down: bool,
    source: Seg,
    repeats: bool,
}

impl Strings {
    fn new(cpu: &Cpu, insn: &Instruction, bytes: u32) -> Self {
        let mut address_bytes = 8;
        for n in 0..2 {
            match insn.op_kind(n) {
                OpKind::MemorySegSI | OpKind::MemoryESDI => address_bytes = 2,
                OpKind::MemorySegESI | OpKind::MemoryESEDI => address_bytes = 4,
                _ => {}
            }
        }
        Self {
            bytes,
            mask: mask(address_bytes),
            down: cpu.system_flags & flag::DF != 0,
            source: memory_segment(insn, cpu.mode.is_long()),
            repeats: insn.has_rep_prefix() || insn.has_repne_prefix(),
        }
    }

    /// A register as far as addresses reach.
    fn get(&self, cpu: &Cpu, register: usize) -> u64 {
        cpu.regs.get(register).copied().unwrap_or_default() & self.mask
    }

    fn set(&self, cpu: &mut Cpu, register: usize, value: u64) {
        let Some(full) = cpu.regs.get_mut(register) else { return };
        let kept = if self.mask == 0xFFFF { *full & !self.mask } else { 0 };
        *full = kept | (value & self.mask);
    }

    /// Moves a pointer on by `elements`.
    fn advance(&self, cpu: &mut Cpu, register: usize, elements: u64) {
        let distance = elements.wrapping_mul(u64::from(self.bytes));
        let old = self.get(cpu, register);
        let new = if self.down { old.wrapping_sub(distance) } else { old.wrapping_add(distance) };
        self.set(cpu, register, new);
    }

    /// Takes `elements` off the counter.
    fn count(&self, cpu: &mut Cpu, elements: u64) {
        if self.repeats {
            let left = self.get(cpu, RCX).wrapping_sub(elements);
            self.set(cpu, RCX, left);
        }
    }

    fn read(&self, cpu: &mut Cpu, seg: Seg, register: usize) -> Result<u64, Fault> {
        cpu.read_sized(seg, self.get(cpu, register), self.bytes)
    }

    fn write(&self, cpu: &mut Cpu, value: u64) -> Result<(), Fault> {
        cpu.write_sized(Seg::Es, self.get(cpu, RDI), value, self.bytes)
    }

    /// The elements from a pointer onwards (downwards) that lie in one page, `most` at most. `None` if only the slow way
    /// will do.
    fn span(&self, cpu: &Cpu, seg: Seg, register: usize, most: u64, write: bool) -> Option<Span> {
        let bytes = u64::from(self.bytes);
        let offset = self.get(cpu, register);
        let linear = cpu.linear(seg, offset, bytes, write).ok()?;
        let before = linear & 0xFFF;
        let after = 0x1000_u64.wrapping_sub(before);
        if bytes > after {
            return None;
        }
        let elements = |bytes: u64| bytes >> self.bytes.trailing_zeros();
        let (room, until_wrap) = if self.down {
            (elements(before).saturating_add(1), elements(offset).saturating_add(1))
        } else {
            (elements(after), elements(self.mask.wrapping_sub(offset)))
        };
        let elements = room.min(until_wrap).min(most);
        if elements == 0 {
            return None;
        }
        let before = if self.down { elements.wrapping_sub(1).wrapping_mul(bytes) } else { 0 };
        let lowest = offset.wrapping_sub(before);
        cpu.linear(seg, lowest, elements.wrapping_mul(bytes), write).ok()?;
        Some(Span { first: linear, elements, bytes: self.bytes, down: self.down })
    }

    /// Repeats `bulk` and `single` until the counter is used up or one of them returns true. `single` does one element,
    /// `bulk` as many as it can but at most what it is told; it returns `None` if it can do none.
    #[inline]
    fn run(
        &self,
        cpu: &mut Cpu,
        mut single: impl FnMut(&mut Cpu) -> Result<bool, Fault>,
        mut bulk: impl FnMut(&mut Cpu, u64) -> Result<Option<bool>, Fault>,
    ) -> Result<(), Fault> {
        if !self.repeats {
            single(cpu)?;
            return Ok(());
        }
        // A debugger sees every element.
        let one_by_one = cpu.system_flags & flag::TF != 0 || cpu.has_breakpoints();
        let first = self.get(cpu, RCX);
        let most = (MOST_BYTES >> self.bytes.trailing_zeros()).min(first);
        let mut singles = if one_by_one { 1 } else { MOST_SINGLE };
        loop {
            let left = self.get(cpu, RCX);
            if left == 0 {
                return Ok(());
            }
            let done = first.wrapping_sub(left);
            if singles == 0 || (done >= most && done != 0) {
                return Err(Fault::Repeat);
            }
            let ends = if one_by_one { None } else { bulk(cpu, left.min(most.wrapping_sub(done)))? };
            let ends = match ends {
                Some(ends) => ends,
                None => {
                    singles = singles.wrapping_sub(1);
                    single(cpu)?
                }
            };
            if ends {
                return Ok(());
            }
        }
    }
}

fn movs(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let strings = Strings::new(cpu, insn, bytes);
    let done = |cpu: &mut Cpu, elements| {
        strings.advance(cpu, RSI, elements);
        strings.advance(cpu, RDI, elements);
        strings.count(cpu, elements);
    };
    strings.run(
        cpu,
        |cpu| {
            let value = strings.read(cpu, strings.source, RSI)?;
            strings.write(cpu, value)?;
            done(cpu, 1);
            Ok(false)
        },
        |cpu, most| {
            let Some(from) = strings.span(cpu, strings.source, RSI, most, false) else {
                return Ok(None);
            };
            let Some(to) = strings.span(cpu, Seg::Es, RDI, from.elements, true) else {
                return Ok(None);
            };
            if !bulk::copy(cpu, from, to)? {
                return Ok(None);
            }
            done(cpu, to.elements);
            Ok(Some(false))
        },
    )
}

fn stos(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let strings = Strings::new(cpu, insn, bytes);
    let value = cpu.regs[0] & mask(bytes);
    let done = |cpu: &mut Cpu, elements| {
        strings.advance(cpu, RDI, elements);
        strings.count(cpu, elements);
    };
    strings.run(
        cpu,
        |cpu| {
            strings.write(cpu, value)?;
            done(cpu, 1);
            Ok(false)
        },
        |cpu, most| {
            let Some(to) = strings.span(cpu, Seg::Es, RDI, most, true) else { return Ok(None) };
            if !bulk::fill(cpu, to, value)? {
                return Ok(None);
            }
            done(cpu, to.elements);
            Ok(Some(false))
        },
    )
}

fn lods(cpu: &mut Cpu, insn: &Instruction, accumulator: Register) -> Result<(), Fault> {
    let strings = Strings::new(cpu, insn, accumulator.size() as u32);
    strings.run(
        cpu,
        |cpu| {
            let value = strings.read(cpu, strings.source, RSI)?;
            cpu.set_register(accumulator, value);
            strings.advance(cpu, RSI, 1);
            strings.count(cpu, 1);
            Ok(false)
        },
        |_, _| Ok(None),
    )
}

/// The flags are those of the last comparison, even if a fault comes after it. Which string is read first is as on
/// silicon.
fn cmps(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let strings = Strings::new(cpu, insn, bytes);
    let until_equal = insn.has_repne_prefix();
    let source_first = bytes == 1 && insn.has_rep_prefix();
    let finish = |cpu: &mut Cpu, elements, a, b| {
        strings.advance(cpu, RSI, elements);
        strings.advance(cpu, RDI, elements);
        strings.count(cpu, elements);
        cpu.compare(sign_extend(a, bytes), sign_extend(b, bytes), bytes);
        strings.get(cpu, RCX) == 0 || (a == b) == until_equal
    };
    strings.run(
        cpu,
        |cpu| {
            let (a, b);
            if source_first {
                a = strings.read(cpu, strings.source, RSI)?;
                b = strings.read(cpu, Seg::Es, RDI)?;
            } else {
                b = strings.read(cpu, Seg::Es, RDI)?;
                a = strings.read(cpu, strings.source, RSI)?;
            }
            Ok(finish(cpu, 1, a, b))
        },
        |cpu, most| {
            let Some(second) = strings.span(cpu, Seg::Es, RDI, most, false) else { return Ok(None) };
            let Some(first) = strings.span(cpu, strings.source, RSI, second.elements, false) else {
                return Ok(None);
            };
            let found = bulk::compare(cpu, first, second, until_equal);
            Ok(found.map(|found| finish(cpu, found.elements, found.a, found.b)))
        },
    )
}

fn scas(cpu: &mut Cpu, insn: &Instruction, bytes: u32) -> Result<(), Fault> {
    let strings = Strings::new(cpu, insn, bytes);
    let until_equal = insn.has_repne_prefix();
    let wanted = cpu.regs[0] & mask(bytes);
    let finish = |cpu: &mut Cpu, elements, value| {
        strings.advance(cpu, RDI, elements);
        strings.count(cpu, elements);
        cpu.compare(sign_extend(wanted, bytes), sign_extend(value, bytes), bytes);
        strings.get(cpu, RCX) == 0 || (wanted == value) == until_equal
    };
    strings.run(
        cpu,
        |cpu| {
            let value = strings.read(cpu, Seg::Es, RDI)?;
            Ok(finish(cpu, 1, value))
        },
        |cpu, most| {
            let Some(at) = strings.span(cpu, Seg::Es, RDI, most, false) else {
                return Ok(None);
            };
            let found = bulk::scan(cpu, at, wanted, until_equal)?;
            Ok(found.map(|found| finish(cpu, found.elements, found.b)))
        },
    )
}
