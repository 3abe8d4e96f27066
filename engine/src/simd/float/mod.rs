//! Floating point (SDM vol. 1, chapters 4.8, 10.4, 11.4 and 11.5).

#![allow(
    clippy::arithmetic_side_effects,
    reason = "exponents have 11 bits, so that no sum of them overflows; significands are in wider numbers, or cut before \
              something is added; shifts are bounded where they are computed; only constants divide integers"
)]

mod approximate;
mod arithmetic;
pub(crate) mod compare;
mod convert;
mod env;
pub(crate) mod fast;
mod format;
mod integers;
mod lanewise;
mod quick;
mod soft;

use iced_x86::Code;

use crate::Handler;

pub(super) use env::VALID;

pub(super) fn handler(code: Code) -> Option<Handler> {
    arithmetic::handler(code)
        .or_else(|| compare::handler(code))
        .or_else(|| convert::handler(code))
        .or_else(|| approximate::handler(code))
}
