//! TODO

use iced_x86::Code;

use crate::Handler;

/// The handler of an instruction of this family.
pub(crate) fn handler(_code: Code) -> Option<Handler> {
    None
}
