//! The program inside the guest: the crate `agent`, built as a static program for Linux.

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::cross::Product;
use anyhow::Result;
use std::path::PathBuf;

/// For i686: static, at a fixed address (nothing to relocate at each start), and with SSE2 for copying.
pub const I686: Product = Product {
    name: "agent",
    format: "agent 1",
    package: "wasm-sandbox-agent",
    manifest: "agent/Cargo.toml",
    target: "i686-unknown-linux-gnu",
    flags: "-Ctarget-feature=+crt-static -Crelocation-model=static -Ctarget-cpu=pentium4",
    selection: &["build"],
    packages: " gcc-multilib",
    sources: &[
        "Cargo.toml",
        "agent/Cargo.toml",
        "agent/src",
        "crates/protocol/Cargo.toml",
        "crates/protocol/src/agent.rs",
        "crates/protocol/src/agent",
    ],
    built: "agent",
    file: "agent",
};

/// For x86-64: the same, where each processor has SSE2.
pub const X86_64: Product = Product {
    target: "x86_64-unknown-linux-gnu",
    flags: "-Ctarget-feature=+crt-static -Crelocation-model=static",
    packages: "",
    ..I686
};

/// Builds the agent, or finds it in the cache; the path of the program.
pub fn build(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    match architecture {
        Architecture::I686 => I686.build(cache),
        Architecture::X86_64 => X86_64.build(cache),
    }
}
