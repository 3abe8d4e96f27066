//! Tells the program where the artefacts are that it carries: see `artifacts.rs`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What `xtask artifacts` puts there.
const FILES: [&str; 8] = [
    "v86.wasm",
    "v86.cwasm",
    "wx86.wasm",
    "wx86.cwasm",
    "image/vmlinux",
    "image/initramfs.cpio",
    "image/root.erofs.zst",
    "image/image.json",
];

fn main() {
    println!("cargo:rerun-if-env-changed=WASM_SANDBOX_ARTIFACTS");
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/artifacts");
    let directory = std::env::var_os("WASM_SANDBOX_ARTIFACTS").map_or_else(default, PathBuf::from);
    for file in FILES {
        let path = directory.join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        if !path.exists() {
            println!("cargo:error={} is missing: run `make build`, which makes it", path.display());
            std::process::exit(1);
        }
    }
    println!("cargo:rustc-env=WASM_SANDBOX_ARTIFACTS={}", directory.display());
    println!("cargo:rustc-env=V86_HASH={}", hash(&directory, &["v86.wasm"]));
    println!("cargo:rustc-env=WX86_HASH={}", hash(&directory, &["wx86.wasm"]));
    let image = ["image/vmlinux", "image/initramfs.cpio", "image/root.erofs.zst"];
    println!("cargo:rustc-env=IMAGE_HASH={}", hash(&directory, &image));
}

/// SHA-256 of the files one after the other, in hexadecimal.
fn hash(directory: &Path, files: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        match std::fs::read(directory.join(file)) {
            Ok(bytes) => hasher.update(bytes),
            Err(error) => println!("cargo:error={file}: {error}"),
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
