//! Many elements of strings at once, within a page of RAM each.

#![allow(
    unsafe_code,
    reason = "RAM is reached through the pointers of `Cpu::ram_slice`, which are checked there"
)]

use crate::{Cpu, Fault};

/// Where a comparison ended.
pub(super) struct Found {
    /// Elements that were compared.
    pub(super) elements: u64,
    /// The last one of the first string.
    pub(super) a: u64,
    /// The last one of the second string.
    pub(super) b: u64,
}

/// An element of a string.
trait Element: Copy + Eq {
    fn cut(value: u64) -> Self;
    fn widen(self) -> u64;
}

macro_rules! element {
    ($($type:ty),*) => {$(
        impl Element for $type {
            #[inline(always)]
            fn cut(value: u64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }
        }
    )*};
}
element!(u8, u16, u32, u64);

/// Calls a function that is generic over the element with the type of this many bytes.
macro_rules! by_size {
    ($bytes:expr, $function:ident($($argument:expr),*)) => {
        match $bytes {
            1 => $function::<u8>($($argument),*),
            2 => $function::<u16>($($argument),*),
            4 => $function::<u32>($($argument),*),
            _ => $function::<u64>($($argument),*),
        }
    };
}

/// Copies elements as MOVS does, one after the other upwards (downwards); the addresses are the lowest ones. False if
/// it is not RAM.
///
/// # Errors
/// Those of a load from `from` or a store to `to`; nothing has been copied then.
pub(super) fn copy(
    cpu: &mut Cpu,
    from: u64,
    to: u64,
    elements: u64,
    bytes: u32,
    down: bool,
) -> Result<bool, Fault> {
    let length = elements * u64::from(bytes);
    let Some(source) = cpu.ram_slice(from, length, false)? else { return Ok(false) };
    let Some(target) = cpu.ram_slice(to, length, true)? else { return Ok(false) };
    let source = source.cast_const();
    let length = length as usize;
    let ahead = (target as usize).wrapping_sub(source as usize);
    let behind = (source as usize).wrapping_sub(target as usize);
    // SAFETY: both slices are `length` bytes of RAM.
    unsafe {
        // What is written is not read any more later: as if copied at once.
        let at_once = if down { behind >= length } else { ahead >= length };
        if at_once {
            source.copy_to(target, length);
        } else if !down && ahead >= bytes as usize {
            // Each element is read after those before it were written: the first `ahead` bytes repeat.
            let mut done = 0;
            while done < length {
                let part = (ahead + done).min(length - done);
                source.copy_to_nonoverlapping(target.add(done), part);
                done += part;
            }
        } else {
            by_size!(bytes, copy_each(source, target, elements as usize, down));
        }
    }
    Ok(true)
}

/// One element after the other.
///
/// # Safety
/// Both pointers are to that many elements.
unsafe fn copy_each<T: Element>(source: *const u8, target: *mut u8, elements: usize, down: bool) {
    for n in 0..elements {
        let n = if down { elements - 1 - n } else { n };
        // SAFETY: as the caller promises.
        unsafe { target.cast::<T>().add(n).write_unaligned(source.cast::<T>().add(n).read_unaligned()) };
    }
}

/// Fills elements as STOS does. False if it is not RAM.
///
/// # Errors
/// Those of a store; nothing has been written then.
pub(super) fn fill(cpu: &mut Cpu, to: u64, elements: u64, bytes: u32, value: u64) -> Result<bool, Fault> {
    let length = elements * u64::from(bytes);
    let Some(target) = cpu.ram_slice(to, length, true)? else { return Ok(false) };
    let byte = value as u8;
    let repeated = u64::from(byte).wrapping_mul(0x0101_0101_0101_0101) & crate::operand::mask(bytes);
    // SAFETY: the slice is `length` bytes of RAM.
    unsafe {
        if value == repeated {
            target.write_bytes(byte, length as usize);
        } else {
            by_size!(bytes, fill_each(target, elements as usize, value));
        }
    }
    Ok(true)
}

/// # Safety
/// The pointer is to that many elements.
unsafe fn fill_each<T: Element>(target: *mut u8, elements: usize, value: u64) {
    for n in 0..elements {
        // SAFETY: as the caller promises.
        unsafe { target.cast::<T>().add(n).write_unaligned(T::cut(value)) };
    }
}

/// Compares elements until a pair is equal (`until_equal`) or differs; the addresses are the lowest ones. `None` if it
/// is not RAM.
///
/// # Errors
/// Those of the loads.
pub(super) fn compare(
    cpu: &mut Cpu,
    first: u64,
    second: u64,
    elements: u64,
    bytes: u32,
    down: bool,
    until_equal: bool,
) -> Result<Option<Found>, Fault> {
    let length = elements * u64::from(bytes);
    let Some(a) = cpu.ram_slice(first, length, false)? else { return Ok(None) };
    let Some(b) = cpu.ram_slice(second, length, false)? else { return Ok(None) };
    // SAFETY: both slices are `length` bytes of RAM.
    Ok(unsafe { by_size!(bytes, compare_each(a, b, elements as usize, down, until_equal)) })
}

/// # Safety
/// Both pointers are to that many elements.
unsafe fn compare_each<T: Element>(
    a: *const u8,
    b: *const u8,
    elements: usize,
    down: bool,
    until_equal: bool,
) -> Option<Found> {
    let mut found = None;
    for n in 0..elements {
        let at = if down { elements - 1 - n } else { n };
        // SAFETY: as the caller promises.
        let (a, b) =
            unsafe { (a.cast::<T>().add(at).read_unaligned(), b.cast::<T>().add(at).read_unaligned()) };
        if (a == b) == until_equal || n + 1 == elements {
            found = Some(Found { elements: n as u64 + 1, a: a.widen(), b: b.widen() });
            break;
        }
    }
    found
}

/// Looks for an element that is equal to `wanted` (`until_equal`) or differs. `None` if it is not RAM.
///
/// # Errors
/// Those of a load.
pub(super) fn scan(
    cpu: &mut Cpu,
    at: u64,
    elements: u64,
    bytes: u32,
    wanted: u64,
    down: bool,
    until_equal: bool,
) -> Result<Option<Found>, Fault> {
    let Some(slice) = cpu.ram_slice(at, elements * u64::from(bytes), false)? else { return Ok(None) };
    // SAFETY: the slice is that many elements of RAM.
    Ok(unsafe { by_size!(bytes, scan_each(slice, elements as usize, wanted, down, until_equal)) })
}

/// # Safety
/// The pointer is to that many elements.
unsafe fn scan_each<T: Element>(
    slice: *const u8,
    elements: usize,
    wanted: u64,
    down: bool,
    until_equal: bool,
) -> Option<Found> {
    let wanted = T::cut(wanted);
    let mut found = None;
    for n in 0..elements {
        let at = if down { elements - 1 - n } else { n };
        // SAFETY: as the caller promises.
        let b = unsafe { slice.cast::<T>().add(at).read_unaligned() };
        if (wanted == b) == until_equal || n + 1 == elements {
            found = Some(Found { elements: n as u64 + 1, a: wanted.widen(), b: b.widen() });
            break;
        }
    }
    found
}
