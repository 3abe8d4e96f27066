//! Times what a client of `wasm-sandbox` waits for, from outside, and writes the figures into
//! `docs/benchmarks.md`.

use crate::client::{Client, program};
use crate::recipe;
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the figures go: everything after the line [`MARK`].
const DOCUMENT: &str = "docs/benchmarks.md";
const MARK: &str = "<!-- Everything below is written by `make bench`. -->";
/// Runs of what takes seconds, and of what takes milliseconds.
const FEW: usize = 5;
const MANY: usize = 200;

/// One row: what is timed, and all its times, sorted.
struct Row {
    what: &'static str,
    times: Vec<Duration>,
}

/// Measures, prints, and writes the document.
pub fn run() -> Result<()> {
    let mut rows = Vec::new();
    eprintln!("bench: {FEW} cold starts");
    rows.push(Row::new("process start to the first answered `shell`", FEW, |_| first_answer())?);

    let mut client = Client::start(&[])?;
    let kilobyte = "x".repeat(1024);
    let write = format!(r#"{{"type":"write_file","id":1,"path":"/tmp/kilobyte","content":"{kilobyte}"}}"#);
    let requests = [
        ("`shell` with `echo hi`", MANY, r#"{"type":"shell","id":1,"command":"echo hi"}"#),
        ("`write_file` of 1 KB", MANY, write.as_str()),
        ("`read_file` of 1 KB", MANY, r#"{"type":"read_file","id":1,"path":"/tmp/kilobyte"}"#),
        ("`status`", MANY, r#"{"type":"status","id":1}"#),
        (
            "`python3 -c 'print(1)'`",
            10,
            r#"{"type":"shell","id":1,"command":"python3 -c 'print(1)'","time_limit_ms":60000}"#,
        ),
        (
            "`sha256sum` of 64 MB",
            3,
            r#"{"type":"shell","id":1,"command":"head -c 64M /dev/zero | sha256sum","time_limit_ms":120000}"#,
        ),
        (
            "300 x fork and exec",
            3,
            r#"{"type":"shell","id":1,"command":"for i in {1..300}; do /bin/busybox true; done","time_limit_ms":120000}"#,
        ),
        ("`reset`", FEW, r#"{"type":"reset","id":1}"#),
    ];
    for (what, runs, request) in requests {
        eprintln!("bench: {what}, {runs} times");
        succeed(&mut client, request).context("the first, which does not count")?;
        rows.push(Row::new(what, runs, |_| succeed(&mut client, request))?);
    }
    client.finish()?;

    let figures = report(&rows)?;
    print!("{figures}");
    let path = recipe::repository().join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (head, _) = document.split_once(MARK).with_context(|| format!("{DOCUMENT} has no line {MARK}"))?;
    fs::write(&path, format!("{head}{MARK}\n\n{figures}"))?;
    Ok(())
}

/// A process from its start to its first answer.
fn first_answer() -> Result<Duration> {
    let started = Instant::now();
    let mut client = Client::start(&[])?;
    succeed(&mut client, r#"{"type":"shell","id":1,"command":"echo hi"}"#)?;
    let duration = started.elapsed();
    client.finish()?;
    Ok(duration)
}

/// One request that must succeed.
fn succeed(client: &mut Client, request: &str) -> Result<Duration> {
    let (answer, duration) = client.ask(request)?;
    let parsed: serde_json::Value = serde_json::from_str(&answer)?;
    ensure!(parsed["success"] == true && parsed["timed_out"] != true, "{request} failed: {answer}");
    Ok(duration)
}

impl Row {
    fn new(what: &'static str, runs: usize, mut time: impl FnMut(usize) -> Result<Duration>) -> Result<Self> {
        let mut times =
            (0..runs).map(&mut time).collect::<Result<Vec<_>>>().with_context(|| what.to_owned())?;
        times.sort();
        Ok(Self { what, times })
    }

    /// The time that `percent` of all runs stay within, in milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.times.len() * percent).div_ceil(100).saturating_sub(1);
        self.times.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
    }
}

/// The figures as Markdown.
fn report(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "## The machine\n\n{}\n", machine()?)?;
    writeln!(text, "## Times\n\nIn milliseconds, seen from the client's side of the pipe.\n")?;
    writeln!(text, "| what | median | fastest | p99 | runs |\n|---|---:|---:|---:|---:|")?;
    for row in rows {
        let [median, fastest, slowest] = [50, 0, 99].map(|percent| row.percentile(percent));
        writeln!(text, "| {} | {median:.2} | {fastest:.2} | {slowest:.2} | {} |", row.what, row.times.len())?;
    }
    Ok(text)
}

/// What was measured, and on what.
fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let processors = std::thread::available_parallelism()?;
    let version = Command::new(program()?).arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout);
    Ok(format!("{} on {processors} processors ({model}).", version.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let row = Row::new("counting", 200, |index| Ok(Duration::from_millis(200 - index as u64))).unwrap();
        assert_eq!([0, 50, 99, 100].map(|percent| row.percentile(percent)), [1.0, 100.0, 198.0, 200.0]);
    }
}
