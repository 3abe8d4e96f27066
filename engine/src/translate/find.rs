//! Finding the block at an address where no table has it any more: what the interpreter does at the end of a block, see `Cpu::execute`.

use wasm_encoder::ValType;

use super::body::{Body, Label, at};
use super::dispatch::{push_is_key, push_jump, push_tagged};
use super::helpers::ENTER;
use super::places::Places;
use crate::code::{Block, CodePlaces, KERNEL, Link, Translated};
use crate::interpret::Exit;
use crate::memory::{Entry, PAGE_MASK};
use crate::state::Mode;

/// Where things are that translated code uses here only.
#[derive(Clone, Copy)]
pub(super) struct Finding {
    /// [`Block::call`].
    pub(super) call: u32,
    /// The entries of the part's TLB.
    pub(super) entries: u32,
    /// RAM.
    pub(super) ram: u32,
}

/// `(address, likely)`: `likely` is where the block lies that was there when this was translated, or 0.
pub(super) fn find(places: Places, part: u32, finding: Finding) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(2);
    let locals = [(); 6].map(|()| body.local(ValType::I32));
    let mut find = Find { body, places, part, finding, locals };
    find.stop_without_budget();
    let found = find.body.block();
    let unknown = find.body.block();
    find.look(found, unknown);
    find.body.end();
    find.leave();
    find.body.end();
    find.enter();
    find.body.finish()
}

/// [`find`] in the making.
struct Find {
    body: Body,
    places: Places,
    part: u32,
    finding: Finding,
    /// The entry of the table, the block's offset and place, its key, the physical address, and one for a while.
    locals: [u32; 6],
}

impl Find {
    /// The parameters.
    const ADDRESS: u32 = 0;
    const LIKELY: u32 = 1;

    /// The kernel's pages are global mostly, which the TLB does not tell here: what has not been noted there is for the interpreter.
    const fn is_kernel(&self) -> bool {
        self.part == KERNEL
    }

    fn stop_without_budget(&mut self) {
        self.body.load64(self.places.budget());
        self.body.w().i64_const(0).i64_le_s();
        self.body.when_unlikely();
        self.body.store64(self.places.rip(), Self::ADDRESS);
        self.body.w().i32_const(Exit::CHECK.number() as i32).return_();
        self.body.end();
    }

    /// Goes on behind `found` with a block, or behind `unknown`.
    fn look(&mut self, found: Label, unknown: Label) {
        let locals @ [jump, offset, ..] = self.locals;
        let code = self.places.code;
        push_jump(&mut self.body, self.places, Self::ADDRESS);
        self.body.w().local_set(jump);
        if !self.is_kernel() {
            self.translate(unknown);
        }
        // What was there when this was translated.
        self.body.w().local_get(Self::LIKELY);
        self.body.when();
        self.body.w().local_get(Self::LIKELY).i32_const(code.arena as i32).i32_sub().local_set(offset);
        self.push_is_it();
        self.body.br_if(found);
        self.body.end();
        // What was there the last time.
        self.push_is_known();
        self.body.when();
        self.push_jump_block();
        self.body.w().i32_load(at(0)).i32_const(!Link::UNSURE as i32).i32_and().local_set(offset);
        self.push_is_it();
        self.body.br_if(found);
        if self.is_kernel() {
            self.body.br(unknown);
        }
        self.body.end();
        // What is in that place of RAM.
        if self.is_kernel() {
            self.translate(unknown);
        }
        let [.., physical, word] = locals;
        self.body.w().local_get(physical).local_get(physical).i32_const(16).i32_shr_u().i32_xor();
        self.body.w().i32_const((CodePlaces::BUCKETS - 1) as i32).i32_and().i32_const(2).i32_shl();
        self.body.w().i32_const(code.buckets as i32).i32_add().local_set(word);
        let fits = self.body.block();
        let next = self.body.repeat();
        self.body.w().local_get(word).i32_load(at(0)).local_tee(offset).i32_eqz();
        self.body.br_if(unknown);
        self.push_fits();
        self.body.br_if(fits);
        let [_, _, block, ..] = locals;
        self.body.w().local_get(block).i32_const(CodePlaces::NEXT as i32).i32_add().local_set(word);
        self.body.br(next);
        self.body.end();
        self.body.end();
        if self.is_kernel() {
            self.push_is_valid();
            self.body.br_if(found);
            self.body.br(unknown);
        } else {
            self.body.br(found);
        }
    }

