//! Page tables: 2-level with 4 MiB pages, PAE, and 4-level (SDM vol. 3, chapter 4).

use crate::memory::{Access, Entry, PAGE_MASK};
use crate::operand::ones;
use crate::state::{cr0, cr4, efer};
use crate::{Cpu, Fault};

/// Bits of a page-table entry.
mod entry {
    pub(super) const PRESENT: u64 = 1;
    pub(super) const WRITABLE: u64 = 1 << 1;
    pub(super) const USER: u64 = 1 << 2;
    pub(super) const ACCESSED: u64 = 1 << 5;
    pub(super) const DIRTY: u64 = 1 << 6;
    pub(super) const LARGE: u64 = 1 << 7;
    pub(super) const GLOBAL: u64 = 1 << 8;
    pub(super) const NO_EXECUTE: u64 = 1 << 63;
}

/// Bits of a page fault's error code.
mod code {
    pub(super) const PRESENT: u32 = 1;
    pub(super) const WRITE: u32 = 1 << 1;
    pub(super) const USER: u32 = 1 << 2;
    pub(super) const RESERVED: u32 = 1 << 3;
    pub(super) const FETCH: u32 = 1 << 4;
}

/// Physical addresses have this many bits (announced by CPUID).
pub(crate) const PHYSICAL_BITS: u32 = 36;
/// Address bits of an entry of 8 bytes.
const ADDRESS: u64 = ((1 << PHYSICAL_BITS) - 1) & !PAGE_MASK;
/// Bits of an 8-byte entry that must be zero: addresses beyond the physical, up to bit 51.
const BEYOND: u64 = ((1 << 52) - 1) & !((1 << PHYSICAL_BITS) - 1);

/// What a walk found.
struct Walk {
    physical: u64,
    /// Rights that hold on all levels.
    rights: u64,
    global: bool,
    /// Bytes of the page.
    bytes: u64,
    /// Physical address, value and size (4 or 8) of the last entry.
    leaf: Option<(u64, u64, u32)>,
}

impl Cpu {
    /// Guest-physical address of a linear one, after all checks; sets accessed and dirty bits and fills the
    /// TLB.
    ///
    /// # Errors
    /// #PF, #GP(0) for a non-canonical address.
    pub(crate) fn translate(&mut self, linear: u64, access: Access, user: bool) -> Result<u64, Fault> {
        let page = linear & !PAGE_MASK;
        let cached = self.memory.tlb(user).entry(linear);
        let tag = match access {
            Access::Read => cached.read,
            Access::Write => cached.write,
            Access::Execute => cached.execute,
        };
        if tag == page {
            let host = (linear as usize).wrapping_add(cached.addend);
            return Ok(host.wrapping_sub(self.memory.ram() as usize) as u64);
        }
        let walk = self.walk(linear, access, user)?;
        let dirty = self.mark(&walk, access);
        self.fill(linear, &walk, dirty, user);
        Ok(walk.physical)
    }

    /// All translations that are not global are stale (CR3 was written), or all (`CR0`, `CR4`, `EFER`).
    pub(crate) fn flush_translations(&mut self, global: bool) {
        let global = global || self.cr4 & cr4::PGE == 0;
        self.memory.flush(global);
        self.code.forget_addresses(global);
    }

    /// CR0, CR4 or EFER changed what addresses mean.
    pub(crate) fn paging_changed(&mut self) {
        self.flush_translations(true);
        self.memory.select(self.cpl == 3);
    }

    /// INVLPG.
    pub(crate) fn flush_page(&mut self, linear: u64) {
        if self.memory.flush_page(linear) {
            self.code.forget_page_addresses(linear);
        } else {
            self.code.forget_addresses(true);
        }
    }

