//! The program inside the guest: the crate `agent`, built as a static program for Linux.
//!
//! Where the toolchain has the target's standard library (`rustup target add i686-unknown-linux-gnu`)
//! that is used; elsewhere Debian's own compiler, which brings the library's sources and builds it.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::progress::Step;
use crate::recipe::{self, Key, repository};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Static, and at a fixed address: nothing to relocate at each start.
const FLAGS: &str = "-Ctarget-feature=+crt-static -Crelocation-model=static";
/// With SSE2 for copying, which each processor of the other architecture has.
const FLAGS_FOR_I686: &str = " -Ctarget-cpu=pentium4";
/// Debian's compiler and the sources of its standard library.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &str = "rustc-web rust-web-src gcc-multilib";
/// What the agent is made of, relative to the repository.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "agent/Cargo.toml",
    "agent/src",
    "crates/protocol/Cargo.toml",
    "crates/protocol/src/agent.rs",
    "crates/protocol/src/agent",
];
/// Changes when the layout of a cache entry, or the way of building, does.
const FORMAT: &str = "agent 1";

/// Builds the agent, or finds it in the cache; the path of the program.
pub fn build(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    let target = architecture.target();
    let toolchain = match Toolchain::find(architecture)? {
        Some(toolchain) => toolchain,
        None => {
            recipe::install_packages()?;
            Toolchain::find(architecture)?.with_context(|| {
                format!(
                    "no compiler here builds for {target}: run `rustup target add {target}` (and `apt-get install \
                     gcc-multilib`), or `apt-get install {DEBIAN_PACKAGES}`"
                )
            })?
        }
    };
    let key = key(&repository(), &toolchain)?;
    let entry = cache.entry("agent", &key, |out| {
        let step = Step::new(&format!("agent for {}", architecture.name()));
        let log = cache.logs()?.join(format!("agent-{key}.log"));
        let directory = repository().join("target/agent");
        step.run(&mut toolchain.cargo(&directory), &log)?;
        let built = directory.join(target).join("agent/agent");
        fs::copy(&built, out.join("agent")).with_context(|| format!("copying {}", built.display()))?;
        step.finish();
        Ok(())
    })?;
    Ok(entry.join("agent"))
}

/// The compiler that builds for the guest.
struct Toolchain {
    /// What it builds for.
    architecture: Architecture,
    /// The compiler, when it is not the one cargo would take.
    rustc: Option<&'static str>,
    /// What it says of itself.
    version: String,
}

impl Toolchain {
    /// The first that builds for the guest, if there is one.
    fn find(architecture: Architecture) -> Result<Option<Self>> {
        let usual = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let sysroot = ask(&usual, &["--print", "sysroot"])?;
        if Path::new(sysroot.trim()).join("lib/rustlib").join(architecture.target()).is_dir() {
            return Ok(Some(Self { architecture, rustc: None, version: ask(&usual, &["-vV"])? }));
        }
        let Ok(sysroot) = ask(DEBIAN_RUSTC, &["--print", "sysroot"]) else { return Ok(None) };
        let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
        if !sources.is_file() {
            return Ok(None);
        }
        Ok(Some(Self { architecture, rustc: Some(DEBIAN_RUSTC), version: ask(DEBIAN_RUSTC, &["-vV"])? }))
    }

    /// How it builds.
    fn flags(&self) -> String {
        match self.architecture {
            Architecture::I686 => [FLAGS, FLAGS_FOR_I686].concat(),
            Architecture::X86_64 => FLAGS.to_owned(),
        }
    }

    /// The command that builds.
    fn cargo(&self, directory: &Path) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(repository())
            .args(["build", "--package", "wasm-sandbox-agent", "--profile", "agent"])
            .args(["--target", self.architecture.target()])
            .arg("--target-dir")
            .arg(directory)
            .env("RUSTFLAGS", self.flags())
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(rustc) = self.rustc {
            // Not a nightly compiler, so that building the standard library has to be allowed. No features: without
            // symbols a backtrace could name nothing.
            command
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
        }
        command
    }
}

/// What a program prints.
fn ask(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} failed ({}): {}", arguments.join(" "), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The key of everything that goes into the program.
fn key(repository: &Path, toolchain: &Toolchain) -> Result<String> {
    let mut key = Key::new(FORMAT)
        .with("target", toolchain.architecture.target().as_bytes())
        .with("flags", toolchain.flags().as_bytes())
        .with("rustc", toolchain.version.as_bytes());
    for source in SOURCES {
        for file in files(&repository.join(source))? {
            let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let name = file.strip_prefix(repository).unwrap_or(&file).to_string_lossy().into_owned();
            key = key.with(&name, &content);
        }
    }
    Ok(key.with("dependencies", dependencies(repository, toolchain.architecture)?.as_bytes()).finish())
}

/// The packages of the lock file with the versions the agent is built with. The lock file as a whole would ask for a new
/// agent whenever any other crate changes what it needs.
fn dependencies(repository: &Path, architecture: Architecture) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let manifest = repository.join("agent/Cargo.toml");
    let manifest = manifest.to_str().context("the repository's path is not text")?;
    let arguments = ["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
    let filter = ["--target", architecture.target(), "--format", "{p} {f}", "--manifest-path", manifest];
    let tree = ask(&cargo, &[arguments.as_slice(), &filter].concat())?;
    // Packages of this repository come with the path of this checkout, and are hashed by their content.
    let mut lines: Vec<&str> = tree.lines().filter(|line| !line.contains(" (/")).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.join("\n"))
}

/// A file, or all files below a directory, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .with_context(|| format!("reading {}", path.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    let nested = entries.iter().map(|entry| files(entry)).collect::<Result<Vec<_>>>()?;
    Ok(nested.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_compiler_and_architecture() {
        let key = |architecture, version: &str| {
            key(&repository(), &Toolchain { architecture, rustc: None, version: version.into() }).unwrap()
        };
        let one = key(Architecture::I686, "1");
        assert_eq!(one, key(Architecture::I686, "1"));
        assert_ne!(one, key(Architecture::I686, "2"));
        assert_ne!(one, key(Architecture::X86_64, "1"));
    }

    #[test]
    fn all_sources_exist() {
        for source in SOURCES {
            assert!(!files(&repository().join(source)).unwrap().is_empty(), "{source}");
        }
    }

    #[test]
    fn dependencies_name_versions_and_no_paths() {
        let dependencies = dependencies(&repository(), Architecture::I686).unwrap();
        assert!(dependencies.lines().any(|line| line.starts_with("rustix v")), "{dependencies}");
        assert!(!dependencies.contains("/work") && !dependencies.contains("proptest"), "{dependencies}");
    }
}
