//! TODO

use iced_x86::Code;

use crate::Handler;

/// State of the x87 FPU.
#[derive(Clone, Debug, Default)]
pub struct Fpu {}

/// The handler of an instruction of this family.
pub(crate) fn handler(_code: Code) -> Option<Handler> {
    None
}
