//! The snapshot that sandboxes start from: made on the first start, or ahead of it by `prepare`.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use wasm_sandbox::protocol::json::{Outcome, Request, Status};
use wasm_sandbox::{MachineSnapshot, Sandbox, SandboxConfig, Sources, Trust};

use crate::cache::{Check, Entry, Files};
use crate::report::{Report, say};
use crate::warm_up;

/// Makes the snapshot of `config` unless it is there and whole, and removes what earlier versions have left.
pub fn prepare(config: &SandboxConfig) -> Result<()> {
    let entry = Entry::of(config).ok_or_else(no_directory)?;
    find_or_make(config, &entry, Check::Everything)?;
    ensure!(entry.files(Check::Modified)?.is_some(), "{} has no snapshot", entry.directory().display());
    remove_old(&entry);
    say(&format!("the snapshot is ready in {}", entry.directory().display()));
    Ok(())
}

/// The snapshot of `config`: found, or made and kept. Where nothing can be kept, one that is not
/// warmed up, for this process alone.
pub fn prepared(config: &SandboxConfig) -> Result<Option<MachineSnapshot>> {
    let kept = match Entry::of(config) {
        Some(entry) => find_or_make(config, &entry, Check::Modified).inspect(|_| entry.note_use()),
        None => Err(no_directory()),
    };
    kept.map(Some).or_else(|error| {
        say(&format!(
            "there is no prepared snapshot to start from, so the machine boots, which takes some seconds: {error:#}"
        ));
        let sandbox = Sandbox::start(config.clone())?;
        sandbox.snapshot().map(Some).map_err(|failure| anyhow!(failure.error))
    })
}

/// What is said where nothing can be kept.
pub fn no_directory() -> anyhow::Error {
    anyhow!("there is no cache directory: set WASM_SANDBOX_CACHE, XDG_CACHE_HOME or HOME")
}

fn remove_old(entry: &Entry) {
    let bytes = entry.remove_old_others();
    if bytes > 0 {
        say(&format!("removed {} MB of snapshots that nobody has used for a month", bytes / 1_000_000));
    }
}

fn find_or_make(config: &SandboxConfig, entry: &Entry, check: Check) -> Result<MachineSnapshot> {
    let found = find(config, entry, check);
    if let Ok(Some(snapshot)) = found {
        return Ok(snapshot);
    }
    let waiting = || {
        say(&format!(
            "another process is preparing the snapshot that sandboxes start from, in {}; waiting for it, which may \
             take some minutes",
            entry.directory().display()
        ));
    };
    let mut waited = false;
    let lock = entry.lock(|| {
        waited = true;
        waiting();
    });
    let _lock = lock.with_context(|| match found {
        Ok(_) => format!("none can be kept in {}", entry.directory().display()),
        Err(error) => format!(
            "the one in {} is of no use: {error:#}; and none can be kept there",
            entry.directory().display()
        ),
    })?;
    // Another process may have been faster.
    let why = match find(config, entry, check) {
        Ok(Some(snapshot)) => {
            if waited {
                say("the other process has prepared the snapshot");
            }
            return Ok(snapshot);
        }
        Ok(None) => "there is none for this version of the program and this memory size yet".to_owned(),
        Err(error) => format!("the one there is of no use ({error:#}) and is replaced"),
    };
    entry.check_room()?;
    make(config, entry, &why)
}

/// The kept snapshot with its machine code, if there is one.
pub fn find(config: &SandboxConfig, entry: &Entry, check: Check) -> Result<Option<MachineSnapshot>> {
    let Some(files) = entry.files(check)? else { return Ok(None) };
    let mut snapshot = MachineSnapshot::open(&files.snapshot()?, config.identity, Trust::Own)?;
    load_code(config, &files, &mut snapshot)?;
    Ok(Some(snapshot))
}

/// Takes the machine code of `files` into `snapshot`.
pub fn load_code(config: &SandboxConfig, files: &Files, snapshot: &mut MachineSnapshot) -> Result<()> {
    for part in files.code() {
        #[allow(unsafe_code)]
        // SAFETY: only this program writes to the directory and the file, it never changes a file that is in
        // place, and the file is as it was written: all of that was checked when it was opened.
        unsafe { snapshot.engine_mut().load_code(&config.engine, &part) }.context("its machine code")?;
    }
    ensure!(snapshot.engine().is_executable(), "part of its machine code is missing");
    Ok(())
}

/// So many parts are compiled at a time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn make(config: &SandboxConfig, entry: &Entry, why: &str) -> Result<MachineSnapshot> {
    let mut report = Report::begin(
        &format!(
            "preparing the snapshot that sandboxes start from, in {}: {why}. This is done once; it may take up to \
             three minutes",
            entry.directory().display()
        ),
        4,
    );
    let snapshot = warm_snapshot(config, &mut report)?;
    report.stage("compiling what the guest uses most");
    let code = snapshot.engine().compile_code(threads())?;
    report.stage("writing");
    if let Err(error) = entry.keep(&code, |file| Ok(snapshot.write(file, config.identity)?)) {
        report.end("prepared in {}");
        say(&format!("the snapshot cannot be kept, so that it is for this process alone: {error:#}"));
        return Ok(snapshot);
    }
    report.end("prepared in {}; from now on a start takes milliseconds");
    remove_old(entry);
    find(config, entry, Check::Modified)?.context("the snapshot that was just made is gone")
}

/// Boots a machine and lets it do what sandboxes usually do.
fn warm_snapshot(config: &SandboxConfig, report: &mut Report) -> Result<MachineSnapshot> {
    report.stage("booting");
    // Who goes on from it brings its own clock.
    let sources = Sources::default();
    let sandbox = Sandbox::start(SandboxConfig { snapshot: None, sources, ..config.clone() })?;
    let kind = config.engine.kind();
    let (first, again) = (warm_up::requests(kind), warm_up::again(kind));
    let (all, new) = (first.len() + again.len(), first.len());
    for (number, request) in first.into_iter().chain(again).enumerate() {
        if number == new {
            sandbox.renew_code();
        }
        let response = sandbox.request(number as u64, request);
        if !response.success {
            bail!("the machine did not get through its warm-up: {:?}", response.outcome);
        }
        // The first answer comes when the machine has booted.
        if number == 0 {
            report.stage("running the usual tools");
        }
        report.steps(number + 1, all);
    }
    wait_for_rest(&sandbox)?;
    sandbox.translate_code(warm_up::OFTEN);
    sandbox.snapshot().map_err(|failure| anyhow!(failure.error))
}

/// The agent uses quiet moments to start shells in advance; the snapshot is to have them.
fn wait_for_rest(sandbox: &Sandbox) -> Result<()> {
    let mut before = 0;
    for number in 0..LOOKS_FOR_REST {
        std::thread::sleep(TIME_BETWEEN_LOOKS);
        let response = sandbox.request(number, Request::Status(Status::default()));
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
