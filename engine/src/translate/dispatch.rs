//! What all translated code of a module shares: finding the code at an address that is known only when it is executed.

use wasm_encoder::ValType;

use super::body::{Body, at};
use super::helpers::{CODE_TYPE, DISPATCH, FIND, Helper, LOOK, TABLE};
use super::places::Places;
use crate::code::{Block, CodePlaces};
use crate::interpret::Exit;
use crate::memory::PAGE_MASK;

/// `(address)`: goes there if it has been done before, else by [`find`].
pub(super) fn dispatch(places: Places) -> (Vec<u8>, Vec<u32>) {
    let code = places.code;
    let mut body = Body::new(1);
    let address = 0;
    let [jump, key] = [(); 2].map(|()| body.local(ValType::I32));
    let unknown = body.block();
    push_jump(&mut body, places, address);
    body.w().local_tee(jump).i64_load(at(CodePlaces::JUMP_RIP)).local_get(address).i64_ne();
    body.br_if_unlikely(unknown);
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_KEY)).local_tee(key);
    body.load32(code.key);
    body.w().i32_ne().local_get(key);
    body.load32(code.global_key);
    body.w().i32_ne().i32_and();
    body.br_if_unlikely(unknown);
    body.w().i32_const(0).local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and();
    body.w().i64_store(at(places.page()));
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_TRANSLATED)).local_set(key);
    enter_code(&mut body, key);
    body.end();
    body.w().local_get(address).return_call(FIND);
    body.finish()
}

/// Pushes where the table has what is known of an address.
fn push_jump(body: &mut Body, places: Places, address: u32) {
    body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    body.w().i32_const((CodePlaces::JUMPS - 1) as i32).i32_and().i32_const(CodePlaces::JUMP_BYTES as i32);
    body.w().i32_mul().i32_const(places.code.jumps as i32).i32_add();
}

/// Goes to what a [`Translated`](crate::code::Translated) in a variable names.
fn enter_code(body: &mut Body, translated: u32) {
    body.w().local_get(translated).i32_const(0xFFF).i32_and();
    body.w().local_get(translated).i32_const(12).i32_shr_u().i32_const(0xFFFF).i32_and();
    body.w().return_call_indirect(TABLE, CODE_TYPE);
}

/// `(address)`: what the interpreter does at the end of a block, see `Cpu::execute`. `call` is where [`Block::call`] is.
pub(super) fn find(places: Places, part: u32, call: u32) -> (Vec<u8>, Vec<u32>) {
    let code = places.code;
    let mut body = Body::new(1);
    let address = 0;
    let [block, seen, key, translated, jump] = [(); 5].map(|()| body.local(ValType::I32));
    body.load64(places.budget());
    body.w().i64_const(0).i64_le_s();
    body.when();
    body.store64(places.rip(), address);
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();

    body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    body.w().i32_const((CodePlaces::ADDRESSES - 1) as i32).i32_and().i32_const(2).i32_shl();
    body.w().i32_const(code.addresses as i32).i32_add().i32_load(at(0));
    body.w().i32_const(code.arena as i32).i32_add().local_tee(block);
    body.w().i32_load(at(CodePlaces::NUMBER)).i32_const(CodePlaces::SEEN_BYTES as i32).i32_mul();
    body.w().i32_const(code.seen as i32).i32_add().local_tee(seen);
    body.w().i64_load(at(CodePlaces::SEEN_RIP)).local_get(address).i64_eq();
    body.w().local_get(seen).i32_load(at(CodePlaces::SEEN_KEY)).local_tee(key);
    body.load32(code.key);
    body.w().i32_eq().local_get(key);
    body.load32(code.global_key);
    body.w().i32_eq().i32_or().i32_and().i32_eqz();
    body.when();
    body.store64(places.rip(), address);
    body.w().i32_const(0).i32_const(0).i32_store(at(places.link()));
    body.w().i32_const(Exit::ENTER.number() as i32).return_();
    body.end();

    // It begins. Code is flat, so that its address has the same place in its page as in RAM.
    body.w().i32_const(0).local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and();
    body.w().i64_store(at(places.page()));
    body.w().local_get(block).i32_load(at(CodePlaces::TRANSLATED)).local_tee(translated);
    body.w().i32_const(28).i32_shr_u().i32_const(part as i32).i32_eq();
    body.when();
    push_jump(&mut body, places, address);
    body.w().local_tee(jump).local_get(address).i64_store(at(CodePlaces::JUMP_RIP));
    body.w().local_get(jump).local_get(key).i32_store(at(CodePlaces::JUMP_KEY));
    body.w().local_get(jump).local_get(translated).i32_store(at(CodePlaces::JUMP_TRANSLATED));
    enter_code(&mut body, translated);
    body.end();
    body.store32(places.current(), block);
    body.w().i32_const(0);
    body.load64(places.budget());
    body.w().local_get(block).i64_load8_u(at(CodePlaces::INSTRUCTIONS)).i64_sub().i64_store(at(places.budget()));
    // What `Block::begin` says.
    body.w().i32_const(call as i32);
    body.w().local_get(block).i32_const(size_of::<Block>() as i32).i32_add();
    body.w().local_get(translated).select();
    body.finish()
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
    body.w().local_get(next).i32_const(28).i32_shr_u();
    body.when();
    enter_code(&mut body, next);
    body.end();
    body.w().local_get(next).i32_const(LOOK as i32).i32_eq();
    body.when();
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();
    body.load64(places.rip());
    body.w().return_call(DISPATCH);
    body.finish()
}

/// `(translated)`: the engine's way in.
pub(super) fn enter() -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(1);
    enter_code(&mut body, 0);
    body.finish()
}
