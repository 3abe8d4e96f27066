//! Tells the program where the artefacts are that it carries: see `artifacts.rs`.

use std::path::PathBuf;

/// What `xtask artifacts` puts there.
const FILES: [&str; 6] =
    ["v86.wasm", "v86.cwasm", "image/vmlinux", "image/initramfs.cpio", "image/root.erofs.zst", "image/image.json"];

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
}
