//! One process tree, from its start to the last frame about it and beyond.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::process::{Pid, Signal};
use wasm_sandbox_protocol::agent::{
    AgentToHost, EndedBy, Exec, ExitStatus, Exited, FailureCode, INITIAL_WINDOW, OperationId, PtySize, Stdin,
    Stream, Usage,
};

use super::input::Input;
use super::launch::{Launched, Program, resize};
use super::output::{Drained, Output};
use super::waiting::{Released, Retry, WaitingShells};
use crate::contain::{Containment, Group};
use crate::failure::Refusal;
use crate::poller::{Key, Token};
use crate::server::Shared;

/// How long killed processes may take to disappear before the answer is given anyway.
const GRACE: Duration = Duration::from_millis(1000);

/// How long a terminal may take to hang up after its leader has ended.
const TERMINAL_GRACE: Duration = Duration::from_millis(200);

/// Between two looks at something that reports nothing by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the server should do with a process after it was told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its operation goes on.
    Running,
    /// The last frame was sent; processes it left behind live on.
    Answered,
    /// Nothing is left of it.
    Gone,
}

/// Where a process tree is in its life.
enum Phase {
    /// The leader runs.
    Running,
    /// The leader was collected; its output is being read to the end.
    Leaving {
        status: ExitStatus,
        usage: Usage,
        duration: Duration,
        give_up: Instant,
        look_again: Option<Instant>,
    },
    /// The host has its answer; others of the tree still run.
    LeftBehind,
}

/// A limit on CPU time.
struct CpuLimit {
    limit: Duration,
    /// The earliest moment at which it can be used up: one CPU gives no more than a second a second.
    check: Instant,
}

/// One process tree.
pub struct Process {
    op: OperationId,
    key: Key,
    pid: Pid,
    leader: Option<OwnedFd>,
    group: Group,
    input: Option<Input>,
    outputs: [Option<Output>; 2],
    terminal: bool,
    window: u32,
    delay: Duration,
    started: Instant,
    /// CPU time the leader used before it was given this request.
    used_before: Duration,
    /// For a shell that waited: the request, as long as only the shell itself can have ended it.
    retry: Option<Retry>,
    deadline: Option<Instant>,
    cpu: Option<CpuLimit>,
    ended_by: EndedBy,
    /// The host does not want to hear of it any more.
    abandoned: bool,
    phase: Phase,
}

impl Process {
    /// Starts the program of a request.
    pub fn start(exec: &Exec, program: Program, key: Key, shared: &mut Shared) -> Result<Self, Refusal> {
        let started = Instant::now();
        let no_resources = |error: rustix::io::Errno| {
            let because = crate::failure::describe(error);
            Refusal::new(FailureCode::NoResources, format!("cannot watch the process: {because}"))
        };
        let limit = exec.cpu_time_limit_ms.map(|limit| Duration::from_millis(limit.into()));
        let released = WaitingShells::take(exec, key, shared);
        let watched = released.is_some();
        let Released { launched, group, used_before, retry } = match released {
            Some(released) => released,
            None => {
                let mut group = shared.containment.group().map_err(no_resources)?;
                if limit.is_some() {
                    group.start_cpu_count();
                }
                match shared.launcher.launch(exec, program, &group) {
                    Ok(launched) => Released { launched, group, used_before: Duration::ZERO, retry: None },
                    Err(refusal) => {
                        shared.containment.release(group);
                        return Err(refusal);
                    }
                }
            }
        };
        let Launched { pid, pidfd, stdin, stdout, stderr } = launched;
        let terminal = exec.pty.is_some();
        let delay = Duration::from_millis(exec.output_delay_ms.into());
        let resume = started + delay;
        let mut process = Self {
            op: exec.op,
            key,
            pid,
            leader: None,
            group,
            input: stdin.map(|fd| Input::new(fd, Token::Stdin(key), terminal)),
            outputs: [
                Some(Output::new(stdout, Stream::Stdout, Token::Stdout(key), terminal, resume)),
                stderr.map(|fd| Output::new(fd, Stream::Stderr, Token::Stderr(key), terminal, resume)),
            ],
            terminal,
            window: INITIAL_WINDOW,
            delay,
            started,
            used_before,
            retry,
            deadline: exec.time_limit_ms.map(|limit| started + Duration::from_millis(limit.into())),
            cpu: limit.map(|limit| CpuLimit { limit, check: started + limit }),
            ended_by: EndedBy::Itself,
            abandoned: false,
            phase: Phase::Running,
        };
        if !watched && let Err(error) = shared.poller.add(&pidfd, Token::Leader(key), EventFlags::IN) {
            process.kill(&shared.containment);
            let _reaped = crate::sys::wait::reap(pid, true);
            process.close(shared);
            return Err(no_resources(error));
        }
        process.leader = Some(pidfd);
        if exec.announce_start {
            let pid = pid.as_raw_nonzero().get() as u32;
            shared.sender.send(&AgentToHost::Started { op: exec.op, pid });
        }
        if let (Stdin::Inline(data), Some(input)) = (&exec.stdin, &mut process.input) {
            input.start_with(data, &shared.poller);
        }
        process.tick(Instant::now(), shared);
        Ok(process)
    }

