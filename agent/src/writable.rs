//! The writable layer of the root: a file system in memory, whose size can be changed.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_string, fspick};

/// The writable layer, which has no path since the root moved.
pub struct WritableLayer(OwnedFd);

impl WritableLayer {
    /// What PID 1 opened and handed down as file descriptor `number`.
    pub fn inherited(number: RawFd) -> Option<Self> {
        crate::sys::descriptors::inherited(number).map(Self)
    }

    /// Changes the most it may hold, in bytes. What it holds already stays, even if that is more.
    pub fn resize(&self, bytes: u64) {
        let changed = fspick(&self.0, "", FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC)
            .and_then(|context| {
                fsconfig_set_string(context.as_fd(), "size", bytes.to_string())?;
                fsconfig_reconfigure(context.as_fd())
            });
        if let Err(error) = changed {
            crate::log!(
                "cannot limit the writable layer to {bytes} bytes: {}",
                crate::failure::describe(error)
            );
        }
    }
}
