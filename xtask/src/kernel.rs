//! The kernel: Debian's source of Linux 6.1 with the options of `image/kernel.config` and of the architecture's own file.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::progress::Step;
use crate::recipe::{self, Key};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The Debian package with the sources, and the file it installs.
const SOURCE_PACKAGE: &str = "linux-source-6.1";
const SOURCE_TARBALL: &str = "/usr/src/linux-source-6.1.tar.xz";
/// Changes when the layout of a cache entry does.
const FORMAT: &str = "kernel 1";

/// A built kernel.
pub struct Kernel {
    /// The cache entry: `vmlinux`, `System.map`, `config`, `version.txt`.
    pub directory: PathBuf,
    /// Its key.
    pub key: String,
    /// What `uname -r` says in the guest.
    pub version: String,
}

/// Builds the kernel, or finds it in the cache.
pub fn build(cache: &Cache, architecture: Architecture, jobs: Option<usize>) -> Result<Kernel> {
    let source_version = match recipe::package_version(SOURCE_PACKAGE)? {
        Some(version) => version,
        None => {
            recipe::install_packages()?;
            recipe::package_version(SOURCE_PACKAGE)?
                .context("the kernel's source package is still missing")?
        }
    };
    let options = format!("kernel-{}.config", architecture.name());
    let key = Key::new(FORMAT)
        .with(SOURCE_PACKAGE, source_version.as_bytes())
        .with("architecture", architecture.name().as_bytes())
        .with_files(&["kernel.config", &options, "build-kernel.sh"])?
        .finish();

    let directory = cache.entry("kernel", &key, |out| {
        recipe::install_packages()?;
        let scratch = cache.scratch()?;
        let step = Step::new(&format!("kernel for {}", architecture.name()));
        let mut command = Command::new(recipe::directory().join("build-kernel.sh"));
        command.arg(architecture.name()).arg(SOURCE_TARBALL).arg(scratch.path()).arg(out);
        if let Some(jobs) = jobs {
            command.env("JOBS", jobs.to_string());
        }
        step.run(&mut command, &cache.logs()?.join(format!("kernel-{key}.log")))?;
        step.finish();
        Ok(())
    })?;

    let version = fs::read_to_string(directory.join("version.txt"))?.trim().to_owned();
    Ok(Kernel { directory, key, version })
}
