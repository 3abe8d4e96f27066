//! The machine code of what saved files have translated: that of the prepared snapshot they come of, or what
//! `prepare --snapshot` has compiled.

use anyhow::{Context, Result};
use wasm_sandbox::{MachineSnapshot, SandboxConfig};

use crate::cache::{Check, Entry};
use crate::prepare::{find, load_code, no_directory, threads};
use crate::report::{Report, say};

/// Compiles what the snapshot of `config`, which is from a file, has translated, unless it has machine code.
pub fn prepare(config: &SandboxConfig) -> Result<()> {
    let snapshot = config.snapshot.as_ref().context("there is no file to prepare")?;
    let identity = match snapshot.engine().code_identity() {
        Some(identity) if !snapshot.engine().is_executable() => identity,
        Some(_) => {
            say("the file is ready: there is machine code for what it has translated");
            return Ok(());
        }
        None => {
            say("the file is ready: it has no translated code that could be compiled ahead of time");
            return Ok(());
        }
    };
    let entry = Entry::of_code(config, &identity).ok_or_else(no_directory)?;
    let _lock = entry.lock(|| say("another process is compiling the same; waiting for it"))?;
    // Another process may have been faster; what is of no use is replaced.
    if !matches!(kept(config, &entry, snapshot, Check::Everything), Ok(Some(_))) {
        let directory = entry.directory().display();
        let mut report = Report::begin(&format!("compiling what the file has translated, to {directory}"), 2);
        report.stage("compiling");
        let code = snapshot.engine().compile_code(threads())?;
        report.stage("writing");
        entry.keep_code(&code)?;
        report.end("compiled in {}");
    }
    say(&format!("the file is ready: its machine code is in {}", entry.directory().display()));
    Ok(())
}

/// Gives `snapshot`, which is from a file, machine code for what it has translated, if there is any. Otherwise its machine
/// does without.
pub fn add(config: &SandboxConfig, snapshot: &mut MachineSnapshot) {
    let Some(identity) = snapshot.engine().code_identity() else { return };
    let places = [(Entry::of(config), true), (Entry::of_code(config, &identity), false)];
    for (entry, of_prepared) in places {
        let Some(entry) = entry else { continue };
        let found = if of_prepared {
            find(config, &entry, Check::Modified)
        } else {
            kept(config, &entry, snapshot, Check::Modified)
        };
        match found {
            Ok(Some(found)) if snapshot.engine_mut().share_code(found.engine()) => {
                entry.note_use();
                // The prepared one has not what was translated later.
                if snapshot.engine().is_executable() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{} is of no use: {error:#}", entry.directory().display()),
        }
    }
    tracing::info!(
        "the file's translated code is not compiled: `wasm-sandbox prepare --snapshot FILE` does that"
    );
}

/// `snapshot` with the machine code that is kept for it, if there is any.
fn kept(
    config: &SandboxConfig,
    entry: &Entry,
    snapshot: &MachineSnapshot,
    check: Check,
) -> Result<Option<MachineSnapshot>> {
    let Some(files) = entry.files(check)? else { return Ok(None) };
    let mut snapshot = snapshot.clone();
    load_code(config, &files, &mut snapshot)?;
    Ok(Some(snapshot))
}
