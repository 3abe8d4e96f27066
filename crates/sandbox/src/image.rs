//! A system to boot, and where it comes from.

use std::path::Path;

use sha2::{Digest, Sha256};
use wasm_sandbox_machine::{
    Arch, DiskImage, EngineIdentity, EngineKind, EngineModule, SnapshotIdentity, Sources,
};

use crate::config::{DEFAULT_MEMORY_LIMIT_BYTES, SandboxConfig, Transport};
use crate::error::SandboxError;

/// A system to boot: kernel, the agent in its initial RAM file system, and the root disk.
#[derive(Clone)]
pub struct Image {
    /// What `status` calls it.
    pub name: String,
    /// What it is made for.
    pub arch: Arch,
    /// `vmlinux`, uncompressed.
    pub kernel: &'static [u8],
    /// A cpio archive with the agent as `/init`.
    pub initrd: &'static [u8],
    /// The root file system (erofs).
    pub disk: DiskImage,
}

/// Files of an image, in the order in which they are hashed.
const FILES: [&str; 3] = ["vmlinux", "initramfs.cpio", "root.erofs.zst"];

impl Image {
    /// Puts an image together. `description` is JSON with its `name` and its `architecture`.
    ///
    /// # Errors
    /// [`SandboxError::Image`]: part of it is damaged.
    pub fn new(
        kernel: &'static [u8],
        initrd: &'static [u8],
        disk: &'static [u8],
        description: &[u8],
    ) -> Result<Self, SandboxError> {
        let description = parsed(description)?;
        let arch = arch_in(&description)?;
        let name = description["name"].as_str().ok_or_else(|| damaged(&"image.json has no name"))?;
        let disk = DiskImage::open(disk).map_err(|error| damaged(&error))?;
        Ok(Self { name: name.to_owned(), arch, kernel, initrd, disk })
    }

    /// What an image with this `description` is made for.
    ///
    /// # Errors
    /// [`SandboxError::Image`]: it does not say.
    pub fn arch_of(description: &[u8]) -> Result<Arch, SandboxError> {
        arch_in(&parsed(description)?)
    }
}

fn arch_in(description: &serde_json::Value) -> Result<Arch, SandboxError> {
    let arch = description["architecture"].as_str().and_then(Arch::from_name);
    arch.ok_or_else(|| damaged(&"image.json has no architecture known here"))
}

fn parsed(description: &[u8]) -> Result<serde_json::Value, SandboxError> {
    serde_json::from_slice(description).map_err(|error| damaged(&format!("image.json: {error}")))
}

fn damaged(reason: &dyn std::fmt::Display) -> SandboxError {
    SandboxError::Image(reason.to_string())
}

impl SandboxConfig {
    /// A configuration from the directory that `make build` leaves in `target/artifacts`: the CPU engine `kind`, which is
    /// compiled now (that takes seconds), and the image for `arch`, which stays in memory for good. With the default of
    /// everything else.
    ///
    /// # Errors
    /// [`SandboxError::Image`]: something is missing or damaged.
    pub fn open(artifacts: &Path, kind: EngineKind, arch: Arch) -> Result<Self, SandboxError> {
        let read = |name: &str| -> Result<&'static [u8], SandboxError> {
            let path = artifacts.join(name);
            let bytes = std::fs::read(&path)
                .map_err(|error| SandboxError::Image(format!("cannot read {}: {error}", path.display())))?;
            Ok(bytes.leak())
        };
        let wasm = read(&format!("{kind}.wasm"))?;
        let directory = match arch {
            Arch::I686 => "image",
            Arch::X86_64 => "image-x86_64",
        };
        let [kernel, initrd, disk] = FILES.map(|name| read(&format!("{directory}/{name}")));
        let (kernel, initrd, disk) = (kernel?, initrd?, disk?);
        let image = Image::new(kernel, initrd, disk, read(&format!("{directory}/image.json"))?)?;
        let engine = EngineModule::compile(kind, wasm)
            .map_err(|error| SandboxError::Image(format!("{kind}.wasm cannot be compiled: {error}")))?;
        let hash = |parts: &[&[u8]]| -> [u8; 32] {
            parts.iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part)).finalize().into()
        };
        Ok(Self {
            engine,
            image,
            memory_limit_bytes: DEFAULT_MEMORY_LIMIT_BYTES,
            process_limit: None,
            disk_limit_bytes: None,
            transport: Transport::default(),
            identity: SnapshotIdentity {
                engine: EngineIdentity { kind, hash: hash(&[wasm]) },
                arch,
                image: hash(&[kernel, initrd, disk]),
                ram_bytes: DEFAULT_MEMORY_LIMIT_BYTES,
            },
            snapshot: None,
            allow_read: Vec::new(),
            allow_write: Vec::new(),
            sources: Sources::default(),
            kernel_log: false,
        })
    }
}
