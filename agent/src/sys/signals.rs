//! The agent's own signals and scheduling.
#![allow(unsafe_code)]

/// Makes writes to closed pipes fail with an error instead of a signal, without children inheriting that.
///
/// A signal that is *ignored* stays ignored after `execve`, one with a handler becomes default again. So a handler that
/// does nothing saves a system call in each child.
pub fn catch_sigpipe() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing, which is safe at any moment; the struct is fully initialised.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGPIPE, &action, std::ptr::null_mut());
    }
}

/// Runs this process before the sandbox's own, and gives children the usual priority again.
pub fn raise_priority(nice: i32) {
    let _unprivileged_in_tests = rustix::process::setpriority_process(None, nice);
    // SAFETY: the parameter is a live, initialised struct.
    unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        // The flag does it in the kernel, at no cost for a child.
        libc::sched_setscheduler(0, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, &parameter);
    }
}
