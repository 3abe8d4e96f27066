//! What all translated code of a module shares: finding the block at an address that is known only when code is executed.

use wasm_encoder::ValType;

use super::body::{Body, at};
use super::helpers::{CODE_TYPE, DISPATCH, Helper, LOOK, TABLE};
use super::places::Places;
use crate::code::{Block, CodePlaces, Link};
use crate::interpret::Exit;
use crate::memory::PAGE_MASK;

/// `(address, link)`: what the interpreter does at the end of a block, see `Cpu::execute`.
pub(super) fn dispatch(places: Places, part: u32, call: u32) -> Vec<u8> {
    let code = places.code;
    let mut body = Body::new(2);
    let (address, link) = (0, 1);
    let [block, offset, seen, key, translated] = [(); 5].map(|()| body.local(ValType::I32));
    let found = body.block();
    // Left by a branch where the budget is used up.
    body.load64(places.budget());
    body.w().i64_const(0).i64_le_s();
    body.when();
    body.store64(places.rip(), address);
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();

    let is_valid = |body: &mut Body| {
        body.w().local_get(offset).i32_const(code.arena as i32).i32_add().local_tee(block);
        body.w().i32_load(at(CodePlaces::NUMBER)).i32_const(CodePlaces::SEEN_BYTES as i32).i32_mul();
        body.w().i32_const(code.seen as i32).i32_add().local_tee(seen);
        body.w().i64_load(at(CodePlaces::SEEN_RIP)).local_get(address).i64_eq();
        body.w().local_get(seen).i32_load(at(CodePlaces::SEEN_KEY)).local_tee(key);
        body.load32(code.key);
        body.w().i32_eq().local_get(key);
        body.load32(code.global_key);
        body.w().i32_eq().i32_or().i32_and();
    };
    // By the link.
    body.w().local_get(link);
    body.when();
    body.w().local_get(link).i32_load(at(0)).i32_const(!Link::UNSURE as i32).i32_and().local_set(offset);
    is_valid(&mut body);
    body.br_if(found);
    body.end();
    // By the address.
    body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    body.w().i32_const((CodePlaces::ADDRESSES - 1) as i32).i32_and().i32_const(2).i32_shl();
    body.w().i32_load(at(code.addresses)).local_set(offset);
    is_valid(&mut body);
    body.w().i32_eqz();
    body.when();
    body.store64(places.rip(), address);
    body.store32(places.link(), link);
    body.w().i32_const(Exit::ENTER.number() as i32).return_();
    body.end();
    body.w().local_get(link);
    body.when();
    // The link, sure if it is in this page and may be.
    body.w().local_get(link).local_get(offset);
    body.w().local_get(address);
    body.load64(places.page());
    body.w().i64_xor().i64_const(!(PAGE_MASK as i64)).i64_and().i64_eqz();
    body.w().local_get(block).i64_load(at(CodePlaces::SECOND_PAGE)).i64_const(-1).i64_eq().i32_and();
    body.w().local_get(block).i32_load8_u(at(CodePlaces::MODE_MASK));
    body.w().i32_const(Block::UNLINKED.into()).i32_and().i32_eqz().i32_and();
    body.w().i32_eqz().i32_const(31).i32_shl().i32_or().i32_store(at(0));
    body.end();
    body.end();

    // It begins.
    body.w().i32_const(0).local_get(address);
    body.w().local_get(block).i64_load(at(CodePlaces::PHYSICAL)).i64_const(PAGE_MASK as i64).i64_and().i64_sub();
    body.w().i64_store(at(places.page()));
    body.w().local_get(block).i32_load(at(CodePlaces::TRANSLATED)).local_tee(translated);
    body.w().i32_const(28).i32_shr_u().i32_const(part as i32).i32_eq();
    body.when();
    body.w().local_get(translated).i32_const(0xFFF).i32_and();
    body.w().local_get(translated).i32_const(12).i32_shr_u().i32_const(0xFFFF).i32_and();
    body.w().return_call_indirect(TABLE, CODE_TYPE);
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

/// `(address)`: a return. The last call says where it probably leads to.
pub(super) fn back(places: Places) -> Vec<u8> {
    let code = places.code;
    let mut body = Body::new(1);
    let address = 0;
    let [number, call, links] = [(); 3].map(|()| body.local(ValType::I32));
    body.load32(code.last_call);
    body.w().local_set(number);
    body.w().i32_const(0).local_get(number).i32_const(1).i32_sub().i32_const((CodePlaces::CALLS - 1) as i32);
    body.w().i32_and().i32_store(at(code.last_call));
    body.w().local_get(number).i32_const(CodePlaces::CALL_BYTES as i32).i32_mul();
    body.w().i32_const(code.calls as i32).i32_add().local_set(call);
    body.w().local_get(call).i32_load(at(CodePlaces::CALL_LINKS)).local_set(links);
    body.w().local_get(address);
    body.w().local_get(links).i32_const(CodePlaces::OTHER as i32).i32_add().i32_const(0);
    body.w().local_get(call).i64_load(at(CodePlaces::CALL_BACK)).local_get(address).i64_eq();
    body.w().local_get(links).i32_const(0).i32_ne().i32_and().select();
    body.w().return_call(DISPATCH);
    body.finish()
}

/// `(uop, block, next)`: a general instruction, and what follows.
pub(super) fn then(places: Places) -> Vec<u8> {
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
    body.w().local_get(next).i32_const(0xFFF).i32_and();
    body.w().local_get(next).i32_const(12).i32_shr_u().i32_const(0xFFFF).i32_and();
    body.w().return_call_indirect(TABLE, CODE_TYPE);
    body.end();
    body.w().local_get(next).i32_const(LOOK as i32).i32_eq();
    body.when();
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();
    body.load64(places.rip());
    body.w().i32_const(0).return_call(DISPATCH);
    body.finish()
}

/// `(translated)`: the host's way in.
pub(super) fn enter() -> Vec<u8> {
    let mut body = Body::new(1);
    body.w().local_get(0).i32_const(0xFFF).i32_and();
    body.w().local_get(0).i32_const(12).i32_shr_u().i32_const(0xFFFF).i32_and();
    body.w().return_call_indirect(TABLE, CODE_TYPE);
    body.finish()
}
