//! Copies of a shell, for processors that there is no machine code for: there are none.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use super::shell::Shell;
use crate::contain::{Containment, Group};
use crate::poller::Key;

/// A shell that cannot be copied.
pub struct Zygote {
    /// The shell itself.
    pub shell: Shell,
    never: Infallible,
}

/// No zygote is ever started without one.
pub fn line() -> Option<(OwnedFd, OwnedFd)> {
    None
}

#[allow(missing_docs, reason = "as in the other module")]
impl Zygote {
    pub fn new(_: Shell) -> Option<Self> {
        None
    }

    pub fn is_ready(&self) -> bool {
        match self.never {}
    }

    pub fn has_failed(&self) -> bool {
        match self.never {}
    }

    pub fn prepare(&mut self) -> Option<()> {
        match self.never {}
    }

    pub fn copy(&mut self, _: Key, _: &mut Containment) -> Option<Shell> {
        match self.never {}
    }

    pub fn into_groups(self) -> (Group, Option<Group>) {
        match self.never {}
    }
}