    /// The operation it belongs to.
    pub fn op(&self) -> OperationId {
        self.op
    }

    /// When [`Process::tick`] wants to be called next.
    pub fn next_tick(&self) -> Option<Instant> {
        let outputs = self.outputs.iter().flatten().filter_map(Output::next_tick);
        let own = match &self.phase {
            Phase::Running => [self.deadline, self.cpu.as_ref().map(|cpu| cpu.check)],
            Phase::Leaving { look_again, .. } => [*look_again, None],
            Phase::LeftBehind => [None, None],
        };
        outputs.chain(own.into_iter().flatten()).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, shared: &mut Shared) -> Progress {
        for output in self.outputs.iter_mut().flatten() {
            output.tick(now, self.delay, &shared.poller);
        }
        match self.phase {
            Phase::Running => {
                if self.deadline.is_some_and(|deadline| deadline <= now) {
                    self.stop(EndedBy::TimeLimit, shared);
                }
                self.check_cpu_time(now, shared);
                Progress::Running
            }
            Phase::Leaving { look_again, .. } if look_again.is_some_and(|moment| moment <= now) => {
                self.leave(shared)
            }
            Phase::Leaving { .. } => Progress::Running,
            Phase::LeftBehind => Progress::Answered,
        }
    }

    fn check_cpu_time(&mut self, now: Instant, shared: &mut Shared) {
        let Some(cpu) = &mut self.cpu else { return };
        if cpu.check > now {
            return;
        }
        let used = shared.containment.cpu_time(&self.group, self.pid);
        match cpu.limit.checked_sub(used).filter(|left| !left.is_zero()) {
            Some(left) => cpu.check = now + left.max(LOOK_AGAIN),
            None => self.stop(EndedBy::CpuTimeLimit, shared),
        }
    }

    /// Kills the whole tree; the answer follows when the leader is gone.
    pub fn stop(&mut self, ended_by: EndedBy, shared: &mut Shared) {
        self.retry = None;
        self.deadline = None;
        self.cpu = None;
        if self.ended_by == EndedBy::Itself && matches!(self.phase, Phase::Running) {
            self.ended_by = ended_by;
        }
        self.kill(&shared.containment);
    }

    /// The host asked to stop it.
    pub fn cancel(&mut self, shared: &mut Shared) -> Progress {
        self.stop(EndedBy::Cancelled, shared);
        match &mut self.phase {
            // The leader is gone already, and only output the host does not want any more keeps the answer back.
            Phase::Leaving { .. } => self.answer(shared),
            _ => Progress::Running,
        }
    }

    /// The host wants to hear nothing more of it, and it must go.
    pub fn abandon(&mut self, shared: &mut Shared) -> Progress {
        self.abandoned = true;
        if let Some(mut input) = self.input.take() {
            input.abandon(&shared.poller);
        }
        for output in self.outputs.iter_mut().filter_map(Option::take) {
            output.close(&shared.poller);
        }
        match self.cancel(shared) {
            Progress::Running => self.look_behind(shared),
            progress => progress,
        }
    }

    fn kill(&self, containment: &Containment) {
        containment.kill(&self.group, self.pid);
        if let Some(leader) = &self.leader {
            // Root in the guest can move a process out of its group; the leader at least is found by this.
            let _already_gone = rustix::process::pidfd_send_signal(leader, Signal::KILL);
        }
    }

