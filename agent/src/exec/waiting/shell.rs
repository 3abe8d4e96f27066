//! One shell: to the gate, and through it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::process::{Pid, Signal};
use wasm_sandbox_protocol::agent::Exec;

use super::inputs::Inputs;
use super::places::{Places, Values};
use super::{Released, Retry, script};
use crate::contain::{Containment, Group};
use crate::exec::launch::{Launched, Launcher, Program};
use crate::poller::Key;
use crate::sys::arch::Word;
use crate::sys::remote;

/// The shell.
pub const BASH: &str = "/bin/bash";

/// The longest command. Longer ones are rare, and then bash's start is not what takes the time.
pub const ROOM: usize = 16 << 10;

/// What is in the shell's memory before the command.
const BEFORE: &[u8] = b"/bin/bash\0-c\0";

/// The priority of a shell that starts: any work that was asked for comes first.
const LOWEST: i32 = 19;

/// Where a shell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On the way to the gate.
    Starting,
    /// At the gate.
    AtTheGate,
    /// Killed, and not collected yet.
    Discarded,
}

/// One shell.
pub struct Shell {
    /// Its name for the poller.
    pub key: Key,
    /// What it has read.
    pub inputs: Inputs,
    /// Where it is.
    pub state: State,
    launched: Launched,
    group: Group,
    gate: Gate,
    /// Where its command is, when it is at the gate.
    command: Option<Word>,
    /// Where the rest is, if that is known.
    places: Option<Places>,
    used: Duration,
    /// Its `/proc/PID/syscall`, once it has been [left alone](Shell::left_alone).
    call: Option<File>,
}

/// What a shell waits at.
enum Gate {
    /// A FIFO, which it opens; beside it, with an extension, is the script that led it there.
    Fifo(PathBuf),
    /// A pipe, both of whose ends the agent has, too; none when it was opened.
    Pipe(Option<(OwnedFd, OwnedFd)>),
}

