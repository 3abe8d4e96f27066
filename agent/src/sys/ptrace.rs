//! Stopping children: to change their registers, to have them make system calls, to see them end.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::arch::{Registers, Word};

/// How `wait4` reports a stop: the signal, 0x7f; above that the event.
const STOPPED: i32 = 0x7f;
/// `PTRACE_EVENT_STOP` with `SIGTRAP`.
const EVENT_STOP: i32 = (libc::PTRACE_EVENT_STOP << 16) | (libc::SIGTRAP << 8) | STOPPED;
/// The beginning or end of a system call.
const SYSTEM_CALL: i32 = ((libc::SIGTRAP | 0x80) << 8) | STOPPED;

/// Events with a new process.
const FORKS: [i32; 3] = [libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK, libc::PTRACE_EVENT_CLONE];

/// Between two looks at running processes.
const PAUSE: Duration = Duration::from_micros(500);

/// A child that is stopped; it goes on when this is dropped.
pub struct Stopped(Pid);

impl Stopped {
    /// Stops a child without a trace of it: neither is a signal sent, nor does its parent hear of it.
    pub fn new(pid: Pid) -> rustix::io::Result<Self> {
        request(libc::PTRACE_SEIZE, pid, 0)?;
        let stopped = Self(pid);
        request(libc::PTRACE_INTERRUPT, pid, 0)?;
        stopped.expect(EVENT_STOP)?;
        request(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_TRACESYSGOOD as usize)?;
        Ok(stopped)
    }

    /// Its registers.
    pub fn registers(&self) -> rustix::io::Result<Registers> {
        let mut registers = Registers::default();
        request(libc::PTRACE_GETREGS, self.0, (&raw mut registers).expose_provenance())?;
        Ok(registers)
    }

    /// Changes its registers.
    pub fn set_registers(&self, mut registers: Registers) -> rustix::io::Result<()> {
        request(libc::PTRACE_SETREGS, self.0, (&raw mut registers).expose_provenance())
    }

    /// Has it make a system call, which must not block; the kernel's answer. `registers` are those it was stopped with, in a
    /// system call.
    pub fn call(
        &self,
        registers: &Registers,
        number: Word,
        arguments: [Word; 3],
    ) -> rustix::io::Result<Word> {
        self.set_registers(registers.calling(number, arguments))?;
        for _beginning_and_end in 0..2 {
            request(libc::PTRACE_SYSCALL, self.0, 0)?;
            self.expect(SYSTEM_CALL)?;
        }
        Ok(self.registers()?.answer())
    }

    /// Lets it and the processes it starts run until they have ended, all in `time`. `begin` is asked now and then until it
    /// has done its part; `at_end` hears of each process just before it is gone.
    pub fn run_to_the_end(
        self,
        time: Duration,
        mut begin: impl FnMut() -> bool,
        mut at_end: impl FnMut(Pid),
    ) -> rustix::io::Result<()> {
        let options = libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEEXIT;
        request(libc::PTRACE_SETOPTIONS, self.0, options as usize)?;
        request(libc::PTRACE_CONT, self.0, 0)?;
        let mut alive = vec![self.0];
        std::mem::forget(self);
        let end = Instant::now() + time;
        let mut has_begun = false;
        while !alive.is_empty() {
            let late = Instant::now() > end;
            if late {
                for pid in &alive {
                    let _already_gone = rustix::process::kill_process(*pid, Signal::KILL);
                }
            }
            let (mut new, mut stopped) = (Vec::new(), false);
            let before = alive.len();
            alive.retain(|pid| match wait(*pid, libc::WNOHANG) {
                Ok(None) => true,
                Ok(Some(status)) if status & 0xFF == STOPPED => {
                    go_on(*pid, status, &mut new, &mut at_end);
                    stopped = true;
                    true
                }
                Ok(Some(_)) | Err(_) => false,
            });
            if alive.len() == before && !stopped {
                // It may wait for its part.
                has_begun = has_begun || begin();
                std::thread::sleep(PAUSE);
            }
            alive.append(&mut new);
            if late && Instant::now() > end + time {
                break;
            }
        }
        if Instant::now() > end { Err(Errno::TIMEDOUT) } else { Ok(()) }
    }

    /// Waits until it stops for a reason, and for no other.
    fn expect(&self, reason: i32) -> rustix::io::Result<()> {
        match wait(self.0, 0) {
            Ok(Some(status)) if status == reason => Ok(()),
            Ok(_) => Err(Errno::CHILD),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = request(libc::PTRACE_DETACH, self.0, 0);
    }
}

/// Lets a process that stopped run again.
fn go_on(pid: Pid, status: i32, new: &mut Vec<Pid>, at_end: &mut impl FnMut(Pid)) {
    let (event, signal) = (status >> 16, status >> 8 & 0xFF);
    if FORKS.contains(&event) {
        let mut message: libc::c_ulong = 0;
        let known = request(libc::PTRACE_GETEVENTMSG, pid, (&raw mut message).expose_provenance());
        new.extend(known.ok().and_then(|()| Pid::from_raw(message as i32)));
    } else if event == libc::PTRACE_EVENT_EXIT {
        at_end(pid);
    }
    // A signal is delivered only now.
    let signal = if event == 0 { signal } else { 0 };
    let _gone = request(libc::PTRACE_CONT, pid, signal as usize);
}

/// What has happened to a process, as `wait4` reports it; `None` if nothing has, with `WNOHANG` in `flags`.
fn wait(pid: Pid, flags: i32) -> rustix::io::Result<Option<i32>> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a live variable.
        match unsafe { libc::waitpid(pid.as_raw_nonzero().get(), &raw mut status, flags | libc::__WALL) } {
            0 => return Ok(None),
            found if found > 0 => return Ok(Some(status)),
            _ => match last_error() {
                Errno::INTR => {}
                error => return Err(error),
            },
        }
    }
}

/// Makes a request; `data` is a number, or the address of a live variable of the type that the request wants.
fn request(request: libc::c_uint, pid: Pid, data: usize) -> rustix::io::Result<()> {
    let data = std::ptr::with_exposed_provenance_mut::<c_void>(data);
    // SAFETY: the requests above use nothing but `data`: they pass a number where the kernel takes one, otherwise the
    // address of a variable of theirs, of the type that the kernel reads or writes.
    let result =
        unsafe { libc::ptrace(request, pid.as_raw_nonzero().get(), std::ptr::null_mut::<c_void>(), data) };
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
