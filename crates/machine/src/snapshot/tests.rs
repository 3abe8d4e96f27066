//! Snapshot files as others may hand them over: whole, changed, cut short, and made with ill intent.

mod counting_allocator;
mod hostile;
mod sample;

use std::fs::File;
use std::os::unix::fs::FileExt;

use tempfile::NamedTempFile;
use wasm_sandbox_vcpu::{EngineKind, PAGE};

use super::file::hash;
use super::{EngineIdentity, MachineSnapshot, SnapshotError, SnapshotIdentity, Trust};
use crate::arch::Arch;
use sample::*;

#[test]
fn a_snapshot_comes_back_as_it_was() {
    for trust in [Trust::Foreign, Trust::Own] {
        let target = stored(&sample_file());
        let opened = MachineSnapshot::open(target.path(), IDENTITY, trust).unwrap();
        assert_eq!(MachineSnapshot::identity_of(target.path()).unwrap(), IDENTITY);
        drop(target); // A file that is open may be deleted.
        let sample = sample();
        assert_eq!(opened.engine().state(), sample.engine().state());
        assert_eq!(opened.attachment(), b"attached");
        assert_eq!(format!("{:?}", opened.board), format!("{:?}", sample.board));
        assert_eq!((opened.engine().memory().size(), opened.stored_bytes()), (MEMORY, 4 * PAGE));
        let mut pages = vec![vec![0; PAGE as usize]; (MEMORY / PAGE) as usize];
        for extent in opened.engine().memory().extents() {
            for at in 0..extent.length / PAGE {
                let page = &mut pages[(extent.offset / PAGE + at) as usize];
                extent.file.read_exact_at(page, extent.file_offset + at * PAGE).unwrap();
            }
        }
        for (number, content) in (0..).zip(&pages) {
            let stored = RUNS.iter().any(|(start, end)| (*start..*end).contains(&number));
            assert!(*content == if stored { page(number) } else { vec![0; PAGE as usize] }, "page {number}");
        }
        let mut code = Vec::new();
        opened.engine().write_code(&mut code).unwrap();
        assert_eq!(code, CODE.map(|(_, wasm)| wasm).concat());
        assert!(written(&opened) == sample_file(), "what was opened is written as it was");
    }
}

