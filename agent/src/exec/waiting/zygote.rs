//! The shell that waiting shells are copies of.
//!
//! Most of what a shell costs is its start, and that is the same each time. So one shell goes through it as far as the
//! gate, and there gets [`fork_server`] for company: machine code that copies the shell whenever the agent asks for it.
//! A copy is a child of the agent, in a session and a control group of its own, with streams of its own; the shell's
//! variables that hold its process identifier are set to the new one. It returns to where the shell waited, with a pipe
//! where the FIFO would have been.
//!
//! Nothing is left in a copy but some bytes below its stack, and behind the end of a program's code where stacks cannot be
//! executed. Where this is not possible, for whatever reason, shells are started one by one.
#![allow(clippy::useless_conversion, reason = "an address is a u64 only on some processors")]

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

use super::mappings::{Mapping, mappings};
use super::places;
use super::shell::{BASH, Shell};
use super::symbols;
use super::working_set::WorkingSet;
use crate::contain::{Containment, Group};
use crate::exec::launch::Launched;
use crate::poller::Key;
use crate::sys::arch::{CODE_ON_STACK, Frame, RED_ZONE, Word};
use crate::sys::fork_server::{self, Data};
use crate::sys::ptrace::Stopped;

/// How long the agent waits for a copy before it goes on with something else.
const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes below the waiting shell's stack pointer where the machine code's stack is, and the code itself if it can be there.
const BELOW: Word = 2048;
/// Of them, its stack.
const STACK: Word = 512;

/// Zeros behind the end of a program's code, beside those that the machine code takes: an instruction may end with some.
const MARGIN: usize = 64;

const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

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

    /// Makes it ready, now that it is at the gate: its copies inherit the pages of `working_set`.
    pub fn prepare(&mut self, working_set: Option<&WorkingSet>) -> Option<()> {
        let pid = self.shell.pid();
        let memory = &self.shell.memory()?;
        self.shell.find_places(memory);
        let identifiers = identifiers(pid, memory)?;
        let stopped = Stopped::new(pid).ok()?;
        let mut registers = stopped.registers().ok()?;
        if !registers.opens_a_file() {
            return None;
        }
        let top = registers.stack();
        let frame_at = top.checked_sub(RED_ZONE + size_of::<Frame>() as Word)?;
        let data_at = frame_at.checked_sub(STACK + size_of::<Data>() as Word)? & !15;
        let lowest = top.checked_sub(BELOW)?;
        let code = fork_server::code();
        let code_at = if CODE_ON_STACK { lowest } else { behind_a_program(pid, memory, code.len())? };
        let lowest_free = if CODE_ON_STACK { lowest + code.len() as Word } else { lowest };
        if lowest_free > data_at {
            return None;
        }
        if let Some(working_set) = working_set {
            working_set.keep(&stopped, &registers, pid, memory).ok()?;
        }
        let frame = registers.frame();
        let data = Data::new(data_at, CLONE_PARENT | CLONE_INTO_CGROUP, identifiers);
        for (bytes, address) in [(code, code_at), (data.bytes(), data_at), (frame.bytes(), frame_at)] {
            memory.write_all_at(bytes, address.into()).ok()?;
        }
        registers.enter(code_at, data_at, frame_at);
        stopped.set_registers(registers).ok()?;
        drop(stopped);
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

/// Room for `length` bytes of machine code where it can be executed: between the end of a program's or a library's own
/// code and the end of its page.
fn behind_a_program(pid: Pid, memory: &File, length: usize) -> Option<Word> {
    let size = length.next_multiple_of(16);
    let is_free = |mapping: &Mapping| {
        let mut found = vec![1; MARGIN + size];
        let start = mapping.end.checked_sub(found.len() as Word).filter(|start| *start >= mapping.start);
        start.is_some_and(|start| memory.read_exact_at(&mut found, start.into()).is_ok())
            && found.iter().all(|byte| *byte == 0)
    };
    let mapping = mappings(pid)?
        .into_iter()
        .find(|mapping| mapping.rights == "r-xp" && mapping.file.starts_with('/') && is_free(mapping))?;
    Some(mapping.end - size as Word)
}

/// Where a shell has its process identifier.
fn identifiers(pid: Pid, memory: &File) -> Option<[Word; 4]> {
    let number = pid.as_raw_nonzero().get();
    let mappings = mappings(pid)?;
    let program = places::program(&mappings)?;
    let variables = symbols::find(&File::open(BASH).ok()?, IDENTIFIERS)?;
    let holds = |place: Word| {
        let mut value = [0; 4];
        memory.read_exact_at(&mut value, place.into()).is_ok() && i32::from_le_bytes(value) == number
    };
    let found = variables.map(|place| places::at(program, place).filter(|place| holds(*place)).unwrap_or(0));
    // `$$` and the process group are known to be among them: otherwise this is not the bash it is taken for.
    (found[0] != 0 && found[1] != 0).then_some(found)
}
