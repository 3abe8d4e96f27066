//! Files made with ill intent: every checksum in them is right.
#![allow(clippy::type_complexity, reason = "tables of cases")]
#![allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]

use proptest::prelude::*;
use tempfile::NamedTempFile;
use wasm_sandbox_vcpu::{EngineState, OwnState, PAGE, PartsState, TranslationsState};

use super::counting_allocator::allocated_by;
use super::sample::*;
use crate::board::Board;
use crate::machine::Sources;
use crate::snapshot::{MachineSnapshot, SnapshotError, Trust};

#[test]
fn sections_are_known_complete_and_single() {
    assert!(open(&with_sections(|_| {}), Trust::Foreign).is_ok(), "the tools of this test change nothing");
    assert!(open(&with_sections(|sections| sections.reverse()), Trust::Foreign).is_ok(), "any order will do");
    for at in 0..4 {
        let name = ["engine", "board", "extents", "attachment"][at];
        let error = refusal(&with_sections(|sections| drop(sections.remove(at))), Trust::Own);
        assert!(matches!(error, SnapshotError::Section { section, .. } if section == name), "{error}");
        let error = refusal(&with_sections(|sections| sections[at].1 += 1), Trust::Own);
        assert!(matches!(error, SnapshotError::Section { section, .. } if section == name), "{error}");
        let error = refusal(&with_sections(|sections| sections[at].2.push(0)), Trust::Own);
        assert!(matches!(error, SnapshotError::Section { section, .. } if section == name), "{error}");
        let error = refusal(&with_sections(|sections| assert!(sections[at].2.pop().is_some())), Trust::Own);
        assert!(matches!(error, SnapshotError::Section { section, .. } if section == name), "{error}");
        let error = refusal(&with_sections(|sections| sections.push(sections[at].clone())), Trust::Own);
        assert!(matches!(error, SnapshotError::Damaged(_)), "{error}");
    }
    let error = refusal(&with_sections(|sections| sections.push((99, 1, Vec::new()))), Trust::Own);
    assert!(matches!(error, SnapshotError::Damaged(_)), "{error}");
}

#[test]
fn extents_lie_inside_and_apart() {
    assert!(open(&with_extents(MEMORY, &[(0, PAGE), (PAGE, 3 * PAGE)]), Trust::Foreign).is_ok());
    let top = u64::MAX - (PAGE - 1);
    let cases: [(&str, u64, &[(u64, u64)]); 12] = [
        ("fewer than there are in the file", MEMORY, &[(0, PAGE), (3 * PAGE, 2 * PAGE)]),
        ("more than there are in the file", MEMORY, &[(0, 5 * PAGE)]),
        ("none", MEMORY, &[]),
        ("twice the same", MEMORY, &[(0, 2 * PAGE), (0, 2 * PAGE)]),
        ("overlapping", MEMORY, &[(0, 2 * PAGE), (PAGE, 2 * PAGE)]),
        ("out of order", MEMORY, &[(8 * PAGE, 2 * PAGE), (0, 2 * PAGE)]),
        ("empty", MEMORY, &[(0, 0), (0, 4 * PAGE)]),
        ("not at a page", MEMORY, &[(1, 4 * PAGE)]),
        ("not of whole pages", MEMORY, &[(0, PAGE + 1), (2 * PAGE, 3 * PAGE - 1)]),
        ("beyond the end", 4 * PAGE, &[(PAGE, 4 * PAGE)]),
        ("beyond all addresses", MEMORY, &[(top, 4 * PAGE)]),
        ("so long that the sum overflows", MEMORY, &[(0, top), (0, 5 * PAGE)]),
    ];
    for (name, size, extents) in cases {
        for trust in [Trust::Foreign, Trust::Own] {
            assert!(open(&with_extents(size, extents), trust).is_err(), "{name}, {trust:?}");
        }
    }
    assert!(
        open(&with_extents(MEMORY + 1, &[(0, 4 * PAGE)]), Trust::Own).is_err(),
        "a memory of half a page"
    );
}

fn translations(state: &mut EngineState) -> &mut TranslationsState {
    let OwnState::V86(translations) = &mut state.own else { panic!("the sample is one of v86") };
    translations
}

#[test]
fn the_engine_s_parts_fit_together() {
    let with_engine = |change: fn(&mut EngineState)| {
        with_sections(|sections| {
            let mut state: EngineState = postcard::from_bytes(&sections[ENGINE].2).unwrap();
            change(&mut state);
            replace(sections, ENGINE, &state);
        })
    };
    assert!(open(&with_engine(|_| {}), Trust::Foreign).is_ok());
    let changes: [(&str, fn(&mut EngineState)); 11] = [
        ("less RAM than the header says", |state| state.ram = MEMORY..MEMORY),
        ("RAM outside of memory", |state| state.ram = MEMORY..MEMORY + (64 << 10)),
        ("RAM that ends before it starts", |state| state.ram = (64 << 10)..0),
        ("half a granule of RAM", |state| state.ram = 0..(32 << 10)),
        ("RAM beyond all addresses", |state| state.ram = 0..u64::MAX),
        ("code of an element that is not there", |state| translations(state).translated[1].0 = 900),
        ("a translation of one", |state| translations(state).pending.as_mut().unwrap().0 = u32::MAX),
        ("code that is longer than it is", |state| translations(state).translated[0].1 += 1),
        ("code whose length overflows", |state| translations(state).translated[0].1 = u64::MAX),
        ("code less than there is", |state| translations(state).translated.truncate(1)),
        ("the state of another engine", |state| state.own = OwnState::Wx86(PartsState::default())),
    ];
    for (name, change) in changes {
        assert!(open(&with_engine(change), Trust::Foreign).is_err(), "{name}");
    }
}

