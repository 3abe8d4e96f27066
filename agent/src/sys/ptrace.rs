//! Changing the registers of a child.
#![allow(unsafe_code)]

use std::ffi::c_void;

use rustix::io::Errno;
use rustix::process::Pid;

use super::arch::Registers;

/// `PTRACE_EVENT_STOP` with `SIGTRAP`, as `wait4` reports it.
const EVENT_STOP: i32 = (128 << 16) | (libc::SIGTRAP << 8) | 0x7f;

/// A child that is stopped; it goes on when this is dropped.
pub struct Stopped(Pid);

impl Stopped {
    /// Stops a child without a trace of it: neither is a signal sent, nor does its parent hear of it.
    pub fn new(pid: Pid) -> rustix::io::Result<Self> {
        request(libc::PTRACE_SEIZE, pid, std::ptr::null_mut())?;
        let stopped = Self(pid);
        request(libc::PTRACE_INTERRUPT, pid, std::ptr::null_mut())?;
        let mut status = 0;
        // SAFETY: the pointer is to a live variable.
        while unsafe { libc::waitpid(pid.as_raw_nonzero().get(), &raw mut status, libc::__WALL) } < 0 {
            match last_error() {
                Errno::INTR => {}
                error => return Err(error),
            }
        }
        if status == EVENT_STOP { Ok(stopped) } else { Err(Errno::CHILD) }
    }

    /// Its registers.
    pub fn registers(&self) -> rustix::io::Result<Registers> {
        let mut registers = Registers::default();
        request(libc::PTRACE_GETREGS, self.0, (&raw mut registers).cast())?;
        Ok(registers)
    }

    /// Changes its registers.
    pub fn set_registers(&self, mut registers: Registers) -> rustix::io::Result<()> {
        request(libc::PTRACE_SETREGS, self.0, (&raw mut registers).cast())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = request(libc::PTRACE_DETACH, self.0, std::ptr::null_mut());
    }
}

fn request(request: libc::c_uint, pid: Pid, data: *mut c_void) -> rustix::io::Result<()> {
    // SAFETY: with the requests above the kernel uses nothing but `data`, which is null or points to `Registers`, the
    // structure that the kernel reads and writes.
    let result =
        unsafe { libc::ptrace(request, pid.as_raw_nonzero().get(), std::ptr::null_mut::<c_void>(), data) };
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
