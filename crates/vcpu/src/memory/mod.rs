//! Linear memory that is mapped, not loaded.
//!
//! A [`MemoryImage`] is the content of a linear memory at one moment: extents of files, and zeros
//! everywhere else. Mapping it copy-on-write makes a memory that costs page faults, not copies, and
//! that shares clean pages with every other memory of the same image.

mod budget;
mod capture;
mod creator;
mod image;
mod mapping;

pub(crate) use creator::{HostMemoryCreator, with_next_memory};
pub use image::{Extent, MemoryImage};
pub(crate) use mapping::Mapping;

/// Size of the pages that are mapped and tracked, in bytes.
pub const PAGE: u64 = 4096;
