//! v86 as its authors ship it, on Node: the same CPU core, kernel and programs. The kernel knows no disk of v86's, so
//! the programs are in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::boot::{self, Loads};
use crate::initramfs::{self, Content};
use crate::root::Guest;
use crate::shell::{Driver, Shell};

/// The package and its version, which is the sandbox's.
pub const VERSION: &str = "0.5.462";
/// Memory of the machine in megabytes: what is a disk elsewhere is in it.
const RAM_MB: u32 = 768;
const COMMAND_LINE: &str =
    "console=ttyS0 quiet loglevel=3 reboot=k panic=-1 tsc=reliable tsc_early_khz=1000000 rdinit=/init";
/// The program for Node.
const SCRIPT: &str = include_str!("../v86.mjs");

/// A machine that answers.
pub type Machine = Driver<ChildStdin, ChildStdout>;

/// The package, and what its machine boots.
#[derive(Debug)]
pub struct V86 {
    package: PathBuf,
    script: PathBuf,
    state: PathBuf,
    loads: Loads,
}

impl V86 {
    /// Fetches the package with npm into `cache` unless it is there, and prepares to boot in `directory`.
    pub fn new(guest: &Guest, cache: &Path, directory: &Path) -> Result<Self> {
        let package = fetch(cache)?;
        let script = directory.join("v86.mjs");
        fs::write(&script, SCRIPT)?;
        let initrd = initramfs::archive(guest, Content::Programs)?;
        let loads = boot::prepare(&guest.kernel, &initrd, COMMAND_LINE, RAM_MB << 20, directory)?;
        Ok(Self { package, script, state: directory.join("state.bin"), loads })
    }

    /// Boots; returns the machine with the time to its first answer.
    pub fn boot(&self) -> Result<(Machine, Duration)> {
        let mut command = self.command("boot");
        for (address, file) in &self.loads.memory {
            command.arg(address.to_string()).arg(file);
        }
        start(command)
    }

    /// Saves the state of `machine`.
    pub fn save(&self, machine: &mut Machine) -> Result<()> {
        machine.send(&format!("@@save {}", self.state.display()))?;
        machine.read_until_line(|line| line.starts_with("@@saved")).map(drop)
    }

    /// Goes on from the saved state; returns the machine with the time to its first answer.
    pub fn restore(&self) -> Result<(Machine, Duration)> {
        let mut command = self.command("restore");
        command.arg(&self.state);
        start(command)
    }

    /// Size of the saved state in bytes.
    pub fn state_size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.state)?.len())
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(&self.script).arg(self.package.join("libv86.mjs")).arg(self.package.join("v86.wasm"));
        command.arg(RAM_MB.to_string()).arg(mode).arg(&self.loads.rom);
        command
    }
}

fn start(mut command: Command) -> Result<(Machine, Duration)> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("running node")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut machine =
        Driver::new(child, input.context("stdin is piped")?, output.context("stdout is piped")?)?;
    machine.run("echo hi")?;
    Ok((machine, started.elapsed()))
}

/// The package's directory `build`.
fn fetch(cache: &Path) -> Result<PathBuf> {
    let finished = cache.join(format!("v86-{VERSION}"));
    if !finished.is_dir() {
        fs::create_dir_all(cache)?;
        let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(cache)?;
        let package = format!("v86@{VERSION}");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"]).arg(partial.path());
        let status = npm.arg(&package).stdout(Stdio::null()).status().context("running npm")?;
        ensure!(status.success(), "npm did not fetch {package} ({status})");
        fs::rename(partial.keep(), &finished)?;
    }
    Ok(finished.join("node_modules/v86/build"))
}
