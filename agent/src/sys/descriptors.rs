//! File descriptors that came with the process.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes descriptor `number` over, if it is open; children will not have it. Must be called once for a number at most, before
/// anything else is opened.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: only looks whether the number is that of an open descriptor, and nobody closes any meanwhile.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).ok()?;
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open (checked above), and nobody else in this process knows of it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
