//! Tells the program where the artefacts are that it carries: see `artifacts.rs`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What `xtask artifacts` puts there.
const ENGINES: [&str; 4] = ["v86.wasm", "v86.cwasm", "wx86.wasm", "wx86.cwasm"];
/// Images there, and the environment variable with the hash of each.
const IMAGES: [(&str, &str); 2] = [("image", "I686_IMAGE_HASH"), ("image-x86_64", "X86_64_IMAGE_HASH")];
/// What is hashed of an image.
const HASHED: [&str; 3] = ["vmlinux", "initramfs.cpio", "root.erofs.zst"];
const DESCRIPTION: &str = "image.json";

fn main() {
    println!("cargo:rerun-if-env-changed=WASM_SANDBOX_ARTIFACTS");
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/artifacts");
    let directory = std::env::var_os("WASM_SANDBOX_ARTIFACTS").map_or_else(default, PathBuf::from);
    let parts = HASHED.into_iter().chain([DESCRIPTION]);
    let of_images =
        IMAGES.iter().flat_map(|(image, _)| parts.clone().map(move |part| format!("{image}/{part}")));
    for file in ENGINES.into_iter().map(str::to_owned).chain(of_images) {
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
    for (image, variable) in IMAGES {
        println!("cargo:rustc-env={variable}={}", hash(&directory.join(image), &HASHED));
    }
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
