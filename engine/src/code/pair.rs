//! Two instructions in one micro-operation.
//!
//! What costs most is the jump from one micro-operation to the next, as no processor can foresee it in code that is
//! executed once in a while. So the frequent instructions stand together for one. The first one's operands are in `a`, `b`
//! and `disp`, the second one's in `base`, `index` and `imm`.
//!
//! All that may fail comes before anything is done, so a pair that fails has not begun. Then it is executed one by one.

use super::{Op, Uop};

/// An instruction that can be part of a pair, by its number in the list of operations, and its operands.
struct Part {
    number: u16,
    /// Destination, or what is stored.
    first: u8,
    /// Source, or the base of an address.
    second: u8,
    /// Displacement or immediate.
    value: i32,
}

/// How many kinds of parts there are.
const KINDS: u16 = 14;
const LOAD: u16 = 0;
const STORE: u16 = 1;

fn part(uop: &Uop) -> Option<Part> {
    let number = match uop.op {
        Op::LoadBase32 => LOAD,
        Op::StoreBase32 => STORE,
        Op::MovRr32 => 2,
        Op::AddRr32 => 3,
        Op::XorRr32 => 4,
        Op::AndRr32 => 5,
        Op::OrRr32 => 6,
        Op::AddRi32 => 7,
        Op::AndRi32 => 8,
        Op::SubRi32 => 9,
        Op::Lea32 if !uop.has_index() => 10,
        Op::ShrRi32 => 11,
        Op::RorRi32 => 12,
        Op::RolRi32 => 13,
        _ => return None,
    };
    let (second, value) = match number {
        LOAD | STORE | 10 => (uop.base, uop.disp),
        2..=6 => (uop.b, 0),
        _ => (uop.b, uop.imm),
    };
    Some(Part { number, first: uop.a, second, value })
}

/// `before` and `uop` as one, if they can be; `wide` in 64-bit code.
pub(super) fn pair(before: &Uop, uop: &Uop) -> Option<Uop> {
    let stack = (crate::state::RSP * 8) as u8;
    let joined = |op| Some(Uop { op, base: uop.a, ..*before });
    match (before.op, uop.op) {
        (Op::PushR32 | Op::PushR64 | Op::PopR32 | Op::PopR64, op) if op == before.op => {
            if before.a == stack || uop.a == stack {
                return None;
            }
            return joined(match op {
                Op::PushR32 => Op::PushPush32,
                Op::PushR64 => Op::PushPush64,
                Op::PopR32 => Op::PopPop32,
                _ => Op::PopPop64,
            });
        }
        (Op::LoadBase32, Op::TestRr32Je | Op::TestRr32Jne) if uop.a == before.a && uop.b == before.a => {
            let equal = uop.op == Op::TestRr32Je;
            return Some(Uop { op: if equal { Op::LoadTestJe } else { Op::LoadTestJne }, ..*before });
        }
        _ => {}
    }
    let (first, second) = (part(before)?, part(uop)?);
    let mut op = Op::LoadLoad.after(first.number * KINDS + second.number);
    if second.number <= STORE && first.number != STORE && first.first == second.second {
        // Its address comes from the first one.
        if (first.number, second.number) != (LOAD, LOAD) {
            return None;
        }
        op = Op::LoadChain;
    }
    Some(Uop {
        op,
        offset: before.offset,
        a: first.first,
        b: first.second,
        disp: first.value,
        base: second.first,
        index: second.second,
        imm: second.value,
    })
}