/// **The format must not change by accident**: files that people saved would be read wrongly or not at all. If this
/// fails because it changed on purpose (also by a change of a device's state, which is in the section of the board):
/// raise `FORMAT_VERSION` in `header.rs` if the layout changed, or the section's version in `file.rs` if its content
/// did; then put in here what the test says.
#[test]
fn the_format_is_what_it_was() {
    let bytes = sample_file();
    let start = [
        &b"WSANDBOX"[..],
        &4u32.to_le_bytes(),
        b"v86\0\0\0\0\0",
        &[0xE1; 32],
        b"i686\0\0\0\0",
        &[0x1A; 32],
        &(64u64 << 10).to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes[..start.len()], start);
    assert!(bytes[CHECKSUM + 32..HEADER].iter().all(|byte| *byte == 0));
    let sections: RawSections =
        postcard::from_bytes(&bytes[HEADER..HEADER + number(&bytes, SECTIONS_BYTES) as usize]).unwrap();
    let kinds: Vec<_> =
        sections.iter().map(|(kind, version, bytes)| (*kind, *version, bytes.len())).collect();
    assert_eq!(kinds, [(1, 3, 44), (2, 2, 304), (3, 1, 16), (4, 2, 9)], "sections: kind, version, bytes");
    let sum: String = hash(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "517350fbc9659c2d6e751b8bd82d740b244abbce7d365000fc17784b00684faf";
    assert_eq!((bytes.len(), sum.as_str()), (24_610, expected));
}

#[test]
fn any_changed_byte_is_refused() {
    let good = sample_file();
    assert!(open(&good, Trust::Foreign).is_ok());
    let target = stored(&good);
    let file = target.as_file();
    for at in 0..good.len() {
        // Every bit of where things are decided, one bit of every byte elsewhere.
        let bits = if at < CHECKSUM + 32 { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            file.write_all_at(&[good[at] ^ 1 << bit], at as u64).unwrap();
            let opened = MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign);
            assert!(opened.is_err(), "bit {bit} of byte {at}");
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
    assert!(MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign).is_ok(), "it is whole again");
}

#[test]
fn any_length_but_the_right_one_is_refused() {
    let good = sample_file();
    for trust in [Trust::Foreign, Trust::Own] {
        let lengths = (0..200).chain((200..good.len()).step_by(97)).chain(good.len() - 200..good.len());
        for length in lengths {
            assert!(open(&good[..length], trust).is_err(), "{length} bytes, {trust:?}");
        }
        for more in [1, 2, HEADER, 100_000] {
            let longer = [&good[..], &vec![0; more]].concat();
            assert!(
                matches!(refusal(&longer, trust), SnapshotError::Damaged(_)),
                "{more} bytes more, {trust:?}"
            );
        }
    }
}

#[test]
fn each_kind_of_misfit_is_named() {
    let good = sample_file();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert!(matches!(refusal(b"", Trust::Foreign), SnapshotError::NotASnapshot));
    assert!(matches!(refusal(&vec![0; 10_000], Trust::Foreign), SnapshotError::NotASnapshot));
    assert!(matches!(refusal(&changed(0), Trust::Foreign), SnapshotError::NotASnapshot));
    for known in [1, 2] {
        let mut other = good.clone();
        other[VERSION] += known;
        seal_header(&mut other);
        let error = refusal(&other, Trust::Foreign);
        assert!(matches!(error, SnapshotError::Version { found, known } if found != known), "{error}");
    }
    let others = [
        (
            SnapshotIdentity { engine: EngineIdentity { hash: [0; 32], ..ENGINE_IDENTITY }, ..IDENTITY },
            "engine",
        ),
        (SnapshotIdentity { image: [0; 32], ..IDENTITY }, "image"),
        (SnapshotIdentity { ram_bytes: 128 << 10, ..IDENTITY }, "memory size"),
    ];
    for (identity, word) in others {
        let error = MachineSnapshot::open(stored(&good).path(), identity, Trust::Own).err().unwrap();
        assert!(matches!(error, SnapshotError::Foreign(_)) && error.to_string().contains(word), "{error}");
    }
    let wx86 = EngineIdentity { kind: EngineKind::Wx86, ..ENGINE_IDENTITY };
    let error = MachineSnapshot::open(
        stored(&good).path(),
        SnapshotIdentity { engine: wx86, ..IDENTITY },
        Trust::Foreign,
    );
    let error = error.err().unwrap().to_string();
    assert!(error.contains("--engine v86"), "{error}");
    let other = SnapshotIdentity { arch: Arch::X86_64, ..IDENTITY };
    let error = MachineSnapshot::open(stored(&good).path(), other, Trust::Foreign).err().unwrap().to_string();
    assert!(error.contains("--arch i686"), "{error}");
    for (name, what) in [(ENGINE_NAME, "CPU engine"), (ARCH_NAME, "architecture")] {
        let mut unknown = good.clone();
        unknown[name] ^= 1;
        seal_header(&mut unknown);
        let refused = refusal(&unknown, Trust::Foreign);
        assert!(matches!(refused, SnapshotError::Foreign(foreign) if foreign == what), "{refused}");
    }
    let missing = MachineSnapshot::open("/nonexistent/snapshot".as_ref(), IDENTITY, Trust::Foreign).err();
    assert!(matches!(missing, Some(SnapshotError::Io(_))));
    let directory = MachineSnapshot::open("/tmp".as_ref(), IDENTITY, Trust::Foreign).err();
    assert!(directory.is_some());
}

#[test]
fn a_snapshot_is_written_over_a_shorter_and_a_longer_file() {
    let target = NamedTempFile::new().unwrap();
    let write = |file: &mut File| sample().write(file, IDENTITY).unwrap();
    write(&mut target.reopen().unwrap());
    let once = std::fs::read(target.path()).unwrap();
    target.as_file().set_len(1 << 20).unwrap();
    write(&mut target.reopen().unwrap());
    assert!(std::fs::read(target.path()).unwrap() == once);
}
