//! Crates of this repository that are built for something else than this computer.
//!
//! Where the toolchain has the target's standard library (`rustup target add …`) that is used; elsewhere
//! Debian's own compiler, which brings the library's sources and builds it.

use crate::cache::Cache;
use crate::progress::Step;
use crate::recipe::{self, Key, repository};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's compiler and the sources of its standard library.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &str = "rustc-web rust-web-src";
/// Linker of WebAssembly in a rustup toolchain, below its sysroot; Debian's compiler brings none.
const WASM_LINKER: &str = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";

/// What is built.
pub struct Product {
    /// Its name in the cache, and that of its profile in `Cargo.toml`.
    pub name: &'static str,
    /// Changes when the layout of a cache entry, or the way of building, does.
    pub format: &'static str,
    /// The package.
    pub package: &'static str,
    /// Its manifest, relative to the repository.
    pub manifest: &'static str,
    /// The target.
    pub target: &'static str,
    /// Flags for the compiler.
    pub flags: &'static str,
    /// Arguments of cargo that say what of the package is built.
    pub selection: &'static [&'static str],
    /// Debian's packages that the target needs beside the compiler, with a blank before each.
    pub packages: &'static str,
    /// What it is made of, relative to the repository.
    pub sources: &'static [&'static str],
    /// The file that cargo makes.
    pub built: &'static str,
    /// Its name in the cache.
    pub file: &'static str,
}

impl Product {
    /// Builds it, or finds it in the cache; the path of the file.
    pub fn build(&self, cache: &Cache) -> Result<PathBuf> {
        let target = self.target;
        let toolchain = match Toolchain::find(target)? {
            Some(toolchain) => toolchain,
            None => {
                recipe::install_packages()?;
                Toolchain::find(target)?.with_context(|| {
                    format!(
                        "no compiler here builds for {target}: run `rustup target add {target}`, or `apt-get install \
                         {DEBIAN_PACKAGES}{}`",
                        self.packages
                    )
                })?
            }
        };
        let key = self.key(&repository(), &toolchain)?;
        let entry = cache.entry(self.name, &key, |out| {
            let step = Step::new(self.name);
            let log = cache.logs()?.join(format!("{}-{key}.log", self.name));
            let directory = repository().join("target").join(self.name);
            step.run(&mut self.cargo(&toolchain, &directory), &log)?;
            let built = directory.join(target).join(self.name).join(self.built);
            fs::copy(&built, out.join(self.file)).with_context(|| format!("copying {}", built.display()))?;
            step.finish();
            Ok(())
        })?;
        Ok(entry.join(self.file))
    }

    /// The command that builds.
    fn cargo(&self, toolchain: &Toolchain, directory: &Path) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(repository())
            .args(self.selection)
            .args(["--package", self.package, "--profile", self.name, "--target", self.target])
            .arg("--target-dir")
            .arg(directory)
            .env("RUSTFLAGS", format!("{}{}", self.flags, toolchain.linker))
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(rustc) = toolchain.rustc {
            // Not a nightly compiler, so that building the standard library has to be allowed. No features: without
            // symbols a backtrace could name nothing.
            command
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
        }
        command
    }

    /// The key of everything that goes into it.
    fn key(&self, repository: &Path, toolchain: &Toolchain) -> Result<String> {
        let mut key = Key::new(self.format)
            .with("target", self.target.as_bytes())
            .with("flags", self.flags.as_bytes())
            .with("rustc", toolchain.version.as_bytes());
        for source in self.sources {
            for file in files(&repository.join(source))? {
                let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
                let name = file.strip_prefix(repository).unwrap_or(&file).to_string_lossy().into_owned();
                key = key.with(&name, &content);
            }
        }
        Ok(key.with("dependencies", self.dependencies(repository)?.as_bytes()).finish())
    }

    /// The packages of the lock file with the versions it is built with. The lock file as a whole would ask for a new
    /// one whenever any other crate changes what it needs.
    fn dependencies(&self, repository: &Path) -> Result<String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let manifest = repository.join(self.manifest);
        let manifest = manifest.to_str().context("the repository's path is not text")?;
        let arguments = ["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
        let filter = ["--target", self.target, "--format", "{p} {f}", "--manifest-path", manifest];
        let tree = ask(&cargo, &[arguments.as_slice(), &filter].concat())?;
        // Packages of this repository come with the path of this checkout, and are hashed by their content.
        let mut lines: Vec<&str> = tree.lines().filter(|line| !line.contains(" (/")).collect();
        lines.sort_unstable();
        lines.dedup();
        Ok(lines.join("\n"))
    }
}

/// A compiler that builds for a target.
struct Toolchain {
    /// The compiler, when it is not the one cargo would take.
    rustc: Option<&'static str>,
    /// What it says of itself.
    version: String,
    /// Flags that name the linker, where the compiler brings none; a blank before each.
    linker: String,
}

impl Toolchain {
    /// The first that builds for `target`, if there is one.
    fn find(target: &str) -> Result<Option<Self>> {
        let usual = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let sysroot = ask(&usual, &["--print", "sysroot"])?;
        let usual_sysroot = Path::new(sysroot.trim());
        if usual_sysroot.join("lib/rustlib").join(target).is_dir() {
            let version = ask(&usual, &["-vV"])?;
            return Ok(Some(Self { rustc: None, version, linker: String::new() }));
        }
        let Ok(sysroot) = ask(DEBIAN_RUSTC, &["--print", "sysroot"]) else { return Ok(None) };
        let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
        if !sources.is_file() {
            return Ok(None);
        }
        let linker = if target.starts_with("wasm32") { wasm_linker(usual_sysroot) } else { String::new() };
        Ok(Some(Self { rustc: Some(DEBIAN_RUSTC), version: ask(DEBIAN_RUSTC, &["-vV"])?, linker }))
    }
}

/// Flags for the linker in the toolchain at `sysroot`, or else for the one that Debian's package `lld` installs.
fn wasm_linker(sysroot: &Path) -> String {
    let bundled = sysroot.join(WASM_LINKER);
    let linker = if bundled.is_file() { bundled } else { PathBuf::from("wasm-ld") };
    format!(" -Clinker={} -Clinker-flavor=wasm-ld", linker.display())
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
    use crate::{agent, engine};

    const ALL: [&Product; 3] = [&agent::I686, &agent::X86_64, &engine::ENGINE];

    #[test]
    fn the_key_follows_the_compiler() {
        let toolchain =
            |version: &str| Toolchain { rustc: None, version: version.into(), linker: String::new() };
        for product in ALL {
            let key = |version| product.key(&repository(), &toolchain(version)).unwrap();
            assert_eq!(key("1"), key("1"));
            assert_ne!(key("1"), key("2"));
        }
    }

    #[test]
    fn all_sources_exist() {
        for source in ALL.into_iter().flat_map(|product| product.sources) {
            assert!(!files(&repository().join(source)).unwrap().is_empty(), "{source}");
        }
    }

    #[test]
    fn dependencies_name_versions_and_no_paths() {
        for (product, needed) in ALL.into_iter().zip(["rustix v", "rustix v", "iced-x86 v"]) {
            let dependencies = product.dependencies(&repository()).unwrap();
            assert!(dependencies.lines().any(|line| line.starts_with(needed)), "{dependencies}");
            assert!(!dependencies.contains("(/") && !dependencies.contains("proptest"), "{dependencies}");
        }
    }
}
