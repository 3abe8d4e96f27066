//! The shell that waiting shells are copies of.
//!
//! Most of what a shell costs is its start, and that is the same each time. So one shell goes through it as far as the
//! gate, and there gets [`fork_server`] for company: machine code that copies the shell whenever the agent asks for it.
//! A copy is a child of the agent, in a session and a control group of its own, with streams of its own; the shell's
//! variables that hold its process identifier are set to the new one. It returns to where the shell waited, with a pipe
//! where the FIFO would have been.
//!
//! Nothing is left in a copy but some bytes below its stack. Where this is not possible, for whatever reason, shells are
//! started one by one.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::time::Timespec;

use super::shell::{BASH, Shell};
use super::symbols;
use crate::contain::{Containment, Group};
use crate::exec::launch::Launched;
use crate::poller::Key;
use crate::sys::fork_server::{self, Data, Frame};
use crate::sys::ptrace::Stopped;

/// How long the agent waits for a copy before it goes on with something else.
const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes below the waiting shell's stack where the machine code and its stack are.
const BELOW: u32 = 2048;
/// Of them, its stack.
const STACK: u32 = 512;

const CLONE_PARENT: u32 = 0x8000;
const CLONE_INTO_CGROUP_HIGH: u32 = 0x2;

/// System calls that wait at the gate: `open` and `openat`.
const OPENS: [u32; 2] = [5, 295];
/// What they return when a signal, or nobody's signal, interrupts them.
const RESTART: u32 = -512i32 as u32;

/// The variables of bash with its process identifier.
const IDENTIFIERS: [&[u8]; 4] = [b"dollar_dollar_pid", b"shell_pgrp", b"original_pgrp", b"terminal_pgrp"];

/// A shell that can be copied.
pub struct Zygote {
    /// The shell itself.
    pub shell: Shell,
    ready: bool,
    /// A copy that was asked for and is not there yet.
    pending: Option<Copy>,
    /// Whether it ever made one.
    proven: bool,
}

/// The agent's side of a copy, apart from its process.
struct Copy {
    stdout: OwnedFd,
    stderr: OwnedFd,
    gate: OwnedFd,
    rest: OwnedFd,
    group: Group,
}

/// What a zygote has as its standard output, and the agent's end of it.
pub fn line() -> Option<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (output, agent) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
    rustix::io::ioctl_fionbio(&agent, true).ok()?;
    Some((output, agent))
}

impl Zygote {
    /// A shell that was started with an end of a [`line`] for its output; not yet at the gate.
    pub fn new(shell: Shell) -> Option<Self> {
        Some(Self { shell, ready: false, pending: None, proven: false })
    }

    /// Whether it can be asked for copies.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether it was made ready and never made a copy: the machine code may be what ended it.
    pub fn has_failed(&self) -> bool {
        self.ready && !self.proven
    }

    /// Makes it ready, now that it is at the gate.
    pub fn prepare(&mut self) -> Option<()> {
        let pid = self.shell.pid();
        let memory = self.shell.memory()?;
        let identifiers = identifiers(pid, memory)?;
        let stopped = Stopped::new(pid).ok()?;
        let mut registers = stopped.registers().ok()?;
        if !OPENS.contains(&registers.orig_eax) || registers.eax != RESTART {
            return None;
        }
        let top = registers.esp;
        let frame_at = top.checked_sub(size_of::<Frame>() as u32)?;
        let data_at = frame_at.checked_sub(STACK + size_of::<Data>() as u32)? & !15;
        let code_at = top.checked_sub(BELOW)?;
        let code = fork_server::code();
        if code_at + code.len() as u32 > data_at {
            return None;
        }
        let frame = Frame {
            edi: registers.edi,
            esi: registers.esi,
            ebp: registers.ebp,
            esp_not_used: 0,
            ebx: registers.ebx,
            edx: registers.edx,
            ecx: registers.ecx,
            eax: 0,
            eflags: registers.eflags,
            eip: registers.eip,
        };
        let mut data = Data {
            message_name: [0; 2],
            message_iov: data_at + std::mem::offset_of!(Data, iov_base) as u32,
            message_iov_count: 1,
            message_control: data_at + std::mem::offset_of!(Data, control) as u32,
            message_control_bytes: 0,
            message_flags: 0,
            iov_base: data_at + std::mem::offset_of!(Data, word) as u32,
            iov_bytes: 4,
            word: 0,
            control: [0; 3],
            descriptors: [0; 4],
            clone: [0; 22],
            identifiers,
        };
        (data.clone[0], data.clone[1]) = (CLONE_PARENT, CLONE_INTO_CGROUP_HIGH);
        for (bytes, address) in [(code, code_at), (data.bytes(), data_at), (frame.bytes(), frame_at)] {
            memory.write_all_at(bytes, address.into()).ok()?;
        }
        registers.eip = code_at;
        registers.esp = frame_at;
        registers.ebp = frame_at;
        registers.esi = data_at;
        // Not in a system call: nothing is to be started again.
        registers.orig_eax = u32::MAX;
        stopped.set_registers(registers).ok()?;
        drop(stopped);
        keep_page_tables(pid, memory);
        self.ready = true;
        Some(())
    }

