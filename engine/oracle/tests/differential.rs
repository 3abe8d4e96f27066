//! The engine does what the processor does, family by family. All cases follow from seeds.

use std::collections::BTreeMap;
use wasm_sandbox_oracle::case::Mode;
use wasm_sandbox_oracle::generate::{Catalogue, Family, Generator, Shape};
use wasm_sandbox_oracle::guest::System;
use wasm_sandbox_oracle::hunt::Pair;
use wasm_sandbox_oracle::report::Report;

/// Mnemonics that differ still, each with the reason.
const KNOWN: &str = include_str!("known-differences.txt");

/// How many times more cases a full run has.
fn times() -> u64 {
    if std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some() { 60 } else { 1 }
}

fn known() -> BTreeMap<&'static str, &'static str> {
    let lines = KNOWN.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(':')).map(|(name, reason)| (name.trim(), reason.trim())).collect()
}

/// Fails with the table of all mnemonics that differ and are not known to.
#[track_caller]
fn check(mut pair: Pair, mut report: Report) {
    let known = known();
    report.entries.retain(|name, _| !known.contains_key(name.as_str()));
    pair.simplify(&mut report, 2).expect("a child");
    let (cases, differing) = report.totals();
    assert!(differing == 0, "\n{}", report.table(2));
    assert!(cases > 0, "nothing was tested");
}

fn run(shape: Shape, cases: u64, wanted: impl Fn(Family) -> bool) {
    let mut pair = Pair::new(System::Long, false).expect("a child");
    let mut report = Report::default();
    for mode in [Mode::Bits32, Mode::Bits64] {
        let catalogue = Catalogue::new(mode, |_, family| wanted(family));
        let skipped = catalogue.skipped.len();
        if skipped > 0 {
            eprintln!("{skipped} instructions are skipped: this machine does not have them");
        }
        let generator = Generator { catalogue, shape, seed: 1 };
        report.merge(pair.hunt(&generator, 0..cases * times()).expect("a child"));
    }
    check(pair, report);
}

#[test]
fn integer_instructions() {
    run(Shape::Single, 15_000, |family| family == Family::Integer);
}

#[test]
fn string_instructions() {
    run(Shape::Single, 4_000, |family| family == Family::String);
}

#[test]
fn system_instructions() {
    run(Shape::Single, 5_000, |family| family == Family::System);
}

#[test]
fn x87_instructions() {
    run(Shape::Single, 8_000, |family| family == Family::X87);
}

#[test]
fn simd_instructions() {
    run(Shape::Single, 12_000, |family| family == Family::Simd);
}

#[test]
fn sequences_of_integer_instructions() {
    run(Shape::Sequence, 4_000, |family| family == Family::Integer);
}

#[test]
fn sequences_of_all_instructions() {
    run(Shape::Sequence, 4_000, |_| true);
}

#[test]
fn loops() {
    run(Shape::Loop, 3_000, |family| matches!(family, Family::Integer | Family::Simd | Family::X87));
}

#[test]
fn random_bytes() {
    run(Shape::Bytes, 5_000, |_| true);
}

#[test]
fn protected_mode() {
    let mut pair = Pair::new(System::Protected, false).expect("a child");
    // Far branches reach 64-bit code in long mode only.
    let catalogue = Catalogue::new(Mode::Bits32, |_, family| family != Family::System);
    let generator = Generator { catalogue, shape: Shape::Single, seed: 2 };
    let report = pair.hunt(&generator, 0..8_000 * times()).expect("a child");
    check(pair, report);
}

#[test]
fn exceptions_through_gates() {
    let mut pair = Pair::new(System::Long, true).expect("a child");
    let mut report = Report::default();
    for mode in [Mode::Bits32, Mode::Bits64] {
        let generator =
            Generator { catalogue: Catalogue::new(mode, |_, _| true), shape: Shape::Single, seed: 3 };
        report.merge(pair.hunt(&generator, 0..3_000 * times()).expect("a child"));
    }
    check(pair, report);
}
