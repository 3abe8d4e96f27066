//! The server: one thread, one wait, frames to operations and events to frames.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::io::Result;
use wasm_sandbox_protocol::agent::{
    AgentToHost, Exec, FailureCode, FileReply, FileRequest, Files, FrameError, HostToAgent, OperationId,
    PROTOCOL_VERSION, ReadFile, Ready, Stream, WriteFile, encode,
};

use crate::contain::Containment;
use crate::exec::{Launcher, Process, Program, Progress, WaitingShells};
use crate::failure::Refusal;
use crate::files::quick::{self, Quick};
use crate::files::{FileReader, FileWriter, Reading};
use crate::poller::{Key, Poller, Token};
use crate::port::{Received, Receiver, Sender};
use crate::protect::Shield;
use crate::writable::WritableLayer;
use crate::{clock, status, sys, tools};

/// Bytes read at once from a pipe or a file.
const SCRATCH: usize = 64 * 1024;

/// Why the server stopped.
#[derive(Debug)]
pub enum Stopped {
    /// The stream ended. A virtio port does not end; the socket of a test does.
    Closed,
    /// The host sent bytes that leave the stream without frame boundaries.
    Lost(FrameError),
    /// The kernel refused something the server cannot do without.
    Failed(rustix::io::Errno),
}

/// How the port behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortKind {
    /// A virtio console port: end of file means that the host is away for now.
    Virtio,
    /// A socket: end of file is the end.
    Stream,
}

/// What all operations use.
pub struct Shared {
    /// The wait.
    pub poller: Poller,
    /// Frames to the host.
    pub sender: Sender,
    /// Keeps process trees together.
    pub containment: Containment,
    /// Starts processes.
    pub launcher: Launcher,
    /// Shells that wait for commands.
    pub waiting: WaitingShells,
    /// Room for one read.
    pub scratch: Box<[u8]>,
}

/// An operation under way.
enum Operation {
    Process(Key),
    Write(FileWriter),
    Read(FileReader),
}

/// The server.
pub struct Server {
    kind: PortKind,
    receiver: Receiver,
    operations: Operations,
}

/// Everything but the receiver, from which frames are borrowed while they are handled.
struct Operations {
    shared: Shared,
    writable: Option<WritableLayer>,
    operations: BTreeMap<OperationId, Operation>,
    processes: BTreeMap<Key, Process>,
    next_key: Key,
}

impl Server {
    /// Takes the port, which must not block.
    pub fn new(
        port: OwnedFd,
        kind: PortKind,
        containment: Containment,
        shield: Shield,
        waiting: WaitingShells,
        writable: Option<WritableLayer>,
    ) -> Result<Self> {
        let poller = Poller::new()?;
        let sender = Sender::new(port, &poller)?;
        let launcher = Launcher::new(shield)?;
        let scratch = vec![0; SCRATCH].into_boxed_slice();
        let shared = Shared { poller, sender, containment, launcher, waiting, scratch };
        let operations = Operations {
            shared,
            writable,
            operations: BTreeMap::new(),
            processes: BTreeMap::new(),
            next_key: 0,
        };
        Ok(Self { kind, receiver: Receiver::new(), operations })
    }

    /// Serves until the port ends.
    pub fn run(mut self) -> Stopped {
        self.operations.say_ready();
        loop {
            if let Err(stopped) = self.turn() {
                return stopped;
            }
        }
    }

    /// One wait and everything it brings about.
    fn turn(&mut self) -> std::result::Result<(), Stopped> {
        let operations = &mut self.operations;
        operations.shared.sender.flush(&operations.shared.poller).map_err(Stopped::Failed)?;
        let mut ready = Vec::with_capacity(16);
        operations.wait(&mut ready).map_err(Stopped::Failed)?;
        if ready.is_empty() && operations.is_idle() && operations.shared.waiting.is_due() {
            WaitingShells::tend(&mut operations.shared);
        }
        for (token, flags) in ready {
            match token {
                Token::Port => self.port_ready(flags)?,
                _ => self.operations.event(token),
            }
        }
        self.operations.tick();
        self.operations.continue_reading();
        Ok(())
    }

