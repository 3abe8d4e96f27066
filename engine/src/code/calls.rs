//! Where calls will return to: a short memory of the last of them, as processors have one.

use super::{Link, Links};

/// Calls that are remembered.
const DEPTH: usize = 16;

#[derive(Clone, Copy)]
struct Call {
    /// Where it returns to.
    back: u64,
    /// What follows the call in its block.
    links: *mut Links,
}

/// The last calls. What it says is no more than likely.
pub(crate) struct Calls {
    calls: [Call; DEPTH],
    top: usize,
}

impl Default for Calls {
    fn default() -> Self {
        Self { calls: [Call { back: 0, links: std::ptr::null_mut() }; DEPTH], top: 0 }
    }
}

impl Calls {
    /// Notes a call that returns to `back`.
    #[inline(always)]
    pub(crate) fn push(&mut self, back: u64, links: *mut Links) {
        self.top = self.top.wrapping_add(1) % DEPTH;
        self.calls[self.top] = Call { back, links };
    }

    /// Where the last call keeps the block that it returns to, if it returns to `target`; else null.
    #[inline(always)]
    pub(crate) fn pop(&mut self, target: u64) -> *mut Link {
        let call = self.calls[self.top];
        self.top = self.top.wrapping_sub(1) % DEPTH;
        if call.back != target || call.links.is_null() {
            return std::ptr::null_mut();
        }
        // SAFETY: links lie in the arena; when that is used anew, all calls are forgotten.
        unsafe { &raw mut (*call.links).other }
    }
}
