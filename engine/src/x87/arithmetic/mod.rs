//! Arithmetic in double extended precision, exactly.

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
