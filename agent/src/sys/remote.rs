//! Writing to the memory of a child.
#![allow(unsafe_code)]
#![allow(clippy::useless_conversion, reason = "an address is a u64 only on some processors")]

use std::ffi::c_void;

use rustix::io::{Errno, Result};
use rustix::process::Pid;

use super::arch::Word;

/// Writes bytes to each address, all with one system call; `FAULT` if not everything could be written. What the child itself
/// may not write to cannot be written to this way.
pub fn write(pid: Pid, writes: &[(Word, &[u8])]) -> Result<()> {
    let local: Vec<libc::iovec> = writes
        .iter()
        .map(|(_, bytes)| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() })
        .collect();
    let remote: Vec<libc::iovec> = writes
        .iter()
        .map(|(address, bytes)| libc::iovec {
            iov_base: std::ptr::without_provenance_mut::<c_void>(*address as usize),
            iov_len: bytes.len(),
        })
        .collect();
    let count = writes.len() as libc::c_ulong;
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: the kernel reads from `local`, which are live slices; the other addresses are those of another process.
    let written = unsafe { libc::process_vm_writev(pid, local.as_ptr(), count, remote.as_ptr(), count, 0) };
    let all: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
    match usize::try_from(written) {
        Ok(written) if written == all => Ok(()),
        Ok(_) => Err(Errno::FAULT),
        Err(_) => {
            Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing_is_reported() {
        let own = Pid::from_raw(std::process::id() as i32).unwrap();
        let (mut one, mut two) = ([1_u8; 4], [2_u8; 8]);
        let place = |bytes: &mut [u8]| bytes.as_mut_ptr().expose_provenance() as Word;
        let (first, second) = (place(&mut one), place(&mut two));
        assert_eq!(write(own, &[(first, b"abcd"), (second + 1, b"xyz")]), Ok(()));
        assert_eq!((&one, &two), (b"abcd", b"\x02xyz\x02\x02\x02\x02"));
        assert!(write(own, &[(first, b"efgh"), (8, b"nowhere")]).is_err());
    }
}
