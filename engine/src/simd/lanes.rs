//! 128-bit and 64-bit values as arrays of lanes, in a form that becomes vector instructions.
//!
//! Going through `u128` would make LLVM take the value apart with shifts, so a value in flight has the
//! target's own vector type.

#![allow(unsafe_code, reason = "transmutes between types of 16 or 8 bytes without invalid values")]
#![allow(unnecessary_transmutes, reason = "one macro for all widths")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "lanes are counted below the lengths of arrays, which are constants; `lane` takes the remainder"
)]

use std::array::from_fn;
use std::mem::transmute;

use crate::Value;

#[cfg(target_arch = "wasm32")]
type Raw = std::arch::wasm32::v128;
#[cfg(target_arch = "x86_64")]
type Raw = std::arch::x86_64::__m128i;
#[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
type Raw = u128;

/// 128 bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct V(Raw);

impl V {
    #[inline(always)]
    pub(crate) fn new(bits: u128) -> Self {
        // SAFETY: see the module.
        unsafe { transmute(bits) }
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u128 {
        // SAFETY: see the module.
        unsafe { transmute(self) }
    }

    /// As 16 bytes, 8 words, ...
    #[inline(always)]
    pub(crate) fn lanes<L: Lanes>(self) -> L {
        L::of(self)
    }

    #[inline(always)]
    pub(crate) fn low(self) -> u64 {
        let [low, _]: [u64; 2] = self.lanes();
        low
    }

    #[inline(always)]
    pub(crate) fn high(self) -> u64 {
        let [_, high]: [u64; 2] = self.lanes();
        high
    }

    /// PXOR.
    #[inline(always)]
    pub(crate) fn xor(self, other: Self) -> Self {
        let (a, b): ([u64; 2], [u64; 2]) = (self.lanes(), other.lanes());
        from_fn::<u64, 2, _>(|at| a[at] ^ b[at]).pack()
    }

    /// PCMPEQB.
    #[inline(always)]
    pub(crate) fn equal_bytes(self, other: Self) -> Self {
        let (a, b): ([u8; 16], [u8; 16]) = (self.lanes(), other.lanes());
        from_fn::<u8, 16, _>(|at| if a[at] == b[at] { !0 } else { 0 }).pack()
    }

    /// PMOVMSKB: the highest bit of each byte.
    #[inline(always)]
    pub(crate) fn byte_signs(self) -> u32 {
        #[cfg(target_arch = "wasm32")]
        return u32::from(std::arch::wasm32::i8x16_bitmask(self.0));
        #[cfg(not(target_arch = "wasm32"))]
        {
            let bytes: [u8; 16] = self.lanes();
            bytes.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(byte >> 7))
        }
    }

    /// 32-bit lane 0.
    #[inline(always)]
    pub(crate) fn low32(self) -> u32 {
        let [low, ..]: [u32; 4] = self.lanes();
        low
    }

    #[inline(always)]
    pub(crate) fn with_low(self, low: u64) -> Self {
        [low, self.high()].pack()
    }

    #[inline(always)]
    pub(crate) fn with_low32(self, low: u32) -> Self {
        let mut lanes: [u32; 4] = self.lanes();
        lanes[0] = low;
        lanes.pack()
    }
}

impl Value for V {
    const BYTES: u64 = 16;
    #[inline(always)]
    fn from_wide(wide: u128) -> Self {
        Self::new(wide)
    }
    #[inline(always)]
    fn to_wide(self) -> u128 {
        self.bits()
    }
}

/// An array of lanes that is 16 bytes long.
pub(crate) trait Lanes: Copy {
    fn of(value: V) -> Self;
    fn pack(self) -> V;
}

/// An array of lanes that is 8 bytes long.
pub(crate) trait HalfLanes: Copy {
    fn of(value: u64) -> Self;
    fn pack(self) -> u64;
}

macro_rules! arrays {
    ($($lane:ty, $full:literal, $half:literal;)*) => {$(
        impl Lanes for [$lane; $full] {
            #[inline(always)]
            fn of(value: V) -> Self {
                // SAFETY: see the module.
                unsafe { transmute(value) }
            }
            #[inline(always)]
            fn pack(self) -> V {
                // SAFETY: see the module.
                unsafe { transmute(self) }
            }
        }
        impl HalfLanes for [$lane; $half] {
            #[inline(always)]
            fn of(value: u64) -> Self {
                // SAFETY: see the module.
                unsafe { transmute(value) }
            }
            #[inline(always)]
            fn pack(self) -> u64 {
                // SAFETY: see the module.
                unsafe { transmute(self) }
            }
        }
    )*};
}
arrays! {
    u8, 16, 8;
    i8, 16, 8;
    u16, 8, 4;
    i16, 8, 4;
    u32, 4, 2;
    i32, 4, 2;
    u64, 2, 1;
    i64, 2, 1;
}

/// The lane of this number, whose low bits count: as many as there are lanes.
#[inline(always)]
pub(super) fn lane<T: Copy, const N: usize>(lanes: &[T; N], number: usize) -> T {
    lanes[number % N]
}

/// As [`lane`], to be changed.
#[inline(always)]
pub(super) fn lane_mut<T, const N: usize>(lanes: &mut [T; N], number: usize) -> &mut T {
    &mut lanes[number % N]
}