    /// Makes a copy called `key`; `None` if there is none, or not yet.
    pub fn copy(&mut self, key: Key, containment: &mut Containment) -> Option<Shell> {
        if self.pending.is_none() {
            let group = containment.group().ok()?;
            match self.ask(group) {
                Ok(copy) => self.pending = Some(copy),
                Err(group) => {
                    self.shell.give_up();
                    containment.release(group);
                    return None;
                }
            }
        }
        let answer = self.answer()?;
        self.proven = true;
        let Copy { stdout, stderr, gate, rest, group } = self.pending.take()?;
        let Some(pid) = Pid::from_raw(answer).filter(|_| answer > 0) else {
            containment.release(group);
            return None;
        };
        let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
            let _already_gone = rustix::process::kill_process(pid, Signal::KILL);
            let _gone = crate::sys::wait::reap(pid, true);
            containment.release(group);
            return None;
        };
        let launched = Launched { pid, pidfd, stdin: None, stdout, stderr: Some(stderr) };
        Some(self.shell.copied(key, launched, (gate, rest), group))
    }

    /// Gives back what belongs to a copy that never came.
    pub fn into_groups(self) -> (Group, Option<Group>) {
        (self.shell.into_group(), self.pending.map(|copy| copy.group))
    }

    fn ask(&mut self, group: Group) -> Result<Copy, Group> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok();
        let (Some((stdout, output)), Some((stderr, error)), Some((script, gate))) = (pipe(), pipe(), pipe())
        else {
            return Err(group);
        };
        let nonblocking = [&stdout, &stderr].iter().all(|fd| rustix::io::ioctl_fionbio(fd, true).is_ok());
        let sent = group.directory().filter(|_| nonblocking).and_then(|cgroup| {
            let descriptors = [script.as_fd(), output.as_fd(), error.as_fd(), cgroup];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let content = [IoSlice::new(&[0; 4])];
            (fits && rustix::net::sendmsg(self.shell.line(), &content, &mut control, flags) == Ok(4))
                .then_some(())
        });
        match sent {
            Some(()) => Ok(Copy { stdout, stderr, gate, rest: script, group }),
            None => Err(group),
        }
    }

    /// The answer of the machine code, if it comes soon.
    fn answer(&self) -> Option<i32> {
        let line = self.shell.line();
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) as _ };
        let mut fds = [PollFd::new(line, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&timeout)).ok()?;
        let mut answer = [0; 4];
        let count = rustix::io::read(line, &mut answer).ok()?;
        (count == answer.len()).then(|| i32::from_le_bytes(answer))
    }
}

/// Makes copies inherit the page tables of program and C library. Linux leaves them out where a mapping of a file was
/// never written to, and each copy would find its pages again by some fifty page faults.
fn keep_page_tables(pid: Pid, memory: &File) -> Option<()> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero())).ok()?;
    for line in maps.lines().filter(|line| line.ends_with("/bash") || line.contains("/libc.")) {
        let mut fields = line.split_whitespace();
        let start = u32::from_str_radix(fields.next()?.split('-').next()?, 16).ok()?;
        if !matches!(fields.next()?, "r-xp" | "r--p") {
            continue;
        }
        let mut byte = [0];
        memory.read_exact_at(&mut byte, start.into()).ok()?;
        memory.write_all_at(&byte, start.into()).ok()?;
    }
    Some(())
}

/// Where a shell has its process identifier.
fn identifiers(pid: Pid, memory: &File) -> Option<[u32; 4]> {
    let number = pid.as_raw_nonzero().get();
    let maps = std::fs::read_to_string(format!("/proc/{number}/maps")).ok()?;
    // The program itself comes first, from its first byte on.
    let mut first = maps.lines().next()?.split_whitespace();
    let base = u32::from_str_radix(first.next()?.split('-').next()?, 16).ok()?;
    if first.nth(1)? != "00000000" || !first.nth(2)?.ends_with("/bash") {
        return None;
    }
    let places = symbols::find(&File::open(BASH).ok()?, IDENTIFIERS)?.map(|place| base + place);
    let holds = |place: u32| {
        let mut value = [0; 4];
        memory.read_exact_at(&mut value, place.into()).is_ok() && i32::from_le_bytes(value) == number
    };
    let found = places.map(|place| if holds(place) { place } else { 0 });
    // `$$` and the process group are known to be among them: otherwise this is not the bash it is taken for.
    (found[0] != 0 && found[1] != 0).then_some(found)
}
