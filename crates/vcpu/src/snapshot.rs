//! The CPU at one moment: what a snapshot keeps of it, and how it goes on.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::memory::MemoryImage;
use crate::module::EngineModule;
use crate::v86::{Translations, TranslationsState};
use crate::wx86::{PartsState, Translation};
use crate::{EngineKind, RAM_GRANULE, VcpuError};

/// Largest 32-bit wasm memory, and what its size is a multiple of.
const LARGEST_MEMORY: u64 = 4 << 30;
const WASM_PAGE: u64 = 64 << 10;

/// A CPU with its RAM at one moment. Clones share everything.
#[derive(Clone)]
pub struct EngineSnapshot {
    pub(crate) memory: MemoryImage,
    /// Where RAM lies in the memory (wasm offsets).
    pub(crate) ram: Range<usize>,
    pub(crate) instructions: u64,
    pub(crate) own: Own,
}

/// What only one engine has.
#[derive(Clone)]
pub(crate) enum Own {
    V86(Translations),
    Wx86(Translation),
}

/// What a snapshot keeps of an engine beside its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineState {
    /// Where RAM lies in the memory (wasm offsets).
    pub ram: Range<u64>,
    /// Guest instructions retired.
    pub instructions: u64,
    /// What only one engine has.
    pub own: OwnState,
}

/// What a snapshot keeps of one engine alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnState {
    /// v86: its translated code.
    V86(TranslationsState),
    /// wx86: its translated code.
    Wx86(PartsState),
}

impl EngineState {
    /// The engine it is of.
    pub fn kind(&self) -> EngineKind {
        match self.own {
            OwnState::V86(_) => EngineKind::V86,
            OwnState::Wx86(_) => EngineKind::Wx86,
        }
    }

    /// Bytes of its translated code's modules; `None` if no number can tell.
    pub fn code_bytes(&self) -> Option<u64> {
        match &self.own {
            OwnState::V86(state) => state.code_bytes(),
            OwnState::Wx86(state) => state.code_bytes(),
        }
    }
}

impl EngineSnapshot {
    /// The engine it is of.
    pub fn kind(&self) -> EngineKind {
        match self.own {
            Own::V86(_) => EngineKind::V86,
            Own::Wx86(_) => EngineKind::Wx86,
        }
    }

    /// The memory: RAM and the CPU's own state.
    pub fn memory(&self) -> &MemoryImage {
        &self.memory
    }

    /// Guest instructions retired so far.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// What must be kept beside the memory to make the snapshot again with
    /// [`EngineSnapshot::from_state`].
    pub fn state(&self) -> EngineState {
        EngineState {
            ram: self.ram.start as u64..self.ram.end as u64,
            instructions: self.instructions,
            own: match &self.own {
                Own::V86(translations) => OwnState::V86(translations.state()),
                Own::Wx86(translation) => OwnState::Wx86(translation.state()),
            },
        }
    }

    /// Writes the modules of translated code one after the other, in the order of [`EngineState`].
    ///
    /// # Errors
    /// Those of reading them and of `target`.
    pub fn write_code(&self, target: &mut impl Write) -> std::io::Result<()> {
        match &self.own {
            Own::V86(translations) => translations.write(target),
            Own::Wx86(translation) => translation.write(target),
        }
    }

    /// Makes a snapshot of its parts; `file` has the modules of translated code from `code_offset` on.
    /// Its translated code is there as wasm only: [`EngineSnapshot::load_code`] makes
    /// it usable, otherwise the CPU translates anew.
    ///
    /// # Errors
    /// [`VcpuError::Snapshot`] if the parts do not fit together.
    pub fn from_state(
        memory: MemoryImage,
        state: EngineState,
        file: &Arc<File>,
        code_offset: u64,
    ) -> Result<Self, VcpuError> {
        let EngineState { ram, instructions, own } = state;
        if memory.size() > LARGEST_MEMORY || !memory.size().is_multiple_of(WASM_PAGE) {
            return Err(VcpuError::Snapshot("its memory has a size that no wasm memory has".into()));
        }
        if ram.start > ram.end
            || ram.end > memory.size()
            || !(ram.end - ram.start).is_multiple_of(RAM_GRANULE)
        {
            return Err(VcpuError::Snapshot("its RAM lies outside of its memory".into()));
        }
        let own = match own {
            OwnState::V86(state) => Own::V86(Translations::from_state(state, file, code_offset)?),
            OwnState::Wx86(state) => Own::Wx86(Translation::from_state(state, file, code_offset)?),
        };
        Ok(Self { memory, ram: ram.start as usize..ram.end as usize, instructions, own })
    }

    /// Compiles all translated code into machine code for [`EngineSnapshot::load_code`], in `parts`
    /// parts at a time; none where nothing is translated. Takes about 0.15 s for each page that v86 has translated, and some
    /// seconds for what wx86 has.
    ///
    /// # Errors
    /// [`VcpuError::Module`] or [`VcpuError::Snapshot`] if it is not of the form in which the engine writes it.
    pub fn compile_code(&self, parts: usize) -> Result<Vec<Vec<u8>>, VcpuError> {
        match &self.own {
            Own::V86(translations) => translations.compile(parts),
            Own::Wx86(translation) => translation.compile(),
        }
    }

    /// Takes the machine code of one part from the file at `code`, which is mapped, not read.
    ///
    /// # Safety
    /// The file must be unchanged since [`EngineSnapshot::compile_code`] made its content, and stay so:
    /// it is executed.
    ///
    /// # Errors
    /// [`VcpuError::Module`] if another version or another processor made it, or if it belongs to
    /// another snapshot.
    #[allow(unsafe_code)]
    pub unsafe fn load_code(&mut self, engine: &EngineModule, code: &Path) -> Result<(), VcpuError> {
        match &mut self.own {
            // SAFETY: the caller vouches for the origin of the file.
            Own::V86(translations) => unsafe { translations.load(engine, code) },
            // SAFETY: as above.
            Own::Wx86(translation) => unsafe { translation.load(engine, code) },
        }
    }

    /// Tells the translated code from other: a SHA-256 sum; `None` if nothing is translated. v86 translates more as it
    /// runs, and has no such name.
    pub fn code_identity(&self) -> Option<[u8; 32]> {
        match &self.own {
            Own::V86(_) => None,
            Own::Wx86(translation) => translation.identity(),
        }
    }

    /// Takes the machine code of `other`, if both have the same translated code, as a snapshot has that comes of another one;
    /// whether they have.
    pub fn share_code(&mut self, other: &Self) -> bool {
        match (&mut self.own, &other.own) {
            (Own::Wx86(translation), Own::Wx86(other)) => translation.share(other),
            _ => false,
        }
    }

    /// Whether there is machine code for all translated code; without it, the CPU translates anew.
    pub fn is_executable(&self) -> bool {
        match &self.own {
            Own::V86(translations) => translations.are_executable(),
            Own::Wx86(translation) => translation.is_executable(),
        }
    }
}

/// What is said of a snapshot that is given to another engine.
pub(crate) fn of_another_engine(snapshot: &EngineSnapshot) -> VcpuError {
    VcpuError::Snapshot(format!("it is one of the CPU engine {}", snapshot.kind()))
}
