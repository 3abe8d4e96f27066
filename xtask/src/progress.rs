//! Says what a long step does: a spinner or bar on a terminal, plain lines elsewhere; always on
//! stderr. Output of the tools goes to a log file, which a failure names.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A script starts a new step with a line of this prefix.
const STEP: &str = "step: ";
/// Lines of the log that a failure repeats.
const TAIL: usize = 15;

/// One long step, shown from [`Step::new`] until it is dropped or finished.
pub struct Step {
    label: String,
    bar: ProgressBar,
    terminal: bool,
    started: Instant,
}

impl Step {
    /// A step of unknown length.
    pub fn new(label: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {prefix}: {wide_msg} {elapsed}")
                .expect("a valid template"),
        );
        Self::start(label, bar)
    }

    /// A step through `length` bytes.
    pub fn bytes(label: &str, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        bar.set_style(
            ProgressStyle::with_template("{prefix}: {wide_bar} {bytes}/{total_bytes}, {eta} left")
                .expect("a valid template"),
        );
        let step = Self::start(label, bar);
        step.say(&format!("{} MiB", length >> 20));
        step
    }

    fn start(label: &str, bar: ProgressBar) -> Self {
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_prefix(label.to_owned());
        Self { label: label.to_owned(), bar, terminal, started: Instant::now() }
    }

    /// What the step does now: a line of its own where there is no terminal.
    fn say(&self, message: &str) {
        if self.terminal {
            self.bar.set_message(message.to_owned());
        } else {
            eprintln!("{}: {message}", self.label);
        }
    }

    /// Counts bytes done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// The step is over; leaves one line that says how long it took.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        eprintln!("{}: done in {} s", self.label, self.started.elapsed().as_secs());
    }

    /// Runs a script whose lines `step: ...` say what it does; all of its output goes to `log`.
    pub fn run(&self, command: &mut Command, log: &Path) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut log_file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file.try_clone()?)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let output = child.stdout.take().expect("stdout is piped");
        let mut now = String::new();
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading a script's output")?;
            log_file.write_all(&line)?;
            log_file.write_all(b"\n")?;
            let line = String::from_utf8_lossy(&line);
            if let Some(step) = line.strip_prefix(STEP) {
                step.clone_into(&mut now);
                self.say(&now);
            } else if self.terminal {
                self.bar.set_message(format!("{now} - {}", line.trim()));
            }
        }
        let status = child.wait()?;
        if !status.success() {
            self.bar.finish_and_clear();
            bail!("{name} failed ({status}) while {now}\n{}\nall of it: {}", tail(log), log.display());
        }
        Ok(())
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_log_and_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo step: thinking; echo lost >&2; exit 3"]);
        let error = Step::new("test").run(&mut command, &log).unwrap_err().to_string();
        assert!(error.contains("while thinking"), "{error}");
        assert!(error.contains("lost"), "{error}");
        assert!(error.contains(&log.display().to_string()), "{error}");
    }
}
