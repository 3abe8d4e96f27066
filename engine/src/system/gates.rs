//! Interrupts and exceptions: through the gates of the IDT (SDM vol. 3, chapter 6).

use super::Origin;
use super::descriptors::{code, is_beyond};
use crate::memory::is_canonical;
use crate::state::RSP;
use crate::{Cpu, Fault, Seg, Segment, flag};

/// A gate of the IDT.
struct Gate {
    selector: u16,
    offset: u64,
    /// Interrupt stack table index, 0 for none.
    stack: u8,
    /// 2, 4 or 8.
    bytes: u32,
    /// Clears IF.
    is_interrupt: bool,
}

/// A frame being pushed.
struct Frame {
    stack: Segment,
    pointer: u64,
    mask: u64,
    bytes: u32,
}

impl Cpu {
    /// Goes through the gate of `vector`: stack switch, pushes, new CS:RIP. `Cpu::rip` is what is pushed.
    ///
    /// # Errors
    /// What goes wrong on the way; nothing has changed then.
    pub(crate) fn deliver(&mut self, vector: u8, error: Option<u32>, origin: Origin) -> Result<(), Fault> {
        let external = u32::from(origin != Origin::Software);
        let gate = self.gate(vector, origin, external)?;
        if gate.selector & !3 == 0 {
            return Err(Fault::gp(external));
        }
        let beyond = Fault::gp(code(gate.selector) | external);
        let (at, descriptor) = self.descriptor(gate.selector, beyond)?;
        let mut target = Segment::from_descriptor(gate.selector, descriptor | 1 << 40);
        let long = self.long_mode_active();
        if !target.has(Segment::NOT_SYSTEM | Segment::CODE)
            || target.dpl() > self.cpl
            || (long && (!target.has(Segment::LONG) || target.has(Segment::BIG)))
        {
            return Err(beyond);
        }
        if !target.has(Segment::PRESENT) {
            return Err(Fault::np(code(gate.selector) | external));
        }
        let conforming = target.has(Segment::EXPAND_DOWN);
        let inner = !conforming && target.dpl() < self.cpl;
        let new_cpl = if inner { target.dpl() } else { self.cpl };
        target.selector = (gate.selector & !3) | u16::from(new_cpl);
        self.check_target(&target, gate.offset)?;

        // In compatibility mode the upper half of RSP means nothing, but the handler sees it.
        let old = (*self.segment(Seg::Ss), self.regs[RSP] & self.address_mask);
        let mut frame = self.new_stack(&gate, inner, new_cpl, external)?;
        let user = new_cpl == 3;
        let mut flags = self.flags();
        if origin == Origin::Exception && error_is_fault(vector) {
            flags |= flag::RF;
        }
        if inner || long {
            frame.push(self, u64::from(old.0.selector), user)?;
            frame.push(self, old.1, user)?;
        }
        frame.push(self, u64::from(flags), user)?;
        frame.push(self, u64::from(self.segment(Seg::Cs).selector), user)?;
        frame.push(self, self.rip, user)?;
        if let Some(error) = error {
            let external = u32::from(origin == Origin::External);
            frame.push(self, u64::from(error | external), user)?;
        }
        self.mark_accessed_descriptor(at, descriptor)?;

        *self.segment_mut(Seg::Ss) = frame.stack;
        self.regs[RSP] = (self.regs[RSP] & !frame.mask) | (frame.pointer & frame.mask);
        *self.segment_mut(Seg::Cs) = target;
        self.rip = gate.offset;
        self.system_flags &= !(flag::TF | flag::NT | flag::RF | flag::VM);
        if gate.is_interrupt {
            self.system_flags &= !flag::IF;
        }
        self.interrupt_shadow = false;
        self.set_cpl(new_cpl);
        Ok(())
    }

