//! A client of `wasm-sandbox`: the program as a child, one line in, one line out.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::shell::{Outcome, Shell};

/// The program that is measured, and where it keeps its things.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its cache directory, which belongs to this run.
    pub cache: PathBuf,
    /// Its directory for temporary files.
    pub temporary: PathBuf,
    /// Options that choose the CPU engine and the architecture of the guest.
    pub options: Vec<String>,
}

impl Program {
    /// The program with `arguments`, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.options)
            .args(arguments)
            .env("WASM_SANDBOX_CACHE", &self.cache)
            .env("TMPDIR", &self.temporary);
        command
    }

    /// Starts it as a server.
    pub fn start(&self, arguments: &[&str]) -> Result<Client> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {}", self.path.display()))?;
        let input = child.stdin.take();
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().context("stdout is piped")?);
        Ok(Client { child, input, output })
    }
}

/// The program under way.
pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends one request, waits for its answer, which must be a success, and tells how long that took.
    pub fn ask(&mut self, request: &Value) -> Result<(Value, Duration)> {
        self.ask_line(&line(request))
    }

    /// The same with a line that is ready to be sent.
    pub fn ask_line(&mut self, request: &[u8]) -> Result<(Value, Duration)> {
        let input = self.input.as_mut().context("stdin is piped")?;
        let shown = || String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        let started = Instant::now();
        input.write_all(request)?;
        let mut answer = Vec::new();
        if self.output.read_until(b'\n', &mut answer)? == 0 {
            bail!("wasm-sandbox ended without an answer to {}", shown());
        }
        let duration = started.elapsed();
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(answer["success"] == true && answer["timed_out"] != true, "{} failed: {answer}", shown());
        ensure!(answer["restarted"] != true, "the machine crashed before {}", shown());
        Ok((answer, duration))
    }

    /// Runs a command in a sandbox of this process; it must exit with 0.
    pub fn shell_in(&mut self, sandbox: &str, command: &str) -> Result<Outcome> {
        let request = json!({"type": "shell", "id": 1, "command": command, "sandbox": sandbox,
            "time_limit_ms": 600_000});
        let (answer, duration) = self.ask(&request)?;
        ensure!(answer["exit_code"] == 0, "{command} failed: {answer}");
        Ok(Outcome { output: answer["stdout"].as_str().unwrap_or_default().to_owned(), duration })
    }

    /// Closes its input and waits for its end.
    pub fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "wasm-sandbox failed ({status})");
        Ok(())
    }
}

impl Shell for Client {
    fn run(&mut self, command: &str) -> Result<Outcome> {
        self.shell_in("main", command)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // After `finish` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as it travels.
pub fn line(request: &Value) -> Vec<u8> {
    format!("{request}\n").into_bytes()
}

/// The program to measure unless another is named: cargo puts it beside this one.
pub fn neighbour() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("wasm-sandbox"))
}

/// Fails with what to do if there is no program at `path`.
pub fn check(path: &Path) -> Result<()> {
    ensure!(path.is_file(), "{} is missing: run `make build`, which makes it", path.display());
    Ok(())
}
