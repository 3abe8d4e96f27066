//! Why a saved state cannot be taken back.

use thiserror::Error;

/// A saved state that no run of the chip could have produced. Saved states come from files, so
/// every field is checked; the chip is unchanged when this is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// A field holds a value outside its range.
    #[error("saved state of {chip}: {field} is out of range")]
    OutOfRange {
        /// The chip, as in "pit".
        chip: &'static str,
        /// The field of its state struct.
        field: &'static str,
    },
    /// A list has another length than this machine's configuration asks for.
    #[error("saved state of {chip}: {field} has {found} elements, this machine has {expected}")]
    Count {
        /// The chip, as in "virtio-console".
        chip: &'static str,
        /// The field of its state struct.
        field: &'static str,
        /// Elements in the saved state.
        found: usize,
        /// Elements of the chip to be restored.
        expected: usize,
    },
}

/// `Ok` if `valid`, else the error that names the field.
pub(crate) fn check(valid: bool, chip: &'static str, field: &'static str) -> Result<(), RestoreError> {
    if valid { Ok(()) } else { Err(RestoreError::OutOfRange { chip, field }) }
}
