//! What the program carries inside itself: the CPU engines and the default image.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use wasm_sandbox::{EngineIdentity, EngineKind, EngineModule, Image, SnapshotIdentity};

macro_rules! artifact {
    ($name:literal) => {
        include_bytes!(concat!(env!("WASM_SANDBOX_ARTIFACTS"), "/", $name))
    };
}

static KERNEL: &[u8] = artifact!("image/vmlinux");
static INITRD: &[u8] = artifact!("image/initramfs.cpio");
static DISK: &[u8] = artifact!("image/root.erofs.zst");
static DESCRIPTION: &[u8] = artifact!("image/image.json");

/// A CPU engine.
struct Engine {
    wasm: &'static [u8],
    machine_code: &'static [u8],
    hash: &'static str,
}

static V86: Engine =
    Engine { wasm: artifact!("v86.wasm"), machine_code: artifact!("v86.cwasm"), hash: env!("V86_HASH") };
static WX86: Engine =
    Engine { wasm: artifact!("wx86.wasm"), machine_code: artifact!("wx86.cwasm"), hash: env!("WX86_HASH") };

fn parts(kind: EngineKind) -> &'static Engine {
    match kind {
        EngineKind::V86 => &V86,
        EngineKind::Wx86 => &WX86,
    }
}

/// The CPU engine `kind`: precompiled, or compiled now where this processor cannot run the code.
pub fn engine(kind: EngineKind) -> Result<EngineModule> {
    let Engine { wasm, machine_code, .. } = parts(kind);
    #[allow(unsafe_code)]
    // SAFETY: the code is part of this executable; the build made it with this version of the crate.
    let loaded = unsafe { EngineModule::load(kind, machine_code, *wasm) };
    loaded.or_else(|error| {
        tracing::warn!(%error, "compiling the CPU engine for this processor; this takes seconds");
        Ok(EngineModule::compile(kind, *wasm)?)
    })
}

/// A SHA-256 sum.
pub type Hash = [u8; 32];

/// What snapshots of the engine `kind` in this program, on an image with `image` as its hash, belong to.
pub fn identity(kind: EngineKind, image: Hash, ram_bytes: u64) -> SnapshotIdentity {
    let engine = EngineIdentity { kind, hash: hex_hash(parts(kind).hash) };
    SnapshotIdentity { engine, image, ram_bytes }
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
