//! A host for an agent that runs natively, over a Unix socket in place of the virtio port.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod trees;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasm_sandbox_protocol::agent::*;

/// An agent and the connection to it.
pub struct Agent {
    child: Option<Child>,
    stream: UnixStream,
    decoder: Decoder,
    next_op: u32,
    pub directory: tempfile::TempDir,
    cgroup: Option<PathBuf>,
    pub ready: Ready,
}

/// A frame that does not borrow.
pub type Frame = AgentToHost<'static>;

/// Everything about a program that ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exited: Option<Exited>,
}

impl Outcome {
    pub fn status(&self) -> ExitStatus {
        self.exited.as_ref().expect("exited").status
    }
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text")
    }
}

/// The directory of a cgroup v2 file system that can be written to, if this machine has one.
pub fn cgroup_root() -> Option<PathBuf> {
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    root.into_iter().find(|root| root.join("cgroup.controllers").exists())
}

impl Agent {
    /// Starts one with control groups where the machine has them.
    pub fn start() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("wasm-sandbox-test-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Self::start_in(cgroup_root().map(|root| root.join(name)), None)
    }

    /// Starts one that has to do without control groups.
    pub fn start_without_cgroups() -> Self {
        Self::start_in(None, None)
    }

    /// Starts one that keeps no shells waiting.
    pub fn start_without_waiting_shells() -> Self {
        Self::start_in(None, Some("/nonexistent/gates"))
    }

    fn start_in(cgroup: Option<PathBuf>, gates: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("port");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let child = Some(
            Command::new(env!("CARGO_BIN_EXE_agent"))
                .args(["serve", "--connect"])
                .arg(&socket)
                .arg("--cgroup")
                .arg(cgroup.as_deref().unwrap_or(Path::new("/nonexistent/cgroup")))
                .arg("--gates")
                .arg(gates.map_or_else(|| directory.path().join("gates"), PathBuf::from))
                .spawn()
                .expect("the agent starts"),
        );
        let (stream, _) = listener.accept().expect("the agent connects");
        let mut agent = Self::new(stream, directory);
        (agent.child, agent.cgroup) = (child, cgroup);
        agent.await_ready();
        agent
    }

    /// Takes the connection to an agent that runs elsewhere, in a virtual machine.
    pub fn attach(stream: UnixStream) -> Self {
        let mut agent = Self::new(stream, tempfile::tempdir().expect("a temporary directory"));
        agent.send(&HostToAgent::Hello { protocol_version: PROTOCOL_VERSION, abandon_operations: true });
        agent.await_ready();
        // One may have waited in the port since the machine started.
        assert!(agent.answers());
        agent
    }

