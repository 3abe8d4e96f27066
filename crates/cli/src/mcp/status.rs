//! How the machine is, as a model is to see it.

use schemars::JsonSchema;
use serde::Serialize;
use wasm_sandbox::protocol::json::{ProcessInfo, SessionInfo, StatusReport};

/// How the machine is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MachineStatus {
    /// The system it runs.
    pub image: String,
    /// The kernel's release.
    pub kernel: String,
    /// Memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Memory there is, in bytes.
    pub memory_limit_bytes: u64,
    /// Space used by files that were written, in bytes; it is memory, too.
    pub disk_used_bytes: u64,
    /// Space for such files, in bytes.
    pub disk_limit_bytes: u64,
    /// Names of the checkpoints there are.
    pub checkpoints: Vec<String>,
    /// Names of the shells of run_command and, as language:context, of the interpreters of run_code.
    pub sessions: Vec<String>,
    /// Processes that run, and those of start_process that have ended.
    pub processes: Vec<KnownProcess>,
    /// How often the machine went down and was started afresh.
    pub restarts: u64,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownProcess {
    /// What the tools call it.
    pub process_id: String,
    /// Its command.
    pub command: String,
    /// Whether it was started with start_process.
    pub background: bool,
    /// Whether it runs.
    pub running: bool,
    /// Its exit code, if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl MachineStatus {
    /// From the sandbox's answers.
    pub fn new(report: &StatusReport, processes: Vec<ProcessInfo>, sessions: Vec<SessionInfo>) -> Self {
        Self {
            image: report.image.clone(),
            kernel: report.kernel.clone(),
            memory_used_bytes: report.memory_used_bytes,
            memory_limit_bytes: report.memory_limit_bytes,
            disk_used_bytes: report.disk_used_bytes,
            disk_limit_bytes: report.disk_limit_bytes,
            checkpoints: report.checkpoints.iter().map(|checkpoint| checkpoint.name.clone()).collect(),
            sessions: sessions.into_iter().map(session_name).collect(),
            processes: processes.into_iter().map(KnownProcess::from).collect(),
            restarts: report.restarts,
        }
    }

    /// For readers.
    pub fn text(&self) -> String {
        let names = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let processes: String = self.processes.iter().map(KnownProcess::line).collect();
        format!(
            "{}, Linux {}\nmemory: {} of {} MiB in use\nfiles written: {} of {} MiB\ncheckpoints: {}\nsessions: {}\n\
             processes: {}\n{processes}",
            self.image,
            self.kernel,
            self.memory_used_bytes >> 20,
            self.memory_limit_bytes >> 20,
            self.disk_used_bytes >> 20,
            self.disk_limit_bytes >> 20,
            names(&self.checkpoints),
            names(&self.sessions),
            self.processes.len(),
        )
    }
}

impl From<ProcessInfo> for KnownProcess {
    fn from(process: ProcessInfo) -> Self {
        let ProcessInfo { process_id, command, background, running, exit_code, .. } = process;
        Self { process_id, command, background, running, exit_code }
    }
}

impl KnownProcess {
    fn line(&self) -> String {
        let state = match self.exit_code {
            Some(code) => format!("exit code {code}"),
            None => "running".to_owned(),
        };
        format!("  {} ({state}): {}\n", self.process_id, self.command)
    }
}

fn session_name(session: SessionInfo) -> String {
    let language = session.language.and_then(|language| serde_json::to_value(language).ok());
    match language.as_ref().and_then(|language| language.as_str()) {
        Some(language) => format!("{language}:{}", session.session),
        None => session.session,
    }
}