    /// Pushes where the table has the block of the entry.
    fn push_jump_block(&mut self) {
        let Self { body, places, locals: [jump, ..], .. } = self;
        body.w().local_get(*jump).i32_const(places.code.jumps as i32).i32_sub();
        body.w().i32_const(CodePlaces::JUMP_TO_BLOCK as i32).i32_div_u();
        body.w().i32_const(places.code.jump_blocks as i32).i32_add();
    }

    /// Pushes whether the entry of the table is that of the address.
    fn push_is_known(&mut self) {
        let [jump, ..] = self.locals;
        self.body.w().local_get(jump).i64_load(at(CodePlaces::JUMP_RIP)).local_get(Self::ADDRESS).i64_eq();
    }

    /// Pushes whether the block at the offset, which may be 0, is what is at the address.
    fn push_is_it(&mut self) {
        if self.is_kernel() {
            self.push_is_valid();
        } else {
            self.push_fits();
            let [_, offset, ..] = self.locals;
            self.body.w().local_get(offset).i32_const(0).i32_ne().i32_and();
        }
    }

    /// Keeps the physical address, if the TLB knows it and it is in RAM; else goes to `unknown`.
    fn translate(&mut self, unknown: Label) {
        let [.., physical, entry] = self.locals;
        let Finding { entries, ram, .. } = self.finding;
        let (body, address) = (&mut self.body, Self::ADDRESS);
        body.w().local_get(address).i64_const(Entry::SHIFT.into()).i64_shr_u().i32_wrap_i64();
        body.w().i32_const(Entry::MASK).i32_and().i32_const(entries as i32).i32_add().local_tee(entry);
        body.w().i64_load(at(Entry::EXECUTE));
        body.w().local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and().i64_ne();
        body.br_if(unknown);
        // The TLB has nothing else but RAM.
        body.w().local_get(address).i32_wrap_i64().local_get(entry).i32_load(at(Entry::ADDEND)).i32_add();
        body.w().i32_const(ram as i32).i32_sub().local_set(physical);
    }

    /// Keeps where the block at the offset is, and pushes whether it is one for the physical address: see `CodeCache::find`.
    fn push_fits(&mut self) {
        let Self { body, places, locals: [_, offset, block, _, physical, _], .. } = self;
        body.w().local_get(*offset).i32_const(places.code.arena as i32).i32_add().local_set(*block);
        body.w().local_get(*block).i64_load(at(CodePlaces::PHYSICAL));
        body.w().local_get(*physical).i64_extend_i32_u().i64_eq();
        body.w().local_get(*block).i64_load(at(CodePlaces::SECOND_PAGE)).i64_const(-1).i64_eq().i32_and();
        body.w().local_get(*block).i32_load8_u(at(CodePlaces::MODE));
        body.w().i32_const(0).i32_load8_u(at(places.mode())).i32_xor();
        body.w().local_get(*block).i32_load8_u(at(CodePlaces::MODE_MASK)).i32_and().i32_eqz().i32_and();
    }

    /// Keeps where the block at the offset is, and pushes where it was seen last.
    fn push_seen(&mut self) {
        let Self { body, places, locals: [_, offset, block, ..], .. } = self;
        body.w().local_get(*offset).i32_const(places.code.arena as i32).i32_add().local_tee(*block);
        body.w().i32_load(at(CodePlaces::NUMBER)).i32_const(CodePlaces::SEEN_BYTES as i32).i32_mul();
        body.w().i32_const(places.code.seen as i32).i32_add();
    }

    /// Keeps the block's place and key, and pushes whether it is what is at the address, by what was seen: see
    /// `CodeCache::is_valid`.
    fn push_is_valid(&mut self) {
        self.push_seen();
        let Self { body, places, part, locals: [_, _, _, key, _, seen], .. } = self;
        body.w().local_tee(*seen).i64_load(at(CodePlaces::SEEN_RIP)).local_get(Self::ADDRESS).i64_eq();
        body.w().local_get(*seen).i32_load(at(CodePlaces::SEEN_KEY)).local_set(*key);
        push_is_key(body, *places, *part, *key);
        body.w().i32_and();
    }