    fn fill(&mut self, linear: u64, walk: &Walk, dirty: bool, user: bool) {
        const NEVER: u64 = u64::MAX;
        let physical_page = walk.physical & !PAGE_MASK;
        if physical_page >= self.memory.ram_bytes() {
            return;
        }
        let page = linear & !PAGE_MASK;
        let has_code = self.code.has_code(physical_page);
        let write_protect = user || self.cr0 & cr0::WP != 0;
        let writable = dirty && !has_code && (walk.rights & entry::WRITABLE != 0 || !write_protect);
        let executable = self.may_execute(walk.rights, user);
        let host = (self.memory.ram() as usize).wrapping_add(physical_page as usize);
        let entry = Entry {
            read: page,
            write: if writable { page } else { NEVER },
            execute: if executable { page } else { NEVER },
            addend: host.wrapping_sub(page as usize),
        };
        let global = walk.global && self.cr4 & cr4::PGE != 0;
        self.memory.tlb(user).fill(linear, entry, global);
        if walk.bytes > PAGE_MASK + 1 {
            self.memory.note_large(linear, walk.bytes);
        }
    }

    fn may_execute(&self, rights: u64, user: bool) -> bool {
        let smep = self.cr4 & cr4::SMEP != 0 && !user && rights & entry::USER != 0;
        rights & entry::NO_EXECUTE == 0 && !smep
    }

    /// Sets accessed and dirty bits of the page; whether it is dirty now.
    fn mark(&mut self, walk: &Walk, access: Access) -> bool {
        let Some((at, value, bytes)) = walk.leaf else { return true };
        let mut wanted = value | entry::ACCESSED;
        if access == Access::Write {
            wanted |= entry::DIRTY;
        }
        if wanted != value {
            self.physical_write(at, u128::from(wanted), bytes);
        }
        wanted & entry::DIRTY != 0
    }

    /// Walks the page tables and checks rights.
    fn walk(&mut self, linear: u64, access: Access, user: bool) -> Result<Walk, Fault> {
        if self.cr0 & cr0::PG == 0 {
            let rights = entry::WRITABLE;
            let physical = linear & u64::from(u32::MAX);
            return Ok(Walk { physical, rights, global: false, bytes: PAGE_MASK + 1, leaf: None });
        }
        if self.long_mode_active() {
            if !crate::memory::is_canonical(linear) {
                return Err(Fault::GP0);
            }
            self.walk_wide(linear, access, user, 4)
        } else if self.cr4 & cr4::PAE != 0 {
            self.walk_wide(linear, access, user, 3)
        } else {
            self.walk_narrow(linear, access, user)
        }
    }

    /// Two levels with entries of 4 bytes.
    fn walk_narrow(&mut self, linear: u64, access: Access, user: bool) -> Result<Walk, Fault> {
        const FRAME: u64 = 0xFFFF_F000;
        let directory_at = (self.cr3 & FRAME) | ((linear >> 20) & 0xFFC);
        let directory = self.physical_read(directory_at, 4) as u64;
        if directory & entry::PRESENT == 0 {
            return Err(self.page_fault(linear, access, user, 0));
        }
        if directory & entry::LARGE != 0 && self.cr4 & cr4::PSE != 0 {
            // Bits 13 to 21 are reserved without PSE-36.
            if directory & 0x003F_E000 != 0 {
                return Err(self.page_fault(linear, access, user, code::PRESENT | code::RESERVED));
            }
            let rights = directory & (entry::WRITABLE | entry::USER);
            self.check(rights, linear, access, user)?;
            return Ok(Walk {
                physical: (directory & 0xFFC0_0000) | (linear & 0x3F_FFFF),
                rights,
                global: directory & entry::GLOBAL != 0,
                bytes: 4 << 20,
                leaf: Some((directory_at, directory, 4)),
            });
        }
        let table_at = (directory & FRAME) | ((linear >> 10) & 0xFFC);
        let table = self.physical_read(table_at, 4) as u64;
        if table & entry::PRESENT == 0 {
            return Err(self.page_fault(linear, access, user, 0));
        }
        let rights = directory & table & (entry::WRITABLE | entry::USER);
        self.check(rights, linear, access, user)?;
        self.mark_accessed(directory_at, directory, 4);
        Ok(Walk {
            physical: (table & FRAME) | (linear & PAGE_MASK),
            rights,
            global: table & entry::GLOBAL != 0,
            bytes: PAGE_MASK + 1,
            leaf: Some((table_at, table, 4)),
        })
    }

