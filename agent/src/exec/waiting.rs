//! Shells that are started already and wait for a command.
//!
//! Most requests are `/bin/bash -c COMMAND`, and nearly all they cost a guest is not the command: it is `execve`, the
//! dynamic loader and bash's own start. So a few shells go through all of that while the guest has nothing else to do.
//!
//! Such a shell is started as any other process, only with spaces for a command and with `BASH_ENV` naming a [`script`]. A
//! shell that runs a command executes the file that `BASH_ENV` names first; this one reads from a FIFO, and so the shell waits
//! at this gate until somebody writes to the FIFO. A request is then run in three steps: its command is written over the spaces
//! in the shell's memory, where bash will look for it, and what bash has made of its surroundings at its start is put right in
//! its [`places`]; what else the request asks for is written to the FIFO as a script; the FIFO is closed. bash goes on as if it
//! had just been started.
//!
//! What differs from a new process, and only for who looks closely: the shell's start time, trailing NULs in
//! `/proc/PID/cmdline` and `BASH_ENV` in `/proc/PID/environ` of the shell itself (not of what it runs); `PIPESTATUS` is
//! `(0)`, not `()`, before the first command; `declare -p` shows values of `RANDOM`, `SECONDS` and `BASH_ARGC` that were
//! not asked for; the C library and the locales are those of the moment the shell was started. Shells that wait are
//! visible to `ps` and count against the limit on processes.
//!
//! Where it is possible, only two shells go through their start: one that shows which pages shells use, the
//! [`working_set`], and the [`zygote`], of which the others are copies. Copies are made in quiet moments too, and if there
//! are none, when a request comes.
//!
//! A request that does not fit, for whatever reason, takes the usual way. Shells are only started when nothing was asked
//! for some milliseconds, one at a time and at the lowest priority.

mod inputs;
mod mappings;
mod places;
mod script;
mod shell;
mod symbols;
mod working_set;
mod zygote;

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, OFlags};
use wasm_sandbox_protocol::agent::{Bytes, Exec, ExitStatus};

use self::inputs::Inputs;
use self::shell::{Shell, State};
use self::working_set::WorkingSet;
use self::zygote::Zygote;
use super::launch::Launched;
use crate::contain::Group;
use crate::poller::{Key, Token};
use crate::server::Shared;

/// Shells that wait.
const SHELLS: usize = 2;

/// Shells that wait when they are copies, which cost little.
const COPIES: usize = 4;

/// How long nothing must have happened before work is done that nobody asked for.
const QUIET: Duration = Duration::from_millis(5);

/// The same for making a copy: a pause that clients who ask at once do not leave.
const QUIET_FOR_A_COPY: Duration = Duration::from_millis(1);

/// Failures in a row after which the next attempt is put off.
const PATIENCE: u32 = 4;

/// The longest time between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The shells that wait.
pub struct WaitingShells {
    directory: PathBuf,
    shells: Vec<Shell>,
    zygote: Option<Zygote>,
    /// No zygote can be had here.
    no_zygote: bool,
    /// The shell that shows, or was to show, the working set.
    pupil: Option<Key>,
    working_set: Option<WorkingSet>,
    next: Key,
    /// Something a waiting shell has read at its start may have changed.
    suspicious: bool,
    /// Shells that ended unused, or could not be started, since the last that was used.
    failures: u32,
    /// Looks at a shell that was not at the gate yet.
    looks: u32,
    /// When there is something to do, provided that nothing else is.
    due: Option<Instant>,
}

/// A shell that has begun with a request's command.
pub struct Released {
    /// The process and its streams.
    pub launched: Launched,
    /// Where it runs.
    pub group: Group,
    /// CPU time it used before.
    pub used_before: Duration,
    /// What to do if it turns out to have been dead already.
    pub retry: Option<Retry>,
}

/// A signal that was sent to a waiting shell kills it when it is next scheduled. If a request was given to such a shell, and
/// it has not read what comes before the command, the request runs in another.
pub struct Retry {
    /// The request.
    pub exec: Exec<'static>,
    rest: OwnedFd,
}

impl Retry {
    fn new(exec: &Exec, rest: OwnedFd) -> Self {
        let own = |bytes: &Bytes| bytes.clone().into_owned();
        let exec = Exec {
            op: exec.op,
            argv: exec.argv.iter().map(own).collect(),
            env: exec.env.iter().map(|(name, value)| (own(name), own(value))).collect(),
            cwd: exec.cwd.as_ref().map(own),
            time_limit_ms: exec.time_limit_ms,
            announce_start: false,
            output_delay_ms: exec.output_delay_ms,
            ..Exec::default()
        };
        Self { exec, rest }
    }

    /// Whether the shell, which has ended, had not even read what comes before the command.
    pub fn is_due(&self) -> bool {
        rustix::io::ioctl_fionread(&self.rest).is_ok_and(|bytes| bytes > 0)
    }
}

