//! Keeping the processes of one operation together, so that all of them can be killed.

mod cgroup;
mod session;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

pub use cgroup::{Cgroup, CgroupPool, Limits};

/// How process trees are held together.
pub enum Containment {
    /// A control group each: nothing escapes. What the guest uses.
    Cgroups(CgroupPool),
    /// The leader's session and descendants, found in `/proc`. For kernels without cgroup v2, and tests outside the guest:
    /// a process that makes a session of its own *and* whose parent has ended is not found.
    Sessions,
}

/// One operation's processes.
pub struct Group(Option<Cgroup>);

/// Numbers for a status report; `None` where nobody counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Processes and threads.
    pub processes: Option<u32>,
    /// The most there may be.
    pub processes_limit: Option<u32>,
    /// Bytes they may use.
    pub memory_limit: Option<u64>,
    /// CPU time they used, the ended ones included.
    pub cpu: Option<Duration>,
}

impl Containment {
    /// Uses a directory of the cgroup v2 file system if it is one and can be written to.
    pub fn new(directory: &Path, limits: Limits) -> Self {
        match CgroupPool::new(directory, limits) {
            Ok(pool) => Containment::Cgroups(pool),
            Err(_) => Containment::Sessions,
        }
    }

    /// Whether control groups are used.
    pub fn has_cgroups(&self) -> bool {
        matches!(self, Containment::Cgroups(_))
    }

    /// A place for a new process tree.
    pub fn group(&mut self) -> rustix::io::Result<Group> {
        match self {
            Containment::Cgroups(pool) => pool.take().map(|cgroup| Group(Some(cgroup))),
            Containment::Sessions => Ok(Group(None)),
        }
    }

    /// Gives a group back. One that may still have processes, or that somebody tampered with, must not be used again.
    pub fn release(&mut self, group: Group) {
        if let (Containment::Cgroups(pool), Some(cgroup)) = (self, group.0) {
            pool.put(cgroup);
        }
    }

    /// Kills the whole tree of this leader.
    pub fn kill(&self, group: &Group, leader: Pid) {
        match &group.0 {
            Some(cgroup) => cgroup.kill(),
            None => session::kill(leader),
        }
    }

    /// CPU time the group used since [`Group::start_cpu_count`].
    pub fn cpu_time(&self, group: &Group, leader: Pid) -> Duration {
        match &group.0 {
            Some(cgroup) => cgroup.cpu_time(),
            None => session::cpu_time(leader),
        }
    }

    /// Stops every process where it is. There is one processor and the agent has it, so every other process is in the
    /// kernel, and stops at the latest when it would leave it: none runs on, whether or not all have arrived there. Giving
    /// way a few times lets most of them arrive, so that nothing is left to do for them later.
    pub fn freeze(&self) {
        const WAYS: usize = 8;
        let Containment::Cgroups(pool) = self else { return };
        if !pool.freeze(true) {
            return;
        }
        for _ in 0..WAYS {
            if pool.is_frozen() {
                return;
            }
            rustix::thread::sched_yield();
        }
    }

    /// Lets processes run again.
    pub fn thaw(&self) {
        if let Containment::Cgroups(pool) = self {
            pool.freeze(false);
        }
    }

    /// Limits the number of processes and threads from now on.
    pub fn limit_processes(&self, limit: u32) {
        if let Containment::Cgroups(pool) = self {
            pool.limit_processes(limit);
        }
    }

    /// How often the out-of-memory killer struck inside the sandbox since the last call.
    pub fn new_oom_kills(&mut self) -> u64 {
        match self {
            Containment::Cgroups(pool) => pool.new_oom_kills(),
            Containment::Sessions => 0,
        }
    }

    /// A leader was killed, and not by the agent: perhaps by something that also spoils groups kept for later.
    pub fn killed_by_others(&mut self, group: &Group) {
        if let (Containment::Cgroups(pool), Some(cgroup)) = (self, &group.0) {
            cgroup.do_not_reuse();
            pool.distrust();
        }
    }

    /// Numbers over all groups.
    pub fn totals(&self) -> Totals {
        match self {
            Containment::Cgroups(pool) => pool.totals(),
            Containment::Sessions => Totals::default(),
        }
    }
}

impl Group {
    /// Whether processes of the operation are left, its leader being gone. Without control groups nobody knows: no.
    pub fn is_populated(&self) -> bool {
        self.0.as_ref().is_some_and(Cgroup::is_populated)
    }

    /// Makes [`Containment::cpu_time`] count from now.
    pub fn start_cpu_count(&mut self) {
        if let Some(cgroup) = &mut self.0 {
            cgroup.start_cpu_count();
        }
    }

    /// The directory to start processes in.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Cgroup::directory)
    }

    /// A file that epoll reports with `PRI` when the group becomes empty.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Cgroup::events)
    }
}
