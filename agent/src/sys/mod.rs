//! What the safe crates lack: the only modules of the agent with `unsafe` code.

pub mod clone;
pub mod descriptors;
pub mod entropy;
pub mod loopback;
pub mod signals;
pub mod wait;