/// Bytes that reading a file may take beside what the file has: buffers, and what the program makes of the sections.
const OVERHEAD: usize = 4 << 20;

#[test]
fn sizes_that_lie_cost_nothing() {
    for at in [RAM_BYTES, SECTIONS_BYTES, BODY_BYTES] {
        for value in [0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 40, u64::MAX / 2, u64::MAX - 4095, u64::MAX] {
            let mut bytes = sample_file();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            seal_header(&mut bytes);
            let target = stored(&bytes);
            let (opened, allocated) =
                allocated_by(|| MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign).is_err());
            assert!(opened, "{value} at {at}");
            assert!(allocated < OVERHEAD, "{value} at {at}: {allocated} bytes");
        }
    }
}

#[test]
fn lengths_that_lie_inside_sections_cost_nothing() {
    let huge: [&[u8]; 2] =
        [&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]];
    let mut files = Vec::new();
    for length in huge {
        files.push(with_raw_sections(&sample_file(), length));
        for at in 0..4 {
            files.push(with_sections(|sections| sections[at].2 = length.to_vec()));
            files.push(with_sections(|sections| sections[at].2 = [&[0, 0, 0, 0], length].concat()));
        }
    }
    for bytes in files {
        let target = stored(&bytes);
        let (refused, allocated) =
            allocated_by(|| MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign).is_err());
        assert!(refused && allocated < OVERHEAD, "{allocated} bytes");
    }
}

#[test]
fn a_huge_file_without_content_costs_little() {
    // The largest sections there may be, all of them holes in the file, so that they cost the sender nothing.
    let largest = (0..=40).map(|power| 1u64 << power).filter(|size| claims(*size, 0)).max().unwrap();
    let (refused, allocated) = allocated_by(|| {
        let target = sparse(largest, 0);
        MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign).is_err()
    });
    assert!(
        refused && allocated < largest as usize + OVERHEAD,
        "{allocated} bytes for sections of {largest}"
    );
    assert!(largest <= 8 << 20, "sections of {largest} bytes are read into memory");
}

#[test]
fn a_million_extents_of_nothing_cost_little() {
    const COUNT: usize = 1_000_000;
    let bytes = with_sections(|sections| {
        let count = postcard::to_allocvec(&(MEMORY, COUNT)).unwrap();
        sections[EXTENTS].2 = [count, vec![0; 2 * COUNT]].concat();
    });
    let target = stored(&bytes);
    let (refused, allocated) =
        allocated_by(|| MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign).is_err());
    // A list that grows is allocated several times.
    let limit = 20 * bytes.len() + OVERHEAD;
    assert!(refused && allocated < limit, "{allocated} bytes for a file of {}", bytes.len());
}

/// A file of holes, with a header that is right about its sizes.
fn sparse(sections_bytes: u64, body_bytes: u64) -> NamedTempFile {
    let mut header = sample_file();
    header.truncate(HEADER);
    header[SECTIONS_BYTES..][..8].copy_from_slice(&sections_bytes.to_le_bytes());
    header[BODY_BYTES..][..8].copy_from_slice(&body_bytes.to_le_bytes());
    seal_header(&mut header);
    let target = stored(&header);
    let body = (HEADER as u64 + sections_bytes).next_multiple_of(HEADER as u64);
    target.as_file().set_len(body + body_bytes).unwrap();
    target
}

/// Whether a header may claim such sizes.
fn claims(sections_bytes: u64, body_bytes: u64) -> bool {
    MachineSnapshot::identity_of(sparse(sections_bytes, body_bytes).path()).is_ok()
}

/// A board made of what a file says, if it can be.
fn use_it(snapshot: MachineSnapshot) {
    let _may_be_refused = Board::restore(ENGINE_IDENTITY.kind, disk(), Sources::default(), snapshot.board);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_flipped_bits_are_refused(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)) {
        let good = sample_file();
        let mut bytes = good.clone();
        for (at, bit) in flips {
            bytes[at.index(good.len())] ^= 1 << bit;
        }
        prop_assert!(bytes == good || open(&bytes, Trust::Foreign).is_err());
        let sections_end = HEADER + number(&good, SECTIONS_BYTES) as usize;
        if bytes[..sections_end] != good[..sections_end] {
            prop_assert!(open(&bytes, Trust::Own).is_err());
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..10_000), with_magic: bool) {
        let mut bytes = bytes;
        if with_magic && bytes.len() >= CHECKSUM + 32 {
            bytes[..12].copy_from_slice(b"WSANDBOX\x02\0\0\0");
            seal_header(&mut bytes);
        }
        prop_assert!(open(&bytes, Trust::Foreign).is_err());
    }

    #[test]
    fn sections_of_ill_intent_neither_panic_nor_cost(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let good = sample_file();
        let end = HEADER + number(&good, SECTIONS_BYTES) as usize;
        let mut sections = good[HEADER..end].to_vec();
        for (at, value) in changes {
            let at = at.index(sections.len());
            sections[at] = value;
        }
        let target = stored(&with_raw_sections(&good, &sections));
        let (opened, allocated) =
            allocated_by(|| MachineSnapshot::open(target.path(), IDENTITY, Trust::Foreign));
        prop_assert!(allocated < OVERHEAD, "{} bytes", allocated);
        if let Ok(snapshot) = opened {
            let ((), allocated) = allocated_by(|| use_it(snapshot));
            prop_assert!(allocated < 2 * OVERHEAD, "{} bytes", allocated);
        }
    }
}
