//! What the safe crates lack: the only modules of the agent with `unsafe` code.

pub mod clone;
pub mod descriptors;
pub mod entropy;
#[cfg(target_arch = "x86")]
pub mod fork_server;
pub mod loopback;
#[cfg(target_arch = "x86")]
pub mod ptrace;
pub mod signals;
pub mod wait;
