//! Control groups (version 2): one for the sandbox with its limits, below it one for each operation.
//!
//! Making a control group costs the kernel a directory with some twenty files, so empty ones are kept for the next
//! operation. Only the sandbox's own group has controllers; the operations' groups exist to be counted and killed.

use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::Totals;

/// Empty groups that are kept.
const KEPT: usize = 8;

/// Limits on all operations together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<u32>,
    /// Bytes of memory.
    pub memory: Option<u64>,
}

/// The sandbox's control group.
pub struct CgroupPool {
    directory: OwnedFd,
    empty: Vec<Cgroup>,
    next: u32,
    oom_kills: u64,
}

/// The control group of one operation.
pub struct Cgroup {
    name: CString,
    directory: OwnedFd,
    kill: OwnedFd,
    events: OwnedFd,
    /// `usage_usec` when it was taken: the counter goes on when a group is used again.
    cpu_before: Duration,
    /// Whether it was ever killed. Kernels since 6.1.129 and 6.14 have a flaw: `clone3` compares the count of kills of the
    /// target with that of the *parent's* group, so whatever starts in a group that was killed before dies at once.
    killed: Cell<bool>,
}

impl CgroupPool {
    /// Makes the sandbox's group at `path`, whose parent must be a control group.
    pub fn new(path: &Path, limits: Limits) -> Result<Self> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let directory = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // A controller that the kernel or the parent lacks has no file; then there is no limit.
        if let Some(processes) = limits.processes {
            let _no_controller = write_at(&directory, c"pids.max", processes.to_string().as_bytes());
        }
        if let Some(memory) = limits.memory {
            let _no_controller = write_at(&directory, c"memory.max", memory.to_string().as_bytes());
        }
        let mut pool = Self { directory, empty: Vec::new(), next: 0, oom_kills: 0 };
        // Proves that this is cgroup v2 and new enough (cgroup.kill: 5.14), and saves the first operation the work.
        let first = pool.make()?;
        pool.empty.push(first);
        Ok(pool)
    }

    /// A group without processes.
    pub fn take(&mut self) -> Result<Cgroup> {
        let mut cgroup = match self.empty.pop() {
            Some(cgroup) => cgroup,
            None => self.make()?,
        };
        if !cgroup.exists() {
            // Root in the guest may remove empty groups.
            cgroup = self.make()?;
        }
        Ok(cgroup)
    }

    /// Forgets the groups that are kept: somebody in the guest may have killed them.
    pub fn distrust(&mut self) {
        for cgroup in std::mem::take(&mut self.empty) {
            let _in_use_after_all = rustix::fs::unlinkat(&self.directory, &cgroup.name, AtFlags::REMOVEDIR);
        }
    }

    /// Takes a group back.
    pub fn put(&mut self, cgroup: Cgroup) {
        if self.empty.len() < KEPT && !cgroup.killed.get() && !cgroup.is_populated() {
            self.empty.push(cgroup);
        } else {
            let _still_populated = rustix::fs::unlinkat(&self.directory, &cgroup.name, AtFlags::REMOVEDIR);
        }
    }

    fn make(&mut self) -> Result<Cgroup> {
        loop {
            let name = CString::new(format!("op-{}", self.next)).map_err(|_| Errno::INVAL)?;
            self.next = self.next.wrapping_add(1);
            match rustix::fs::mkdirat(&self.directory, &name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error),
            }
            let open = |directory: &OwnedFd, file: &std::ffi::CStr, flags: OFlags| {
                rustix::fs::openat(directory, file, flags | OFlags::CLOEXEC, Mode::empty())
            };
            let directory = open(&self.directory, &name, OFlags::DIRECTORY | OFlags::RDONLY)?;
            let kill = open(&directory, c"cgroup.kill", OFlags::WRONLY)?;
            let events = open(&directory, c"cgroup.events", OFlags::RDONLY)?;
            return Ok(Cgroup {
                name,
                directory,
                kill,
                events,
                cpu_before: Duration::ZERO,
                killed: Cell::new(false),
            });
        }
    }

    /// Limits the number of processes and threads from now on.
    pub fn limit_processes(&self, limit: u32) {
        let _no_controller = write_at(&self.directory, c"pids.max", limit.to_string().as_bytes());
    }

    /// Stops every process in it and below, or lets them go on; whether the kernel took it.
    pub fn freeze(&self, frozen: bool) -> bool {
        write_at(&self.directory, c"cgroup.freeze", if frozen { b"1" } else { b"0" }).is_ok()
    }

    /// Whether every process in it stands still.
    pub fn is_frozen(&self) -> bool {
        read_at(&self.directory, c"cgroup.events").and_then(|text| field(&text, "frozen")) == Some(1)
    }

    /// How often the out-of-memory killer struck since the last call.
    pub fn new_oom_kills(&mut self) -> u64 {
        let now =
            read_at(&self.directory, c"memory.events").and_then(|text| field(&text, "oom_kill")).unwrap_or(0);
        now.saturating_sub(std::mem::replace(&mut self.oom_kills, now))
    }

    /// Numbers over all operations.
    pub fn totals(&self) -> Totals {
        let number = |file| read_at(&self.directory, file)?.trim().parse::<u64>().ok();
        Totals {
            processes: number(c"pids.current").map(|count| count as u32),
            processes_limit: number(c"pids.max").map(|count| count as u32),
            memory_limit: number(c"memory.max"),
            cpu: usage(&self.directory),
        }
    }
}

impl Cgroup {
    /// Kills every process in it and below; processes that are being forked right now do not escape.
    pub fn kill(&self) {
        self.killed.set(true);
        let _removed_by_root = rustix::io::write(&self.kill, b"1");
    }

    /// Marks it as not fit for another operation.
    pub fn do_not_reuse(&self) {
        self.killed.set(true);
    }

    /// Whether it has processes that are not zombies.
    pub fn is_populated(&self) -> bool {
        let mut buffer = [0; 64];
        let count = rustix::io::pread(&self.events, &mut buffer, 0).unwrap_or(0);
        buffer[..count].windows(11).any(|window| window == b"populated 1")
    }

    /// CPU time used since [`Cgroup::start_cpu_count`].
    pub fn cpu_time(&self) -> Duration {
        usage(&self.directory).unwrap_or_default().saturating_sub(self.cpu_before)
    }

    /// Starts counting CPU time anew.
    pub fn start_cpu_count(&mut self) {
        self.cpu_before = usage(&self.directory).unwrap_or_default();
    }

    /// The open directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The open file `cgroup.events`.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether the group was not removed meanwhile.
    fn exists(&self) -> bool {
        let mut byte = [0];
        rustix::io::pread(&self.events, &mut byte, 0).is_ok()
    }
}

fn usage(directory: &OwnedFd) -> Option<Duration> {
    read_at(directory, c"cpu.stat").and_then(|text| field(&text, "usage_usec")).map(Duration::from_micros)
}

/// The number behind `name` in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn read_at(directory: &OwnedFd, file: &std::ffi::CStr) -> Option<String> {
    let fd = rustix::fs::openat(directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut buffer = [0; 1024];
    let count = rustix::io::read(&fd, &mut buffer).ok()?;
    String::from_utf8(buffer[..count].to_vec()).ok()
}

fn write_at(directory: &OwnedFd, file: &std::ffi::CStr, text: &[u8]) -> Result<()> {
    let fd = rustix::fs::openat(directory, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&fd, text).map(drop)
}
