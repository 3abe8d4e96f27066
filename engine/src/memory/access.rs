//! Loads and stores: the fast path through the TLB, and everything the fast path does not know.

#![allow(unsafe_code, reason = "guest RAM is reached by pointers that the TLB or a bounds check vouches for")]

use super::{Access, Entry, PAGE, PAGE_MASK};
use crate::operand::bits_of;
use crate::segment::{Seg, Segment};
use crate::state::cr0;
use crate::{Cpu, Fault, flag, host};

/// What can be loaded and stored: 1, 2, 4, 8 or 16 bytes, little endian.
pub trait Value: Copy {
    /// Size in bytes.
    const BYTES: u64;
    /// From the low bytes of a wide number.
    fn from_wide(wide: u128) -> Self;
    /// Zero-extended.
    fn to_wide(self) -> u128;
}

macro_rules! value {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const BYTES: u64 = size_of::<$type>() as u64;
            #[inline(always)]
            fn from_wide(wide: u128) -> Self {
                wide as $type
            }
            #[inline(always)]
            fn to_wide(self) -> u128 {
                u128::from(self)
            }
        }
    )*};
}
value!(u8, u16, u32, u64, u128);

impl Cpu {
    /// All of RAM. After writing to it call [`Cpu::code_written`].
    pub fn ram(&mut self) -> &mut [u8] {
        // SAFETY: RAM belongs to this CPU and is never freed.
        unsafe { std::slice::from_raw_parts_mut(self.memory.ram(), self.memory.ram_bytes() as usize) }
    }

    /// The TLB entry that would translate `linear`.
    #[inline(always)]
    fn entry(&self, linear: u64) -> &Entry {
        let index = (linear >> 12) as usize % 1024;
        // SAFETY: `entries` points to 1024 entries, owned by `memory`.
        unsafe { &*self.memory.entries.add(index) }
    }

    /// Loads from a linear address with the present privilege.
    ///
    /// # Errors
    /// #PF, #GP for a non-canonical address, #AC.
    #[inline(always)]
    pub fn load<T: Value>(&mut self, linear: u64) -> Result<T, Fault> {
        let entry = self.entry(linear);
        // The tag is that of the last byte's page: an access that crosses a page takes the slow path.
        if entry.read == linear.wrapping_add(T::BYTES.wrapping_sub(1)) & !PAGE_MASK {
            let host = (linear as usize).wrapping_add(entry.addend) as *const T;
            // SAFETY: the tag matched, so all bytes lie in one page of RAM.
            return Ok(unsafe { host.read_unaligned() });
        }
        self.load_slow(linear, T::BYTES as u32).map(T::from_wide)
    }

    /// Stores to a linear address with the present privilege.
    ///
    /// # Errors
    /// #PF, #GP for a non-canonical address, #AC.
    #[inline(always)]
    pub fn store<T: Value>(&mut self, linear: u64, value: T) -> Result<(), Fault> {
        let entry = self.entry(linear);
        if entry.write == linear.wrapping_add(T::BYTES.wrapping_sub(1)) & !PAGE_MASK {
            let host = (linear as usize).wrapping_add(entry.addend) as *mut T;
            // SAFETY: the tag matched, so all bytes lie in one page of RAM.
            unsafe { host.write_unaligned(value) };
            return Ok(());
        }
        self.store_slow(linear, value.to_wide(), T::BYTES as u32)
    }

