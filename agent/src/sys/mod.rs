//! What the safe crates lack: the only modules of the agent with `unsafe` code.

pub mod arch;
pub mod clone;
pub mod descriptors;
pub mod entropy;
pub mod fork_server;
pub mod loopback;
pub mod ptrace;
pub mod remote;
pub mod signals;
pub mod wait;
