//! Shells and interpreters that live on from one request to the next.

mod command;
mod scanner;
mod script;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasm_sandbox_machine::{Entropy, Purpose};
use wasm_sandbox_protocol::agent::{
    AgentToHost, HostToAgent, MAX_DATA, OperationId, Stream, WriteFile, WriteFlags,
};
use wasm_sandbox_protocol::json::{
    DEFAULT_TIME_LIMIT_MS, Done, ErrorCode, Failure, Language, Outcome, ProcessOptions, RequestId, RunCode,
    SessionClose, SessionInfo, Sessions as SessionsAnswer, Shell,
};

use crate::channel::Channel;
use crate::client::{Answers, Ticket};
use crate::content::decode;
use crate::operation::{GRACE, agent_failure};
use crate::output;
use crate::processes::{Context, Processes, SessionNews, Start};
use crate::time;
use command::{Command, Phase, SessionEnd, Wanted, busy};
use scanner::Scanner;

/// How long an interpreter may take to stop when it is interrupted.
const TIME_TO_STOP: Duration = Duration::from_secs(1);
/// The largest script that goes into one frame, with room for its directory, and the largest standard input.
const LARGEST_SCRIPT: usize = MAX_DATA - (20 << 10);
/// The context of `run_code` if none is named.
const DEFAULT_CONTEXT: &str = "default";

/// What tells sessions apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SessionKey {
    pub(crate) name: String,
    /// `None` for the shells of `shell`.
    pub(crate) language: Option<Language>,
}

/// What a snapshot keeps of a session.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeptSession {
    key: SessionKey,
    number: u64,
    nonce: String,
    /// What was written since its last command.
    between: [Vec<u8>; 2],
}

struct Session {
    number: u64,
    nonce: String,
    scanners: [Scanner; 2],
    command: Option<Command>,
    /// What a shell is told when its script has been written: if that fails, the script of an earlier command is there.
    line: String,
    closing: Vec<Ticket>,
}

/// All sessions.
pub(crate) struct Sessions {
    table: BTreeMap<SessionKey, Session>,
    /// Scripts that are being written.
    writes: BTreeMap<OperationId, SessionKey>,
    entropy: Entropy,
}

impl Sessions {
    /// Runs a command in a shell that is kept.
    pub(crate) fn shell(
        &mut self,
        shell: Shell,
        ticket: Ticket,
        processes: &mut Processes,
        context: &mut Context,
    ) {
        let options = shell.options();
        let key = SessionKey { name: shell.session.unwrap_or_default(), language: None };
        let wanted = Wanted {
            code: shell.command,
            is_code: false,
            encoding: options.encoding,
            output_limit: limit(options.max_output_bytes),
            time_limit: time(options.time_limit_ms),
            stream: options.stream,
        };
        self.run(key, options, wanted, ticket, processes, context);
    }

    /// Runs code in an interpreter that is kept.
    pub(crate) fn run_code(
        &mut self,
        run: RunCode,
        ticket: Ticket,
        processes: &mut Processes,
        context: &mut Context,
    ) {
        let name = run.context.unwrap_or_else(|| DEFAULT_CONTEXT.to_owned());
        let key = SessionKey { name, language: Some(run.language) };
        let wanted = Wanted {
            code: run.code,
            is_code: true,
            encoding: run.encoding,
            output_limit: limit(run.max_output_bytes),
            time_limit: time(run.time_limit_ms),
            stream: run.stream,
        };
        // For an interpreter that is there already, directory and variables are its own business.
        let is_new = !self.table.contains_key(&key);
        let options = match is_new {
            true => ProcessOptions { cwd: run.cwd, env: run.env, ..ProcessOptions::default() },
            false => ProcessOptions::default(),
        };
        self.run(key, options, wanted, ticket, processes, context);
    }

    fn run(
        &mut self,
        key: SessionKey,
        options: ProcessOptions,
        wanted: Wanted,
        ticket: Ticket,
        processes: &mut Processes,
        context: &mut Context,
    ) {
        if let Err(failure) = self.try_run(key, options, wanted, &ticket, processes, context) {
            context.answers.push((ticket, failure.into()));
        }
    }