    /// Notes that the block is at the address, as `CodeCache::note_address` does.
    fn note(&mut self) {
        let changed = self.places.code.changed;
        // The block is looked for anew, whatever was thrown away before.
        self.body.w().i32_const(0).i32_const(0).i32_store8(at(changed));
        self.push_seen();
        let Self { body, places, locals: [_, _, block, key, word, seen], .. } = self;
        let address = Self::ADDRESS;
        body.w().local_tee(*seen).local_get(address).i64_store(at(CodePlaces::SEEN_RIP));
        body.load32(places.code.segmented_key);
        body.load32(places.code.key);
        body.w().local_get(*block).i32_load8_u(at(CodePlaces::MODE_MASK));
        body.w().i32_const(Mode::SEGMENTS.into()).i32_and().select().local_set(*key);
        body.w().local_get(*seen).local_get(*key).i32_store(at(CodePlaces::SEEN_KEY));
        for page in 0..2 {
            body.w().local_get(address).i64_const(12).i64_shr_u().i64_const(page).i64_add();
            body.w()
                .i64_const(6)
                .i64_shr_u()
                .i32_wrap_i64()
                .i32_const((CodePlaces::NOTED - 1) as i32)
                .i32_and();
            body.w().i32_const(3).i32_shl().i32_const(places.code.noted as i32).i32_add().local_tee(*word);
            body.w().local_get(*word).i64_load(at(0)).i64_const(1);
            body.w().local_get(address).i64_const(12).i64_shr_u().i64_const(page).i64_add();
            body.w().i64_shl().i64_or().i64_store(at(0));
        }
    }

    /// Sets the entry of the table to the address and what it has without a key.
    fn set_jump(&mut self) {
        let [jump, offset, ..] = self.locals;
        self.body.w().local_get(jump).local_get(Self::ADDRESS).i64_store(at(CodePlaces::JUMP_RIP));
        self.body.w().local_get(jump).i32_const(0).i32_store(at(CodePlaces::JUMP_KEY));
        self.push_jump_block();
        self.body.w().local_get(offset).i32_store(at(0));
    }

    /// The interpreter looks for the block, and notes it in the table.
    fn leave(&mut self) {
        let [_, offset, ..] = self.locals;
        let places = self.places;
        let arena = places.code.arena;
        self.body.w().local_get(Self::LIKELY).i32_const(arena as i32).i32_sub();
        self.push_jump_block();
        self.body.w().i32_load(at(0)).i32_const(0);
        self.push_is_known();
        self.body.w().select().local_get(Self::LIKELY).select().local_set(offset);
        self.set_jump();
        self.body.store64(places.rip(), Self::ADDRESS);
        self.body.w().i32_const(0);
        self.push_jump_block();
        self.body.w().i32_store(at(places.link()));
        self.body.w().i32_const(Exit::ENTER.number() as i32).return_();
    }

    /// The block begins. Code is flat, so that its address has the same place in its page as in RAM.
    fn enter(&mut self) {
        if !self.is_kernel() {
            self.note();
        }
        let Self { body, places, part, locals: [jump, offset, block, key, _, translated], .. } = self;
        let (places, part, [jump, offset, block, key, translated]) =
            (*places, *part, [*jump, *offset, *block, *key, *translated]);
        body.w().i32_const(0).local_get(Self::ADDRESS).i64_const(!(PAGE_MASK as i64)).i64_and();
        body.w().i64_store(at(places.page()));
        body.w().local_get(block).i32_load(at(CodePlaces::TRANSLATED)).local_tee(translated);
        body.w().i32_const(Translated::PART_SHIFT as i32).i32_shr_u().i32_const(part as i32).i32_eq();
        body.when();
        self.set_jump();
        let Self { body, .. } = self;
        body.w().local_get(jump).local_get(key);
        push_tagged(body, part);
        body.w().i32_store(at(CodePlaces::JUMP_KEY));
        body.w().local_get(jump).local_get(translated).i32_store(at(CodePlaces::JUMP_TRANSLATED));
        body.w().local_get(translated).return_call(ENTER);
        body.end();
        // What another part has noted there for this address stays.
        self.push_is_known();
        self.body.w().i32_eqz();
        self.body.when();
        self.set_jump();
        self.body.end();
        self.push_jump_block();
        self.body.w().local_get(offset).i32_store(at(0));
        let call = self.finding.call;
        let Self { body, .. } = self;
        body.store32(places.current(), block);
        body.w().i32_const(0);
        body.load64(places.budget());
        body.w().local_get(block).i64_load8_u(at(CodePlaces::INSTRUCTIONS)).i64_sub();
        body.w().i64_store(at(places.budget()));
        // What `Block::begin` says.
        body.w().i32_const(call as i32);
        body.w().local_get(block).i32_const(size_of::<Block>() as i32).i32_add();
        body.w().local_get(translated).select();
    }
}
