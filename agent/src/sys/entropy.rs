//! Feeding the kernel's random number generator.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

const RNDADDENTROPY: u32 = 0x4008_5203;
const RNDRESEEDCRNG: u32 = 0x5207;

/// The most bytes one call takes.
pub const LIMIT: usize = 4096;

#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    size: i32,
    data: [u8; LIMIT],
}

/// Mixes `bytes` in, counted as full entropy, and makes the generator use them at once.
pub fn add(bytes: &[u8]) -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let bytes = bytes.get(..LIMIT).unwrap_or(bytes);
    let device = rustix::fs::open("/dev/urandom", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut info = Box::new(PoolInfo {
        entropy_bits: bytes.len() as i32 * 8,
        size: bytes.len() as i32,
        data: [0; LIMIT],
    });
    info.data[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: the kernel reads `size` bytes behind the header, which the array holds.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), RNDADDENTROPY as _, &raw const *info) })?;
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), RNDRESEEDCRNG as _, 0) })
}

/// A random number from the kernel; `None` before its generator is ready.
pub fn number() -> Option<u32> {
    let mut number = [0u8; 4];
    // SAFETY: the kernel writes at most the given number of bytes to the array.
    let count = unsafe { libc::getrandom(number.as_mut_ptr().cast(), number.len(), libc::GRND_NONBLOCK) };
    (count == number.len() as isize).then(|| u32::from_ne_bytes(number))
}

fn check(result: i32) -> rustix::io::Result<()> {
    if result == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}