    fn try_run(
        &mut self,
        key: SessionKey,
        options: ProcessOptions,
        wanted: Wanted,
        ticket: &Ticket,
        processes: &mut Processes,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let variables: usize = options.env.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let quotes: usize = options.env.values().map(|value| 3 * value.matches('\'').count()).sum();
        let stdin = options.stdin.as_ref().map_or(0, String::len);
        if wanted.code.len() + variables + quotes > LARGEST_SCRIPT || stdin > LARGEST_SCRIPT {
            let message = format!(
                "a session takes at most {LARGEST_SCRIPT} bytes of code with `env`, and of `stdin`: write files"
            );
            return Err(Failure::new(ErrorCode::TooLarge, message));
        }
        let is_bash = key.language.is_none_or(|language| language == Language::Bash);
        let is_new = !self.table.contains_key(&key);
        if is_new {
            let session = start(&key, &options, is_bash, processes, &mut self.entropy, context.channel)?;
            self.table.insert(key.clone(), session);
        } else if options.user.is_some() || options.clear_env {
            let message = "`user` and `clear_env` can only be given with the first command of a session";
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        let Some(session) = self.table.get_mut(&key) else { return Ok(()) };
        if session.command.is_some() || !session.closing.is_empty() {
            return Err(busy(&key.name));
        }
        if is_bash {
            let (cwd, env) =
                if is_new { (None, BTreeMap::new()) } else { (options.cwd.clone(), options.env.clone()) };
            if let Some(name) = env.keys().find(|name| !script::is_variable(name)) {
                let message = format!("{name:?} is no name for a variable of the shell");
                return Err(Failure::new(ErrorCode::InvalidRequest, message));
            }
            let stdin =
                options.stdin.map(|text| decode("stdin", text, options.stdin_encoding)).transpose()?;
            let code = script::bash_script(&wanted.code, cwd.as_deref(), &env);
            let path = format!("{DIRECTORY}/session-{}", session.number);
            self.writes.insert(write_file(&path, code.as_bytes(), context.channel), key.clone());
            let stdin = match stdin {
                Some(bytes) => {
                    let path = format!("{path}-stdin");
                    self.writes.insert(write_file(&path, &bytes, context.channel), key);
                    Some(path)
                }
                None => None,
            };
            session.line = script::bash_line(&path, stdin.as_deref());
        } else {
            processes.write(session.number, format!("{}\n", wanted.code.len()).as_bytes(), context.channel);
            processes.write(session.number, wanted.code.as_bytes(), context.channel);
        }
        processes.gate(session.number, wanted.stream.then(|| ticket.clone()));
        let mut command = Command::new(ticket.clone(), wanted);
        if let Some(pid) = processes.pid(session.number) {
            command.session_runs(pid);
        }
        // What came since the last command belongs to this one, as on a terminal.
        for stream in [Stream::Stdout, Stream::Stderr] {
            command.output(stream, &mut session.scanners[stream as usize], &[]);
        }
        session.command = Some(command);
        Ok(())
    }

    /// Whether `op` writes a session's script.
    pub(crate) fn has(&self, op: OperationId) -> bool {
        self.writes.contains_key(&op)
    }

    /// Takes a frame about a script that is being written.
    pub(crate) fn on_frame(
        &mut self,
        op: OperationId,
        frame: AgentToHost<'_>,
        processes: &mut Processes,
        context: &mut Context,
    ) {
        let Some(key) = self.writes.remove(&op) else { return };
        let Some(session) = self.table.get_mut(&key) else { return };
        if let AgentToHost::Failed(failure) = frame {
            self.writes.retain(|_, other| *other != key);
            session.line.clear();
            context
                .answers
                .extend(session.command.take().map(|command| command.refuse(agent_failure(failure))));
        } else if !self.writes.values().any(|other| *other == key) {
            let line = std::mem::take(&mut session.line);
            processes.write(session.number, line.as_bytes(), context.channel);
        }
    }

    /// Takes what is new about a session's process.
    pub(crate) fn on_news(&mut self, key: &SessionKey, news: SessionNews, answers: &mut Answers) {
        let Some(session) = self.table.get_mut(key) else { return };
        match news {
            SessionNews::Started { pid } => {
                if let Some(command) = &mut session.command {
                    command.session_runs(pid);
                }
            }
            SessionNews::Output { stream, data } => {
                let scanner = &mut session.scanners[stream as usize];
                let Some(command) = &mut session.command else {
                    scanner.keep(&data);
                    return;
                };
                command.output(stream, scanner, &data);
                if command.is_done()
                    && let Some(command) = session.command.take()
                {
                    answers.push(command.finish(None));
                }
            }
            SessionNews::Ended { failure, exit_code } => {
                let Some(session) = self.table.remove(key) else { return };
                self.writes.retain(|_, other| other != key);
                answers.extend(session.closing.into_iter().map(|ticket| (ticket, Done {}.into())));
                if let Some(command) = session.command {
                    answers.push(command.finish(Some(SessionEnd { exit_code, failure })));
                }
            }
        }
    }

    /// Ends what has run too long; when to call again.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        processes: &Processes,
        channel: &mut Channel,
    ) -> Option<Instant> {
        for (key, session) in &mut self.table {
            let Some(command) = &mut session.command else { continue };
            if command.deadline > now {
                continue;
            }
            if command.phase == Phase::Running {
                command.time_is_over();
            }
            if command.phase == Phase::Killed && processes.is_held_back(session.number) {
                // Its end comes behind its output, for which there is no room.
                command.deadline = now + GRACE;
            }
            stop(key, session.number, command, now, processes, channel);
        }
        self.table.values().filter_map(|session| Some(session.command.as_ref()?.deadline)).min()
    }

