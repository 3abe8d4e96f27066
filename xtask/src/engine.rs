//! This project's own CPU engine: the crate `engine`, built as a WebAssembly module.

use crate::cache::Cache;
use crate::cross::Product;
use anyhow::Result;
use std::path::PathBuf;

/// With what every WebAssembly engine has, and vectors.
pub const ENGINE: Product = Product {
    name: "engine",
    format: "engine 1",
    package: "wasm-sandbox-engine",
    manifest: "engine/Cargo.toml",
    target: "wasm32-unknown-unknown",
    // The host adds elements to the table. Below a stack of 1 MiB there is room for the CPU.
    flags: "-Ctarget-feature=+simd128,+bulk-memory,+sign-ext,+nontrapping-fptoint,+mutable-globals,+multivalue \
            -Clink-arg=--export-table -Clink-arg=--growable-table -Clink-arg=-zstack-size=1114112",
    // For this computer it is an ordinary library.
    selection: &["rustc", "--lib", "--crate-type", "cdylib"],
    packages: "",
    sources: &["Cargo.toml", "engine/Cargo.toml", "engine/src"],
    built: "wasm_sandbox_engine.wasm",
    file: "wx86.wasm",
};

/// Builds the engine, or finds it in the cache; the path of the module.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    ENGINE.build(cache)
}
