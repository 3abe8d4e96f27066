//! The recipe in `image/`: its files, the keys made of them, and the packages it needs.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout this program was built from.
pub fn repository() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.join(".."), Path::to_owned)
}

/// Its directory `image/`.
pub fn directory() -> PathBuf {
    repository().join("image")
}

/// Collects a build's inputs into the key of its result: the same inputs, the same key.
pub struct Key(Sha256);

impl Key {
    /// A key of nothing; `format` changes when the result's layout does.
    pub fn new(format: &str) -> Self {
        Self(Sha256::new()).with("format", format.as_bytes())
    }

    /// Adds a named input.
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds files of the recipe.
    pub fn with_files(mut self, names: &[&str]) -> Result<Self> {
        for name in names {
            let path = directory().join(name);
            let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            self = self.with(name, &content);
        }
        Ok(self)
    }

    /// The key: 16 hexadecimal digits, enough for a directory's name.
    pub fn finish(self) -> String {
        hex(&self.0.finalize()[..8])
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file, in hexadecimal digits.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    io::copy(&mut file, &mut HashWriter(&mut digest))?;
    Ok(hex(&digest.finalize()))
}

/// Lets [`io::copy`] feed a hash.
struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The installed version of a Debian package, if it is installed.
pub fn package_version(name: &str) -> Result<Option<String>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Version}", name])
        .output()
        .context("running dpkg-query (the image is built on Debian)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.strip_prefix("installed ").map(str::to_owned))
}

/// Installs what the recipe needs from Debian; does nothing if it is there.
pub fn install_packages() -> Result<()> {
    let script = directory().join("install-packages.sh");
    // Its messages belong to stderr: stdout carries the result's path only.
    let status = Command::new(&script)
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("running {}", script.display()))?;
    if !status.success() {
        bail!("{} failed ({status})", script.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_boundaries_apart() {
        let one = Key::new("1").with("ab", b"c").finish();
        let two = Key::new("1").with("a", b"bc").finish();
        assert_eq!(one.len(), 16);
        assert_ne!(one, two);
    }

    #[test]
    fn recipe_is_found() {
        assert!(directory().join("kernel.config").is_file());
    }
}
