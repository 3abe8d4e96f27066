//! Where a block leads to.

use super::super::body::{Label, at, sized};
use super::super::helpers::{DISPATCH, FIND, FIRST_CODE};
use super::*;
use crate::code::{CodePlaces, Links, Offset};
use crate::memory::{PAGE, PAGE_MASK};
use crate::state::PAGE_REGISTER;

impl Page<'_> {
    /// Goes to the address in a variable, where `likely`, a block or 0, was before. The flags are stored.
    pub(in crate::translate) fn go_to(&mut self, address: u32, likely: Offset) {
        self.push_address(address);
        let place = if likely == 0 { 0 } else { self.place_of(likely) };
        self.body.w().i32_const(place as i32).return_call(DISPATCH);
    }

    /// Goes to the address in a variable, which was computed; `links` are behind the branch.
    pub(in crate::translate) fn go_to_computed(&mut self, address: u32, links: u32) {
        let [taken, _] = self.ways(links);
        let likely = Some(taken.block).filter(|block| self.is_here(*block)).unwrap_or(0);
        self.go_to(address, likely);
    }

    /// Whether a block is still there, and translated in this part.
    fn is_here(&self, block: Offset) -> bool {
        let there = self.at(block);
        block != 0 && there.physical != u64::MAX && there.translated.part() == self.part
    }

    /// The ways of the branch whose links are the micro-operation after `number`: the taken and the other one.
    pub(in crate::translate) fn ways(&self, links: u32) -> [Way; 2] {
        let (uop, _) = self.uop(links);
        let links = Links::from(uop);
        [
            Way { distance: links.target, block: links.taken.offset() },
            Way { distance: links.offset.into(), block: links.other.offset() },
        ]
    }

    /// The way from the end of a block without a branch.
    pub(in crate::translate) fn way_on(&self, links: u32) -> Way {
        let [taken, other] = self.ways(links);
        Way { distance: other.distance, ..taken }
    }

    /// Goes a way. The flags are stored.
    pub(in crate::translate) fn go(&mut self, way: Way) {
        if let Some(block) = self.in_page(way.distance) {
            self.go_in_page(block);
            return;
        }
        self.address_in_page(way.distance);
        let address = self.body.keep(self.long);
        let is_near = u64::try_from(way.distance).is_ok_and(|distance| distance < PAGE);
        match self.linked(way).filter(|_| !is_near) {
            Some(block) => self.go_if_still(address, block),
            None => self.go_to(address, 0),
        }
    }

    /// The block that a branch within the page leads to without a look at it.
    pub(in crate::translate) fn in_page(&self, distance: i32) -> Option<Offset> {
        let distance = u64::try_from(distance).ok().filter(|distance| *distance < PAGE)?;
        let physical = (self.current().physical & !PAGE_MASK) | distance;
        let index = self.blocks.binary_search_by_key(&physical, |block| self.at(*block).physical).ok()?;
        let block = self.blocks.get(index).copied()?;
        let there = self.at(block);
        (there.may_be_linked() && there.translated.part() == self.part).then_some(block)
    }

    /// The label of a block, if it is in this function and behind this one.
    pub(in crate::translate) fn label_ahead(&self, block: Offset) -> Option<Label> {
        let index = self.entry_of(block)?;
        self.labels.get(index).copied().filter(|_| index > self.index)
    }

    pub(in crate::translate) fn entry_of(&self, block: Offset) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.block == block && piece.first == 0)
    }

    pub(in crate::translate) fn go_in_page(&mut self, block: Offset) {
        if let Some(label) = self.label_ahead(block) {
            self.body.br(label);
        } else if let Some(index) = self.entry_of(block) {
            let entry = self.entry;
            self.body.w().i32_const(index as i32).local_set(entry);
            self.body.br(self.top);
        } else {
            self.enter(block);
        }
    }

    /// Goes to the function that has a block.
    pub(in crate::translate) fn enter(&mut self, block: Offset) {
        let translated = self.at(block).translated;
        let function = FIRST_CODE.wrapping_add(translated.function());
        self.body.w().i32_const(translated.entry() as i32).return_call(function);
    }

    /// Goes a way if the condition on the stack holds. The flags are stored.
    pub(in crate::translate) fn go_when(&mut self, way: Way) {
        if let Some(label) = self.in_page(way.distance).and_then(|block| self.label_ahead(block)) {
            self.body.br_if(label);
            return;
        }
        if way.block == 0 {
            // It has not been gone yet.
            self.body.when_unlikely();
        } else {
            self.body.when();
        }
        self.go(way);
        self.body.end();
    }

    /// The block that a branch to another page has led to, if it may be gone to without the interpreter.
    pub(in crate::translate) fn linked(&self, way: Way) -> Option<Offset> {
        let there = self.at(way.block);
        let fits = self.is_here(way.block) && (there.physical ^ way.distance as u64) & PAGE_MASK == 0;
        fits.then_some(way.block)
    }

    /// Goes to the address in a variable, where `block` was before.
    pub(in crate::translate) fn go_if_still(&mut self, address: u32, block: Offset) {
        let there = self.at(block);
        let code = self.places.code;
        let seen = code.seen.wrapping_add(there.number().wrapping_mul(CodePlaces::SEEN_BYTES));
        let key = if there.depends_on_segments() {
            code.segmented_key
        } else if self.cpu.code.is_global(there) {
            code.global_key
        } else {
            code.key
        };
        let other = self.body.block();
        self.body.w().local_get(address);
        if self.long {
            self.body.load64(seen.wrapping_add(CodePlaces::SEEN_RIP));
        } else {
            self.body.load32(seen.wrapping_add(CodePlaces::SEEN_RIP));
        }
        sized!(self.body, self.long, i64_ne, i32_ne);
        self.body.br_if_unlikely(other);
        self.body.load32(seen.wrapping_add(CodePlaces::SEEN_KEY));
        self.body.load32(key);
        self.body.w().i32_ne();
        self.body.br_if_unlikely(other);
        self.body.w().i32_const(0).local_get(address);
        self.add_constant(((there.physical & PAGE_MASK) as i32).wrapping_neg());
        if !self.long {
            self.body.w().i64_extend_i32_u();
        }
        self.body.w().i64_store(at(self.places.register(PAGE_REGISTER)));
        self.enter(block);
        self.body.end();
        self.push_address(address);
        let place = self.place_of(block);
        self.body.w().i32_const(place as i32).return_call(FIND);
    }
}
