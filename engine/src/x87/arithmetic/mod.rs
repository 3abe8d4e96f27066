//! Arithmetic in double extended precision, exactly.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "exponents of registers have 15 bits, so that no sum of them overflows; products have twice the bits of \
              what is multiplied; differences are those of what was compared before; and only constants divide"
)]

mod basic;
mod bcd;
mod compare;
mod convert;
mod parts;
mod remainder;
mod round;

pub(crate) use basic::{add, div, divide_wide, mul, sqrt, sub};
pub(crate) use bcd::{from_bcd, to_bcd};
pub(crate) use compare::{Relation, compare};
pub(crate) use convert::{Double, Float, Single, from_float, from_integer, to_float, to_integer, truncated};
pub(crate) use parts::{extract, round_to_integer, scale};
pub(crate) use remainder::{Quotient, remainder};
pub(crate) use round::round;