    fn port_ready(&mut self, flags: EventFlags) -> std::result::Result<(), Stopped> {
        let Operations { shared: Shared { sender, poller, .. }, .. } = &mut self.operations;
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        match self.receiver.fill(sender.port()).map_err(Stopped::Failed)? {
            Received::Some => {}
            Received::Nothing => return Ok(()),
            Received::Closed if self.kind == PortKind::Stream => return Err(Stopped::Closed),
            Received::Closed => return sender.host_is_away(poller).map_err(Stopped::Failed),
        }
        loop {
            match self.receiver.next_frame() {
                Ok(Some(message)) => self.operations.handle(message),
                Ok(None) => return Ok(()),
                Err(error @ FrameError::Oversize { .. }) => return Err(Stopped::Lost(error)),
                Err(error) => {
                    let message = error.to_string();
                    self.operations.shared.sender.send(&AgentToHost::ProtocolError { message });
                }
            }
        }
    }
}

impl Operations {
    fn say_ready(&mut self) {
        self.shared.sender.send(&AgentToHost::Ready(Ready {
            protocol_version: PROTOCOL_VERSION,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            pid: std::process::id(),
            control_groups: self.shared.containment.has_cgroups(),
        }));
    }

    /// Whether nothing is under way that somebody waits for.
    fn is_idle(&self) -> bool {
        self.operations.is_empty() && !self.shared.sender.is_full()
    }

    /// Waits for events, or for the next thing that is due.
    fn wait(&mut self, ready: &mut Vec<(Token, EventFlags)>) -> Result<()> {
        let reading = !self.shared.sender.is_full()
            && self
                .operations
                .values()
                .any(|operation| matches!(operation, Operation::Read(file) if file.has_credit()));
        let until = match reading {
            true => Some(Instant::now()),
            false => {
                let due = self.processes.values().filter_map(Process::next_tick).min();
                let idle = self.is_idle().then(|| self.shared.waiting.next_look()).flatten();
                due.into_iter().chain(idle).min()
            }
        };
        if self.shared.sender.is_full() {
            // Nothing may be produced until the host has caught up.
            return self.shared.sender.wait_for_room(until, ready);
        }
        self.shared.poller.wait(until, ready)
    }

    fn handle(&mut self, message: HostToAgent) {
        match message {
            HostToAgent::Hello { abandon_operations, .. } => {
                if abandon_operations {
                    self.abandon_all();
                }
                self.say_ready();
            }
            HostToAgent::Ping { token } => self.shared.sender.send(&AgentToHost::Pong { token }),
            HostToAgent::SetClock { wall_clock_ns } => clock::set(wall_clock_ns),
            HostToAgent::AddEntropy { data } => {
                if let Err(error) = sys::entropy::add(&data) {
                    crate::log!("cannot add entropy: {}", crate::failure::describe(error));
                }
            }
            HostToAgent::SetLimits { processes, disk } => {
                if let Some(limit) = processes {
                    self.shared.containment.limit_processes(limit);
                }
                if let (Some(limit), Some(layer)) = (disk, &self.writable) {
                    layer.resize(limit);
                }
            }
            HostToAgent::Freeze => {
                self.shared.containment.freeze();
                self.shared.sender.send(&AgentToHost::Frozen);
            }
            HostToAgent::Thaw => self.shared.containment.thaw(),
            HostToAgent::Exec(exec) => self.exec(&exec),
            HostToAgent::Stdin { op, data } => {
                let accepted = self.process(op, |process, shared| process.feed(&data, shared));
                if accepted == Some(false) {
                    crate::log!("operation {}: more standard input than the window allows", op.0);
                    self.on_process(op, |process, shared| process.cancel(shared));
                }
            }
            HostToAgent::CloseStdin { op } => {
                self.process(op, |process, shared| process.close_input(shared));
            }
            HostToAgent::Signal { op, signal, whole_group } => {
                self.process(op, |process, _| process.signal(signal, whole_group));
            }
            HostToAgent::Resize { op, size } => {
                self.process(op, |process, _| process.resize(size));
            }
            HostToAgent::Cancel { op } => self.cancel(op),
            HostToAgent::Credit { op, bytes } => match self.operations.get_mut(&op) {
                Some(Operation::Read(file)) => file.credit(bytes),
                _ => self.on_process(op, |process, shared| process.credit(bytes, shared)),
            },
            HostToAgent::WriteFile(request) => self.write_file(&request),
            HostToAgent::FileData { op, data } => {
                if let Some(Operation::Write(file)) = self.operations.get_mut(&op)
                    && let Err(refusal) = file.feed(&data, &mut self.shared.sender)
                {
                    self.operations.remove(&op);
                    self.shared.sender.fail(op, refusal);
                }
            }
            HostToAgent::FileEnd { op } => {
                if let Some(Operation::Write(_)) = self.operations.get(&op)
                    && let Some(Operation::Write(file)) = self.operations.remove(&op)
                {
                    self.finish_write(op, file);
                }
            }
            HostToAgent::ReadFile(request) => self.read_file(&request),
            HostToAgent::Files(request) => self.files(&request),
            HostToAgent::Status { op } => {
                let report = status::report(
                    op,
                    &self.shared.containment,
                    self.operations.len(),
                    self.shared.waiting.count(),
                );
                self.shared.sender.send(&AgentToHost::StatusReport(report));
            }
        }
    }

