//! The program inside the guest.
//!
//! As PID 1 ([`init`]) it puts the root file system together, starts itself once more as the server, and from then on
//! only collects orphans. The server ([`serve`]) opens the port to the host and carries out operations: programs
//! ([`exec`]), files ([`files`]), the state of the guest ([`status`]). It is one thread around one wait ([`server`]).
//! What takes long is done by a third process, which lives for one request ([`tools`]).

mod clock;
mod console;
mod contain;
mod exec;
mod failure;
mod files;
mod init;
mod open_files;
mod poller;
mod port;
mod protect;
mod serve;
mod server;
mod status;
mod sys;
mod tools;
mod user;
mod writable;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if std::process::id() == 1 {
        return init::run();
    }
    match arguments.next() {
        Some(command) if command == "serve" => serve::run(arguments),
        Some(command) if command == tools::ARGUMENT => tools::run(),
        _ => {
            console::line(
                "runs as PID 1 of a wasm-sandbox guest, or as: agent serve [--connect SOCKET] [--cgroup DIR]",
            );
            ExitCode::from(2)
        }
    }
}
