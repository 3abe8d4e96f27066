//! The status flags in translated code: what the last operation was is known while translating, so that its operands
//! stay in local variables and are written to [`LazyFlags`](crate::flags::LazyFlags) only where code is left.

use std::rc::Rc;

use super::body::{Body, at, sized};
use super::helpers::Helper;
use super::places::Places;
use crate::flag;
use crate::flags::FlagsFrom;

/// A value in a local variable, or a constant; of 32 bits, sign-extended from what it is of, or of 64.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Local(u32),
    Constant(i32),
}

/// What the status flags come from, at a place in the code.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// They are where the interpreter has them.
    Stored,
    /// An addition, a subtraction or a bitwise operation.
    Operation { from: FlagsFrom, wide: bool, a: Value, b: Value, result: u32 },
    /// ADC and SBB: `from` is a local variable with the kind.
    Carried { from: u32, wide: bool, a: Value, b: Value, result: u32 },
    /// INC and DEC: CF is that of what was before.
    Step { up: bool, wide: bool, before: Rc<Pending>, operand: u32, result: u32 },
    /// A shift by a constant.
    Shift { by: Shift, bits: u32, count: u32, operand: u32, result: u32 },
    /// A product: CF and OF if it has lost bits. `full` has 64 bits, for one of 32.
    Product { full: u32, result: u32 },
    /// The same of 64 bits.
    WideProduct { a: Value, b: Value, result: u32 },
    /// CF and OF as in `bits`; ZF, SF and PF from the result.
    Bits { wide: bool, bits: u32, result: u32 },
    /// Those in `mask` are as in the local variable `bits`, which has no others; the others are as before.
    Changed { mask: u32, bits: u32, before: Rc<Pending> },
}

/// The three shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// Conditions, by their number without the lowest bit, which negates.
const OVERFLOW: u8 = 0;
const CARRY: u8 = 1;
const ZERO: u8 = 2;
const BELOW_OR_EQUAL: u8 = 3;
const SIGN: u8 = 4;
const PARITY: u8 = 5;
const LESS: u8 = 6;

/// Where EFLAGS has the flag that a condition, by its number without the lowest bit, asks for, if it is one only.
const fn place_of(condition: u8) -> Option<u32> {
    let flag = match condition {
        OVERFLOW => flag::OF,
        CARRY => flag::CF,
        ZERO => flag::ZF,
        SIGN => flag::SF,
        PARITY => flag::PF,
        _ => return None,
    };
    Some(flag.trailing_zeros())
}

impl Pending {
    /// Whether a condition can be told only when the flags are where the interpreter has them.
    pub(super) fn needs_storing(&self, condition: u8) -> bool {
        match (self, condition >> 1) {
            (Self::Changed { mask, before, .. }, kind) => match place_of(kind) {
                Some(place) => mask >> place & 1 == 0 && before.needs_storing(condition),
                None => true,
            },
            (Self::Carried { .. }, kind) => !matches!(kind, ZERO | SIGN | PARITY),
            (Self::Step { before, .. }, CARRY | BELOW_OR_EQUAL) => before.needs_storing(CARRY << 1),
            _ => false,
        }
    }
}

impl Body {
    /// Pushes a value.
    pub(super) fn value(&mut self, value: Value, wide: bool) {
        match value {
            Value::Local(local) => self.w().local_get(local),
            Value::Constant(constant) if wide => self.w().i64_const(constant.into()),
            Value::Constant(constant) => self.w().i32_const(constant),
        };
    }

    /// Pushes a value as 64 bits.
    fn extended(&mut self, value: Value, wide: bool) {
        match value {
            Value::Constant(_) => self.value(value, true),
            Value::Local(_) => {
                self.value(value, wide);
                if !wide {
                    self.w().i64_extend_i32_s();
                }
            }
        }
    }

