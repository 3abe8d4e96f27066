//! Linear addresses while translating: which of them are a known distance apart, so that one look into the TLB is enough.

use crate::state::{PLACES, ZERO};

/// Accesses that lie within so many bytes are looked at together. If these are not in one page, the interpreter
/// has to do it: so they are few.
const SPAN: i64 = 64;

/// An unknown number, the same wherever it has the same identity, plus a known one. That has more bits than it needs, so that
/// it does not overflow: numbers that would be equal only for an overflow count as different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    identity: u32,
    distance: i64,
}

impl Symbol {
    pub(super) const fn and(self, more: i64) -> Self {
        Self { distance: self.distance.wrapping_add(more), ..self }
    }
}

/// An address in a local variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    pub(super) local: u32,
    /// What is known of it.
    pub(super) symbol: Option<Symbol>,
}

/// What registers hold.
pub(super) struct Symbols {
    of: [Symbol; PLACES],
    next: u32,
}

impl Default for Symbols {
    fn default() -> Self {
        let mut of = [Symbol { identity: 0, distance: 0 }; PLACES];
        for (identity, symbol) in (0..).zip(&mut of) {
            symbol.identity = identity;
        }
        Self { of, next: PLACES as u32 }
    }
}

impl Symbols {
    pub(super) fn of(&self, register: usize) -> Symbol {
        self.of.get(register).copied().unwrap_or(Symbol { identity: ZERO as u32, distance: 0 })
    }

    /// A register gets a number that nothing is known of.
    pub(super) fn renew(&mut self, register: usize) {
        self.set(register, None);
    }

    /// A register gets a number.
    pub(super) fn set(&mut self, register: usize, symbol: Option<Symbol>) {
        let symbol = symbol.unwrap_or_else(|| {
            self.next = self.next.wrapping_add(1);
            Symbol { identity: self.next, distance: 0 }
        });
        if let Some(place) = self.of.get_mut(register) {
            *place = symbol;
        }
    }
}

/// Accesses that are looked at together: all between two distances from one number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    identity: Option<u32>,
    /// The first byte.
    pub(super) from: i64,
    /// Behind the last one.
    pub(super) to: i64,
    /// Whether something is written.
    pub(super) write: bool,
    /// What is to be added to the addresses, once that is known.
    addend: Option<u32>,
}

/// The accesses of a piece of code, in their order.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The group of each access.
    of: Vec<usize>,
    /// While accesses are listed: each; later: the number of the next one.
    next: Option<usize>,
}

impl Groups {
    /// Puts accesses together: each into a group that has room for it.
    pub(super) fn form(&mut self) {
        let accesses = std::mem::take(&mut self.groups);
        self.of.clear();
        for access in accesses {
            let access = Group { addend: None, ..access };
            let group = self.groups.iter_mut().position(|group| group.take(access));
            self.of.push(group.unwrap_or(self.groups.len()));
            if group.is_none() {
                self.groups.push(access);
            }
        }
        self.next = Some(0);
    }

    /// The group of the next access, and the access's distance.
    pub(super) fn next(&mut self, symbol: Option<Symbol>, bytes: u32, write: bool) -> (usize, i64) {
        let from = symbol.map_or(0, |symbol| symbol.distance);
        let Some(next) = self.next else {
            let to = from.wrapping_add(bytes.into());
            let identity = symbol.map(|symbol| symbol.identity);
            self.groups.push(Group { identity, from, to, write, addend: None });
            return (self.groups.len().wrapping_sub(1), from);
        };
        self.next = Some(next.wrapping_add(1));
        (self.of.get(next).copied().unwrap_or(0), from)
    }

    pub(super) fn at(&self, group: usize) -> Group {
        let nothing = Group { identity: None, from: 0, to: 1, write: true, addend: None };
        self.groups.get(group).copied().unwrap_or(nothing)
    }

    pub(super) fn addend(&self, group: usize) -> Option<u32> {
        self.groups.get(group)?.addend
    }

    pub(super) fn set_addend(&mut self, group: usize, addend: u32) {
        if let Some(group) = self.groups.get_mut(group) {
            group.addend = Some(addend);
        }
    }
}

impl Group {
    /// Takes an access in, if it is near.
    fn take(&mut self, access: Self) -> bool {
        let (from, to) = (self.from.min(access.from), self.to.max(access.to));
        let is_near = to.wrapping_sub(from) <= SPAN;
        if self.identity.is_none() || self.identity != access.identity || !is_near {
            return false;
        }
        (self.from, self.to) = (from, to);
        self.write |= access.write;
        true
    }
}
