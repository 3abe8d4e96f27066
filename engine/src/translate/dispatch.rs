//! What all translated code of a module shares: finding the code at an address that is known only when it is executed.

use wasm_encoder::ValType;

use super::body::{Body, at};
use super::helpers::{CODE_TYPE, DISPATCH, FIND, Helper, LOOK, TABLE};
use super::places::Places;
use crate::code::{Block, CodePlaces, KERNEL, Link, Translated};
use crate::interpret::Exit;
use crate::memory::{Entry, PAGE_MASK};
use crate::state::Mode;

/// `(address, likely)`: goes there if it has been done before, else by [`find`].
pub(super) fn dispatch(places: Places, part: u32) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(2);
    let (address, likely) = (0, 1);
    let [jump, key] = [(); 2].map(|()| body.local(ValType::I32));
    let unknown = body.block();
    push_jump(&mut body, places, address);
    body.w().local_tee(jump).i64_load(at(CodePlaces::JUMP_RIP)).local_get(address).i64_ne();
    body.br_if_unlikely(unknown);
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_KEY)).local_set(key);
    push_is_key(&mut body, places, part, key);
    body.w().i32_eqz();
    body.br_if_unlikely(unknown);
    body.w().i32_const(0).local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and();
    body.w().i64_store(at(places.page()));
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_TRANSLATED)).local_set(key);
    enter_code(&mut body, key);
    body.end();
    body.w().local_get(address).local_get(likely).return_call(FIND);
    body.finish()
}

/// Pushes where the table has what is known of an address.
fn push_jump(body: &mut Body, places: Places, address: u32) {
    body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    body.w().i32_const((CodePlaces::JUMPS - 1) as i32).i32_and().i32_const(CodePlaces::JUMP_BYTES as i32);
    body.w().i32_mul().i32_const(places.code.jumps as i32).i32_add();
}

/// Pushes whether a variable has one of the keys that blocks of a part have: programs are not in global pages, and kernels do not use
/// FS and GS as programs do. Where they do, it takes the interpreter's look.
fn push_is_key(body: &mut Body, places: Places, part: u32, key: u32) {
    let code = places.code;
    body.w().local_get(key);
    body.load32(code.key);
    body.w().i32_eq().local_get(key);
    body.load32(if part == KERNEL { code.global_key } else { code.segmented_key });
    body.w().i32_eq().i32_or();
}

/// Goes to what a [`Translated`](crate::code::Translated) in a variable names.
fn enter_code(body: &mut Body, translated: u32) {
    body.w().local_get(translated).i32_const((Translated::ENTRIES - 1) as i32).i32_and();
    body.w().local_get(translated).i32_const(Translated::FUNCTION_SHIFT as i32).i32_shr_u();
    body.w().i32_const((Translated::FUNCTIONS - 1) as i32).i32_and();
    body.w().return_call_indirect(TABLE, CODE_TYPE);
}