    /// Writes the flags to where the interpreter has them.
    pub(super) fn store_flags(&mut self, places: Places, pending: &Pending) {
        match pending {
            Pending::Stored => {}
            Pending::Operation { from, wide, a, b, result } => {
                self.w().i32_const(0).i32_const(*from as i32).i32_store(at(places.flags_from()));
                if *from != FlagsFrom::Logic {
                    self.store_operands(places, *wide, *a, *b);
                }
                self.store_extended(places.flags_result(), Value::Local(*result), *wide);
            }
            Pending::Carried { from, wide, a, b, result } => {
                self.store32(places.flags_from(), *from);
                self.store_operands(places, *wide, *a, *b);
                self.store_extended(places.flags_result(), Value::Local(*result), *wide);
            }
            Pending::Step { up, wide, before, operand, result } => {
                self.condition_of(places, before, CARRY << 1);
                let carry = self.keep(false);
                let from = if *up { FlagsFrom::Increment } else { FlagsFrom::Decrement };
                self.w().i32_const(0).i32_const(from as i32).i32_store(at(places.flags_from()));
                self.store_extended(places.flags_b(), Value::Local(*operand), *wide);
                self.w().i32_const(0).local_get(carry).i64_extend_i32_u().i64_store(at(places.flags_a()));
                self.store_extended(places.flags_result(), Value::Local(*result), *wide);
            }
            Pending::Shift { bits, result, .. } => {
                self.shift_bits(pending);
                let carries = self.keep(false);
                self.store_result(places, *bits == 64, carries, *result);
            }
            Pending::Product { result, .. } => {
                self.product_bits(pending);
                let carries = self.keep(false);
                self.store_result(places, false, carries, *result);
            }
            Pending::WideProduct { result, .. } => {
                self.product_bits(pending);
                let carries = self.keep(false);
                self.store_result(places, true, carries, *result);
            }
            Pending::Bits { wide, bits, result } => self.store_result(places, *wide, *bits, *result),
            Pending::Changed { mask, bits, before } => {
                self.store_flags(places, before);
                self.w().i32_const(*mask as i32).local_get(*bits).call(Helper::ChangeFlags.index());
            }
        }
    }

    fn store_operands(&mut self, places: Places, wide: bool, a: Value, b: Value) {
        self.store_extended(places.flags_a(), a, wide);
        self.store_extended(places.flags_b(), b, wide);
    }

    fn store_extended(&mut self, place: u32, value: Value, wide: bool) {
        self.w().i32_const(0);
        self.extended(value, wide);
        self.w().i64_store(at(place));
    }

    /// Stores a result whose CF, OF and AF are `carries`.
    fn store_result(&mut self, places: Places, wide: bool, carries: u32, result: u32) {
        self.w().i32_const(0).i32_const(FlagsFrom::Result as i32).i32_store(at(places.flags_from()));
        self.w().i32_const(0).local_get(carries).i64_extend_i32_u().i64_store(at(places.flags_a()));
        self.w().i32_const(0).i64_const(0).i64_store(at(places.flags_b()));
        self.store_extended(places.flags_result(), Value::Local(result), wide);
    }

    /// Pushes CF and OF of a product, as bits of EFLAGS.
    fn product_bits(&mut self, pending: &Pending) {
        let both = (flag::CF | flag::OF) as i32;
        match *pending {
            Pending::Product { full, .. } => {
                self.w().i32_const(both).i32_const(0);
                self.w().local_get(full).local_get(full).i64_extend32_s().i64_ne().select();
            }
            Pending::WideProduct { a, b, .. } => {
                // It has lost nothing if the high half is the sign of the low one.
                self.value(a, true);
                self.value(b, true);
                self.w().call(Helper::SignedHigh.index());
                let high = self.keep(true);
                self.w().i32_const(both).i32_const(0).local_get(high);
                self.value(a, true);
                self.value(b, true);
                self.w().i64_mul().i64_const(63).i64_shr_s().i64_ne().select();
            }
            _ => {
                self.w().i32_const(0);
            }
        }
    }

    /// Pushes CF and OF of a shift by a constant, as bits of EFLAGS.
    fn shift_bits(&mut self, pending: &Pending) {
        let Pending::Shift { by, bits, count, operand, result } = *pending else {
            self.w().i32_const(0);
            return;
        };
        let wide = bits == 64;
        let last = count.wrapping_sub(1);
        let top = bits.wrapping_sub(1);
        // Pushes bit `number` of the operand as 32 bits.
        let bit = |body: &mut Self, number: u32| {
            if wide {
                body.w().local_get(operand).i64_const(number.into()).i64_shr_u().i32_wrap_i64();
            } else {
                body.w().local_get(operand).i32_const(number as i32).i32_shr_u();
            }
            body.w().i32_const(1).i32_and();
        };
        match by {
            Shift::Left => {
                bit(self, bits.wrapping_sub(count));
                let carry = self.keep(false);
                self.w().local_get(carry);
                self.sign(result, wide);
                self.w().local_get(carry).i32_xor().i32_const(11).i32_shl().i32_or();
            }
            Shift::Right => {
                bit(self, last);
                bit(self, top);
                self.w().i32_const(11).i32_shl().i32_or();
            }
            Shift::Arithmetic => bit(self, last),
        }
    }