    /// Loads what the same instruction is going to store to: a fault is that of a write.
    ///
    /// # Errors
    /// As [`Cpu::store`]; the store cannot fail after it.
    #[inline(always)]
    pub fn load_for_update<T: Value>(&mut self, linear: u64) -> Result<T, Fault> {
        let entry = self.entry(linear);
        if entry.write == linear.wrapping_add(T::BYTES.wrapping_sub(1)) & !PAGE_MASK {
            let host = (linear as usize).wrapping_add(entry.addend) as *const T;
            // SAFETY: the tag matched, so all bytes lie in one page of RAM.
            return Ok(unsafe { host.read_unaligned() });
        }
        self.load_for_update_slow(linear, T::BYTES as u32).map(T::from_wide)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn load_for_update_slow(&mut self, linear: u64, bytes: u32) -> Result<u128, Fault> {
        self.check_alignment(linear, bytes)?;
        self.probe(linear, bytes, true)?;
        self.load_slow(linear, bytes)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn load_slow(&mut self, linear: u64, bytes: u32) -> Result<u128, Fault> {
        self.check_alignment(linear, bytes)?;
        let user = self.memory.is_user();
        let value = self.load_as(linear, bytes, user, self.address_mask)?;
        if self.memory.is_checked() {
            self.note_data_access(linear, u64::from(bytes), false);
        }
        Ok(value)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn store_slow(&mut self, linear: u64, value: u128, bytes: u32) -> Result<(), Fault> {
        self.check_alignment(linear, bytes)?;
        let user = self.memory.is_user();
        self.store_as(linear, value, bytes, user, self.address_mask)?;
        if self.memory.is_checked() {
            self.note_data_access(linear, u64::from(bytes), true);
        }
        Ok(())
    }

    /// A load of any alignment; addresses wrap at `mask`.
    fn load_as(&mut self, linear: u64, bytes: u32, user: bool, mask: u64) -> Result<u128, Fault> {
        let mut value = 0u128;
        let mut done = 0;
        while done < bytes {
            let at = linear.wrapping_add(u64::from(done)) & mask;
            let part = part(at, bytes.wrapping_sub(done));
            let physical = self.translate(at, Access::Read, user)?;
            value |= self.physical_read(physical, part) << bits_of(done);
            done = done.wrapping_add(part);
        }
        Ok(value)
    }

    /// A store of any alignment; addresses wrap at `mask`.
    fn store_as(&mut self, linear: u64, value: u128, bytes: u32, user: bool, mask: u64) -> Result<(), Fault> {
        // Both pages are looked at before anything is written.
        let first = self.translate(linear, Access::Write, user)?;
        let length = part(linear, bytes);
        if length == bytes {
            self.physical_write(first, value, bytes);
        } else {
            let next = linear.wrapping_add(u64::from(length)) & mask;
            let second = self.translate(next, Access::Write, user)?;
            self.physical_write(first, value, length);
            self.physical_write(second, value >> bits_of(length), bytes.wrapping_sub(length));
        }
        Ok(())
    }

    /// A load the CPU does for itself, with supervisor privilege: descriptors, stacks of gates.
    pub(crate) fn load_system<T: Value>(&mut self, linear: u64) -> Result<T, Fault> {
        let mask = self.system_mask();
        self.load_as(linear & mask, T::BYTES as u32, false, mask).map(T::from_wide)
    }

    /// A store the CPU does for itself, with supervisor privilege.
    pub(crate) fn store_system<T: Value>(&mut self, linear: u64, value: T) -> Result<(), Fault> {
        let mask = self.system_mask();
        self.store_as(linear & mask, value.to_wide(), T::BYTES as u32, false, mask)
    }

    /// Descriptor tables lie anywhere in long mode, whatever the code segment.
    fn system_mask(&self) -> u64 {
        if self.long_mode_active() { u64::MAX } else { u64::from(u32::MAX) }
    }

    /// Makes sure that `bytes` bytes can be accessed, without doing it.
    ///
    /// # Errors
    /// As the access itself.
    pub fn probe(&mut self, linear: u64, bytes: u32, write: bool) -> Result<(), Fault> {
        let access = if write { Access::Write } else { Access::Read };
        let user = self.memory.is_user();
        self.translate(linear, access, user)?;
        if part(linear, bytes) != bytes {
            let next = (linear | PAGE_MASK).wrapping_add(1) & self.address_mask;
            self.translate(next, access, user)?;
        }
        Ok(())
    }

    /// The RAM from `before` bytes below `linear` on, `bytes` bytes, which have to lie in one page; `None` for
    /// memory-mapped devices, and if every access has to be looked at. After a write the caller has nothing to do.
    ///
    /// # Errors
    /// As an access to `linear`.
    pub(crate) fn ram_slice(
        &mut self,
        linear: u64,
        before: u64,
        bytes: u64,
        write: bool,
    ) -> Result<Option<*mut u8>, Fault> {
        let start = (linear & PAGE_MASK).checked_sub(before);
        let in_page = start.is_some_and(|start| start.saturating_add(bytes) <= PAGE);
        if self.memory.is_checked() || !in_page {
            return Ok(None);
        }
        let access = if write { Access::Write } else { Access::Read };
        let user = self.memory.is_user();
        let physical = self.translate(linear, access, user)?.wrapping_sub(before);
        if physical.saturating_add(bytes) > self.memory.ram_bytes() {
            return Ok(None);
        }
        if write {
            self.code_written(physical, bytes);
        }
        // SAFETY: just checked to be within RAM.
        Ok(Some(unsafe { self.memory.ram().add(physical as usize) }))
    }

    /// #AC of an access that has to be aligned to its size.
    pub(crate) fn check_alignment(&mut self, linear: u64, bytes: u32) -> Result<(), Fault> {
        if self.memory.is_checked() {
            let misaligned = linear & u64::from(bytes.wrapping_sub(1)) != 0;
            let enabled = self.cr0 & cr0::AM != 0 && self.system_flags & flag::AC != 0;
            if misaligned && self.cpl == 3 && enabled {
                return Err(Fault::AC0);
            }
        }
        Ok(())
    }

    /// Reads guest-physical memory of at most 16 bytes that do not cross a page.
    pub(crate) fn physical_read(&mut self, physical: u64, bytes: u32) -> u128 {
        if physical.saturating_add(u64::from(bytes)) <= self.memory.ram_bytes() {
            let mut value = [0u8; 16];
            // SAFETY: just checked to be within RAM, and at most 16 bytes.
            unsafe {
                let from = self.memory.ram().add(physical as usize);
                from.copy_to_nonoverlapping(value.as_mut_ptr(), bytes.min(16) as usize);
            }
            return u128::from_le_bytes(value);
        }
        self.publish_instructions();
        let mut value = 0u128;
        for (offset, size) in device_parts(physical, bytes) {
            let part = host::mmio_read(physical.wrapping_add(u64::from(offset)), size);
            value |= u128::from(part) << bits_of(offset);
        }
        value
    }

    /// Writes guest-physical memory of at most 16 bytes that do not cross a page.
    pub(crate) fn physical_write(&mut self, physical: u64, value: u128, bytes: u32) {
        if physical.saturating_add(u64::from(bytes)) <= self.memory.ram_bytes() {
            self.code_written(physical, u64::from(bytes));
            let value = value.to_le_bytes();
            // SAFETY: just checked to be within RAM, and at most 16 bytes.
            unsafe {
                let to = self.memory.ram().add(physical as usize);
                to.copy_from_nonoverlapping(value.as_ptr(), bytes.min(16) as usize);
            }
            return;
        }
        self.publish_instructions();
        for (offset, size) in device_parts(physical, bytes) {
            let part = (value >> bits_of(offset)) as u64;
            host::mmio_write(physical.wrapping_add(u64::from(offset)), size, part);
        }
        self.leave_soon();
    }

    /// Linear address of `bytes` bytes at `offset` of a segment.
    ///
    /// # Errors
    /// #GP(0), or #SS(0) for the stack segment: limits, rights, non-canonical addresses.
    #[inline]
    pub fn linear(&self, seg: Seg, offset: u64, bytes: u64, write: bool) -> Result<u64, Fault> {
        let segment = self.segment(seg);
        if self.mode.is_long() {
            let base = if matches!(seg, Seg::Fs | Seg::Gs) { segment.base } else { 0 };
            let linear = base.wrapping_add(offset);
            let last = linear.wrapping_add(bytes.wrapping_sub(1));
            if is_canonical(linear) && is_canonical(last) {
                return Ok(linear);
            }
        } else {
            let offset = offset & u64::from(u32::MAX);
            let linear = segment.base.wrapping_add(offset) & u64::from(u32::MAX);
            if segment.is_unlimited() && offset.wrapping_add(bytes) <= 1 << 32 {
                return Ok(linear);
            }
            if segment_allows(segment, offset, bytes, write) {
                return Ok(linear);
            }
        }
        Err(if seg == Seg::Ss { Fault::SS0 } else { Fault::GP0 })
    }

    /// Reads from a segment.
    ///
    /// # Errors
    /// #GP(0), #SS(0), #PF, #AC.
    pub fn read<T: Value>(&mut self, seg: Seg, offset: u64) -> Result<T, Fault> {
        let linear = self.linear(seg, offset, T::BYTES, false)?;
        self.load(linear)
    }

    /// Writes to a segment.
    ///
    /// # Errors
    /// #GP(0), #SS(0), #PF, #AC.
    pub fn write<T: Value>(&mut self, seg: Seg, offset: u64, value: T) -> Result<(), Fault> {
        let linear = self.linear(seg, offset, T::BYTES, true)?;
        self.store(linear, value)
    }

    /// Loads 1, 2, 4 or 8 bytes.
    ///
    /// # Errors
    /// As `Cpu::load`.
    #[inline]
    pub(crate) fn load_sized(&mut self, linear: u64, bytes: u32) -> Result<u64, Fault> {
        match bytes {
            1 => self.load::<u8>(linear).map(u64::from),
            2 => self.load::<u16>(linear).map(u64::from),
            4 => self.load::<u32>(linear).map(u64::from),
            _ => self.load::<u64>(linear),
        }
    }

    /// Stores 1, 2, 4 or 8 bytes.
    ///
    /// # Errors
    /// As `Cpu::store`.
    #[inline]
    pub(crate) fn store_sized(&mut self, linear: u64, value: u64, bytes: u32) -> Result<(), Fault> {
        match bytes {
            1 => self.store(linear, value as u8),
            2 => self.store(linear, value as u16),
            4 => self.store(linear, value as u32),
            _ => self.store(linear, value),
        }
    }

    /// Reads 1, 2, 4 or 8 bytes from a segment.
    ///
    /// # Errors
    /// As [`Cpu::read`].
    #[inline]
    pub(crate) fn read_sized(&mut self, seg: Seg, offset: u64, bytes: u32) -> Result<u64, Fault> {
        let linear = self.linear(seg, offset, u64::from(bytes), false)?;
        self.load_sized(linear, bytes)
    }

    /// Writes 1, 2, 4 or 8 bytes to a segment.
    ///
    /// # Errors
    /// As [`Cpu::write`].
    #[inline]
    pub(crate) fn write_sized(&mut self, seg: Seg, offset: u64, value: u64, bytes: u32) -> Result<(), Fault> {
        let linear = self.linear(seg, offset, u64::from(bytes), true)?;
        self.store_sized(linear, value, bytes)
    }
}

/// Whether bits 63 to 47 are all equal.
pub(crate) const fn is_canonical(linear: u64) -> bool {
    let high = (linear as i64) >> 47;
    high == 0 || high == -1
}

/// Limit and rights of a segment outside of 64-bit mode (SDM vol. 3, 5.3 and 5.5).
fn segment_allows(segment: &Segment, offset: u64, bytes: u64, write: bool) -> bool {
    if !segment.has(Segment::PRESENT) {
        return false;
    }
    let code = segment.has(Segment::CODE);
    let writable_or_readable = segment.has(Segment::WRITABLE);
    if (write && (code || !writable_or_readable)) || (code && !writable_or_readable) {
        return false;
    }
    let last = offset.wrapping_add(bytes.wrapping_sub(1));
    if !code && segment.has(Segment::EXPAND_DOWN) {
        let top = if segment.has(Segment::BIG) { u64::from(u32::MAX) } else { 0xFFFF };
        offset > u64::from(segment.limit) && last <= top
    } else {
        last <= u64::from(segment.limit)
    }
}

/// How many of `bytes` lie in the page of `linear`.
fn part(linear: u64, bytes: u32) -> u32 {
    bytes.min(PAGE.wrapping_sub(linear & PAGE_MASK) as u32)
}

/// Cuts an access to a device into naturally aligned pieces of up to 8 bytes: offset and size.
fn device_parts(physical: u64, bytes: u32) -> impl Iterator<Item = (u32, u32)> {
    let mut offset = 0_u32;
    std::iter::from_fn(move || {
        let left = bytes.wrapping_sub(offset);
        if left == 0 {
            return None;
        }
        let at = physical.wrapping_add(u64::from(offset));
        let mut size = 8_u32;
        while size > left || at & u64::from(size.wrapping_sub(1)) != 0 {
            size >>= 1;
        }
        let part = (offset, size);
        offset = offset.wrapping_add(size);
        Some(part)
    })
}
