//! The file systems that are not on a disk.

use std::ffi::CStr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::Trouble;

/// In the initial file system: what is needed to find the root.
pub fn before_root() -> Result<(), Trouble> {
    // The kernel's own console, if it gave us one, is replaced: it may have been missing in the archive.
    mount_at("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, None)
        .map_err(|error| Trouble::new("mount /dev", error))?;
    open_console();
    mount_at("proc", "/proc", safe(), None).map_err(|error| Trouble::new("mount /proc", error))
}

/// In the root: the rest. What fails here is said, but a sandbox without, say, message queues is better than none.
pub fn after_root() {
    let all: [(&str, &str, MountFlags, Option<&CStr>); 6] = [
        ("sysfs", "/sys", safe(), None),
        ("cgroup2", "/sys/fs/cgroup", safe(), Some(c"nsdelegate")),
        (
            "devpts",
            "/dev/pts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            Some(c"gid=5,mode=0620,ptmxmode=0666"),
        ),
        ("tmpfs", "/dev/shm", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777")),
        ("mqueue", "/dev/mqueue", safe(), None),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755,size=25%")),
    ];
    for (kind, target, flags, data) in all {
        if let Err(error) = mount_at(kind, target, flags, data) {
            crate::log!("cannot mount {kind} at {target}: {}", crate::failure::describe(error));
        }
    }
    directory("/run/lock", 0o1777);
    directory("/tmp", 0o1777);
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let _exists = rustix::fs::symlink(target, format!("/dev/{name}"));
    }
}

/// Flags for file systems that hold neither programs nor devices.
fn safe() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

/// Mounts a file system, whose directory is made if it is missing.
fn mount_at(kind: &str, target: &str, flags: MountFlags, data: Option<&CStr>) -> Result<(), Errno> {
    match rustix::fs::mkdir(target, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST | Errno::ROFS | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    match mount(kind, target, kind, flags, data) {
        // The kernel mounted it already.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a directory with exactly these permissions.
fn directory(path: &str, mode: u32) {
    let _exists = rustix::fs::mkdir(path, Mode::from_raw_mode(mode));
    if let Err(error) = rustix::fs::chmod(path, Mode::from_raw_mode(mode)) {
        crate::log!("cannot prepare {path}: {}", crate::failure::describe(error));
    }
}

/// Makes the kernel's console this process's standard streams.
fn open_console() {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    if let Ok(console) = rustix::fs::open("/dev/console", flags, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&console);
        let _ = rustix::stdio::dup2_stdout(&console);
        let _ = rustix::stdio::dup2_stderr(&console);
        if rustix::fd::AsRawFd::as_raw_fd(&console) <= 2 {
            std::mem::forget(console);
        }
    }
}
