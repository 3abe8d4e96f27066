//! A small snapshot file, and the tools to change it.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use tempfile::NamedTempFile;
use wasm_sandbox_vcpu::{
    EngineKind, EngineSnapshot, EngineState, Extent, MemoryImage, OwnState, PAGE, TranslationsState,
};

use crate::arch::Arch;
use crate::board::BoardState;
use crate::disk::DiskImage;
use crate::snapshot::file::hash;
use crate::snapshot::{EngineIdentity, MachineSnapshot, SnapshotError, SnapshotIdentity, Trust};

pub const ENGINE_IDENTITY: EngineIdentity = EngineIdentity { kind: EngineKind::V86, hash: [0xE1; 32] };
pub const IDENTITY: SnapshotIdentity =
    SnapshotIdentity { engine: ENGINE_IDENTITY, arch: Arch::I686, image: [0x1A; 32], ram_bytes: 64 << 10 };

/// Size of the memory of the sample: a page of wasm, and one of RAM.
pub const MEMORY: u64 = 128 << 10;
/// Its pages that are not zero, as runs of page numbers.
pub const RUNS: [(u64, u64); 3] = [(0, 1), (3, 5), (31, 32)];
/// Its translated code, by table index.
pub const CODE: [(u32, &[u8]); 2] = [(3, b"the module of element 3"), (700, b"another one")];

// Where things are in the header, in bytes.
pub const VERSION: usize = 8;
pub const ENGINE_NAME: usize = 12;
pub const ARCH_NAME: usize = 52;
pub const RAM_BYTES: usize = 92;
pub const SECTIONS_BYTES: usize = 100;
pub const SECTIONS_HASH: usize = 108;
pub const BODY_BYTES: usize = 140;
pub const BODY_HASH: usize = 148;
pub const CHECKSUM: usize = 180;
pub const HEADER: usize = 4096;

pub fn disk() -> DiskImage {
    let mut compressed = Vec::new();
    let mut encoder = zeekstd::EncodeOptions::new().into_encoder(&mut compressed).unwrap();
    encoder.write_all(&[7; 4096]).unwrap();
    encoder.finish().unwrap();
    DiskImage::open(compressed.leak()).unwrap()
}

/// A page whose bytes tell where it belongs.
pub fn page(number: u64) -> Vec<u8> {
    (0..PAGE).map(|byte| (byte as u8).wrapping_mul(number as u8 + 3) ^ (byte >> 8) as u8).collect()
}

/// A machine that nobody could run, with something in every place.
pub fn sample() -> MachineSnapshot {
    let mut file = tempfile::tempfile().unwrap();
    let mut extents = Vec::new();
    let mut file_offset = 0;
    for (start, end) in RUNS {
        (start..end).for_each(|number| file.write_all(&page(number)).unwrap());
        extents.push((start * PAGE, (end - start) * PAGE, file_offset));
        file_offset += (end - start) * PAGE;
    }
    CODE.iter().for_each(|(_, wasm)| file.write_all(wasm).unwrap());
    let file = Arc::new(file);
    let extents = extents
        .into_iter()
        .map(|(offset, length, file_offset)| Extent { offset, length, file: file.clone(), file_offset })
        .collect();
    let memory = MemoryImage::new(MEMORY, extents).unwrap();
    let state = EngineState {
        ram: (64 << 10)..MEMORY,
        instructions: 123_456_789_012,
        own: OwnState::V86(translations()),
    };
    let engine = EngineSnapshot::from_state(memory, state, &file, file_offset).unwrap();
    let board = BoardState::of_new_board(EngineKind::V86, disk());
    MachineSnapshot { engine, board, attachment: b"attached".to_vec() }
}

pub fn translations() -> TranslationsState {
    TranslationsState {
        last_counter: 3_197_704_724,
        translated: CODE.iter().map(|(index, wasm)| (*index, wasm.len() as u64)).collect(),
        pending: Some((5, 0x1000, 3, b"being compiled".to_vec())),
    }
}

pub fn written(snapshot: &MachineSnapshot) -> Vec<u8> {
    let target = NamedTempFile::new().unwrap();
    // What is in the file already does not matter.
    let mut file = target.reopen().unwrap();
    file.write_all(&[0xAA; 100_000]).unwrap();
    snapshot.write(&mut file, IDENTITY).unwrap();
    std::fs::read(target.path()).unwrap()
}

pub fn sample_file() -> Vec<u8> {
    written(&sample())
}

/// A file on disk with these bytes.
pub fn stored(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn open(bytes: &[u8], trust: Trust) -> Result<MachineSnapshot, SnapshotError> {
    MachineSnapshot::open(stored(bytes).path(), IDENTITY, trust)
}

pub fn refusal(bytes: &[u8], trust: Trust) -> SnapshotError {
    open(bytes, trust).err().expect("it should be refused")
}

/// Makes all checksums right, as somebody with ill intent does.
pub fn seal(bytes: &mut [u8]) {
    let sections_bytes = number(bytes, SECTIONS_BYTES) as usize;
    let body = (HEADER + sections_bytes).next_multiple_of(HEADER);
    let (sections_hash, body_hash) =
        (hash(&bytes[HEADER..HEADER + sections_bytes]), hash(bytes.get(body..).unwrap_or_default()));
    bytes[SECTIONS_HASH..][..32].copy_from_slice(&sections_hash);
    bytes[BODY_HASH..][..32].copy_from_slice(&body_hash);
    seal_header(bytes);
}

pub fn seal_header(bytes: &mut [u8]) {
    let checksum = hash(&bytes[..CHECKSUM]);
    bytes[CHECKSUM..][..32].copy_from_slice(&checksum);
}

pub fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The sections as they are in the file: kind, version, bytes.
pub type RawSections = Vec<(u32, u32, Vec<u8>)>;

/// The sample's file with its sections changed, and all checksums right.
pub fn with_sections(change: impl FnOnce(&mut RawSections)) -> Vec<u8> {
    let bytes = sample_file();
    let end = HEADER + number(&bytes, SECTIONS_BYTES) as usize;
    let mut sections: RawSections = postcard::from_bytes(&bytes[HEADER..end]).unwrap();
    change(&mut sections);
    with_raw_sections(&bytes, &postcard::to_allocvec(&sections).unwrap())
}

/// `bytes` with other sections, and all checksums right.
pub fn with_raw_sections(bytes: &[u8], sections: &[u8]) -> Vec<u8> {
    let body = (HEADER + number(bytes, SECTIONS_BYTES) as usize).next_multiple_of(HEADER);
    let mut changed = [&bytes[..HEADER], sections].concat();
    changed.resize(changed.len().next_multiple_of(HEADER), 0);
    changed.extend(&bytes[body..]);
    changed[SECTIONS_BYTES..][..8].copy_from_slice(&(sections.len() as u64).to_le_bytes());
    seal(&mut changed);
    changed
}

pub const ENGINE: usize = 0;
pub const EXTENTS: usize = 2;

pub fn replace<T: Serialize>(sections: &mut RawSections, at: usize, value: &T) {
    sections[at].2 = postcard::to_allocvec(value).unwrap();
}

/// The sample's file with this list of extents.
pub fn with_extents(size: u64, extents: &[(u64, u64)]) -> Vec<u8> {
    with_sections(|sections| replace(sections, EXTENTS, &(size, extents)))
}