/// `(address, likely)`: what the interpreter does at the end of a block, see `Cpu::execute`. `likely` is where the block
/// lies that was there when this was translated, or 0. `call` is where [`Block::call`] is,
/// `entries` are those of the part's TLB, `ram` is where RAM lies.
pub(super) fn find(places: Places, part: u32, call: u32, entries: u32, ram: u32) -> (Vec<u8>, Vec<u32>) {
    // The kernel's pages are global mostly, which the TLB does not tell here; so the interpreter looks at those.
    let is_kernel = part == KERNEL;
    let code = places.code;
    let mut find = Find { body: Body::new(2), places, part, locals: [0; 6] };
    find.locals = [(); 6].map(|()| find.body.local(ValType::I32));
    let Find { locals: [jump, offset, block, key, translated, _], .. } = find;
    let (address, likely) = (0, 1);
    find.body.load64(places.budget());
    find.body.w().i64_const(0).i64_le_s();
    find.body.when_unlikely();
    find.body.store64(places.rip(), address);
    find.body.w().i32_const(Exit::CHECK.number() as i32).return_();
    find.body.end();

    let found = find.body.block();
    let unknown = find.body.block();
    let other = find.body.block();
    push_jump(&mut find.body, places, address);
    find.body.w().local_set(jump).local_get(likely);
    find.body.when();
    find.body.w().local_get(likely).i32_const(code.arena as i32).i32_sub().local_set(offset);
    if is_kernel {
        find.push_is_valid();
    } else {
        find.body.w().local_get(likely).local_set(block);
        find.push_is_there(entries, ram);
    }
    find.body.when();
    find.body.w().local_get(jump).local_get(address).i64_store(at(CodePlaces::JUMP_RIP));
    find.body.w().local_get(jump).i32_const(0).i32_store(at(CodePlaces::JUMP_KEY));
    find.body.w().local_get(jump).local_get(offset).i32_store(at(CodePlaces::JUMP_BLOCK));
    if !is_kernel {
        find.note();
    }
    find.body.br(found);
    find.body.end();
    find.body.end();
    find.body.w().local_get(jump).i64_load(at(CodePlaces::JUMP_RIP)).local_get(address).i64_ne();
    find.body.br_if(other);
    // It is known which block was there.
    find.body
        .w()
        .local_get(jump)
        .i32_load(at(CodePlaces::JUMP_BLOCK))
        .i32_const(!Link::UNSURE as i32)
        .i32_and();
    find.body.w().local_set(offset);
    find.push_is_valid();
    find.body.br_if(found);
    if is_kernel {
        find.body.br(unknown);
    } else {
        find.push_is_there(entries, ram);
        find.body.w().i32_eqz();
        find.body.br_if(unknown);
        find.note();
        find.body.br(found);
    }
    find.body.end();
    // Another one's place in the table: by what the interpreter has noted.
    find.body.w().local_get(jump).local_get(address).i64_store(at(CodePlaces::JUMP_RIP));
    find.body.w().local_get(jump).i32_const(0).i32_store(at(CodePlaces::JUMP_KEY));
    find.body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    find.body.w().i32_const((CodePlaces::ADDRESSES - 1) as i32).i32_and().i32_const(2).i32_shl();
    find.body.w().i32_const(code.addresses as i32).i32_add().i32_load(at(0)).local_set(offset);
    find.body.w().local_get(jump).local_get(offset).i32_store(at(CodePlaces::JUMP_BLOCK));
    find.push_is_valid();
    find.body.br_if(found);
    find.body.end();
    // The interpreter looks for it, and notes it in the table.
    find.body.w().local_get(likely);
    find.body.when();
    find.body.w().local_get(jump).local_get(likely).i32_const(code.arena as i32).i32_sub();
    find.body.w().i32_store(at(CodePlaces::JUMP_BLOCK));
    find.body.end();
    find.body.store64(places.rip(), address);
    find.body.w().i32_const(0).local_get(jump).i32_const(CodePlaces::JUMP_BLOCK as i32).i32_add();
    find.body.w().i32_store(at(places.link()));
    find.body.w().i32_const(Exit::ENTER.number() as i32).return_();
    find.body.end();

    // It begins. Code is flat, so that its address has the same place in its page as in RAM.
    let mut body = find.body;
    body.w().i32_const(0).local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and();
    body.w().i64_store(at(places.page()));
    body.w().local_get(block).i32_load(at(CodePlaces::TRANSLATED)).local_tee(translated);
    body.w().i32_const(Translated::PART_SHIFT as i32).i32_shr_u().i32_const(part as i32).i32_eq();
    body.when();
    body.w().local_get(jump).local_get(key).i32_store(at(CodePlaces::JUMP_KEY));
    body.w().local_get(jump).local_get(translated).i32_store(at(CodePlaces::JUMP_TRANSLATED));
    enter_code(&mut body, translated);
    body.end();
    body.store32(places.current(), block);
    body.w().i32_const(0);
    body.load64(places.budget());
    body.w()
        .local_get(block)
        .i64_load8_u(at(CodePlaces::INSTRUCTIONS))
        .i64_sub()
        .i64_store(at(places.budget()));
    // What `Block::begin` says.
    body.w().i32_const(call as i32);
    body.w().local_get(block).i32_const(size_of::<Block>() as i32).i32_add();
    body.w().local_get(translated).select();
    body.finish()
}