    /// Sends a signal to the leader or its process group.
    pub fn signal(&mut self, number: u8, whole_group: bool) {
        self.retry = None;
        let Some(leader) = &self.leader else { return };
        let Some(signal) = Signal::from_named_raw(number.into()) else { return };
        // Both are safe from reused identifiers: the leader was not collected yet, so its number is still taken.
        let _already_gone = if whole_group {
            rustix::process::kill_process_group(self.pid, signal)
        } else {
            rustix::process::pidfd_send_signal(leader, signal)
        };
    }

    /// The terminal has another size.
    pub fn resize(&self, size: PtySize) {
        if let Some(output) = self.outputs[0].as_ref().filter(|_| self.terminal) {
            let _not_essential = resize(output.fd(), size);
        }
    }

    /// More standard input; `false` if it is more than the window allows.
    pub fn feed(&mut self, data: &[u8], shared: &mut Shared) -> bool {
        match &mut self.input {
            Some(input) => input.feed(data, self.op, &mut shared.sender, &shared.poller),
            None => true,
        }
    }

    /// Standard input that came with the request and does not count against the window.
    pub fn feed_first(&mut self, data: &[u8], shared: &mut Shared) {
        if let Some(input) = &mut self.input {
            input.feed_first(data, &shared.poller);
        }
    }

    /// End of standard input.
    pub fn close_input(&mut self, shared: &mut Shared) {
        if let Some(input) = &mut self.input {
            input.close(&shared.poller);
        }
    }

    /// There is room for standard input.
    pub fn input_ready(&mut self, shared: &mut Shared) {
        if let Some(input) = &mut self.input {
            input.advance(self.op, &mut shared.sender, &shared.poller);
        }
    }

    /// There is output.
    pub fn output_ready(&mut self, stream: Stream, shared: &mut Shared) -> Progress {
        match self.phase {
            Phase::Running => {
                let output = &mut self.outputs[stream as usize];
                if let Some(output) = output {
                    let Shared { sender, scratch, poller, .. } = shared;
                    output.forward(self.op, &mut self.window, self.delay, scratch, sender, poller);
                }
                Progress::Running
            }
            Phase::Leaving { .. } => self.leave(shared),
            Phase::LeftBehind => {
                if let Some(output) = &mut self.outputs[stream as usize] {
                    output.discard(&mut shared.scratch, &shared.poller);
                }
                self.look_behind(shared)
            }
        }
    }

    /// The host takes more output.
    pub fn credit(&mut self, bytes: u32, shared: &mut Shared) -> Progress {
        self.window = self.window.saturating_add(bytes);
        match self.phase {
            Phase::Running => {
                let now = Instant::now();
                for output in self.outputs.iter_mut().flatten() {
                    output.credit_came(now, &shared.poller);
                }
                Progress::Running
            }
            Phase::Leaving { .. } => self.leave(shared),
            Phase::LeftBehind => Progress::Answered,
        }
    }

    /// The leader has ended.
    pub fn leader_ended(&mut self, shared: &mut Shared) -> Progress {
        let (status, usage) = match crate::sys::wait::reap(self.pid, false) {
            Ok(None) => return Progress::Running,
            Ok(Some(outcome)) => outcome,
            // Somebody else collected it, which no code here does; the host must get its answer all the same.
            Err(_) => (ExitStatus::Signal(0), Usage::default()),
        };
        let retry = self.retry.take().filter(|_| matches!(status, ExitStatus::Signal(_)));
        if let Some(retry) = retry.filter(Retry::is_due) {
            return self.start_again(&retry.exec, shared);
        }
        let now = Instant::now();
        self.leader = None;
        if let Some(input) = &mut self.input {
            input.abandon(&shared.poller);
        }
        for output in self.outputs.iter_mut().flatten() {
            output.leader_ended(&shared.poller);
        }
        if self.ended_by == EndedBy::Itself && status == ExitStatus::Signal(9) {
            shared.containment.killed_by_others(&self.group);
            if shared.containment.new_oom_kills() > 0 {
                self.ended_by = EndedBy::OutOfMemory;
            }
        }
        let usage = without(usage, self.used_before);
        let give_up = now + if self.was_killed() { GRACE } else { TERMINAL_GRACE };
        let duration = now - self.started;
        self.phase = Phase::Leaving { status, usage, duration, give_up, look_again: None };
        self.leave(shared)
    }

