use crate::Handler;
use iced_x86::Code;
pub(super) fn handler(_code: Code) -> Option<Handler> {
    None
}