    /// Three (PAE) or four levels with entries of 8 bytes.
    fn walk_wide(&mut self, linear: u64, access: Access, user: bool, levels: u32) -> Result<Walk, Fault> {
        let no_execute = if self.efer & efer::NXE != 0 { 0 } else { entry::NO_EXECUTE };
        let mut table = if levels == 4 { self.cr3 & ADDRESS } else { self.cr3 & 0xFFFF_FFE0 };
        let mut rights = entry::WRITABLE | entry::USER;
        let mut upper = [(0, 0); 3];
        let mut level = levels;
        loop {
            level = level.wrapping_sub(1);
            // Of the bits that the entry translates if it is the last one.
            let shift = level.wrapping_mul(9).wrapping_add(12);
            let index = (linear >> shift) & if levels == 3 && level == 2 { 3 } else { 511 };
            let at = table.wrapping_add(index << 3);
            let value = self.physical_read(at, 8) as u64;
            if value & entry::PRESENT == 0 {
                return Err(self.page_fault(linear, access, user, 0));
            }
            // The four PDPTEs of PAE have no rights, and other reserved bits.
            let is_pdpte = levels == 3 && level == 2;
            let is_large = value & entry::LARGE != 0 && (level == 1 || (level == 2 && levels == 4));
            let mut reserved = BEYOND | no_execute;
            if is_pdpte {
                reserved = BEYOND | entry::NO_EXECUTE | 0x1E6;
            } else if level == 3 || (level == 2 && !is_large && value & entry::LARGE != 0) {
                reserved |= entry::LARGE;
            } else if is_large {
                reserved |= ones(shift) & !0x1FFF;
            }
            if levels == 3 && !is_pdpte {
                reserved |= 0x7FF0_0000_0000_0000;
            }
            if value & reserved != 0 {
                return Err(self.page_fault(linear, access, user, code::PRESENT | code::RESERVED));
            }
            if !is_pdpte {
                rights = (rights & value) | ((rights | value) & entry::NO_EXECUTE);
            }
            if is_large || level == 0 {
                self.check(rights, linear, access, user)?;
                for (at, value) in upper {
                    if at != 0 {
                        self.mark_accessed(at, value, 8);
                    }
                }
                let below = ones(shift);
                return Ok(Walk {
                    physical: (value & ADDRESS & !below) | (linear & below),
                    rights,
                    global: value & entry::GLOBAL != 0,
                    bytes: 1 << shift,
                    leaf: Some((at, value, 8)),
                });
            }
            if !is_pdpte && let Some(slot) = upper.get_mut((level as usize).wrapping_sub(1)) {
                *slot = (at, value);
            }
            table = value & ADDRESS;
        }
    }

    /// Sets the accessed bit of an entry above the last level.
    fn mark_accessed(&mut self, at: u64, value: u64, bytes: u32) {
        if value & entry::ACCESSED == 0 {
            self.physical_write(at, u128::from(value | entry::ACCESSED), bytes);
        }
    }

    /// Rights of a page (SDM vol. 3, 4.6).
    fn check(&mut self, rights: u64, linear: u64, access: Access, user: bool) -> Result<(), Fault> {
        let allowed = if user && rights & entry::USER == 0 {
            false
        } else {
            match access {
                Access::Read => true,
                Access::Write => rights & entry::WRITABLE != 0 || !(user || self.cr0 & cr0::WP != 0),
                Access::Execute => self.may_execute(rights, user),
            }
        };
        if allowed { Ok(()) } else { Err(self.page_fault(linear, access, user, code::PRESENT)) }
    }

    fn page_fault(&mut self, linear: u64, access: Access, user: bool, reason: u32) -> Fault {
        self.fault_address = linear;
        let mut error = reason;
        if access == Access::Write {
            error |= code::WRITE;
        }
        if user {
            error |= code::USER;
        }
        let no_execute = self.efer & efer::NXE != 0 && self.cr4 & cr4::PAE != 0;
        if access == Access::Execute && (no_execute || self.cr4 & cr4::SMEP != 0) {
            error |= code::FETCH;
        }
        Fault::Page(error)
    }
}
