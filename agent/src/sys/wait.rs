//! Waiting for one child and learning what it used.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::process::Pid;
use wasm_sandbox_protocol::agent::{ExitStatus, Usage};

/// Collects a child that has ended; `None` if it still runs and `block` is not set.
///
/// `wait4` and not `waitid`, because only it reports the usage in the same system call. The process identifier cannot
/// have been reused: nobody else waits for the agent's children.
pub fn reap(pid: Pid, block: bool) -> rustix::io::Result<Option<(ExitStatus, Usage)>> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid: it is a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are to live variables of the right type.
        match unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, flags, &mut usage) } {
            0 => return Ok(None),
            -1 => match std::io::Error::last_os_error().raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::INTR) => {}
                other => return Err(other.unwrap_or(Errno::CHILD)),
            },
            _ => break,
        }
    }
    let exit = if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status) as u8)
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(status) as u8)
    };
    let microseconds = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    let usage = Usage {
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss as u64,
    };
    Ok(Some((exit, usage)))
}
