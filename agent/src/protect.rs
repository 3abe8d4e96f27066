//! Keeping the agent alive when memory runs out.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// Exempts this process from the out-of-memory killer.
///
/// Children inherit the exemption, which must not be. Writing it off in each child would cost three system calls with a
/// path in `/proc`; so the agent gives up its own for the moment in which it makes a child: two writes to a file that is
/// open already.
pub struct Shield(Option<OwnedFd>);

impl Shield {
    /// Raises the shield, if the kernel and the privileges allow.
    pub fn raise() -> Self {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open("/proc/self/oom_score_adj", flags, Mode::empty()).ok();
        let shield = Self(file.filter(|file| rustix::io::write(file, b"-1000").is_ok()));
        shield.write(b"-1000");
        shield
    }

    /// Runs `start`, which makes a child, without the exemption.
    pub fn lowered<T>(&self, start: impl FnOnce() -> T) -> T {
        self.write(b"0");
        let result = start();
        self.write(b"-1000");
        result
    }

    fn write(&self, value: &[u8]) {
        if let Some(file) = &self.0 {
            let _unprivileged = rustix::io::pwrite(file, value, 0);
        }
    }
}