    /// Kills everything and forgets it; leaders are collected when they have ended.
    fn abandon_all(&mut self) {
        self.operations.clear();
        let keys: Vec<Key> = self.processes.keys().copied().collect();
        for key in keys {
            self.on_key(key, Process::abandon);
        }
    }

    /// Refuses an identifier that is in use. The operation that uses it goes on, but the host cannot tell the two apart.
    fn is_free(&mut self, op: OperationId) -> bool {
        let free = !self.operations.contains_key(&op);
        if !free {
            let message = format!("operation {} is still under way", op.0);
            self.shared.sender.fail(op, Refusal::new(FailureCode::Protocol, message));
        }
        free
    }

    fn exec(&mut self, exec: &Exec) {
        if self.is_free(exec.op) {
            self.start(exec, Program::Named);
        }
    }

    fn start(&mut self, exec: &Exec, program: Program) {
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        match Process::start(exec, program, key, &mut self.shared) {
            Ok(process) => {
                self.processes.insert(key, process);
                self.operations.insert(exec.op, Operation::Process(key));
            }
            Err(refusal) => self.shared.sender.fail(exec.op, refusal),
        }
    }

    /// What is quick is done at once, the rest in a process of its own.
    fn files(&mut self, files: &Files) {
        let Files { op, time_limit_ms, request } = files;
        if !self.is_free(*op) {
            return;
        }
        let sender = &mut self.shared.sender;
        let quick = quick::carry_out(request, &mut |reply| {
            sender.send(&AgentToHost::FileReply { op: *op, reply: reply.clone() })
        });
        match quick {
            Ok(Quick::Done(summary)) => {
                self.shared.sender.send(&AgentToHost::FileReply { op: *op, reply: FileReply::Done(summary) });
            }
            Ok(Quick::Long) => self.start_tool(*op, *time_limit_ms, request),
            Err(refusal) => self.shared.sender.fail(*op, refusal),
        }
    }

    fn start_tool(&mut self, op: OperationId, time_limit_ms: Option<u32>, request: &FileRequest) {
        let mut first = Vec::new();
        if let Err(error) = encode(request, &mut first) {
            return self.shared.sender.fail(op, Refusal::new(FailureCode::TooLarge, error.to_string()));
        }
        let exec = tools::exec(op, time_limit_ms);
        self.start(&exec, Program::Own);
        self.process(op, |process, shared| {
            process.feed_first(&first, shared);
            if !tools::reads_more(request) {
                process.close_input(shared);
            }
        });
    }

    fn write_file(&mut self, request: &WriteFile) {
        if !self.is_free(request.op) {
            return;
        }
        match FileWriter::open(request) {
            Ok(file) if request.last => self.finish_write(request.op, file),
            Ok(file) => drop(self.operations.insert(request.op, Operation::Write(file))),
            Err(refusal) => self.shared.sender.fail(request.op, refusal),
        }
    }