/// `f` of each pair of lanes.
#[inline(always)]
pub(super) fn zip<T: Copy, U: Copy, R, const N: usize>(
    a: [T; N],
    b: [U; N],
    mut f: impl FnMut(T, U) -> R,
) -> [R; N] {
    from_fn(|i| f(a[i], b[i]))
}

/// An operation on pairs of lanes as one on arrays.
#[inline(always)]
pub(super) fn each<T: Copy, R, const N: usize>(f: impl Fn(T, T) -> R) -> impl Fn([T; N], [T; N]) -> [R; N] {
    move |a, b| zip(a, b, &f)
}

/// An operation on the lanes of the source alone.
#[inline(always)]
pub(super) fn unary<T: Copy, R, const N: usize>(f: impl Fn(T) -> R) -> impl Fn([T; N], [T; N]) -> [R; N] {
    move |_, b| from_fn(|i| f(b[i]))
}

/// An operation on neighbours: those of the first array give the lower half of the result.
#[inline(always)]
pub(super) fn neighbours<T: Copy, R, const N: usize>(
    f: impl Fn(T, T) -> R,
) -> impl Fn([T; N], [T; N]) -> [R; N] {
    move |a, b| {
        from_fn(|i| {
            let (from, at) = if i < N / 2 { (&a, 2 * i) } else { (&b, 2 * i - N) };
            f(from[at], from[at + 1])
        })
    }
}

/// Products and sums of pairs: result lane `i` from lanes `2i` and `2i + 1` of both.
#[inline(always)]
pub(super) fn pairs<T: Copy, R, const N: usize, const M: usize>(
    f: impl Fn([T; 2], [T; 2]) -> R,
) -> impl Fn([T; N], [T; N]) -> [R; M] {
    move |a, b| from_fn(|i| f([a[2 * i], a[2 * i + 1]], [b[2 * i], b[2 * i + 1]]))
}

/// Both arrays in lanes of half the width.
#[inline(always)]
pub(super) fn narrow<T: Copy, R, const N: usize, const M: usize>(
    f: impl Fn(T) -> R,
) -> impl Fn([T; N], [T; N]) -> [R; M] {
    move |a, b| from_fn(|i| f(if i < N { a[i] } else { b[i - N] }))
}

/// Lanes of the lower halves, alternating.
#[inline(always)]
pub(super) fn interleave_low<T: Copy, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
    from_fn(|i| if i % 2 == 0 { a[i / 2] } else { b[i / 2] })
}

/// Lanes of the upper halves, alternating.
#[inline(always)]
pub(super) fn interleave_high<T: Copy, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
    from_fn(|i| if i % 2 == 0 { a[N / 2 + i / 2] } else { b[N / 2 + i / 2] })
}

/// Lanes of half the width, saturated; LLVM does not find these instructions by itself.
#[cfg(target_arch = "wasm32")]
pub(super) mod saturated {
    use std::arch::wasm32 as target;

    use super::{Lanes, V};

    #[inline(always)]
    pub(in crate::simd) fn words_to_i8(a: [i16; 8], b: [i16; 8]) -> [i8; 16] {
        V(target::i8x16_narrow_i16x8(a.pack().0, b.pack().0)).lanes()
    }
    #[inline(always)]
    pub(in crate::simd) fn words_to_u8(a: [i16; 8], b: [i16; 8]) -> [u8; 16] {
        V(target::u8x16_narrow_i16x8(a.pack().0, b.pack().0)).lanes()
    }
    #[inline(always)]
    pub(in crate::simd) fn dwords_to_i16(a: [i32; 4], b: [i32; 4]) -> [i16; 8] {
        V(target::i16x8_narrow_i32x4(a.pack().0, b.pack().0)).lanes()
    }
    #[inline(always)]
    pub(in crate::simd) fn dwords_to_u16(a: [i32; 4], b: [i32; 4]) -> [u16; 8] {
        V(target::u16x8_narrow_i32x4(a.pack().0, b.pack().0)).lanes()
    }
}

/// Lanes of half the width, saturated.
#[cfg(not(target_arch = "wasm32"))]
pub(super) mod saturated {
    use super::narrow;

    #[inline(always)]
    pub(in crate::simd) fn words_to_i8(a: [i16; 8], b: [i16; 8]) -> [i8; 16] {
        narrow(|x: i16| x.clamp(-0x80, 0x7F) as i8)(a, b)
    }
    #[inline(always)]
    pub(in crate::simd) fn words_to_u8(a: [i16; 8], b: [i16; 8]) -> [u8; 16] {
        narrow(|x: i16| x.clamp(0, 0xFF) as u8)(a, b)
    }
    #[inline(always)]
    pub(in crate::simd) fn dwords_to_i16(a: [i32; 4], b: [i32; 4]) -> [i16; 8] {
        narrow(|x: i32| x.clamp(-0x8000, 0x7FFF) as i16)(a, b)
    }
    #[inline(always)]
    pub(in crate::simd) fn dwords_to_u16(a: [i32; 4], b: [i32; 4]) -> [u16; 8] {
        narrow(|x: i32| x.clamp(0, 0xFFFF) as u16)(a, b)
    }
}

/// Bytes of `bytes` by index; an index above 15 gives 0.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
pub(super) fn swizzle(bytes: [u8; 16], indices: [u8; 16]) -> [u8; 16] {
    V(std::arch::wasm32::i8x16_swizzle(bytes.pack().0, indices.pack().0)).lanes()
}
