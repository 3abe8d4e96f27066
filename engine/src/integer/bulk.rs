//! Many elements of strings at once, within a page of RAM each.

#![allow(
    unsafe_code,
    reason = "RAM is reached through the pointers of `Cpu::ram_slice`, which are checked there"
)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a span lies in a page, and elements are counted below their number"
)]

use crate::{Cpu, Fault};

/// Elements of a string that lie in one page, 4096 bytes at most.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Linear address of the one that comes first.
    pub(super) first: u64,
    /// How many.
    pub(super) elements: u64,
    /// Bytes of each.
    pub(super) bytes: u32,
    /// The others lie below the first one.
    pub(super) down: bool,
}

impl Span {
    /// Its RAM, from the lowest address on.
    fn ram(&self, cpu: &mut Cpu, write: bool) -> Result<Option<*mut u8>, Fault> {
        let bytes = u64::from(self.bytes);
        let before = if self.down { self.elements.saturating_sub(1) * bytes } else { 0 };
        cpu.ram_slice(self.first, before, self.elements * bytes, write)
    }

    /// Size in bytes.
    fn length(&self) -> usize {
        self.elements as usize * self.bytes as usize
    }
}

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

/// Copies elements as MOVS does, one after the other, as many as `to` has. False if it is not RAM.
///
/// # Errors
/// Those of a load or store; nothing has been copied then.
pub(super) fn copy(cpu: &mut Cpu, from: Span, to: Span) -> Result<bool, Fault> {
    let Span { elements, bytes, down, .. } = to;
    let length = to.length();
    let Some(source) = Span { elements, ..from }.ram(cpu, false)? else { return Ok(false) };
    let Some(target) = to.ram(cpu, true)? else { return Ok(false) };
    let source = source.cast_const();
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
pub(super) fn fill(cpu: &mut Cpu, to: Span, value: u64) -> Result<bool, Fault> {
    let Span { elements, bytes, .. } = to;
    let length = to.length();
    let Some(target) = to.ram(cpu, true)? else { return Ok(false) };
    let byte = value as u8;
    let repeated = u64::from(byte).wrapping_mul(0x0101_0101_0101_0101) & crate::operand::mask(bytes);
    // SAFETY: the slice is `length` bytes of RAM.
    unsafe {
        if value == repeated {
            target.write_bytes(byte, length);
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

/// Compares elements until a pair is equal (`until_equal`) or differs, as many as `first` has. `None` if it is not RAM,
/// or if any of it cannot be read.
pub(super) fn compare(cpu: &mut Cpu, first: Span, second: Span, until_equal: bool) -> Option<Found> {
    let Span { elements, bytes, down, .. } = first;
    let Ok(Some(b)) = Span { elements, ..second }.ram(cpu, false) else { return None };
    let Ok(Some(a)) = first.ram(cpu, false) else { return None };
    // SAFETY: both slices are that many elements of RAM.
    unsafe { by_size!(bytes, compare_each(a, b, elements as usize, down, until_equal)) }
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
pub(super) fn scan(cpu: &mut Cpu, at: Span, wanted: u64, until_equal: bool) -> Result<Option<Found>, Fault> {
    let Span { elements, bytes, down, .. } = at;
    let Some(slice) = at.ram(cpu, false)? else { return Ok(None) };
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
