//! The image: a directory with everything a machine boots from, and `image.json`, which says what
//! it is.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::recipe::{self, Key};
use crate::{kernel, root};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Changes when the layout of an image does.
const FORMAT: &str = "image 1";
/// The files of an image beside `image.json`.
const VMLINUX: &str = "vmlinux";
const ROOT: &str = "root.erofs.zst";

/// `image.json`: what an image is made of.
#[derive(Serialize)]
struct Description {
    name: String,
    architecture: &'static str,
    kernel: String,
    debian: String,
    /// SHA-256 of each file, by its name.
    sha256: BTreeMap<&'static str, String>,
    /// Bytes of the root file system when unpacked, which is the block device's size.
    root_uncompressed_size: u64,
    /// Uncompressed bytes a frame of the packed root.
    root_frame_size: u32,
    packages: Vec<root::Package>,
}

/// Builds the image, or finds it in the cache; returns its directory.
pub fn build(cache: &Cache, architecture: Architecture, jobs: Option<usize>) -> Result<PathBuf> {
    let kernel = kernel::build(cache, architecture, jobs)?;
    let root = root::build(cache, architecture)?;
    let key =
        Key::new(FORMAT).with("kernel", kernel.key.as_bytes()).with("root", root.key.as_bytes()).finish();

    cache.entry("image", &key, |out| {
        let mut sha256 = BTreeMap::new();
        for (directory, name) in [(&kernel.directory, VMLINUX), (&root.directory, ROOT)] {
            link_or_copy(&directory.join(name), &out.join(name))?;
            sha256.insert(name, recipe::sha256_of(&out.join(name))?);
        }
        let description = Description {
            name: format!("debian-{}-{}", root.facts.debian, architecture.debian()),
            architecture: architecture.name(),
            kernel: kernel.version,
            debian: root.facts.debian,
            sha256,
            root_uncompressed_size: root.facts.uncompressed_size,
            root_frame_size: root.facts.frame_size,
            packages: root.facts.packages,
        };
        fs::write(out.join("image.json"), serde_json::to_string_pretty(&description)? + "\n")?;
        Ok(())
    })
}

/// Gives a file a second name, or copies it where that is not possible.
fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