    /// Whether a session that was killed does not end.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.table
            .values()
            .filter_map(|session| session.command.as_ref())
            .any(|command| command.phase == Phase::Killed && command.deadline <= now)
    }

    /// Stops the command of the request `target`.
    pub(crate) fn cancel(&mut self, target: &RequestId, processes: &Processes, channel: &mut Channel) {
        for (key, session) in &mut self.table {
            if let Some(command) = &mut session.command
                && command.ticket().id.as_ref() == Some(target)
            {
                command.cancel();
                stop(key, session.number, command, time::now(), processes, channel);
            }
        }
    }

    /// Ends a session.
    pub(crate) fn close(
        &mut self,
        request: &SessionClose,
        ticket: Ticket,
        processes: &Processes,
        context: &mut Context,
    ) {
        let key = SessionKey { name: request.session.clone(), language: request.language };
        let Some(session) = self.table.get_mut(&key) else {
            let message =
                format!("there is no session {:?}: `session_list` shows those there are", request.session);
            return context.answers.push((ticket, Failure::new(ErrorCode::UnknownSession, message).into()));
        };
        if let Some(command) = &mut session.command {
            command.cancel();
            command.phase = Phase::Killed;
            command.deadline = time::now() + GRACE;
        }
        session.closing.push(ticket);
        processes.kill(session.number, context.channel);
    }

    pub(crate) fn list(&self, processes: &Processes) -> Outcome {
        let sessions = self.table.iter().map(|(key, session)| SessionInfo {
            session: key.name.clone(),
            language: key.language,
            pid: processes.pid(session.number),
            busy: session.command.is_some(),
        });
        SessionsAnswer { sessions: sessions.collect() }.into()
    }

    /// Whether somebody waits for an answer of one.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.table.values().any(|session| session.command.is_some() || !session.closing.is_empty())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.len()
    }

    /// The machine is gone or replaced.
    pub(crate) fn abandon(&mut self, failure: &Failure, answers: &mut Answers) {
        self.writes.clear();
        for (_, session) in std::mem::take(&mut self.table) {
            answers.extend(session.closing.into_iter().map(|ticket| (ticket, Done {}.into())));
            answers.extend(session.command.map(|command| command.abandon(failure)));
        }
    }

    /// What a snapshot keeps. A session that is at work cannot go on, since nobody would wait for the mark.
    pub(crate) fn kept(&self) -> Vec<KeptSession> {
        let idle =
            self.table.iter().filter(|(_, session)| session.command.is_none() && session.closing.is_empty());
        idle.map(|(key, session)| KeptSession {
            key: key.clone(),
            number: session.number,
            nonce: session.nonce.clone(),
            between: [0, 1].map(|stream: usize| session.scanners[stream].held().to_vec()),
        })
        .collect()
    }

    /// The numbers of processes whose sessions a snapshot does not keep.
    pub(crate) fn not_kept(&self) -> Vec<u64> {
        let busy =
            self.table.values().filter(|session| session.command.is_some() || !session.closing.is_empty());
        busy.map(|session| session.number).collect()
    }

    /// The sessions of a snapshot; what is random about new ones depends on `seed`, if there is one.
    pub(crate) fn restore(kept: Vec<KeptSession>, seed: Option<u64>) -> Self {
        let mut table = BTreeMap::new();
        for kept in kept {
            let mut session = Session::new(kept.number, kept.nonce);
            for (scanner, between) in session.scanners.iter_mut().zip(&kept.between) {
                scanner.keep(between);
            }
            table.insert(kept.key, session);
        }
        Self { table, writes: BTreeMap::new(), entropy: Entropy::new(seed, Purpose::Names) }
    }
}

