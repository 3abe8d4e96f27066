//! What depends on the processor: registers, the kernel's calling conventions, and machine code.
//!
//! Each processor's module has the same items.
#![allow(unsafe_code)]

#[cfg_attr(target_arch = "x86", path = "x86.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod processor;

pub use processor::{CODE_ON_STACK, Frame, MADVISE, MPROTECT, RED_ZONE, Registers, Word, clone3_and_call};
