//! What the program carries inside itself: the CPU engine and the default image.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use wasm_sandbox::{EngineModule, Image, SnapshotIdentity};

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
pub fn engine() -> Result<EngineModule> {
    #[allow(unsafe_code)]
    // SAFETY: the code is part of this executable; the build made it with this version of the crate.
    let loaded = unsafe { EngineModule::load(V86_MACHINE_CODE, V86_WASM) };
    loaded.or_else(|error| {
        tracing::warn!(%error, "compiling the CPU engine for this processor; this takes seconds");
        Ok(EngineModule::compile(V86_WASM)?)
    })
}

/// A SHA-256 sum.
pub type Hash = [u8; 32];

/// What snapshots of this program on an image with `image` as its hash belong to.
pub fn identity(image: Hash, ram_bytes: u64) -> SnapshotIdentity {
    SnapshotIdentity { engine: hex_hash(env!("ENGINE_HASH")), image, ram_bytes }
}

/// The image inside the program, with its hash.
pub fn default_image() -> Result<(Image, Hash)> {
    let image =
        Image::new(KERNEL, INITRD, DISK, DESCRIPTION).context("the image inside this program is damaged")?;
    Ok((image, hex_hash(env!("IMAGE_HASH"))))
}

/// An image in a directory, as `xtask image` makes it, with its hash. The agent is always this
/// program's own.
pub fn image_from(directory: &Path) -> Result<(Image, Hash)> {
    let read = |name: &str| -> Result<&'static [u8]> {
        let path = directory.join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes.leak())
    };
    let (kernel, disk) = (read("vmlinux")?, read("root.erofs.zst")?);
    let image = Image::new(kernel, INITRD, disk, read("image.json")?)
        .with_context(|| format!("the image in {} is damaged", directory.display()))?;
    let mut hasher = Sha256::new();
    for part in [kernel, INITRD, disk] {
        hasher.update(part);
    }
    Ok((image, hasher.finalize().into()))
}

/// A hash as `build.rs` writes it.
fn hex_hash(text: &str) -> Hash {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high) << 4 | digit(*low);
    }
    hash
}
