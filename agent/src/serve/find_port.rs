//! Finding the virtio console port by its name.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

const PORTS: &str = "/sys/class/virtio-ports";

/// Between two looks, growing: the port is normally there before PID 1 is, or a few milliseconds later.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Waits for the port called `name` and opens it.
pub fn find(name: &str) -> Result<OwnedFd> {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(device) = device_of(name) {
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::open(format!("/dev/{device}"), flags, Mode::empty()) {
                // The kernel makes the entry in /sys before the one in /dev.
                Err(Errno::NOENT) => {}
                result => return result,
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn device_of(name: &str) -> Option<String> {
    std::fs::read_dir(PORTS).ok()?.find_map(|entry| {
        let entry = entry.ok()?;
        let found = std::fs::read_to_string(entry.path().join("name")).ok()?;
        (found.trim_end() == name).then(|| entry.file_name().into_string().ok())?
    })
}
