//! What all translated code of a module shares: finding the code at an address that is known only when it is executed.

use wasm_encoder::ValType;

use super::body::{Body, Label, at};
use super::helpers::{DISPATCH, ENTER, FIND, FIRST_CODE, Helper, LOOK};
use super::places::Places;
use crate::code::{CodePlaces, KERNEL, Translated};
use crate::interpret::Exit;
use crate::memory::PAGE_MASK;

/// `(address, likely)`: goes there if it has been done before, else by [`find`](super::find::find).
pub(super) fn dispatch(places: Places, part: u32, functions: u32) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(2);
    let (address, likely) = (0, 1);
    let [jump, key] = [(); 2].map(|()| body.local(ValType::I32));
    let unknown = body.block();
    push_jump(&mut body, places, address);
    body.w().local_tee(jump).i64_load(at(CodePlaces::JUMP_RIP)).local_get(address).i64_ne();
    body.br_if_unlikely(unknown);
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_KEY));
    push_tagged(&mut body, part);
    body.w().local_set(key);
    push_is_key(&mut body, places, part, key);
    body.w().i32_eqz();
    body.br_if_unlikely(unknown);
    body.w().i32_const(0).local_get(address).i64_const(!(PAGE_MASK as i64)).i64_and();
    body.w().i64_store(at(places.page()));
    body.w().local_get(jump).i32_load(at(CodePlaces::JUMP_TRANSLATED)).local_set(key);
    enter_code(&mut body, key, functions);
    body.end();
    body.w().local_get(address).local_get(likely).return_call(FIND);
    body.finish()
}

/// Pushes where the table has what is known of an address.
pub(super) fn push_jump(body: &mut Body, places: Places, address: u32) {
    body.w().local_get(address).local_get(address).i64_const(12).i64_shr_u().i64_xor().i32_wrap_i64();
    body.w().i32_const((CodePlaces::JUMPS - 1) as i32).i32_and().i32_const(CodePlaces::JUMP_BYTES as i32);
    body.w().i32_mul().i32_const(places.code.jumps as i32).i32_add();
}

/// Adds the tag of a part to the key on the stack, or takes it away.
pub(super) fn push_tagged(body: &mut Body, part: u32) {
    let tag = Translated::tag(part);
    if tag != 0 {
        body.w().i32_const(tag as i32).i32_xor();
    }
}

/// Pushes whether a variable has one of the keys that blocks of a part have: programs are not in global pages, and kernels do not use
/// FS and GS as programs do. Where they do, it takes the interpreter's look.
pub(super) fn push_is_key(body: &mut Body, places: Places, part: u32, key: u32) {
    let code = places.code;
    body.w().local_get(key);
    body.load32(code.key);
    body.w().i32_eq().local_get(key);
    body.load32(if part == KERNEL { code.global_key } else { code.segmented_key });
    body.w().i32_eq().i32_or();
}

/// Goes to what a [`Translated`] in a variable names, in one of so many functions. Not by a table of functions: what this takes is
/// mostly waiting for memory, and such a table has ten times as much of it.
fn enter_code(body: &mut Body, translated: u32, functions: u32) {
    let nowhere = body.block();
    let labels: Vec<Label> = (0..functions).map(|_| body.block()).collect();
    // The first function's label is the innermost.
    let targets: Vec<u32> = labels.iter().rev().map(|label| body.distance(*label)).collect();
    let nowhere = body.distance(nowhere);
    // Before the jump, so that it is there once.
    let entry = body.local(ValType::I32);
    body.w().local_get(translated).i32_const((Translated::ENTRIES - 1) as i32).i32_and().local_set(entry);
    body.w().local_get(translated).i32_const(Translated::FUNCTION_SHIFT as i32).i32_shr_u();
    body.w().i32_const((Translated::FUNCTIONS - 1) as i32).i32_and().br_table(targets, nowhere);
    for number in 0..functions {
        body.end();
        body.w().local_get(entry).return_call(FIRST_CODE.wrapping_add(number));
    }
    body.end();
    body.w().unreachable();
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
    body.w().local_get(next).return_call(ENTER);
    body.end();
    body.w().local_get(next).i32_const(LOOK as i32).i32_eq();
    body.when();
    body.w().i32_const(Exit::CHECK.number() as i32).return_();
    body.end();
    body.load64(places.rip());
    body.w().i32_const(0).return_call(DISPATCH);
    body.finish()
}

/// `(translated)`: goes there; the engine's way in, too.
pub(super) fn enter(functions: u32) -> (Vec<u8>, Vec<u32>) {
    let mut body = Body::new(1);
    enter_code(&mut body, 0, functions);
    body.finish()
}
