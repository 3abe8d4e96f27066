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

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of accesses at these distances from a register, of 4 bytes each.
    fn groups(distances: &[i64]) -> (Vec<usize>, Groups) {
        let symbol = Symbols::default().of(3);
        let mut groups = Groups::default();
        for distance in distances {
            groups.next(Some(symbol.and(*distance)), 4, false);
        }
        groups.form();
        let of =
            distances.iter().map(|distance| groups.next(Some(symbol.and(*distance)), 4, false).0).collect();
        (of, groups)
    }

    #[test]
    fn accesses_that_are_near_share_a_look() {
        let (of, groups) = groups(&[8, 0, 60, 64, -4]);
        assert_eq!(of, [0, 0, 0, 1, 2]);
        assert_eq!((groups.at(0).from, groups.at(0).to), (0, 64));
    }

    #[test]
    fn those_that_are_far_apart_do_not_even_where_distances_would_overflow() {
        for far in [1 << 31, 1 << 32, i64::from(i32::MIN), (1 << 32) - 4] {
            assert_eq!(groups(&[i64::from(i32::MAX) - 3, far.wrapping_add(1 << 33)]).0, [0, 1], "{far:#x}");
        }
        assert_eq!(groups(&[0, 1 << 32]).0, [0, 1]);
    }

    #[test]
    fn what_is_written_counts_for_the_group() {
        let symbol = Symbols::default().of(4);
        let mut groups = Groups::default();
        groups.next(Some(symbol), 4, false);
        groups.next(Some(symbol.and(4)), 8, true);
        groups.next(None, 8, false);
        groups.next(None, 8, false);
        groups.form();
        assert!(groups.at(0).write && !groups.at(1).write);
        assert_eq!((groups.at(0).from, groups.at(0).to), (0, 12));
        // What nothing is known of is looked at alone.
        let of: Vec<usize> = (0..4).map(|_| groups.next(None, 8, false).0).collect();
        assert_eq!(of, [0, 0, 1, 2]);
    }

    #[test]
    fn a_register_that_is_written_is_another_number() {
        let mut symbols = Symbols::default();
        let before = symbols.of(0);
        symbols.set(1, Some(before.and(16)));
        assert_eq!(symbols.of(1), before.and(16));
        symbols.renew(0);
        assert_ne!(symbols.of(0), before);
        assert_ne!(symbols.of(0), symbols.of(1));
    }
}