    fn finish_write(&mut self, op: OperationId, file: FileWriter) {
        match file.finish() {
            Ok(()) => self.shared.sender.send(&AgentToHost::Done { op }),
            Err(refusal) => self.shared.sender.fail(op, refusal),
        }
    }

    fn read_file(&mut self, request: &ReadFile) {
        if !self.is_free(request.op) {
            return;
        }
        match FileReader::open(request) {
            Ok(mut file) => {
                if file.advance(&mut self.shared.scratch, &mut self.shared.sender) != Reading::Done {
                    self.operations.insert(request.op, Operation::Read(file));
                }
            }
            Err(refusal) => self.shared.sender.fail(request.op, refusal),
        }
    }

    /// Gives every file that is being read one turn.
    fn continue_reading(&mut self) {
        let Shared { scratch, sender, .. } = &mut self.shared;
        self.operations.retain(|_, operation| match operation {
            Operation::Read(file) if file.has_credit() && !sender.is_full() => {
                file.advance(scratch, sender) != Reading::Done
            }
            _ => true,
        });
    }

    fn cancel(&mut self, op: OperationId) {
        match self.operations.get(&op) {
            Some(Operation::Process(_)) => self.on_process(op, |process, shared| process.cancel(shared)),
            Some(_) => {
                self.operations.remove(&op);
                self.shared.sender.fail(op, Refusal::new(FailureCode::Cancelled, "cancelled by the host"));
            }
            None => {}
        }
    }

    /// Calls `action` on the process of an operation, if there is one.
    fn process<T>(
        &mut self,
        op: OperationId,
        action: impl FnOnce(&mut Process, &mut Shared) -> T,
    ) -> Option<T> {
        let Some(Operation::Process(key)) = self.operations.get(&op) else { return None };
        Some(action(self.processes.get_mut(key)?, &mut self.shared))
    }

    /// Like [`Operations::process`], for actions that may end the operation.
    fn on_process(&mut self, op: OperationId, action: impl FnOnce(&mut Process, &mut Shared) -> Progress) {
        if let Some(Operation::Process(key)) = self.operations.get(&op) {
            let key = *key;
            self.on_key(key, action);
        }
    }

    fn on_key(&mut self, key: Key, action: impl FnOnce(&mut Process, &mut Shared) -> Progress) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let progress = action(process, &mut self.shared);
        self.settle(key, progress);
    }

    /// Draws the conclusions from what a process said.
    fn settle(&mut self, key: Key, progress: Progress) {
        if progress == Progress::Running {
            return;
        }
        let Some(process) = self.processes.get(&key) else { return };
        let op = process.op();
        // The host may have begun another operation with this identifier meanwhile.
        if matches!(self.operations.get(&op), Some(Operation::Process(current)) if *current == key) {
            self.operations.remove(&op);
        }
        if progress == Progress::Gone
            && let Some(process) = self.processes.remove(&key)
        {
            // The host need not wait until everything is closed.
            let _reported_by_the_next_flush = self.shared.sender.flush(&self.shared.poller);
            process.close(&mut self.shared);
        }
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::Port => {}
            Token::Leader(key) => self.on_key(key, Process::leader_ended),
            Token::Stdin(key) => self.on_key(key, |process, shared| {
                process.input_ready(shared);
                Progress::Running
            }),
            Token::Stdout(key) => {
                self.on_key(key, |process, shared| process.output_ready(Stream::Stdout, shared))
            }
            Token::Stderr(key) => {
                self.on_key(key, |process, shared| process.output_ready(Stream::Stderr, shared))
            }
            Token::Group(key) => self.on_key(key, Process::look_behind),
            Token::Waiting(key) => WaitingShells::ended(key, &mut self.shared),
        }
    }

    /// Does what is due for every process.
    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<Key> = self
            .processes
            .iter()
            .filter(|(_, process)| process.next_tick().is_some_and(|moment| moment <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.on_key(key, |process, shared| process.tick(now, shared));
        }
    }
}
