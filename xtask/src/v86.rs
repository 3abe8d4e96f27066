//! The CPU engine: `v86.wasm` out of the npm package `v86`, of one version and one hash.

use crate::cache::Cache;
use crate::progress::Step;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one version the `vcpu` crate is written for: it names offsets in the module's memory.
const VERSION: &str = "0.5.462";
/// The package's hash, in npm's notation.
const INTEGRITY: &str =
    "sha512-aKPX7DdzqAKFRv2omDkqSju0uEzlOxzo+II82J5UT7+tZNsboA6kyaNq9NKAnxvo9hzpJ8dQj7vcvcz0J7I2QA==";
/// What of the package is kept: the path inside of it, and the name in the cache.
const FILES: [(&str, &str); 2] = [("package/build/v86.wasm", "v86.wasm"), ("package/LICENSE", "LICENSE")];

/// Fetches the engine, or finds it in the cache; returns the path of `v86.wasm`.
pub fn fetch(cache: &Cache) -> Result<PathBuf> {
    let directory = cache.entry("v86", VERSION, |out| {
        let step = Step::new("v86");
        let scratch = cache.scratch()?;
        let log = cache.logs()?.join(format!("v86-{VERSION}.log"));
        let mut npm = Command::new("npm");
        npm.args(["pack", "--ignore-scripts", &format!("v86@{VERSION}")]).current_dir(scratch.path());
        step.run(&mut npm, &log).context("npm fetches the engine; image/install-packages.sh installs npm")?;

        let package = scratch.path().join(format!("v86-{VERSION}.tgz"));
        let bytes = fs::read(&package).with_context(|| format!("reading {}", package.display()))?;
        check(&bytes)?;
        extract(&step, &package, scratch.path(), &log)?;
        for (inside, name) in FILES {
            fs::copy(scratch.path().join(inside), out.join(name))
                .with_context(|| format!("{inside} in the package v86"))?;
        }
        step.finish();
        Ok(())
    })?;
    Ok(directory.join("v86.wasm"))
}

/// Whether the package is the one this project was written for.
fn check(package: &[u8]) -> Result<()> {
    let found = format!("sha512-{}", STANDARD.encode(Sha512::digest(package)));
    ensure!(
        found == INTEGRITY,
        "the package v86 {VERSION} is not the expected one: it has {found}, not {INTEGRITY}"
    );
    Ok(())
}

/// Unpacks the wanted files of the package.
fn extract(step: &Step, package: &Path, into: &Path, log: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(package).arg("-C").arg(into).args(FILES.map(|(inside, _)| inside));
    step.run(&mut tar, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_package_is_refused() {
        let error = check(b"something else").unwrap_err().to_string();
        assert!(error.contains("not the expected one"), "{error}");
    }
}
