//! Starting a process with `clone3` as `vfork` does: the child borrows the parent's memory until it calls `execve`, so
//! no page table is copied, and it begins its life inside its control group.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Gid, Pid, Uid};

use super::arch::clone3_and_call;

/// Bytes of stack for the child between `clone3` and `execve`; it calls a handful of system call wrappers.
const STACK: usize = 64 * 1024;

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Everything the child needs, prepared beforehand because it must not allocate.
pub struct Plan<'a> {
    /// Paths to try with `execve`, in order.
    pub programs: &'a [CString],
    /// An open program to run instead.
    pub open_program: Option<BorrowedFd<'a>>,
    /// The argument vector.
    pub argv: &'a [CString],
    /// The environment, `NAME=value` each.
    pub env: &'a [CString],
    /// Directories to try to enter, in order; the first that can be entered is the working directory.
    pub directories: &'a [CString],
    /// User, group and supplementary groups to become, unless they are the agent's own.
    pub identity: Option<(Uid, Gid, &'a [Gid])>,
    /// What become file descriptors 0, 1 and 2. None of them may be 0, 1 or 2.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Standard input is a terminal, which becomes the controlling one.
    pub controlling_terminal: bool,
    /// The directory of the control group to start in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// The step at which starting a process failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Creating the process.
    Clone,
    /// A session, a terminal or file descriptors.
    Setup,
    /// User and groups.
    Identity,
    /// The working directory.
    Directory,
    /// Loading the program.
    Exec,
}

/// The stack that children use one after the other.
pub struct ChildStack(Box<[u128]>);

impl ChildStack {
    /// Allocates it; the pages are only touched when used.
    pub fn new() -> Self {
        Self(vec![0u128; STACK / size_of::<u128>()].into_boxed_slice())
    }
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A plan in the form the kernel takes, and where the child leaves its failure.
struct Prepared<'a> {
    plan: &'a Plan<'a>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    failure: Option<(Step, Errno)>,
}

/// Starts the process and waits until it has called `execve` or failed to.
pub fn spawn(plan: &Plan, stack: &mut ChildStack) -> Result<(Pid, OwnedFd), (Step, Errno)> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let mut prepared = Prepared { plan, argv: pointers(plan.argv), env: pointers(plan.env), failure: None };
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
        pidfd: &raw mut pidfd as usize as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.0.as_mut_ptr() as usize as u64,
        stack_size: size_of_val(&*stack.0) as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = plan.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` describes a stack that nobody else uses, since `stack` is borrowed mutably and `CLONE_VFORK` keeps
    // this thread from going on until the child has left it. `prepared` outlives the call for the same reason. The
    // child runs `child`, which never returns and neither allocates nor panics.
    let result = unsafe {
        clone3_and_call((&raw const args).cast(), size_of::<CloneArgs>(), child, (&raw mut prepared).cast())
    };
    if result < 0 {
        return Err((Step::Clone, Errno::from_raw_os_error(-result as i32)));
    }
    // SAFETY: the kernel stored a new file descriptor here that belongs to nobody else.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: the child wrote to `failure` through a pointer while this function was suspended.
    let failure = unsafe { std::ptr::read_volatile(&raw const prepared.failure) };
    match (failure, Pid::from_raw(result as i32)) {
        (None, Some(pid)) => Ok((pid, pidfd)),
        (failure, pid) => {
            if let Some(pid) = pid {
                let _gone = super::wait::reap(pid, true);
            }
            Err(failure.unwrap_or((Step::Clone, Errno::CHILD)))
        }
    }
}

/// The child: from here to `execve` or `_exit` it shares memory with its suspended parent.
extern "C" fn child(prepared: *mut c_void) -> ! {
    // SAFETY: `spawn` passes a pointer to its `Prepared`, which lives until this process has exec'ed or exited.
    let prepared = unsafe { &mut *prepared.cast::<Prepared>() };
    prepared.failure = Some(become_program(prepared));
    // SAFETY: ends this process without running anything of the parent's, such as exit handlers.
    unsafe { libc::_exit(127) }
}

/// Returns only on failure.
fn become_program(prepared: &Prepared) -> (Step, Errno) {
    let plan = prepared.plan;
    if let Err(error) = set_up(plan) {
        return (Step::Setup, error);
    }
    if let Some((uid, gid, groups)) = plan.identity {
        use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
        let become_user = || {
            set_thread_groups(groups)?;
            set_thread_gid(gid)?;
            set_thread_uid(uid)
        };
        if let Err(error) = become_user() {
            return (Step::Identity, error);
        }
    }
    if let Err(error) = first_success(plan.directories, |directory| rustix::process::chdir(directory)) {
        return (Step::Directory, error);
    }
    if let Some(program) = plan.open_program {
        // SAFETY: all pointers are to NUL-terminated strings, and the arrays end with a null pointer.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                program.as_raw_fd(),
                c"".as_ptr(),
                prepared.argv.as_ptr(),
                prepared.env.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        return (Step::Exec, last_error().unwrap_or(Errno::NOEXEC));
    }
    let mut outcome = Errno::NOENT;
    for program in plan.programs {
        // SAFETY: all pointers are to NUL-terminated strings, and the arrays end with a null pointer.
        unsafe { libc::execve(program.as_ptr(), prepared.argv.as_ptr(), prepared.env.as_ptr()) };
        match last_error() {
            Some(Errno::NOENT | Errno::NOTDIR) => {}
            // As execvp does: a program that may not be run is passed over, but not forgotten.
            Some(Errno::ACCESS) => outcome = Errno::ACCESS,
            Some(other) => return (Step::Exec, other),
            None => {}
        }
    }
    (Step::Exec, outcome)
}

fn last_error() -> Option<Errno> {
    std::io::Error::last_os_error().raw_os_error().map(Errno::from_raw_os_error)
}

fn set_up(plan: &Plan) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    crate::open_files::lower();
    let [stdin, stdout, stderr] = plan.stdio;
    if plan.controlling_terminal {
        rustix::process::ioctl_tiocsctty(stdin)?;
    }
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)
}

fn first_success(
    choices: &[CString],
    attempt: impl Fn(&CStr) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let mut result = Ok(());
    for choice in choices {
        result = attempt(choice);
        if result.is_ok() {
            break;
        }
    }
    result
}