/// [`find`] in the making.
struct Find {
    body: Body,
    places: Places,
    part: u32,
    /// The entry of the table, the block's offset and place, its key, its translation, and one for a while.
    locals: [u32; 6],
}

impl Find {
    /// The parameter.
    const ADDRESS: u32 = 0;

    /// Keeps where the block at the offset is, and pushes where it was seen last.
    fn push_seen(&mut self) {
        let Self { body, places, locals: [_, offset, block, ..], .. } = self;
        body.w().local_get(*offset).i32_const(places.code.arena as i32).i32_add().local_tee(*block);
        body.w().i32_load(at(CodePlaces::NUMBER)).i32_const(CodePlaces::SEEN_BYTES as i32).i32_mul();
        body.w().i32_const(places.code.seen as i32).i32_add();
    }

    /// Pushes whether the block is what is at the address, by what was seen: see `CodeCache::is_valid`.
    fn push_is_valid(&mut self) {
        self.push_seen();
        let Self { body, places, part, locals: [_, _, _, key, _, seen] } = self;
        body.w().local_tee(*seen).i64_load(at(CodePlaces::SEEN_RIP)).local_get(Self::ADDRESS).i64_eq();
        body.w().local_get(*seen).i32_load(at(CodePlaces::SEEN_KEY)).local_set(*key);
        push_is_key(body, *places, *part, *key);
        body.w().i32_and();
    }

    /// Pushes whether the block is what is at the address, by the TLB: see `Cpu::find_block`.
    fn push_is_there(&mut self, entries: u32, ram: u32) {
        let Self { body, places, locals: [_, offset, block, _, _, entry], .. } = self;
        let address = Self::ADDRESS;
        body.w().local_get(address).i64_const(Entry::SHIFT.into()).i64_shr_u().i32_wrap_i64();
        body.w().i32_const(Entry::MASK).i32_and().i32_const(entries as i32).i32_add().local_tee(*entry);
        body.w().i64_load(at(Entry::EXECUTE));
        body.w().local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and().i64_eq();
        // In RAM.
        body.w().local_get(address).i32_wrap_i64().local_get(*entry).i32_load(at(Entry::ADDEND)).i32_add();
        body.w().i32_const(ram as i32).i32_sub().i64_extend_i32_u();
        body.w().local_get(*block).i64_load(at(CodePlaces::PHYSICAL)).i64_eq().i32_and();
        body.w().local_get(*block).i64_load(at(CodePlaces::SECOND_PAGE)).i64_const(-1).i64_eq().i32_and();
        body.w().local_get(*block).i32_load8_u(at(CodePlaces::MODE));
        body.w().i32_const(0).i32_load8_u(at(places.mode())).i32_xor();
        body.w().local_get(*block).i32_load8_u(at(CodePlaces::MODE_MASK)).i32_and().i32_eqz().i32_and();
        body.w().local_get(*offset).i32_const(0).i32_ne().i32_and();
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
}

/// `(uop, block, next)`: a general instruction, and what follows.
pub(super) fn then(places: Places) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(3);
    let exit = body.local(ValType::I32);
    let next = 2;
    body.w().local_get(0).local_get(1).call(Helper::General.index()).local_tee(exit);
    body.w().i32_const(Exit::NONE.number() as i32).i32_ne();
    body.when();
    body.w().local_get(exit).return_();
    body.end();
    body.w().local_get(next).i32_const(Translated::PART_SHIFT as i32).i32_shr_u();
    body.when();
    enter_code(&mut body, next);
    body.end();
    body.w().local_get(next).i32_const(LOOK as i32).i32_eq();
    body.when();
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();
    body.load64(places.rip());
    body.w().i32_const(0).return_call(DISPATCH);
    body.finish()
}

/// `(translated)`: the engine's way in.
pub(super) fn enter() -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(1);
    enter_code(&mut body, 0);
    body.finish()
}
