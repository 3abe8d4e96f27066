//! The program inside the guest: the crate `agent`, built as a static program for i686 Linux.

use crate::cache::Cache;
use crate::cross::Product;
use anyhow::Result;
use std::path::PathBuf;

/// Static, at a fixed address (nothing to relocate at each start), and with SSE2 for copying.
pub const AGENT: Product = Product {
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

/// Builds the agent, or finds it in the cache; the path of the program.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    AGENT.build(cache)
}