    /// Pushes 1 if a value is negative, else 0.
    pub(super) fn sign(&mut self, local: u32, wide: bool) {
        if wide {
            self.w().local_get(local).i64_const(63).i64_shr_u().i32_wrap_i64();
        } else {
            self.w().local_get(local).i32_const(31).i32_shr_u();
        }
    }

    /// Pushes whether the result is zero, negative or has even parity, as the condition asks.
    fn of_result(&mut self, condition: u8, result: u32, wide: bool) {
        self.w().local_get(result);
        match (condition >> 1, wide) {
            (ZERO, _) => sized!(self, wide, i64_eqz, i32_eqz),
            (SIGN, _) => {
                self.value(Value::Constant(0), wide);
                sized!(self, wide, i64_lt_s, i32_lt_s);
            }
            _ => {
                if wide {
                    self.w().i32_wrap_i64();
                }
                self.w().i32_const(0xFF).i32_and().i32_popcnt().i32_const(1).i32_and().i32_eqz();
            }
        }
    }

    /// Pushes 1 if `condition`, by its encoding, holds, else 0; not for what [`Pending::needs_storing`].
    pub(super) fn condition_of(&mut self, places: Places, pending: &Pending, condition: u8) {
        let negated = condition & 1 != 0;
        match pending {
            Pending::Operation { from, wide, a, b, result } => {
                self.operation(*from, *wide, (*a, *b, *result), condition >> 1);
            }
            Pending::Step { up, wide, before, operand, result } => {
                if condition >> 1 == CARRY {
                    self.condition_of(places, before, CARRY << 1);
                } else if condition >> 1 == OVERFLOW {
                    self.step_overflow(*up, *wide, *operand, *result);
                } else if condition >> 1 == LESS {
                    self.of_result(SIGN << 1, *result, *wide);
                    self.step_overflow(*up, *wide, *operand, *result);
                    self.w().i32_ne();
                } else if condition >> 1 == BELOW_OR_EQUAL {
                    self.condition_of(places, before, CARRY << 1);
                    self.of_result(ZERO << 1, *result, *wide);
                    self.w().i32_or();
                } else if condition >> 1 > LESS {
                    self.of_result(SIGN << 1, *result, *wide);
                    self.step_overflow(*up, *wide, *operand, *result);
                    self.w().i32_ne();
                    self.of_result(ZERO << 1, *result, *wide);
                    self.w().i32_or();
                } else {
                    self.of_result(condition, *result, *wide);
                }
            }
            Pending::Shift { bits, result, .. } => {
                let wide = *bits == 64;
                self.shift_bits(pending);
                self.with_bits(condition >> 1, *result, wide);
            }
            Pending::Product { result, .. } => {
                self.product_bits(pending);
                self.with_bits(condition >> 1, *result, false);
            }
            Pending::WideProduct { result, .. } => {
                self.product_bits(pending);
                self.with_bits(condition >> 1, *result, true);
            }
            Pending::Bits { wide, bits, result } => {
                self.w().local_get(*bits);
                self.with_bits(condition >> 1, *result, *wide);
            }
            Pending::Changed { mask, bits, before } => match place_of(condition >> 1) {
                Some(place) if mask >> place & 1 != 0 => {
                    self.w().local_get(*bits).i32_const(place as i32).i32_shr_u().i32_const(1).i32_and();
                }
                Some(_) => self.condition_of(places, before, condition & !1),
                None => self.stored_condition(places, pending, condition),
            },
            Pending::Carried { result, wide, .. } if matches!(condition >> 1, ZERO | SIGN | PARITY) => {
                self.of_result(condition, *result, *wide);
            }
            Pending::Stored | Pending::Carried { .. } => self.stored_condition(places, pending, condition),
        }
        if negated {
            self.w().i32_eqz();
        }
    }

    /// Pushes what a condition, or its negation, is by the flags where the interpreter has them.
    fn stored_condition(&mut self, places: Places, pending: &Pending, condition: u8) {
        self.store_flags(places, pending);
        self.w().i32_const((condition & !1).into()).call(Helper::Condition.index());
    }

    /// OF of INC and DEC.
    fn step_overflow(&mut self, up: bool, wide: bool, operand: u32, result: u32) {
        let (before, after) = if up { (operand, result) } else { (result, operand) };
        // Not negative before and negative after; the other way round when going down.
        if wide {
            self.w().local_get(before).i64_const(-1).i64_xor().local_get(after).i64_and();
            self.w().i64_const(0).i64_lt_s();
        } else {
            self.w().local_get(before).i32_const(-1).i32_xor().local_get(after).i32_and();
            self.w().i32_const(0).i32_lt_s();
        }
    }

