//! The snapshot that sandboxes start from: made on the first start, or ahead of it by `prepare`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use wasm_sandbox::protocol::json::{Outcome, Request, Status};
use wasm_sandbox::{MachineSnapshot, Sandbox, SandboxConfig, Trust};

use crate::cache::Entry;
use crate::warm_up;

/// Makes the snapshot of `config` unless it is there.
pub fn prepare(config: &SandboxConfig) -> Result<()> {
    let entry = Entry::of(&config.identity)
        .ok_or_else(|| anyhow!("there is no cache directory: set XDG_CACHE_HOME or HOME"))?;
    find_or_make(config, &entry)?;
    eprintln!("wasm-sandbox: the snapshot is ready in {}", entry.directory().display());
    Ok(())
}

/// The snapshot of `config`: found, or made and kept. Where nothing can be kept, one that is not
/// warmed up, for this process alone.
pub fn prepared(config: &SandboxConfig) -> Result<Option<MachineSnapshot>> {
    let kept = match Entry::of(&config.identity) {
        Some(entry) => find_or_make(config, &entry),
        None => Err(anyhow!("neither XDG_CACHE_HOME nor HOME is set")),
    };
    kept.map(Some).or_else(|error| {
        tracing::warn!("the prepared snapshot cannot be used, so the machine is powered on: {error:#}");
        let sandbox = Sandbox::start(config.clone())?;
        sandbox.snapshot().map(Some).map_err(|failure| anyhow!(failure.error))
    })
}

fn find_or_make(config: &SandboxConfig, entry: &Entry) -> Result<MachineSnapshot> {
    if let Some(found) = find(config, entry) {
        return Ok(found);
    }
    let _lock = entry.lock().with_context(|| entry.directory().display().to_string())?;
    entry.check_owner()?;
    // Another process may have been faster.
    if let Some(found) = find(config, entry) {
        return Ok(found);
    }
    make(config, entry)?;
    find(config, entry).ok_or_else(|| anyhow!("the snapshot that was just made cannot be used"))
}

/// The kept snapshot with its machine code, if both are there and fit.
fn find(config: &SandboxConfig, entry: &Entry) -> Option<MachineSnapshot> {
    if !entry.snapshot().exists() {
        return None;
    }
    match open(config, entry) {
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!("a kept snapshot is ignored and made anew: {error:#}");
            None
        }
    }
}

fn open(config: &SandboxConfig, entry: &Entry) -> Result<MachineSnapshot> {
    entry.check_owner()?;
    let mut snapshot = MachineSnapshot::open(&entry.snapshot(), config.identity, Trust::Own)?;
    for part in (0..).map(|part| entry.code(part)).take_while(|path| path.exists()) {
        #[allow(unsafe_code)]
        // SAFETY: only this program writes to the directory (checked above), and it replaces files as
        // a whole.
        unsafe { snapshot.engine_mut().load_code(&config.engine, &part) }?;
    }
    ensure!(snapshot.engine().is_executable(), "part of its machine code is missing");
    Ok(snapshot)
}

fn make(config: &SandboxConfig, entry: &Entry) -> Result<()> {
    let started = Instant::now();
    let progress = progress();
    progress.set_message("booting");
    let snapshot = warm_snapshot(config, &progress)?;
    progress.set_message("compiling what the guest uses most");
    let parts = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let code = snapshot.engine().compile_code(parts)?;
    progress.set_message("writing");
    entry.clear()?;
    for (part, code) in code.iter().enumerate() {
        write_whole(&entry.code(part), |file| Ok(file.write_all(code)?))?;
    }
    write_whole(&entry.snapshot(), |file| Ok(snapshot.write(file, config.identity)?))?;
    progress.finish_and_clear();
    tracing::info!(seconds = started.elapsed().as_secs(), "prepared");
    Ok(())
}

/// Boots a machine and lets it do what sandboxes usually do.
fn warm_snapshot(config: &SandboxConfig, progress: &ProgressBar) -> Result<MachineSnapshot> {
    let sandbox = Sandbox::start(SandboxConfig { snapshot: None, ..config.clone() })?;
    let steps = warm_up::requests();
    progress.set_length(steps.len() as u64);
    for (number, request) in steps.into_iter().enumerate() {
        progress.set_message("warming up");
        progress.set_position(number as u64);
        let response = sandbox.request(number as u64, request);
        if !response.success {
            bail!("the machine did not get through its warm-up: {:?}", response.outcome);
        }
    }
    progress.set_message("letting the guest come to rest");
    wait_for_rest(&sandbox)?;
    sandbox.snapshot().map_err(|failure| anyhow!(failure.error))
}

/// The agent uses quiet moments to start shells in advance; the snapshot is to have them.
fn wait_for_rest(sandbox: &Sandbox) -> Result<()> {
    let mut before = 0;
    for number in 0..LOOKS_FOR_REST {
        std::thread::sleep(TIME_BETWEEN_LOOKS);
        let response = sandbox.request(number, Request::Status(Status {}));
        let Outcome::Status(status) = response.outcome else {
            bail!("the machine does not tell its state: {:?}", response.outcome);
        };
        if status.instructions - before < INSTRUCTIONS_AT_REST {
            return Ok(());
        }
        before = status.instructions;
    }
    bail!("the guest does not come to rest")
}

/// How often, and how long apart, the guest is looked at.
const LOOKS_FOR_REST: u64 = 100;
const TIME_BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// A guest that executes less between two looks does nothing but answer them.
const INSTRUCTIONS_AT_REST: u64 = 1_000_000;

/// Writes a file beside `path` and puts it into place when it is complete.
fn write_whole(path: &Path, write: impl FnOnce(&mut std::fs::File) -> Result<()>) -> Result<()> {
    let directory = path.parent().ok_or_else(|| anyhow!("a file without a directory"))?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// On standard error, and only if a person looks at it.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("preparing the sandbox: {msg} {bar:30} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