    /// Reads and checks the gate of `vector`.
    fn gate(&mut self, vector: u8, origin: Origin, external: u32) -> Result<Gate, Fault> {
        let long = self.long_mode_active();
        let size = if long { 16 } else { 8 };
        let offset = u64::from(vector).wrapping_mul(size);
        let error = u32::from(vector) << 3 | 2 | external;
        if is_beyond(u64::from(self.idtr.limit), offset, size) {
            return Err(Fault::gp(error));
        }
        let at = self.idtr.base.wrapping_add(offset);
        let low: u64 = self.load_system(at)?;
        let high: u64 = if long { self.load_system(at.wrapping_add(8))? } else { 0 };
        let kind = (low >> 40) as u8 & 0x1F;
        let bytes = match (kind, long) {
            (0xE | 0xF, true) => 8,
            (0xE | 0xF, false) => 4,
            (0x6 | 0x7, false) => 2,
            _ => return Err(Fault::gp(error)),
        };
        let dpl = (low >> 45) as u8 & 3;
        if origin == Origin::Software && dpl < self.cpl {
            return Err(Fault::gp(error));
        }
        if low & (1 << 47) == 0 {
            return Err(Fault::np(error));
        }
        let mut offset = (low & 0xFFFF) | ((low >> 32) & 0xFFFF_0000) | (high & 0xFFFF_FFFF) << 32;
        if bytes == 2 {
            offset &= 0xFFFF;
        }
        Ok(Gate {
            selector: (low >> 16) as u16,
            offset,
            stack: if long { (low >> 32) as u8 & 7 } else { 0 },
            bytes,
            is_interrupt: kind & 1 == 0,
        })
    }

    /// The stack for a handler of privilege `cpl`.
    fn new_stack(&mut self, gate: &Gate, inner: bool, cpl: u8, external: u32) -> Result<Frame, Fault> {
        let bytes = gate.bytes;
        if self.long_mode_active() {
            let (stack, pointer) = if gate.stack != 0 || inner {
                // The interrupt stacks, from 1 on, come after those of privileges 0 to 2 and a reserved place.
                let number = if gate.stack != 0 { gate.stack.wrapping_add(3) } else { cpl };
                let slot = u64::from(number).wrapping_mul(8).wrapping_add(4);
                if is_beyond(u64::from(self.tr.limit), slot, 8) {
                    return Err(Fault::ts(code(self.tr.selector) | external));
                }
                let pointer: u64 = self.load_system(self.tr.base.wrapping_add(slot))?;
                let stack = if inner { Segment::null(u16::from(cpl)) } else { *self.segment(Seg::Ss) };
                (stack, pointer)
            } else {
                (*self.segment(Seg::Ss), self.regs[RSP] & self.address_mask)
            };
            if !is_canonical(pointer) {
                return Err(Fault::ss(external));
            }
            return Ok(Frame { stack, pointer: pointer & !15, mask: u64::MAX, bytes });
        }
        let (stack, pointer) = if inner {
            let is_wide = self.tr.attributes & 8 != 0;
            // After a link of half this size comes a pair for each privilege.
            let size = if is_wide { 8 } else { 4 };
            let slot = u64::from(cpl).wrapping_mul(size).wrapping_add(size >> 1);
            if is_beyond(u64::from(self.tr.limit), slot, size) {
                return Err(Fault::ts(code(self.tr.selector) | external));
            }
            let at = self.tr.base.wrapping_add(slot);
            let (pointer, selector) = if is_wide {
                (u64::from(self.load_system::<u32>(at)?), self.load_system::<u16>(at.wrapping_add(4))?)
            } else {
                (u64::from(self.load_system::<u16>(at)?), self.load_system::<u16>(at.wrapping_add(2))?)
            };
            (
                self.stack_segment(selector, cpl, Fault::ts).map_err(|fault| with_bit(fault, external))?,
                pointer,
            )
        } else {
            (*self.segment(Seg::Ss), self.regs[RSP])
        };
        let mask = if stack.has(Segment::BIG) { u64::from(u32::MAX) } else { 0xFFFF };
        Ok(Frame { stack, pointer: pointer & mask, mask, bytes })
    }
}

impl Frame {
    fn push(&mut self, cpu: &mut Cpu, value: u64, user: bool) -> Result<(), Fault> {
        self.pointer = self.pointer.wrapping_sub(u64::from(self.bytes)) & self.mask;
        let at = self.stack.base.wrapping_add(self.pointer);
        if self.bytes == 8 && !is_canonical(at) {
            return Err(Fault::SS0);
        }
        if user {
            let at = if self.bytes == 8 { at } else { at & u64::from(u32::MAX) };
            return cpu.store_sized(at, value, self.bytes);
        }
        match self.bytes {
            2 => cpu.store_system(at, value as u16),
            4 => cpu.store_system(at, value as u32),
            _ => cpu.store_system(at, value),
        }
    }
}

/// Sets the EXT bit of an error code.
fn with_bit(fault: Fault, external: u32) -> Fault {
    match fault {
        Fault::Coded(vector, error) => Fault::Coded(vector, error | external),
        other => other,
    }
}

/// Whether an exception is of the fault class, so that RF is set in the flags it pushes.
fn error_is_fault(vector: u8) -> bool {
    !matches!(vector, 1 | 2 | 3 | 4 | 8 | 18)
}