    /// With CF and OF on the stack, pushes a condition in their place.
    fn with_bits(&mut self, condition: u8, result: u32, wide: bool) {
        let bits = self.keep(false);
        let carry = |body: &mut Self| {
            body.w().local_get(bits).i32_const(1).i32_and();
        };
        let overflow = |body: &mut Self| {
            body.w().local_get(bits).i32_const(11).i32_shr_u().i32_const(1).i32_and();
        };
        match condition {
            OVERFLOW => overflow(self),
            CARRY => carry(self),
            BELOW_OR_EQUAL => {
                carry(self);
                self.of_result(ZERO << 1, result, wide);
                self.w().i32_or();
            }
            ZERO | SIGN | PARITY => {
                self.of_result(condition << 1, result, wide);
            }
            _ => {
                self.sign(result, wide);
                overflow(self);
                self.w().i32_ne();
                if condition != LESS {
                    self.of_result(ZERO << 1, result, wide);
                    self.w().i32_or();
                }
            }
        }
    }

    /// Pushes a condition of an addition, a subtraction or a bitwise operation.
    fn operation(&mut self, from: FlagsFrom, wide: bool, parts: (Value, Value, u32), condition: u8) {
        let (a, b, result) = parts;
        let operands = |body: &mut Self| {
            body.value(a, wide);
            body.value(b, wide);
        };
        match (from, condition) {
            (_, ZERO) if from == FlagsFrom::Sub => {
                operands(self);
                sized!(self, wide, i64_eq, i32_eq);
            }
            (_, ZERO | SIGN | PARITY) => {
                self.of_result(condition << 1, result, wide);
            }
            (FlagsFrom::Logic, OVERFLOW | CARRY) => {
                self.w().i32_const(0);
            }
            (FlagsFrom::Logic, BELOW_OR_EQUAL) => {
                self.of_result(ZERO << 1, result, wide);
            }
            (FlagsFrom::Logic, LESS) => {
                self.of_result(SIGN << 1, result, wide);
            }
            (FlagsFrom::Logic, _) => {
                self.w().local_get(result);
                self.value(Value::Constant(0), wide);
                sized!(self, wide, i64_le_s, i32_le_s);
            }
            (FlagsFrom::Sub, CARRY) => {
                operands(self);
                sized!(self, wide, i64_lt_u, i32_lt_u);
            }
            (FlagsFrom::Sub, BELOW_OR_EQUAL) => {
                operands(self);
                sized!(self, wide, i64_le_u, i32_le_u);
            }
            (FlagsFrom::Sub, LESS) => {
                operands(self);
                sized!(self, wide, i64_lt_s, i32_lt_s);
            }
            (FlagsFrom::Sub, OVERFLOW) => self.overflow((a, b), (a, Value::Local(result)), wide),
            (FlagsFrom::Sub, _) => {
                operands(self);
                sized!(self, wide, i64_le_s, i32_le_s);
            }
            (_, OVERFLOW) => self.overflow((a, Value::Local(result)), (b, Value::Local(result)), wide),
            (_, CARRY) => {
                self.w().local_get(result);
                self.value(a, wide);
                sized!(self, wide, i64_lt_u, i32_lt_u);
            }
            (_, BELOW_OR_EQUAL) => {
                self.w().local_get(result);
                self.value(a, wide);
                sized!(self, wide, i64_lt_u, i32_lt_u);
                self.of_result(ZERO << 1, result, wide);
                self.w().i32_or();
            }
            (_, _) => {
                self.sign(result, wide);
                self.overflow((a, Value::Local(result)), (b, Value::Local(result)), wide);
                self.w().i32_ne();
                if condition != LESS {
                    self.of_result(ZERO << 1, result, wide);
                    self.w().i32_or();
                }
            }
        }
    }

    /// Pushes whether the signs differ in both pairs.
    fn overflow(&mut self, one: (Value, Value), other: (Value, Value), wide: bool) {
        for (a, b) in [one, other] {
            self.value(a, wide);
            self.value(b, wide);
            sized!(self, wide, i64_xor, i32_xor);
        }
        if wide {
            self.w().i64_and().i64_const(63).i64_shr_u().i32_wrap_i64();
        } else {
            self.w().i32_and().i32_const(31).i32_shr_u();
        }
    }
}
