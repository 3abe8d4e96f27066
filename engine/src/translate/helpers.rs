//! What translated code calls in the engine, and the frame of its modules: `crates/vcpu/src/wx86/translation.rs` is the
//! other side.

/// Imported functions, in their order, with their types.
#[derive(Clone, Copy, Debug)]
pub(super) enum Helper {
    /// `(uop, block) -> exit`: executes a general instruction.
    General = 0,
    /// `(condition) -> 0 or 1`: of the stored flags.
    Condition = 1,
    /// `() -> EFLAGS` as PUSHF stores them.
    PushedFlags = 2,
    /// `(mask, bits)`: those of the stored flags that are in the mask become as in the bits.
    ChangeFlags = 3,
    /// `(a, b) -> high half` of the unsigned product of 64-bit numbers.
    UnsignedHigh = 4,
    /// The same of signed ones.
    SignedHigh = 5,
}

impl Helper {
    pub(super) const fn index(self) -> u32 {
        self as u32
    }
}

/// Functions every module has itself: goes to `(address, likely)`, the place of the block that was there before, or 0.
pub(super) const DISPATCH: u32 = 6;
/// The same where more is to be looked at.
pub(super) const FIND: u32 = 7;
/// Goes to the function and the entry that a block's [`Translated`](super::Translated) names.
pub(super) const ENTER: u32 = 8;
/// Executes the general instruction `(uop, block, next)`, and goes on with what a [`Translated`](super::Translated) names, or as
/// [`ON`] and [`LOOK`] say.
pub(super) const THEN: u32 = 9;
/// The first function with guest code.
pub(super) const FIRST_CODE: u32 = 10;
/// In the place of a `next`: to where `rip` is then; and: to see what has happened.
pub(super) const ON: u32 = 0;
/// See [`ON`].
pub(super) const LOOK: u32 = 1;
