//! Descriptors and segment registers.

use crate::memory::is_canonical;
use crate::{Cpu, Fault, Seg, Segment};

/// The index and table bits of a selector, as in error codes.
pub(super) const fn code(selector: u16) -> u32 {
    (selector & !3) as u32
}

/// Whether `bytes` bytes at `offset` reach beyond a limit.
pub(super) const fn is_beyond(limit: u64, offset: u64, bytes: u64) -> bool {
    offset.saturating_add(bytes) > limit.saturating_add(1)
}

impl Cpu {
    /// Reads the descriptor of a selector that is not null: its linear address and its 8 bytes.
    ///
    /// # Errors
    /// `beyond` if the selector lies outside of its table; #PF.
    pub(super) fn descriptor(&mut self, selector: u16, beyond: Fault) -> Result<(u64, u64), Fault> {
        let offset = u64::from(selector & !7);
        let (base, limit) = if selector & 4 == 0 {
            (self.gdtr.base, u64::from(self.gdtr.limit))
        } else if self.ldtr.has(Segment::PRESENT) {
            (self.ldtr.base, u64::from(self.ldtr.limit))
        } else {
            return Err(beyond);
        };
        if is_beyond(limit, offset, 8) {
            return Err(beyond);
        }
        let at = base.wrapping_add(offset);
        Ok((at, self.load_system(at)?))
    }

    /// Sets the accessed bit of a descriptor.
    pub(super) fn mark_accessed_descriptor(&mut self, at: u64, descriptor: u64) -> Result<(), Fault> {
        const ACCESSED: u64 = 1 << 40;
        if descriptor & ACCESSED == 0 {
            self.store_system(at.wrapping_add(4), ((descriptor | ACCESSED) >> 32) as u32)?;
        }
        Ok(())
    }

    /// Loads ES, SS, DS, FS or GS (SDM vol. 2, MOV).
    ///
    /// # Errors
    /// #GP, #SS or #NP with the selector; #PF.
    pub(crate) fn load_segment(&mut self, seg: Seg, selector: u16) -> Result<(), Fault> {
        if seg == Seg::Ss {
            let segment = self.stack_segment(selector, self.cpl, Fault::gp)?;
            *self.segment_mut(Seg::Ss) = segment;
        } else if selector & !3 == 0 {
            *self.segment_mut(seg) = Segment::null(selector);
        } else {
            let fault = Fault::gp(code(selector));
            let (at, descriptor) = self.descriptor(selector, fault)?;
            let segment = Segment::from_descriptor(selector, descriptor | 1 << 40);
            let is_code = segment.has(Segment::CODE);
            let readable = segment.has(Segment::NOT_SYSTEM) && (!is_code || segment.has(Segment::WRITABLE));
            let conforming = is_code && segment.has(Segment::EXPAND_DOWN);
            let privilege = self.cpl.max(selector as u8 & 3);
            if !readable || (!conforming && privilege > segment.dpl()) {
                return Err(fault);
            }
            if !segment.has(Segment::PRESENT) {
                return Err(Fault::np(code(selector)));
            }
            self.mark_accessed_descriptor(at, descriptor)?;
            *self.segment_mut(seg) = segment;
        }
        self.update_mode();
        Ok(())
    }

    /// Checks and fetches a stack segment for privilege `cpl`.
    ///
    /// # Errors
    /// `fault` of the selector's code, #SS if it is not present, #PF.
    pub(super) fn stack_segment(
        &mut self,
        selector: u16,
        cpl: u8,
        fault: fn(u32) -> Fault,
    ) -> Result<Segment, Fault> {
        if selector & !3 == 0 {
            if self.mode.is_long() && cpl < 3 && selector as u8 & 3 == cpl {
                return Ok(Segment::null(selector));
            }
            return Err(fault(0));
        }
        let error = fault(code(selector));
        let (at, descriptor) = self.descriptor(selector, error)?;
        let segment = Segment::from_descriptor(selector, descriptor | 1 << 40);
        let writable = segment.has(Segment::NOT_SYSTEM | Segment::WRITABLE) && !segment.has(Segment::CODE);
        if !writable || selector as u8 & 3 != cpl || segment.dpl() != cpl {
            return Err(error);
        }
        if !segment.has(Segment::PRESENT) {
            return Err(Fault::ss(code(selector)));
        }
        self.mark_accessed_descriptor(at, descriptor)?;
        Ok(segment)
    }

    /// Checks that code of `segment` can be at `rip`.
    ///
    /// # Errors
    /// #GP(0).
    pub(super) fn check_target(&self, segment: &Segment, rip: u64) -> Result<(), Fault> {
        let allowed = if self.long_mode_active() && segment.has(Segment::LONG) {
            is_canonical(rip)
        } else {
            rip <= u64::from(segment.limit)
        };
        if allowed { Ok(()) } else { Err(Fault::GP0) }
    }

    /// Whether a code segment's L and D bits go together.
    pub(super) fn has_valid_size(&self, segment: &Segment) -> bool {
        !(self.long_mode_active() && segment.has(Segment::LONG | Segment::BIG))
    }
}
