//! What the program carries inside itself: the CPU engine and the default image.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wasm_sandbox::{DiskImage, Image, V86Module};

macro_rules! artifact {
    ($name:literal) => {
        include_bytes!(concat!(env!("WASM_SANDBOX_ARTIFACTS"), "/", $name))
    };
}

static V86_WASM: &[u8] = artifact!("v86.wasm");
static V86_MACHINE_CODE: &[u8] = artifact!("v86.cwasm");
static KERNEL: &[u8] = artifact!("image/vmlinux");
static INITRD: &[u8] = artifact!("image/initramfs.cpio");
static DISK: &[u8] = artifact!("image/root.erofs.zst");
static DESCRIPTION: &[u8] = artifact!("image/image.json");

/// The CPU engine: precompiled, or compiled now where this processor cannot run the code.
pub fn engine() -> Result<V86Module> {
    #[allow(unsafe_code)]
    // SAFETY: the code is part of this executable; the build made it with this version of the crate.
    let loaded = unsafe { V86Module::load(V86_MACHINE_CODE) };
    loaded.or_else(|error| {
        tracing::warn!(%error, "compiling the CPU engine for this processor; this takes seconds");
        Ok(V86Module::compile(V86_WASM)?)
    })
}

/// The image inside the program.
pub fn default_image() -> Result<Image> {
    image(KERNEL, INITRD, DISK, DESCRIPTION).context("the image inside this program is damaged")
}

/// An image in a directory, as `xtask image` makes it. The agent is always this program's own.
pub fn image_from(directory: &Path) -> Result<Image> {
    let read = |name: &str| -> Result<&'static [u8]> {
        let path = directory.join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes.leak())
    };
    image(read("vmlinux")?, INITRD, read("root.erofs.zst")?, read("image.json")?)
        .with_context(|| format!("the image in {} is damaged", directory.display()))
}

fn image(
    kernel: &'static [u8],
    initrd: &'static [u8],
    disk: &'static [u8],
    description: &[u8],
) -> Result<Image> {
    let description: serde_json::Value = serde_json::from_slice(description).context("image.json")?;
    let name = description["name"].as_str().ok_or_else(|| anyhow!("image.json has no name"))?;
    Ok(Image { name: name.to_owned(), kernel, initrd, disk: DiskImage::open(disk)? })
}