    fn new(stream: UnixStream, directory: tempfile::TempDir) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        let ready = Ready {
            protocol_version: 0,
            agent_version: String::new(),
            kernel: String::new(),
            pid: 0,
            control_groups: false,
        };
        Self { child: None, stream, decoder: Decoder::new(), next_op: 0, directory, cgroup: None, ready }
    }

    fn await_ready(&mut self) {
        match self.receive() {
            AgentToHost::Ready(ready) => self.ready = ready,
            other => panic!("expected Ready, got {other:?}"),
        }
    }

    pub fn op(&mut self) -> OperationId {
        self.next_op += 1;
        OperationId(self.next_op)
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("text").to_owned()
    }

    pub fn send(&mut self, message: &HostToAgent) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).expect("encodes");
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the agent reads");
    }

    /// The next frame.
    pub fn receive(&mut self) -> Frame {
        self.try_receive().expect("a frame in time")
    }

    /// The next frame, or `None` at the end of the stream or after the time limit.
    pub fn try_receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame::<AgentToHost>().expect("a valid frame") {
                return Some(into_owned(frame));
            }
            let mut chunk = [0; 70_000];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.feed(&chunk[..count]),
            }
        }
    }

    pub fn set_patience(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a time limit");
    }

    /// Runs a program to its end, granting credit for all output.
    pub fn exec(&mut self, exec: Exec) -> Result<Outcome, Failure> {
        let op = if exec.op == OperationId(0) { self.op() } else { exec.op };
        self.send(&HostToAgent::Exec(Exec { op, ..exec }));
        self.finish(op)
    }

    /// Runs a command in the shell.
    pub fn shell(&mut self, command: &str) -> Outcome {
        self.exec(shell(command)).expect("starts")
    }

    /// Collects frames of one operation up to its last.
    pub fn finish(&mut self, op: OperationId) -> Result<Outcome, Failure> {
        self.finish_all(&[op]).remove(&op).expect("its outcome")
    }

    pub fn finish_all(&mut self, ops: &[OperationId]) -> HashMap<OperationId, Result<Outcome, Failure>> {
        let mut running: HashMap<OperationId, Outcome> =
            ops.iter().map(|op| (*op, Outcome::default())).collect();
        let mut done = HashMap::new();
        while !running.is_empty() {
            match self.receive() {
                AgentToHost::Output { op, stream, data } => {
                    let outcome = running.get_mut(&op).expect("an operation under way");
                    let target =
                        if stream == Stream::Stdout { &mut outcome.stdout } else { &mut outcome.stderr };
                    target.extend_from_slice(&data);
                    self.send(&HostToAgent::Credit { op, bytes: data.len() as u32 });
                }
                AgentToHost::Exited(exited) => {
                    let mut outcome = running.remove(&exited.op).expect("an operation under way");
                    let op = exited.op;
                    outcome.exited = Some(exited);
                    done.insert(op, Ok(outcome));
                }
                AgentToHost::Failed(failure) => {
                    running.remove(&failure.op).expect("an operation under way");
                    done.insert(failure.op, Err(failure));
                }
                AgentToHost::Credit { .. } | AgentToHost::Started { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        done
    }

    pub fn write_file(&mut self, request: WriteFile) -> Result<(), Failure> {
        let op = self.op();
        self.send(&HostToAgent::WriteFile(WriteFile { op, ..request }));
        self.done(op)
    }

    pub fn done(&mut self, op: OperationId) -> Result<(), Failure> {
        loop {
            match self.receive() {
                AgentToHost::Done { op: done } if done == op => return Ok(()),
                AgentToHost::Failed(failure) if failure.op == op => return Err(failure),
                AgentToHost::Credit { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub fn read_file(&mut self, request: ReadFile) -> Result<(Vec<u8>, FileEnd), Failure> {
        let op = self.op();
        self.send(&HostToAgent::ReadFile(ReadFile { op, ..request }));
        let mut content = Vec::new();
        loop {
            match self.receive() {
                AgentToHost::FileData { op, data } => {
                    content.extend_from_slice(&data);
                    self.send(&HostToAgent::Credit { op, bytes: data.len() as u32 });
                }
                AgentToHost::FileEnd(end) => return Ok((content, end)),
                AgentToHost::Failed(failure) => return Err(failure),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Whether the agent still answers.
    pub fn answers(&mut self) -> bool {
        let token = self.op().0 ^ 0x5A5A_0000;
        self.send(&HostToAgent::Ping { token });
        loop {
            match self.try_receive() {
                Some(AgentToHost::Pong { token: got }) if got == token => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Whether the agent process itself has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_some())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _closed = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(child) = &mut self.child {
            let _ended = child.wait();
        }
        if let Some(cgroup) = &self.cgroup {
            let _all = std::fs::write(cgroup.join("cgroup.kill"), "1");
            for _ in 0..100 {
                for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
                    let _not_a_directory = std::fs::remove_dir(entry.path());
                }
                if std::fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// `sh -c command`.
pub fn shell(command: &str) -> Exec<'static> {
    argv(&["/bin/sh", "-c", command])
}

pub fn argv(words: &[&str]) -> Exec<'static> {
    Exec { argv: words.iter().map(|word| Bytes::from(word.to_string())).collect(), ..Exec::default() }
}

fn into_owned(frame: AgentToHost<'_>) -> Frame {
    match frame {
        AgentToHost::Output { op, stream, data } => {
            AgentToHost::Output { op, stream, data: data.into_owned() }
        }
        AgentToHost::FileData { op, data } => AgentToHost::FileData { op, data: data.into_owned() },
        AgentToHost::Ready(ready) => AgentToHost::Ready(ready),
        AgentToHost::Pong { token } => AgentToHost::Pong { token },
        AgentToHost::Frozen => AgentToHost::Frozen,
        AgentToHost::Started { op, pid } => AgentToHost::Started { op, pid },
        AgentToHost::Exited(exited) => AgentToHost::Exited(exited),
        AgentToHost::Credit { op, bytes } => AgentToHost::Credit { op, bytes },
        AgentToHost::FileEnd(end) => AgentToHost::FileEnd(end),
        AgentToHost::Done { op } => AgentToHost::Done { op },
        AgentToHost::StatusReport(report) => AgentToHost::StatusReport(report),
        AgentToHost::Failed(failure) => AgentToHost::Failed(failure),
        AgentToHost::ProtocolError { message } => AgentToHost::ProtocolError { message },
        AgentToHost::FileReply { op, reply } => AgentToHost::FileReply { op, reply: reply.into_owned() },
    }
}

/// Processes whose command line contains `marker` as an argument of its own.
pub fn running(marker: &str) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|word| word == marker.as_bytes()))
        .count()
}

/// What came of a request about files.
#[derive(Debug, Default)]
pub struct Replies {
    pub all: Vec<FileReply<'static>>,
    pub summary: Summary,
    /// How a process of its own ended.
    pub exited: Option<Exited>,
}

impl Replies {
    pub fn entries(&self) -> Vec<&Entry<'static>> {
        self.all
            .iter()
            .map(|reply| match reply {
                FileReply::Entry(entry) => entry,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    pub fn matches(&self) -> Vec<&Match<'static>> {
        self.all
            .iter()
            .map(|reply| match reply {
                FileReply::Match(found) => found,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    pub fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for reply in &self.all {
            match reply {
                FileReply::Data(piece) => data.extend_from_slice(piece),
                other => panic!("unexpected {other:?}"),
            }
        }
        data
    }
}

impl Agent {
    pub fn files(&mut self, request: FileRequest) -> Result<Replies, Failure> {
        let op = self.op();
        self.send(&HostToAgent::Files(Files { op, time_limit_ms: Some(60_000), request }));
        self.file_replies(op)
    }

    /// Everything up to the last frame of a request about files.
    pub fn file_replies(&mut self, op: OperationId) -> Result<Replies, Failure> {
        let mut replies = Replies::default();
        let mut decoder = Decoder::new();
        let mut done = false;
        loop {
            match self.receive() {
                AgentToHost::FileReply { op: of, reply: FileReply::Done(summary) } if of == op => {
                    return Ok(Replies { summary, ..replies });
                }
                AgentToHost::FileReply { op: of, reply } if of == op => replies.all.push(reply),
                AgentToHost::Failed(failure) if failure.op == op => return Err(failure),
                AgentToHost::Output { op: of, stream: Stream::Stdout, data } if of == op => {
                    self.send(&HostToAgent::Credit { op, bytes: data.len() as u32 });
                    decoder.feed(&data);
                    while let Some(reply) = decoder.next_frame::<FileReply>().expect("a frame") {
                        assert!(!done, "{reply:?} after the last");
                        match reply {
                            FileReply::Done(summary) => (replies.summary, done) = (summary, true),
                            FileReply::Failed { code, message } => {
                                self.await_exit(op);
                                return Err(Failure { op, code, message });
                            }
                            reply => replies.all.push(reply.into_owned()),
                        }
                    }
                }
                AgentToHost::Output { data, .. } => panic!("{}", String::from_utf8_lossy(&data)),
                AgentToHost::Exited(exited) => {
                    replies.exited = Some(exited);
                    return Ok(replies);
                }
                AgentToHost::Credit { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub fn await_exit(&mut self, op: OperationId) -> Exited {
        loop {
            match self.receive() {
                AgentToHost::Exited(exited) if exited.op == op => return exited,
                AgentToHost::Output { data, .. } => {
                    self.send(&HostToAgent::Credit { op, bytes: data.len() as u32 });
                }
                AgentToHost::Credit { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}
