//! When nothing works any more: say why, and do not just vanish.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::system::{RebootCommand, reboot};

use super::{CommandLine, Trouble};

/// Where a shell for emergencies may be: in the root, in its image, in the initial file system.
const SHELLS: [&str; 5] =
    ["/bin/busybox", "/usr/bin/busybox", "/lower/bin/busybox", "/lower/usr/bin/busybox", "/busybox"];

/// Says what happened, offers a shell if the host wants that, and restarts the machine, which the host takes for the crash
/// that it is.
pub fn handle(trouble: &Trouble, options: &CommandLine) -> ExitCode {
    let Trouble(why) = trouble;
    crate::log!("{why}");
    // The kernel's log reaches the host even where /dev/console could not be opened.
    let _no_dev = std::fs::write("/dev/kmsg", format!("agent: {why}\n"));
    if options.emergency_shell {
        for shell in SHELLS {
            if std::path::Path::new(shell).exists() {
                crate::log!("starting {shell} sh; the machine restarts when it ends");
                let mut shell = Command::new(shell);
                // As a child, so that its end does not make the kernel panic.
                let _ended =
                    shell.arg0("busybox").arg("sh").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").status();
                break;
            }
        }
    }
    crate::log!("restarting the machine");
    if let Err(error) = reboot(RebootCommand::Restart) {
        crate::log!("cannot restart: {}", crate::failure::describe(error));
    }
    // The kernel panics now, and says so.
    ExitCode::FAILURE
}