impl Shell {
    /// Starts one, with `output` as [`Launcher::launch_on`] wants it; it is not waited for.
    pub fn start(
        key: Key,
        fifo: PathBuf,
        containment: &mut Containment,
        launcher: &mut Launcher,
        output: Option<(OwnedFd, OwnedFd)>,
    ) -> Option<Self> {
        let inputs = Inputs::now()?;
        let way = way_to(&fifo);
        std::fs::write(&way, script::to_the_gate(fifo.to_str()?)?).ok()?;
        let _left_by_an_agent_of_the_same_number = rustix::fs::unlink(&fifo);
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).ok()?;
        let started = containment.group().ok().and_then(|mut group| {
            group.start_cpu_count();
            let spaces = " ".repeat(ROOM);
            let exec = Exec {
                argv: vec![BASH.into(), "-c".into(), spaces.as_str().into()],
                env: vec![("BASH_ENV".into(), way.to_str()?.into())],
                ..Exec::default()
            };
            match launcher.launch_on(&exec, Program::Named, &group, output) {
                Ok(launched) => Some((launched, group)),
                Err(_) => {
                    containment.release(group);
                    None
                }
            }
        });
        let Some((launched, group)) = started else {
            remove(&fifo);
            return None;
        };
        let _as_fast_as_others = rustix::process::setpriority_process(Some(launched.pid), LOWEST);
        let (state, gate, used) = (State::Starting, Gate::Fifo(fifo), Duration::ZERO);
        Some(Self {
            key,
            inputs,
            state,
            launched,
            group,
            gate,
            command: None,
            places: None,
            used,
            call: None,
        })
    }

    /// Another one, at the gate from the beginning: a copy of this one as a process of its own.
    pub fn copied(&self, key: Key, launched: Launched, pipe: (OwnedFd, OwnedFd), group: Group) -> Self {
        Self {
            key,
            inputs: self.inputs.clone(),
            state: State::AtTheGate,
            command: self.command,
            places: self.places,
            launched,
            group,
            gate: Gate::Pipe(Some(pipe)),
            used: Duration::ZERO,
            call: None,
        }
    }

    /// The path of one of its files in `/proc`.
    fn in_proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid().as_raw_nonzero())
    }

    /// Its memory.
    pub fn memory(&self) -> Option<File> {
        File::options().read(true).write(true).open(self.in_proc("mem")).ok()
    }

    /// From now on it may be sent signals before a request comes for it.
    pub fn left_alone(&mut self) {
        self.call = File::open(self.in_proc("syscall")).ok();
    }

    /// Whether a signal is on its way to it: it would read the script, and take it along.
    fn is_leaving(&self) -> bool {
        let Some(call) = &self.call else { return false };
        let mut number = [0];
        // Of a process that waits, the number of the system call comes first. One that does not may not have come so far yet,
        // where many want the processor.
        let waits = call.read_exact_at(&mut number, 0).is_ok() && number[0].is_ascii_digit();
        !waits && self.has_signals()
    }

    /// Whether signals are pending, or it is gone.
    fn has_signals(&self) -> bool {
        let status = std::fs::read_to_string(self.in_proc("status"));
        let is_pending = |line: &str| {
            let set = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
            set.is_some_and(|set| set.trim().bytes().any(|digit| digit != b'0'))
        };
        status.map_or(true, |status| status.lines().any(is_pending))
    }

    /// Finds the places in its `memory` where its copies, too, get what a request needs.
    pub fn find_places(&mut self, memory: &File) {
        self.places = Places::find(self.pid(), memory);
    }

    /// Whether they were found: a script need not say what is written there.
    pub fn has_places(&self) -> bool {
        self.places.is_some()
    }

    /// The agent's end of its standard output.
    pub fn line(&self) -> &OwnedFd {
        &self.launched.stdout
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.launched.pid
    }

    /// Becomes readable when it has ended.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.launched.pidfd
    }

    /// Looks whether it has come to the gate, and makes everything ready that needs no request.
    pub fn look(&mut self, containment: &Containment) {
        let Some((sleeps, arguments)) = self.stat() else { return self.give_up() };
        if !sleeps {
            return;
        }
        self.state = State::AtTheGate;
        if self.find_command(arguments).is_none() {
            return self.give_up();
        }
        // Without control groups, the start counts as part of the command.
        if containment.has_cgroups() {
            self.used = containment.cpu_time(&self.group, self.pid());
        }
        if rustix::process::setpriority_process(Some(self.pid()), 0).is_err() {
            self.give_up();
        }
    }

    /// Whether it waits for something.
    pub fn sleeps(&self) -> bool {
        self.stat().is_some_and(|(sleeps, _)| sleeps)
    }

    /// Whether it sleeps, and the address of its arguments.
    fn stat(&self) -> Option<(bool, u64)> {
        parse(&std::fs::read_to_string(self.in_proc("stat")).ok()?)
    }

    /// Finds the place of the command, and clears it.
    fn find_command(&mut self, arguments: u64) -> Option<()> {
        let memory = self.memory()?;
        let mut found = vec![0; BEFORE.len() + ROOM + 1];
        memory.read_exact_at(&mut found, arguments).ok()?;
        let (before, rest) = found.split_at(BEFORE.len());
        let expected = before == BEFORE && rest[..ROOM].iter().all(|byte| *byte == b' ') && rest[ROOM] == 0;
        let command = arguments + BEFORE.len() as u64;
        // `ps` shows what is there.
        if !expected || memory.write_at(&[0; ROOM], command).ok()? != ROOM {
            return None;
        }
        self.command = Some(Word::try_from(command).ok()?);
        Some(())
    }

    /// Lets it run `command` after `script`, with `random` as the seed of its random numbers if it [has
    /// places](Self::has_places). If this fails it has not begun with the command, and must be given up. Returns the reading
    /// end of the FIFO: what is still in it when the shell has ended was not read.
    pub fn release(&mut self, command: &[u8], script: &[u8], random: u32) -> Option<OwnedFd> {
        if command.len() > ROOM || self.is_leaving() {
            return None;
        }
        let values = Values::now(command, random);
        let mut writes = vec![(self.command?, command)];
        writes.extend(self.places.iter().flat_map(|places| places.writes(&values)));
        remote::write(self.pid(), &writes).ok()?;
        // Somebody may have stopped everything called bash.
        rustix::process::pidfd_send_signal(self.pidfd(), Signal::CONT).ok()?;
        let (gate, rest) = match &mut self.gate {
            Gate::Fifo(fifo) => {
                let open = |flags| {
                    rustix::fs::open(&*fifo, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()
                };
                // Fails unless somebody has opened it to read: the shell, at the gate.
                (open(OFlags::WRONLY)?, open(OFlags::RDONLY))
            }
            Gate::Pipe(pipe) => pipe.take().map(|(gate, rest)| (gate, Some(rest)))?,
        };
        // All of a script fits: it never waits.
        let written = rustix::io::write(&gate, script);
        if written != Ok(script.len()) || rest.is_none() {
            // Before the gate closes: as long as it is open, bash waits for the rest of the script.
            self.give_up();
            return None;
        }
        self.remove_fifo();
        rest
    }

    /// Kills it; it is collected when it has ended.
    pub fn give_up(&mut self) {
        if self.state != State::Discarded {
            self.state = State::Discarded;
            let _already_gone = rustix::process::pidfd_send_signal(self.pidfd(), Signal::KILL);
        }
    }

    /// Hands over what is now a request's process.
    pub fn into_released(self, retry: Retry) -> Released {
        Released { launched: self.launched, group: self.group, used_before: self.used, retry: Some(retry) }
    }

    /// Forgets it after its end.
    pub fn into_group(self) -> Group {
        self.remove_fifo();
        self.group
    }

    /// Removes the FIFO and the script, which nobody opens any more.
    pub fn remove_fifo(&self) {
        if let Gate::Fifo(fifo) = &self.gate {
            remove(fifo);
        }
    }
}

/// Where the script is that leads a shell to its FIFO.
fn way_to(fifo: &Path) -> PathBuf {
    fifo.with_extension("sh")
}

fn remove(fifo: &Path) {
    let _gone = (rustix::fs::unlink(fifo), rustix::fs::unlink(way_to(fifo)));
}

/// Of `/proc/PID/stat`: whether the process sleeps, and the address of its arguments.
fn parse(stat: &str) -> Option<(bool, u64)> {
    // The command name may itself contain parentheses and spaces; the fields start behind the last one.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let sleeps = fields.next()? == "S";
    Some((sleeps, fields.nth(44)?.parse().ok().filter(|address| *address != 0)?))
}
