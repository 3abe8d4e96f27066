//! What the program carries inside itself: the CPU engines and an image for each architecture.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wasm_sandbox::{Arch, EngineIdentity, EngineKind, EngineModule, Image, SnapshotIdentity};

macro_rules! artifact {
    ($name:literal) => {
        include_bytes!(concat!(env!("WASM_SANDBOX_ARTIFACTS"), "/", $name))
    };
}

/// The files of an image.
struct Carried {
    kernel: &'static [u8],
    initrd: &'static [u8],
    disk: &'static [u8],
    description: &'static [u8],
    hash: &'static str,
}

static I686: Carried = Carried {
    kernel: artifact!("image/vmlinux"),
    initrd: artifact!("image/initramfs.cpio"),
    disk: artifact!("image/root.erofs.zst"),
    description: artifact!("image/image.json"),
    hash: env!("I686_IMAGE_HASH"),
};
static X86_64: Carried = Carried {
    kernel: artifact!("image-x86_64/vmlinux"),
    initrd: artifact!("image-x86_64/initramfs.cpio"),
    disk: artifact!("image-x86_64/root.erofs.zst"),
    description: artifact!("image-x86_64/image.json"),
    hash: env!("X86_64_IMAGE_HASH"),
};

fn carried(arch: Arch) -> &'static Carried {
    match arch {
        Arch::I686 => &I686,
        Arch::X86_64 => &X86_64,
    }
}

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

/// What snapshots of the engine `kind` in this program, on an image for `arch` with `image` as its hash, belong to.
pub fn identity(kind: EngineKind, arch: Arch, image: Hash, ram_bytes: u64) -> SnapshotIdentity {
    let engine = EngineIdentity { kind, hash: hex_hash(parts(kind).hash) };
    SnapshotIdentity { engine, arch, image, ram_bytes }
}

/// The image for `arch` inside the program, with its hash.
pub fn default_image(arch: Arch) -> Result<(Image, Hash)> {
    let Carried { kernel, initrd, disk, description, hash } = carried(arch);
    let image =
        Image::new(kernel, initrd, disk, description).context("the image inside this program is damaged")?;
    Ok((image, hex_hash(hash)))
}

/// What the image in a directory is made for.
pub fn arch_of(directory: &Path) -> Result<Arch> {
    let path = directory.join("image.json");
    let description = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Image::arch_of(&description).with_context(|| format!("the image in {} is damaged", directory.display()))
}

/// An image for `arch` in a directory, as `xtask image` makes it, with its hash. The agent is always this
/// program's own.
pub fn image_from(directory: &Path, arch: Arch) -> Result<(Image, Hash)> {
    let initrd = carried(arch).initrd;
    let read = |name: &str| -> Result<&'static [u8]> {
        let path = directory.join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes.leak())
    };
    let (kernel, disk) = (read("vmlinux")?, read("root.erofs.zst")?);
    let image = Image::new(kernel, initrd, disk, read("image.json")?)
        .with_context(|| format!("the image in {} is damaged", directory.display()))?;
    ensure!(
        image.arch == arch,
        "the image in {} is for {}, not {arch}: use --arch {}",
        directory.display(),
        image.arch,
        image.arch
    );
    let mut hasher = Sha256::new();
    for part in [kernel, initrd, disk] {
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
