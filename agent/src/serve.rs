//! The server process: from its arguments to the loop.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::io::Errno;

use crate::contain::{Containment, Limits};
use crate::exec::WaitingShells;
use crate::protect::Shield;
use crate::server::{PortKind, Server, Stopped};
use crate::sys;
use crate::writable::WritableLayer;

mod arguments;
mod find_port;

use arguments::Arguments;

/// The agent's priority: it should answer while the guest is busy.
const NICE: i32 = -10;

/// Where the kernel's control groups are.
const CGROUP: &str = "/sys/fs/cgroup/sandbox";

/// Where waiting shells have their FIFOs.
const GATES: &str = "/run/wasm-sandbox";

/// Serves until the port ends, which in a guest it does not.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(message) => {
            crate::log!("{message}");
            return ExitCode::from(2);
        }
    };
    let writable = arguments.writable.and_then(WritableLayer::inherited);
    sys::signals::catch_sigpipe();
    crate::open_files::raise();
    let shield = Shield::raise();
    sys::signals::raise_priority(NICE);
    let directory = arguments.cgroup.unwrap_or_else(|| PathBuf::from(CGROUP));
    let limits = Limits { processes: arguments.max_processes, memory: arguments.max_memory };
    let containment = Containment::new(&directory, limits);
    let waiting = WaitingShells::new(arguments.gates.unwrap_or_else(|| PathBuf::from(GATES)));

    let stopped = match open(arguments.connect)
        .and_then(|(port, kind)| Server::new(port, kind, containment, shield, waiting, writable))
    {
        Ok(server) => server.run(),
        Err(error) => Stopped::Failed(error),
    };
    match stopped {
        Stopped::Closed => ExitCode::SUCCESS,
        Stopped::Lost(error) => fail(&error.to_string()),
        Stopped::Failed(error) => fail(&crate::failure::describe(error)),
    }
}

fn open(socket: Option<PathBuf>) -> rustix::io::Result<(OwnedFd, PortKind)> {
    match socket {
        Some(path) => {
            let socket = UnixStream::connect(path)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            Ok((socket.into(), PortKind::Stream))
        }
        None => Ok((find_port::find(wasm_sandbox_protocol::agent::PORT_NAME)?, PortKind::Virtio)),
    }
}

fn fail(why: &str) -> ExitCode {
    crate::log!("the server stops: {why}");
    ExitCode::FAILURE
}
