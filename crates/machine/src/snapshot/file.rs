//! Snapshot files.
//!
//! A header ([`super::header`]), sections of `(kind, version, bytes)`, the memory's extents one after
//! the other, page-aligned so that they can be mapped, and the wasm modules of translated code. A file from elsewhere is hostile input:
//! sizes and checksums are checked before anything is decoded, and it never carries machine code.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use wasm_sandbox_vcpu::{EngineKind, EngineSnapshot, EngineState, Extent, MemoryImage};

use super::MachineSnapshot;
use super::header::{HEADER_BYTES, Hash, Header};
use crate::arch::Arch;

/// What a snapshot belongs to: it can be continued only by the same engine, on the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotIdentity {
    /// The CPU engine.
    pub engine: EngineIdentity,
    /// What the guest is made for.
    pub arch: Arch,
    /// Hash of the image: kernel, agent and root disk.
    pub image: [u8; 32],
    /// RAM of the machine in bytes.
    pub ram_bytes: u64,
}

/// A CPU engine of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineIdentity {
    /// Which engine it is.
    pub kind: EngineKind,
    /// The SHA-256 sum of its wasm.
    pub hash: [u8; 32],
}

/// Why a snapshot file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It does not start like one.
    #[error("the file is not a snapshot of this program")]
    NotASnapshot,
    /// Another version of the program made it.
    #[error("the snapshot has format version {found}, this program knows version {known}: make it anew")]
    Version {
        /// Its format version.
        found: u32,
        /// The format version this program reads.
        known: u32,
    },
    /// It belongs to another engine.
    #[error("the snapshot belongs to the CPU engine {found}, not {expected}: use --engine {found}")]
    Engine {
        /// Its engine.
        found: EngineKind,
        /// The engine that is to go on from it.
        expected: EngineKind,
    },
    /// It belongs to a guest of another architecture.
    #[error("the snapshot belongs to a guest for {found}, not {expected}: use --arch {found}")]
    Arch {
        /// Its architecture.
        found: Arch,
        /// The architecture of the image that is to go on from it.
        expected: Arch,
    },
    /// It belongs to another version of the engine, or to another image.
    #[error("the snapshot belongs to another {0}: use the program and the image that made it")]
    Foreign(&'static str),
    /// It is cut short, changed, or made with ill intent.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// A section of it cannot be understood.
    #[error("the snapshot is damaged: section {section}: {reason}")]
    Section {
        /// The section's name.
        section: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("the snapshot file: {0}")]
    Io(#[from] std::io::Error),
}

/// How much of a file is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may come from anywhere: all of it is checked.
    Foreign,
    /// This program made it in a directory nobody else can write to: memory is not read to be
    /// checked, so that it can be mapped page by page.
    Own,
}

/// Kinds of sections; numbers are never used again.
const ENGINE: (u32, u32) = (1, 3);
const BOARD: (u32, u32) = (2, 2);
const EXTENTS: (u32, u32) = (3, 1);
const ATTACHMENT: (u32, u32) = (4, 2);

/// Extents a reader takes: so many mappings a process may have (the default of `vm.max_map_count`).
const LARGEST_EXTENTS: usize = 65_530;

const ENDLESS_CODE: &str = "its translated code is endless";

#[derive(Serialize, Deserialize)]
struct Section {
    kind: u32,
    version: u32,
    bytes: Vec<u8>,
}

/// The memory's extents, which lie in the file one after the other: offset and length in bytes.
#[derive(Serialize, Deserialize)]
struct Extents {
    size: u64,
    extents: Vec<(u64, u64)>,
}

/// The SHA-256 sum of `bytes`.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

