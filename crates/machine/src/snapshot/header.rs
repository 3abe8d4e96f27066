//! The beginning of a snapshot file: plain numbers and hashes, checked before anything is decoded.

use wasm_sandbox_vcpu::EngineKind;

use super::file::{EngineIdentity, SnapshotError, SnapshotIdentity};
use crate::arch::Arch;

/// First bytes of every snapshot file.
const MAGIC: [u8; 8] = *b"WSANDBOX";
/// Raised whenever the layout of the file changes.
pub(super) const FORMAT_VERSION: u32 = 4;
/// Bytes of the name of an engine or an architecture, filled up with zeros.
const NAME_BYTES: usize = 8;
/// Size of the header in bytes: a page, so that the sections behind it are aligned.
pub(super) const HEADER_BYTES: u64 = 4096;
/// Largest sections a reader takes, in bytes: a list of as many extents as can be mapped takes a tenth of it.
const LARGEST_SECTIONS: u64 = 8 << 20;
/// Largest body: the address space of a 32-bit wasm memory, and translated code.
const LARGEST_BODY: u64 = 5 << 30;

/// A SHA-256 sum.
pub(super) type Hash = [u8; 32];

/// Where things are in the file, and what they must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: SnapshotIdentity,
    /// Bytes of the sections, which follow the header.
    pub(super) sections_bytes: u64,
    pub(super) sections_hash: Hash,
    /// Bytes of memory and translated code, which follow the sections at the next page.
    pub(super) body_bytes: u64,
    pub(super) body_hash: Hash,
}

impl Header {
    /// Where the memory starts in the file.
    pub(super) fn body_offset(&self) -> u64 {
        (HEADER_BYTES + self.sections_bytes).next_multiple_of(HEADER_BYTES)
    }

    /// Length of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.body_offset() + self.body_bytes
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { identity, sections_bytes, sections_hash, body_bytes, body_hash } = self;
        let SnapshotIdentity { engine, arch, image, ram_bytes } = identity;
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend(padded(engine.kind.name()));
        bytes.extend(engine.hash);
        bytes.extend(padded(arch.name()));
        bytes.extend(image);
        bytes.extend(ram_bytes.to_le_bytes());
        bytes.extend(sections_bytes.to_le_bytes());
        bytes.extend(sections_hash);
        bytes.extend(body_bytes.to_le_bytes());
        bytes.extend(body_hash);
        bytes.extend(super::file::hash(&bytes));
        bytes.resize(HEADER_BYTES as usize, 0);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader { rest: bytes };
        if reader.take::<8>()? != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let version = u32::from_le_bytes(reader.take()?);
        if version != FORMAT_VERSION {
            return Err(SnapshotError::Version { found: version, known: FORMAT_VERSION });
        }
        let name = reader.take()?;
        let kind = EngineKind::ALL.into_iter().find(|kind| padded(kind.name()) == name);
        let engine_hash = reader.take()?;
        let name = reader.take()?;
        let arch = Arch::ALL.into_iter().find(|arch| padded(arch.name()) == name);
        let header = Self {
            identity: SnapshotIdentity {
                engine: EngineIdentity {
                    kind: kind.ok_or(SnapshotError::Foreign("CPU engine"))?,
                    hash: engine_hash,
                },
                arch: arch.ok_or(SnapshotError::Foreign("architecture"))?,
                image: reader.take()?,
                ram_bytes: u64::from_le_bytes(reader.take()?),
            },
            sections_bytes: u64::from_le_bytes(reader.take()?),
            sections_hash: reader.take()?,
            body_bytes: u64::from_le_bytes(reader.take()?),
            body_hash: reader.take()?,
        };
        let covered = bytes.len() - reader.rest.len();
        let expected: Hash = reader.take()?;
        let rest_is_zero = reader.rest.iter().all(|byte| *byte == 0);
        if super::file::hash(&bytes[..covered]) != expected || !rest_is_zero {
            return Err(SnapshotError::Damaged("its header does not match its checksum"));
        }
        let sizes_are_sane = header.sections_bytes <= LARGEST_SECTIONS && header.body_bytes <= LARGEST_BODY;
        if !sizes_are_sane {
            return Err(SnapshotError::Damaged("its sizes make no sense"));
        }
        Ok(header)
    }
}

fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut padded = [0; NAME_BYTES];
    for (byte, letter) in padded.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    padded
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(SnapshotError::NotASnapshot)?;
        self.rest = rest;
        Ok(*first)
    }
}