impl Session {
    fn new(number: u64, nonce: String) -> Self {
        let scanners = [Scanner::new(&nonce), Scanner::new(&nonce)];
        Self { number, nonce, scanners, command: None, line: String::new(), closing: Vec::new() }
    }
}

/// In the guest: where scripts are written.
const DIRECTORY: &str = "/run/wasm-sandbox-sessions";

fn start(
    key: &SessionKey,
    options: &ProcessOptions,
    is_bash: bool,
    processes: &mut Processes,
    entropy: &mut Entropy,
    channel: &mut Channel,
) -> Result<Session, Failure> {
    let nonce = nonce(entropy);
    let argv = match is_bash {
        true => vec!["/bin/bash".into(), "--noprofile".into(), "--norc".into()],
        false => vec!["python3".into(), "-c".into(), script::PYTHON_DRIVER.into(), nonce.clone()],
    };
    let options = ProcessOptions {
        cwd: options.cwd.clone(),
        env: options.env.clone(),
        clear_env: options.clear_env,
        user: options.user.clone(),
        open_stdin: true,
        background: true,
        max_output_bytes: Some(0),
        ..ProcessOptions::default()
    };
    let op = channel.next_operation();
    let number = processes.start_session(Start::new(argv, options), op, key.clone(), channel)?;
    if is_bash {
        processes.write(number, script::bash_preamble(&nonce).as_bytes(), channel);
    }
    Ok(Session::new(number, nonce))
}

/// What no output contains by accident.
fn nonce(entropy: &mut Entropy) -> String {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stops what a session is at work on: by asking, where that may help, otherwise with the session.
fn stop(
    key: &SessionKey,
    number: u64,
    command: &mut Command,
    now: Instant,
    processes: &Processes,
    channel: &mut Channel,
) {
    if command.phase == Phase::Running && key.language == Some(Language::Python) {
        command.phase = Phase::Interrupted;
        command.deadline = now + TIME_TO_STOP;
        processes.interrupt(number, channel);
    } else if command.phase != Phase::Killed {
        command.phase = Phase::Killed;
        command.deadline = now + GRACE;
        processes.kill(number, channel);
    }
}

/// Starts to write a file, which is done before anything that is sent later.
fn write_file(path: &str, content: &[u8], channel: &mut Channel) -> OperationId {
    let op = channel.next_operation();
    channel.send(&HostToAgent::WriteFile(WriteFile {
        op,
        path: path.into(),
        mode: Some(0o644),
        flags: WriteFlags { create_parents: true, ..WriteFlags::default() },
        data: content.into(),
        last: true,
    }));
    op
}

fn limit(asked: Option<u64>) -> usize {
    asked.map_or(output::DEFAULT_LIMIT, |bytes| bytes as usize)
}

fn time(limit_ms: Option<u64>) -> Duration {
    Duration::from_millis(limit_ms.unwrap_or(DEFAULT_TIME_LIMIT_MS))
}