impl MachineSnapshot {
    /// Writes the snapshot to `file`, from its beginning.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn write(&self, file: &mut File, identity: SnapshotIdentity) -> Result<(), SnapshotError> {
        let memory = self.engine.memory();
        let extents = Extents {
            size: memory.size(),
            extents: memory.extents().iter().map(|extent| (extent.offset, extent.length)).collect(),
        };
        let state = self.engine.state();
        let code_bytes = state.code_bytes().ok_or(SnapshotError::Damaged(ENDLESS_CODE))?;
        let sections = [
            section("engine", ENGINE, &state)?,
            section("board", BOARD, &self.board)?,
            section("extents", EXTENTS, &extents)?,
            section("attachment", ATTACHMENT, &self.attachment)?,
        ];
        let sections = encode("list", &sections.as_slice())?;
        let mut header = Header {
            identity,
            sections_bytes: sections.len() as u64,
            sections_hash: hash(&sections),
            body_bytes: memory.stored_bytes() + code_bytes,
            body_hash: [0; 32],
        };
        header.body_hash = write_body(file, &header, &sections, &self.engine)?;
        file.write_all_at(&header.encode(), 0)?;
        file.set_len(header.file_bytes())?;
        Ok(())
    }

    /// Opens the snapshot at `path`, which must be of `identity`. Its memory is mapped when a machine
    /// is made of it, so the file must not be changed any more; it may be deleted.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn open(path: &Path, identity: SnapshotIdentity, trust: Trust) -> Result<Self, SnapshotError> {
        let mut file = File::open(path)?;
        let header = read_header(&mut file)?;
        let (found, expected) = (header.identity.engine, identity.engine);
        if found.kind != expected.kind {
            return Err(SnapshotError::Engine { found: found.kind, expected: expected.kind });
        }
        if found.hash != expected.hash {
            return Err(SnapshotError::Foreign("CPU engine"));
        }
        if header.identity.arch != identity.arch {
            return Err(SnapshotError::Arch { found: header.identity.arch, expected: identity.arch });
        }
        if header.identity.image != identity.image {
            return Err(SnapshotError::Foreign("image"));
        }
        if header.identity.ram_bytes != identity.ram_bytes {
            return Err(SnapshotError::Foreign("memory size (--memory-limit)"));
        }
        let mut sections = vec![0; header.sections_bytes as usize];
        file.read_exact_at(&mut sections, HEADER_BYTES)?;
        if hash(&sections) != header.sections_hash {
            return Err(SnapshotError::Damaged("its sections do not match their checksum"));
        }
        if trust == Trust::Foreign {
            check_rest(&mut file, &header)?;
        }
        let mut sections = Sections::decode(&sections)?;
        let extents: Extents = sections.take("extents", EXTENTS)?;
        let state: EngineState = sections.take("engine", ENGINE)?;
        if state.ram.end.checked_sub(state.ram.start) != Some(header.identity.ram_bytes) {
            return Err(SnapshotError::Damaged("its RAM has not the size its header says"));
        }
        if state.kind() != expected.kind {
            return Err(SnapshotError::Damaged("its CPU is not of the engine its header says"));
        }
        let board = sections.take("board", BOARD)?;
        let attachment = sections.take("attachment", ATTACHMENT)?;
        sections.nothing_left()?;
        let code_offset = state
            .code_bytes()
            .and_then(|bytes| header.file_bytes().checked_sub(bytes))
            .ok_or(SnapshotError::Damaged(ENDLESS_CODE))?;
        let file = Arc::new(file);
        let memory = memory_image(extents, &file, header.body_offset(), code_offset)?;
        let engine = EngineSnapshot::from_state(memory, state, &file, code_offset)
            .map_err(|error| SnapshotError::Section { section: "engine", reason: error.to_string() })?;
        Ok(Self { engine, board, attachment })
    }

    /// What the snapshot at `path` belongs to, as its header says.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn identity_of(path: &Path) -> Result<SnapshotIdentity, SnapshotError> {
        Ok(read_header(&mut File::open(path)?)?.identity)
    }
}

