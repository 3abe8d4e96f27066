//! The guest's programs on the host's processor: i386 code runs there as it is.

use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

use crate::root::Guest;
use crate::shell::{DRIVER, Driver};

/// Fresh mounts of what programs expect, then the guest's root as the root.
const SETUP: &str = r#"
set -e
cd "$1"
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot . /bin/bash -c "$2"
"#;

/// Commands that run on the host, in the guest's root file system.
pub type Native = Driver<ChildStdin, ChildStdout>;

/// Starts a shell in name spaces of its own.
pub fn start(guest: &Guest) -> Result<Native> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    if !is_root()? {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", SETUP, "setup"]).arg(&guest.tree).arg(DRIVER);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("running unshare")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    Driver::new(child, input.context("stdin is piped")?, output.context("stdout is piped")?)
}

fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}