    /// The shell was dead before the request came.
    fn start_again(&mut self, exec: &Exec, shared: &mut Shared) -> Progress {
        shared.containment.killed_by_others(&self.group);
        match Self::start(exec, Program::Named, self.key, shared) {
            Ok(mut process) => {
                (process.started, process.deadline) = (self.started, self.deadline);
                std::mem::replace(self, process).close(shared);
                Progress::Running
            }
            Err(refusal) => {
                shared.sender.fail(self.op, refusal);
                Progress::Gone
            }
        }
    }

    /// Whether the whole tree was killed, so that nobody of it may be left when the answer is given.
    fn was_killed(&self) -> bool {
        matches!(self.ended_by, EndedBy::TimeLimit | EndedBy::CpuTimeLimit | EndedBy::Cancelled)
    }

    /// Sends the rest of the output, and the answer when there is no more.
    fn leave(&mut self, shared: &mut Shared) -> Progress {
        let now = Instant::now();
        let killed = self.was_killed();
        let Phase::Leaving { give_up, .. } = self.phase else { return Progress::Running };
        let in_time = now < give_up;
        let mut complete = true;
        let mut ask_again = false;
        for output in self.outputs.iter_mut().flatten() {
            let Shared { sender, scratch, poller, .. } = &mut *shared;
            if output.drain(self.op, &mut self.window, scratch, sender, poller) == Drained::No {
                complete = false;
                // Credit from the host, or the terminal's hang-up, brings us back; a full port or a terminal that
                // somebody keeps open does not.
                if sender.is_full() || (self.terminal && in_time) {
                    ask_again = true;
                } else if self.terminal && self.window > 0 {
                    complete = true;
                }
            }
        }
        if complete && killed && in_time && self.others_left(&shared.containment) {
            complete = false;
            ask_again = true;
        }
        if complete {
            return self.answer(shared);
        }
        if let Phase::Leaving { look_again, .. } = &mut self.phase {
            *look_again = ask_again.then(|| now + LOOK_AGAIN);
        }
        Progress::Running
    }

    fn answer(&mut self, shared: &mut Shared) -> Progress {
        let Phase::Leaving { status, usage, duration, .. } = self.phase else { return Progress::Running };
        let background_left = self.others_left(&shared.containment);
        if !self.abandoned {
            shared.sender.send(&AgentToHost::Exited(Exited {
                op: self.op,
                status,
                ended_by: self.ended_by,
                duration_us: duration.as_micros() as u64,
                usage,
                background_left,
            }));
        }
        if !background_left {
            return Progress::Gone;
        }
        self.phase = Phase::LeftBehind;
        if let Some(events) = self.group.events() {
            let _checked_when_output_comes =
                shared.poller.add(events, Token::Group(self.key), EventFlags::PRI);
        }
        for output in self.outputs.iter_mut().flatten() {
            output.discard(&mut shared.scratch, &shared.poller);
        }
        match self.look_behind(shared) {
            Progress::Gone => Progress::Gone,
            _ => Progress::Answered,
        }
    }

    /// Whether those left behind have gone, too.
    pub fn look_behind(&mut self, shared: &mut Shared) -> Progress {
        if !matches!(self.phase, Phase::LeftBehind) {
            return Progress::Running;
        }
        if self.others_left(&shared.containment) { Progress::Answered } else { Progress::Gone }
    }

    /// Whether processes of the tree outlive its leader; without control groups, whether somebody holds its output open.
    fn others_left(&self, containment: &Containment) -> bool {
        match containment {
            Containment::Cgroups(_) => self.group.is_populated(),
            Containment::Sessions => self.outputs.iter().flatten().any(|output| !output.has_ended()),
        }
    }

    /// Gives everything back.
    pub fn close(self, shared: &mut Shared) {
        if let Some(mut input) = self.input {
            input.abandon(&shared.poller);
        }
        for output in self.outputs.into_iter().flatten() {
            output.close(&shared.poller);
        }
        if let (Some(events), Phase::LeftBehind) = (self.group.events(), &self.phase) {
            shared.poller.remove(events);
        }
        shared.containment.release(self.group);
    }
}

/// What is left when `before` was used for something else; in the same proportion, since nobody counted them apart.
fn without(usage: Usage, before: Duration) -> Usage {
    let total = usage.user_us + usage.system_us;
    let left = total.saturating_sub(before.as_micros() as u64);
    let user_us = (left * usage.user_us).checked_div(total).unwrap_or(0);
    Usage { user_us, system_us: left - user_us, ..usage }
}
