//! Machine code that is put into a waiting shell and makes copies of it.
//!
//! The code runs where the shell waited: in the middle of a system call for which it returns a file descriptor. It takes
//! nothing from its surroundings and leaves nothing behind.
#![allow(unsafe_code)]

use super::arch::{Frame, Word};

/// Bytes of the header of what comes along with a message: `struct cmsghdr`.
const CONTROL_HEADER: usize = size_of::<Word>() + 8;

/// What the machine code works with. First comes a `struct msghdr`, whose shorter fields are padded to words.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct Data {
    pub message_name: [Word; 2],
    pub message_iov: Word,
    pub message_iov_count: Word,
    pub message_control: Word,
    pub message_control_bytes: Word,
    pub message_flags: Word,
    pub iov_base: Word,
    pub iov_bytes: Word,
    /// The message's content, four bytes; then the answer, a process identifier or a negative error.
    pub word: Word,
    pub control: [u32; CONTROL_HEADER / 4],
    /// What comes along: the script's reading end, standard output, error output, the control group.
    pub descriptors: [u32; 4],
    /// `struct clone_args`, its 64-bit numbers in halves.
    pub clone: [u32; 22],
    /// Places for the new process's identifier, which has four bytes; 0 for none.
    pub identifiers: [Word; 4],
}

impl Data {
    /// For the address `at`, with the flags for `clone3`.
    pub fn new(at: Word, clone_flags: u64, identifiers: [Word; 4]) -> Self {
        use std::mem::offset_of;
        let mut data = Self {
            message_name: [0; 2],
            message_iov: at + offset_of!(Self, iov_base) as Word,
            message_iov_count: 1,
            message_control: at + offset_of!(Self, control) as Word,
            message_control_bytes: 0,
            message_flags: 0,
            iov_base: at + offset_of!(Self, word) as Word,
            iov_bytes: 4,
            word: 0,
            control: [0; CONTROL_HEADER / 4],
            descriptors: [0; 4],
            clone: [0; 22],
            identifiers,
        };
        (data.clone[0], data.clone[1]) = (clone_flags as u32, (clone_flags >> 32) as u32);
        data
    }
}

/// The bytes of a structure of integers without padding.
macro_rules! bytes_of {
    ($type:ty) => {
        impl $type {
            /// As it is in memory.
            pub fn bytes(&self) -> &[u8] {
                // SAFETY: made of integers, without padding, and borrowed for as long as the slice.
                unsafe { std::slice::from_raw_parts((&raw const *self).cast(), size_of::<Self>()) }
            }
        }
    };
}
bytes_of!(Data);
bytes_of!(Frame);

/// The code, which runs at any address. [`Registers::enter`](super::arch::Registers::enter) tells it where [`Data`] and a
/// [`Frame`] are.
pub fn code() -> &'static [u8] {
    unsafe extern "C" {
        static fork_server_start: u8;
        static fork_server_end: u8;
    }
    // SAFETY: both symbols are defined in `arch`, and what is between them is this program's own read-only code.
    unsafe {
        let start = &raw const fork_server_start;
        std::slice::from_raw_parts(start, (&raw const fork_server_end).offset_from_unsigned(start))
    }
}
