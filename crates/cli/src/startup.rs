//! From the command line to a sandbox's configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasm_sandbox::{Arch, EngineKind, MachineSnapshot, SandboxConfig, Trust};

use crate::arguments::{Arguments, ClockArgument, MachineArguments};
use crate::serve::TRANSPORT;
use crate::{artifacts, prepare, saved_code};

/// Lets the program open as many files as it is allowed to: each checkpoint and each fork needs one.
pub fn raise_file_limit() {
    let limits = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    if let Err(error) = raised {
        tracing::warn!(%error, "checkpoints and forks are limited by the soft limit of open files");
    }
}

/// A configuration that powers the machine on.
pub fn config(arguments: &MachineArguments) -> Result<SandboxConfig> {
    let engine = arguments.engine;
    let arch = match (arguments.arch, &arguments.image) {
        (Some(arch), _) => arch,
        (None, Some(directory)) => artifacts::arch_of(directory)?,
        (None, None) => Arch::usual_for(engine),
    };
    ensure!(
        arch.runs_on(engine),
        "the CPU engine {engine} has no 64-bit mode: --arch {arch} needs --engine wx86"
    );
    let (image, image_hash) = match &arguments.image {
        Some(directory) => artifacts::image_from(directory, arch)?,
        None => artifacts::default_image(arch)?,
    };
    let memory_limit_bytes = arguments.memory_limit_bytes();
    ensure!(
        arguments.clock == ClockArgument::Host || arguments.engine == EngineKind::Wx86,
        "--clock virtual needs --engine wx86: {} does not count its instructions exactly",
        arguments.engine
    );
    Ok(SandboxConfig {
        engine: artifacts::engine(engine)?,
        image,
        memory_limit_bytes,
        process_limit: arguments.process_limit,
        disk_limit_bytes: arguments.disk_limit.map(|megabytes| megabytes << 20),
        allow_read: existing(&arguments.allow_read, "--allow-read")?,
        allow_write: existing(&arguments.allow_write, "--allow-write")?,
        transport: TRANSPORT,
        identity: artifacts::identity(engine, arch, image_hash, memory_limit_bytes),
        snapshot: None,
        sources: arguments.sources(),
        kernel_log: arguments.verbose,
    })
}

/// Directories that were allowed. One that is not there is a mistake, and better said at once.
fn existing(directories: &[PathBuf], option: &str) -> Result<Vec<PathBuf>> {
    for directory in directories {
        let is_directory =
            directory.metadata().with_context(|| format!("{option} {}", directory.display()))?.is_dir();
        ensure!(is_directory, "{option} {}: that is no directory", directory.display());
    }
    Ok(directories.to_vec())
}

/// `config` with the snapshot to start from: the one asked for, or the prepared one.
pub fn with_snapshot(config: SandboxConfig, arguments: &Arguments) -> Result<SandboxConfig> {
    match &arguments.snapshot {
        Some(path) => from_file(config, path).with_context(|| path.display().to_string()),
        None if arguments.no_snapshot => Ok(config),
        None => Ok(SandboxConfig { snapshot: prepare::prepared(&config)?, ..config }),
    }
}

/// The memory size is the snapshot's; everything else must be as it was.
fn from_file(mut config: SandboxConfig, path: &Path) -> Result<SandboxConfig> {
    config.identity.ram_bytes = MachineSnapshot::identity_of(path)?.ram_bytes;
    config.memory_limit_bytes = config.identity.ram_bytes;
    let mut snapshot = MachineSnapshot::open(path, config.identity, Trust::Foreign)?;
    saved_code::add(&config, &mut snapshot);
    config.snapshot = Some(snapshot);
    Ok(config)
}