impl WaitingShells {
    /// None yet; their FIFOs will be in `directory`, which is made when it is needed.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            shells: Vec::new(),
            zygote: None,
            no_zygote: false,
            pupil: None,
            working_set: None,
            next: 0,
            suspicious: false,
            failures: 0,
            looks: 0,
            due: None,
        }
    }

    /// How many processes exist that belong to nobody's operation.
    pub fn count(&self) -> u32 {
        self.shells.len() as u32 + u32::from(self.zygote.is_some())
    }

    /// When [`WaitingShells::tend`] wants to be called if nothing happens until then.
    pub fn next_look(&mut self) -> Option<Instant> {
        let of = |state| self.all().filter(move |shell| shell.state == state).count();
        let (wanted, quiet) = match self.zygote.as_ref().is_some_and(Zygote::is_ready) {
            true => (COPIES, QUIET_FOR_A_COPY),
            false => (SHELLS, QUIET),
        };
        let pause = if of(State::Starting) > 0 {
            QUIET * (1 << self.looks.min(8))
        } else if self.suspicious || self.at_the_gate() < wanted {
            let doublings = self.failures.saturating_sub(PATIENCE);
            if doublings == 0 { quiet } else { LONGEST_PAUSE.min(Duration::from_secs(1 << doublings.min(6))) }
        } else {
            self.due = None;
            return None;
        };
        self.due = Some(Instant::now() + pause);
        self.due
    }

    fn all(&self) -> impl Iterator<Item = &Shell> {
        self.shells.iter().chain(self.zygote.as_ref().map(|zygote| &zygote.shell))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Shell> {
        self.shells.iter_mut().chain(self.zygote.as_mut().map(|zygote| &mut zygote.shell))
    }

    /// Shells that can take a request.
    fn at_the_gate(&self) -> usize {
        self.shells.iter().filter(|shell| shell.state == State::AtTheGate).count()
    }

    /// Whether the moment that [`WaitingShells::next_look`] named has come.
    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Does one thing that is not urgent.
    pub fn tend(shared: &mut Shared) {
        let waiting = &mut shared.waiting;
        if std::mem::take(&mut waiting.suspicious) {
            let inputs = Inputs::now();
            for shell in waiting.all_mut().filter(|shell| Some(&shell.inputs) != inputs.as_ref()) {
                shell.give_up();
            }
            waiting.pupil = None;
        }
        let containment = &shared.containment;
        let starting = waiting.all_mut().find(|shell| shell.state == State::Starting);
        if starting.map(|shell| shell.look(containment)).is_some() {
            waiting.looks += 1;
            waiting.learn();
            return waiting.prepare_zygote();
        }
        waiting.looks = 0;
        let done = match &waiting.zygote {
            Some(zygote) if zygote.shell.state == State::Discarded => return,
            Some(_) if waiting.at_the_gate() < COPIES => Self::copy_one_ahead(shared),
            Some(_) => return,
            None if !waiting.no_zygote && shared.containment.has_cgroups() => match waiting.pupil {
                None => Self::start_pupil(shared),
                Some(_) => Self::start_zygote(shared),
            },
            None if waiting.at_the_gate() < SHELLS => Self::start_one(shared),
            None => return,
        };
        if done.is_none() {
            shared.waiting.failures += 1;
        }
    }

    /// Learns the working set when the shell that shows it has come to the gate; if that fails, does without.
    fn learn(&mut self) {
        let pupil = |shell: &&mut Shell| Some(shell.key) == self.pupil && shell.state == State::AtTheGate;
        if let Some(shell) = self.shells.iter_mut().find(pupil) {
            self.working_set = WorkingSet::learn(shell);
            shell.give_up();
        }
    }

    /// Makes the zygote ready when it has come to the gate; if that fails, does without.
    fn prepare_zygote(&mut self) {
        if let Some(zygote) = self.zygote.as_mut().filter(|zygote| zygote.shell.state == State::AtTheGate)
            && !zygote.is_ready()
        {
            if zygote.prepare(self.working_set.as_ref()).is_none() {
                zygote.shell.give_up();
                self.no_zygote = true;
            }
            zygote.shell.remove_fifo();
        }
    }

    fn start_pupil(shared: &mut Shared) -> Option<()> {
        Self::start_one(shared)?;
        shared.waiting.pupil = shared.waiting.shells.last().map(|shell| shell.key);
        Some(())
    }

    fn start_zygote(shared: &mut Shared) -> Option<()> {
        let zygote = zygote::line().and_then(|line| Zygote::new(Self::start(shared, Some(line))?));
        shared.waiting.no_zygote = zygote.is_none();
        shared.waiting.zygote = zygote;
        shared.waiting.zygote.as_ref().map(drop)
    }

    fn start_one(shared: &mut Shared) -> Option<()> {
        let shell = Self::start(shared, None)?;
        shared.waiting.shells.push(shell);
        Some(())
    }

    fn copy_one(shared: &mut Shared) -> Option<()> {
        let key = shared.waiting.new_key();
        let shell = shared.waiting.zygote.as_mut()?.copy(key, &mut shared.containment)?;
        Self::watch(shell, shared).map(|shell| shared.waiting.shells.push(shell))
    }

    /// One that will wait.
    fn copy_one_ahead(shared: &mut Shared) -> Option<()> {
        Self::copy_one(shared)?;
        shared.waiting.shells.last_mut().map(Shell::left_alone)
    }

    fn new_key(&mut self) -> Key {
        let key = self.next;
        self.next = key.wrapping_add(1);
        key
    }

    fn start(shared: &mut Shared, output: Option<(OwnedFd, OwnedFd)>) -> Option<Shell> {
        let key = shared.waiting.new_key();
        prepare_directory(&shared.waiting.directory)?;
        let fifo = shared.waiting.directory.join(format!("{}-{key}", std::process::id()));
        let shell = Shell::start(key, fifo, &mut shared.containment, &mut shared.launcher, output)?;
        Self::watch(shell, shared)
    }

    /// Waits for a shell's end.
    fn watch(mut shell: Shell, shared: &mut Shared) -> Option<Shell> {
        if shared.poller.add(shell.pidfd(), Token::Waiting(shell.key), EventFlags::IN).is_err() {
            shell.give_up();
            let _gone = crate::sys::wait::reap(shell.pid(), true);
            shared.containment.release(shell.into_group());
            return None;
        }
        Some(shell)
    }

    /// Runs a request in a waiting shell, which from now on is the process `key`; `None` if the request must go the usual
    /// way.
    pub fn take(exec: &Exec, key: Key, shared: &mut Shared) -> Option<Released> {
        let waiting = &shared.waiting;
        let can_copy = waiting
            .zygote
            .as_ref()
            .is_some_and(|zygote| zygote.is_ready() && zygote.shell.state == State::AtTheGate);
        if (waiting.at_the_gate() == 0 && !can_copy) || !script::suits(exec) {
            return None;
        }
        let inputs = Inputs::now()?;
        if waiting.at_the_gate() == 0 {
            Self::copy_one(shared)?;
        }
        let waiting = &mut shared.waiting;
        let usable = |shell: &Shell| shell.state == State::AtTheGate && shell.inputs == inputs;
        let index = waiting.shells.iter().position(usable);
        waiting.suspicious |=
            waiting.shells.iter().any(|shell| shell.state == State::AtTheGate && shell.inputs != inputs);
        let random = crate::sys::entropy::number()?;
        let shell = &mut waiting.shells[index?];
        let script = script::write(exec, (!shell.has_places()).then_some(random))?;
        let command = exec.argv.get(2)?;
        if shared.poller.modify(shell.pidfd(), Token::Leader(key), EventFlags::IN).is_err() {
            shell.give_up();
            return None;
        }
        let Some(rest) = shell.release(command, &script, random) else {
            shell.give_up();
            let _collected_at_the_end =
                shared.poller.modify(shell.pidfd(), Token::Waiting(shell.key), EventFlags::IN);
            return None;
        };
        waiting.failures = 0;
        Some(waiting.shells.swap_remove(index?).into_released(Retry::new(exec, rest)))
    }

    /// A shell has ended that was still waiting.
    pub fn ended(key: Key, shared: &mut Shared) {
        if shared.waiting.zygote.as_ref().is_some_and(|zygote| zygote.shell.key == key) {
            return Self::zygote_ended(shared);
        }
        let shells = &mut shared.waiting.shells;
        let Some(index) = shells.iter().position(|shell| shell.key == key) else { return };
        let status = match crate::sys::wait::reap(shells[index].pid(), false) {
            Ok(None) => return,
            Ok(Some((status, _))) => status,
            Err(_) => ExitStatus::Signal(0),
        };
        let shell = shells.swap_remove(index);
        if shell.state != State::Discarded {
            shared.waiting.failures += 1;
        }
        let group = shell.into_group();
        if status == ExitStatus::Signal(9) {
            shared.containment.killed_by_others(&group);
        }
        shared.containment.release(group);
    }

    fn zygote_ended(shared: &mut Shared) {
        let Some(zygote) = shared.waiting.zygote.take() else { return };
        if let Ok(None) = crate::sys::wait::reap(zygote.shell.pid(), false) {
            shared.waiting.zygote = Some(zygote);
            return;
        }
        if zygote.shell.state != State::Discarded {
            shared.waiting.failures += 1;
            shared.waiting.no_zygote |= zygote.has_failed();
        }
        let (own, of_a_copy) = zygote.into_groups();
        for group in [Some(own), of_a_copy].into_iter().flatten() {
            // Whoever killed it may have killed the whole group.
            shared.containment.killed_by_others(&group);
            shared.containment.release(group);
        }
    }
}

impl Drop for WaitingShells {
    fn drop(&mut self) {
        for shell in self.all_mut() {
            shell.give_up();
        }
    }
}

/// Makes the directory, or makes sure that it is one that nobody else can write to.
fn prepare_directory(path: &Path) -> Option<()> {
    let _exists = rustix::fs::mkdir(path, Mode::from_raw_mode(0o700));
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let meta = directory.metadata().ok()?;
    let own = meta.uid() == rustix::process::geteuid().as_raw();
    (own && meta.mode() & 0o077 == 0).then_some(())
}
