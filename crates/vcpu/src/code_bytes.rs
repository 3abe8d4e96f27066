//! Translated code as wasm: in memory, or in the file of a snapshot.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::VcpuError;

/// The bytes of a translated module.
#[derive(Clone)]
pub(crate) enum CodeBytes {
    /// As the engine wrote them.
    Memory(Arc<[u8]>),
    /// In a snapshot's file, which is read when somebody needs them: those who have the machine code
    /// do not.
    File {
        /// The snapshot's file.
        file: Arc<File>,
        /// Where they start in it.
        offset: u64,
        /// How many there are.
        length: usize,
    },
}

impl CodeBytes {
    /// The `length` bytes of `file` from `offset` on, which becomes the offset of what follows.
    ///
    /// # Errors
    /// [`VcpuError::Snapshot`] if there are more than `most`.
    pub(crate) fn next_in(
        file: &Arc<File>,
        offset: &mut u64,
        length: u64,
        most: usize,
    ) -> Result<Self, VcpuError> {
        let too_long = || VcpuError::Snapshot("it has endless translated code".into());
        let end = offset.checked_add(length).ok_or_else(too_long)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= most);
        let start = std::mem::replace(offset, end);
        Ok(Self::File { file: file.clone(), offset: start, length: length.ok_or_else(too_long)? })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File { length, .. } => *length,
        }
    }

    /// The bytes themselves.
    pub(crate) fn read(&self) -> std::io::Result<Arc<[u8]>> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File { file, offset, length } => {
                let mut bytes = vec![0; *length];
                file.read_exact_at(&mut bytes, *offset)?;
                Ok(bytes.into())
            }
        }
    }
}