/// Writes what follows the header; returns the memory's hash.
fn write_body(
    file: &mut File,
    header: &Header,
    sections: &[u8],
    engine: &EngineSnapshot,
) -> Result<Hash, SnapshotError> {
    file.seek(SeekFrom::Start(HEADER_BYTES))?;
    let mut target = BufWriter::new(file);
    target.write_all(sections)?;
    let padding = header.body_offset() - HEADER_BYTES - header.sections_bytes;
    target.write_all(&vec![0; padding as usize])?;
    let mut target = Hashing { target, hasher: Sha256::new() };
    engine.memory().write_to(&mut target)?;
    engine.write_code(&mut target)?;
    target.flush()?;
    Ok(target.hasher.finalize().into())
}

fn read_header(file: &mut File) -> Result<Header, SnapshotError> {
    let mut bytes = vec![0; HEADER_BYTES as usize];
    file.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => SnapshotError::NotASnapshot,
        _ => SnapshotError::Io(error),
    })?;
    let header = Header::decode(&bytes)?;
    if file.metadata()?.len() != header.file_bytes() {
        return Err(SnapshotError::Damaged("it is longer or shorter than its header says"));
    }
    Ok(header)
}

/// Reads what follows the sections to the end: padding must be zero, memory must match its checksum.
fn check_rest(file: &mut File, header: &Header) -> Result<(), SnapshotError> {
    let mut padding = vec![0; (header.body_offset() - HEADER_BYTES - header.sections_bytes) as usize];
    file.read_exact_at(&mut padding, HEADER_BYTES + header.sections_bytes)?;
    file.seek(SeekFrom::Start(header.body_offset()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let hash: Hash = hasher.finalize().into();
    if hash != header.body_hash || padding.iter().any(|byte| *byte != 0) {
        return Err(SnapshotError::Damaged("its memory does not match its checksum"));
    }
    Ok(())
}

/// The image of the extents, which lie in `file` from `start` to `end`.
fn memory_image(
    extents: Extents,
    file: &Arc<File>,
    start: u64,
    end: u64,
) -> Result<MemoryImage, SnapshotError> {
    if extents.extents.len() > LARGEST_EXTENTS {
        return Err(SnapshotError::Damaged("it has more extents than can be mapped"));
    }
    let mut file_offset = start;
    let mut list = Vec::with_capacity(extents.extents.len());
    for (offset, length) in extents.extents {
        list.push(Extent { offset, length, file: file.clone(), file_offset });
        file_offset =
            file_offset.checked_add(length).ok_or(SnapshotError::Damaged("its memory is endless"))?;
    }
    if file_offset != end {
        return Err(SnapshotError::Damaged("its memory has not the size its extents say"));
    }
    MemoryImage::new(extents.size, list)
        .map_err(|error| SnapshotError::Section { section: "extents", reason: error.to_string() })
}

fn encode<T: Serialize + ?Sized>(section: &'static str, value: &T) -> Result<Vec<u8>, SnapshotError> {
    postcard::to_allocvec(value)
        .map_err(|error| SnapshotError::Section { section, reason: error.to_string() })
}

fn section<T: Serialize>(name: &'static str, kind: (u32, u32), value: &T) -> Result<Section, SnapshotError> {
    Ok(Section { kind: kind.0, version: kind.1, bytes: encode(name, value)? })
}

fn decode<T: DeserializeOwned>(section: &'static str, bytes: &[u8]) -> Result<T, SnapshotError> {
    let failed = |reason: String| SnapshotError::Section { section, reason };
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(failed(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Sections not read yet.
struct Sections(Vec<Section>);

impl Sections {
    fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self(decode("list", bytes)?))
    }

    fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        kind: (u32, u32),
    ) -> Result<T, SnapshotError> {
        let failed = |reason: &str| SnapshotError::Section { section: name, reason: reason.into() };
        let at = self.0.iter().position(|section| section.kind == kind.0).ok_or_else(|| failed("missing"))?;
        let section = self.0.swap_remove(at);
        if section.version != kind.1 {
            return Err(failed("it has a version this program does not know"));
        }
        decode(name, &section.bytes)
    }

    fn nothing_left(self) -> Result<(), SnapshotError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::Damaged("it has unknown or double sections"))
        }
    }
}

/// Writes through and hashes what it writes.
struct Hashing<W> {
    target: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.target.flush()
    }
}
