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

/// How many kinds of parts there are in pairs of 32 bits.
const KINDS: u16 = 14;
/// The same for 64 bits.
const KINDS64: u16 = 12;
/// What the numbers of both begin with.
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
    Some(Part::new(number, uop))
}

fn part64(uop: &Uop) -> Option<Part> {
    let number = match uop.op {
        Op::LoadBase64 => LOAD,
        Op::StoreBase64 => STORE,
        Op::MovRr64 => 2,
        Op::Lea64 if !uop.has_index() => 3,
        Op::AddRr64 => 4,
        Op::AddRi64 => 5,
        Op::AndRi64 => 6,
        Op::SubRi64 => 7,
        Op::ShrRi64 => 8,
        Op::ShlRi64 => 9,
        Op::Zero => 10,
        Op::MovRr32 => 11,
        _ => return None,
    };
    Some(Part::new(number, uop))
}

impl Part {
    fn new(number: u16, uop: &Uop) -> Self {
        let (second, value) = match uop.op {
            Op::LoadBase32 | Op::StoreBase32 | Op::Lea32 | Op::LoadBase64 | Op::StoreBase64 | Op::Lea64 => {
                (uop.base, uop.disp)
            }
            _ => (uop.b, uop.imm),
        };
        Self { number, first: uop.a, second, value }
    }
}

/// Pushes and pops after each other, and what comes before or after them.
fn stack(before: &Uop, uop: &Uop) -> Option<Uop> {
    const RSP: u8 = (crate::state::RSP * 8) as u8;
    let is_room = uop.op == Op::SubRi32 && uop.a == RSP;
    let (op, a) = (uop.op, uop.a);
    if !is_room && a == RSP && matches!(op, Op::PushR32 | Op::PushR64 | Op::PopR32 | Op::PopR64) {
        return None;
    }
    let joined = match (before.op, op) {
        (Op::PushR32 | Op::PushR64 | Op::PopR32 | Op::PopR64, _) if before.a == RSP => return None,
        (Op::PushR32, Op::PushR32) => Uop { op: Op::PushPush32, base: a, ..*before },
        (Op::PushR64, Op::PushR64) => Uop { op: Op::PushPush64, base: a, ..*before },
        (Op::PopR32, Op::PopR32) => Uop { op: Op::PopPop32, base: a, ..*before },
        (Op::PopR64, Op::PopR64) => Uop { op: Op::PopPop64, base: a, ..*before },
        (Op::PushPush32, Op::PushR32) => Uop { op: Op::ThreePushes32, b: a, ..*before },
        (Op::ThreePushes32, Op::PushR32) => Uop { op: Op::FourPushes32, index: a, ..*before },
        (Op::PushR32, Op::SubRi32) if is_room => Uop { op: Op::PushSub32, imm: uop.imm, ..*before },
        (Op::PushPush32, Op::SubRi32) if is_room => Uop { op: Op::PushPushSub32, imm: uop.imm, ..*before },
        (Op::PopPop32, Op::PopPop32) => Uop { op: Op::FourPops32, b: a, index: uop.base, ..*before },
        (Op::PopR32, Op::Ret32) => Uop { op: Op::PopRet32, ..*before },
        (Op::PopPop32, Op::Ret32) => Uop { op: Op::PopPopRet32, ..*before },
        (Op::PushR32, Op::Call32) => Uop { op: Op::PushCall32, ..*before },
        (Op::PushPush32, Op::Call32) => Uop { op: Op::PushPushCall32, ..*before },
        (Op::MovRr32, Op::Call32) if before.a != RSP => Uop { op: Op::MoveCall32, ..*before },
        (Op::LoadBase32, Op::Ret32) if before.a != RSP => {
            Uop { op: Op::LoadRet32, b: before.base, ..*before }
        }
        (Op::PushPush64, Op::PushR64) => Uop { op: Op::ThreePushes64, b: a, ..*before },
        (Op::ThreePushes64, Op::PushR64) => Uop { op: Op::FourPushes64, index: a, ..*before },
        (Op::PopPop64, Op::PopPop64) => Uop { op: Op::FourPops64, b: a, index: uop.base, ..*before },
        (Op::PopR64, Op::Ret64) => Uop { op: Op::PopRet64, ..*before },
        (Op::PopPop64, Op::Ret64) => Uop { op: Op::PopPopRet64, ..*before },
        (Op::PushR64, Op::MovRr64) => Uop { op: Op::PushMove64, base: a, index: uop.b, ..*before },
        (Op::MovRr64, Op::PushR64) if before.a != RSP => Uop { op: Op::MovePush64, base: a, ..*before },
        (Op::MovRr64, Op::Call64) if before.a != RSP => Uop { op: Op::MoveCall64, ..*before },
        _ => return None,
    };
    Some(joined)
}

/// A branch with the comparison it is part of, and what comes before.
fn branch(before: &Uop, uop: &Uop) -> Option<Uop> {
    let tests_result = uop.a == before.a && uop.b == before.a;
    let op = match (before.op, uop.op) {
        (Op::LoadBase32, Op::TestRr32Je) if tests_result => Op::LoadTestJe,
        (Op::LoadBase32, Op::TestRr32Jne) if tests_result => Op::LoadTestJne,
        (Op::LoadBase32, Op::TestRi8Je) => Op::LoadTestIJe,
        (Op::LoadBase32, Op::TestRi8Jne) => Op::LoadTestIJne,
        (Op::LoadBase64, Op::TestRr64Je) if tests_result => Op::LoadTestJe64,
        (Op::LoadBase64, Op::TestRr64Jne) if tests_result => Op::LoadTestJne64,
        (Op::AddRi32, Op::TestRr32Je) if uop.a == uop.b => Op::AddITestJe,
        (Op::AddRi32, Op::TestRr32Jne) if uop.a == uop.b => Op::AddITestJne,
        (Op::AddRi32, Op::CmpRi32Je) => Op::AddICmpIJe,
        (Op::AddRi32, Op::CmpRi32Jne) => Op::AddICmpIJne,
        (Op::AddRi32, Op::CmpRi32Jb) => Op::AddICmpIJb,
        _ => return None,
    };
    let disp = if before.op == Op::AddRi32 { before.imm } else { before.disp };
    Some(Uop { op, b: uop.a, disp, imm: uop.imm, ..*before })
}

/// `before` and `uop` as one, if they can be.
pub(super) fn pair(before: &Uop, uop: &Uop) -> Option<Uop> {
    if let Some(longer) = stack(before, uop).or_else(|| branch(before, uop)) {
        return Some(longer);
    }
    let (first, second, all, kinds, chain) = match (part(before), part(uop)) {
        (Some(first), Some(second)) => (first, second, Op::LoadLoad, KINDS, Op::LoadChain),
        _ => (part64(before)?, part64(uop)?, Op::LoadLoad64, KINDS64, Op::LoadChain64),
    };
    let mut op = all.after(first.number * kinds + second.number);
    if second.number <= STORE && first.number != STORE && first.first == second.second {
        // Its address comes from the first one.
        if (first.number, second.number) != (LOAD, LOAD) {
            return None;
        }
        op = chain;
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
