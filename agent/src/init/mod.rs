//! PID 1: puts the system together, starts the server, and from then on only collects the dead.
//!
//! It shares no state with the server, so nothing that goes wrong there can hurt it; and since the kernel panics when
//! PID 1 ends, whatever fails here is said on the console first.

mod command_line;
mod control_groups;
mod emergency;
mod mounts;
mod reaper;
mod root;
mod settings;

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use command_line::CommandLine;

/// A step of the start that failed.
#[derive(Debug)]
pub struct Trouble(String);

impl Trouble {
    fn new(doing: impl std::fmt::Display, error: impl Into<std::io::Error>) -> Self {
        Self(format!("cannot {doing}: {}", error.into()))
    }
}

/// Boots. Does not return unless everything else has failed.
pub fn run() -> ExitCode {
    let mut options = CommandLine::default();
    let trouble = match start(&mut options) {
        Ok(server) => reaper::run(server),
        Err(trouble) => trouble,
    };
    emergency::handle(&trouble, &options)
}

/// Everything up to the running server, whose process identifier is returned.
fn start(options: &mut CommandLine) -> Result<u32, Trouble> {
    mounts::before_root()?;
    *options = CommandLine::read()?;
    let writable = root::assemble(options)?;
    mounts::after_root();
    settings::apply();
    control_groups::enable();

    // This file is out of reach by its name since the root moved, but not by this link.
    let mut server = Command::new("/proc/self/exe");
    server.arg0("agent").arg("serve").env_clear();
    if let Some(limit) = options.process_limit() {
        server.arg("--max-processes").arg(limit.to_string());
    }
    server.arg("--writable").arg(writable.as_raw_fd().to_string());
    if let Some(limit) = options.memory_limit() {
        server.arg("--max-memory").arg(limit.to_string());
    }
    let server = server.spawn().map_err(|error| Trouble::new("start the server", error))?;
    settings::protect_pid_1();
    Ok(server.id())
}
