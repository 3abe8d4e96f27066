//! What was measured, on what, and when.

use std::fs;
use std::process::Command;

use crate::client::Program;
use crate::qemu;
use crate::v86;

/// A table of facts in Markdown.
pub fn facts(program: &Program) -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = find(&read("/proc/cpuinfo"), "model name");
    let memory: u64 = find(&read("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|kb| kb.parse().ok())
        .unwrap_or(0);
    let load = read("/proc/loadavg");
    let options: Vec<String> = std::env::args().skip(1).collect();
    let command = match options.as_slice() {
        [] => "`make bench`".to_owned(),
        [option] => format!("`make bench BENCH={option}`"),
        several => format!("`make bench BENCH=\"{}\"`", several.join(" ")),
    };
    let rows = [
        ("date", first_line("date", &["-u", "+%F %H:%M UTC"])),
        ("command", command.to_owned()),
        ("processor", format!("{processors} x {cpu}")),
        ("memory", format!("{:.1} GB", memory as f64 / f64::from(1 << 20))),
        (
            "kernel",
            format!(
                "{} {}",
                read("/proc/sys/kernel/ostype").trim(),
                read("/proc/sys/kernel/osrelease").trim()
            ),
        ),
        ("load before", load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")),
        ("wasm-sandbox", first_line(&program.path.to_string_lossy(), &["--version"])),
        ("commit", first_line("git", &["describe", "--always", "--dirty"])),
        ("compiler", first_line("rustc", &["--version"])),
        ("QEMU", first_line(qemu::PROGRAM, &["--version"])),
        ("Node", first_line("node", &["--version"])),
        ("v86 on Node", v86::VERSION.to_owned()),
    ];
    let lines = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n"));
    format!("| | |\n|---|---|\n{}", lines.collect::<String>())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of `name : value`.
fn find(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// What a program says, or that it is not there.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "not installed".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned(),
    )
}
