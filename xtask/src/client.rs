//! A client of `wasm-sandbox`: the program as a child, one line in, one line out.

use crate::recipe;
use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The program under way.
pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Where cargo puts the program: beside this one.
pub fn program() -> Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("wasm-sandbox");
    ensure!(program.is_file(), "{} is missing: run `make build`, which makes it", program.display());
    Ok(program)
}

impl Client {
    /// Starts the program with `arguments`.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let program = program()?;
        let mut child = Command::new(&program)
            .args(arguments)
            .current_dir(recipe::repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {}", program.display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        Ok(Self { child, input, output })
    }

    /// Sends one request, waits for its answer, and tells how long that took.
    pub fn ask(&mut self, request: &str) -> Result<(String, Duration)> {
        let input = self.input.as_mut().context("stdin is piped")?;
        let started = Instant::now();
        writeln!(input, "{request}")?;
        input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            bail!("wasm-sandbox ended without an answer to {request}");
        }
        Ok((answer.trim_end().to_owned(), started.elapsed()))
    }

    /// Closes its input and waits for its end.
    pub fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "wasm-sandbox failed ({status})");
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // After `finish` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
