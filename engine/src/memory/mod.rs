//! Guest RAM and the software TLB in front of it.

mod access;
mod tlb;

use crate::host;

pub use access::Value;
pub(crate) use access::is_canonical;
pub(crate) use tlb::{Access, Entry, Tlb};

/// Bytes in a page.
pub(crate) const PAGE: u64 = 4096;
/// Bits of an address within a page.
pub(crate) const PAGE_MASK: u64 = PAGE - 1;

/// RAM and the TLBs of supervisor and user mode.
pub(crate) struct Memory {
    ram: *mut u8,
    ram_bytes: usize,
    /// What the fast path looks into: the entries of one of the three.
    pub(crate) entries: *const Entry,
    supervisor: Tlb,
    user: Tlb,
    /// Stays empty: with it every access takes the slow path, which checks alignment and breakpoints.
    none: Tlb,
    is_user: bool,
    is_checked: bool,
    /// Linear addresses below and up to which large pages were used.
    large: (u64, u64),
}

impl Memory {
    /// RAM of `ram_bytes` (a multiple of 4096), all zero; `None` if there is no room.
    pub(crate) fn new(ram_bytes: usize) -> Option<Self> {
        let ram = host::allocate_zeroed(ram_bytes)?;
        let (supervisor, user, none) = (Tlb::new(), Tlb::new(), Tlb::new());
        let entries = supervisor.as_ptr();
        let large = (u64::MAX, 0);
        Some(Self {
            ram,
            ram_bytes,
            entries,
            supervisor,
            user,
            none,
            is_user: false,
            is_checked: false,
            large,
        })
    }

    /// Size of RAM in bytes.
    pub(crate) fn ram_bytes(&self) -> u64 {
        self.ram_bytes as u64
    }

    /// The host's address of RAM.
    pub(crate) fn ram(&self) -> *mut u8 {
        self.ram
    }

    /// Whether accesses are those of a program with CPL 3.
    pub(crate) fn is_user(&self) -> bool {
        self.is_user
    }

    /// Chooses the translations of user or supervisor mode.
    pub(crate) fn select(&mut self, user: bool) {
        self.is_user = user;
        self.choose();
    }

    /// Whether every access has to be looked at, for alignment checks or data breakpoints.
    pub(crate) fn set_checked(&mut self, checked: bool) {
        self.is_checked = checked;
        self.choose();
    }

    /// See [`Memory::set_checked`].
    pub(crate) fn is_checked(&self) -> bool {
        self.is_checked
    }

    fn choose(&mut self) {
        let tlb = match (self.is_checked, self.is_user) {
            (true, _) => &self.none,
            (_, true) => &self.user,
            (_, false) => &self.supervisor,
        };
        self.entries = tlb.as_ptr();
    }

    /// Where the entries for user or supervisor mode begin.
    pub(crate) fn entries_of(&self, user: bool) -> *const Entry {
        if user { self.user.as_ptr() } else { self.supervisor.as_ptr() }
    }

    /// The translations of a privilege.
    pub(crate) fn tlb(&mut self, user: bool) -> &mut Tlb {
        if user { &mut self.user } else { &mut self.supervisor }
    }

    /// Notes that the large page around `linear` was used.
    pub(crate) fn note_large(&mut self, linear: u64, bytes: u64) {
        let start = linear & !(bytes.wrapping_sub(1));
        self.large.0 = self.large.0.min(start);
        self.large.1 = self.large.1.max(start.saturating_add(bytes));
    }

    /// Forgets translations, those of global pages only if `global`.
    pub(crate) fn flush(&mut self, global: bool) {
        if global {
            self.supervisor.flush_all();
            self.user.flush_all();
            self.large = (u64::MAX, 0);
        } else {
            self.supervisor.flush();
            self.user.flush();
        }
    }

    /// Forgets the translation of the page around `linear`; false if, as it may be large, all had to be forgotten.
    pub(crate) fn flush_page(&mut self, linear: u64) -> bool {
        if (self.large.0..self.large.1).contains(&linear) {
            self.flush(true);
            return false;
        }
        self.supervisor.flush_page(linear);
        self.user.flush_page(linear);
        true
    }

    /// Sends writes to a page of RAM (guest-physical) the slow way.
    pub(crate) fn protect(&mut self, physical: u64) {
        let host = (self.ram as usize).wrapping_add(physical as usize);
        self.supervisor.protect(host);
        self.user.protect(host);
    }
}
