//! The oracle itself: the same cases give the same outcome whatever ran before them.

use wasm_sandbox_oracle::case::{Case, Mode, Outcome};
use wasm_sandbox_oracle::generate::{Catalogue, Generator, Shape};
use wasm_sandbox_oracle::silicon::Silicon;

fn cases(mode: Mode, shape: Shape, count: u64) -> Vec<Case> {
    let generator = Generator { catalogue: Catalogue::new(mode, |_, _| true), shape, seed: 3 };
    (0..count).filter_map(|number| generator.sample(number)).map(|sample| sample.case).collect()
}

#[test]
fn outcomes_do_not_depend_on_other_cases() {
    let mut silicon = Silicon::new().expect("a child");
    for mode in [Mode::Bits32, Mode::Bits64] {
        for shape in [Shape::Single, Shape::Sequence, Shape::Bytes] {
            let mut cases = cases(mode, shape, 5_000);
            let forwards = silicon.run(&cases).expect("a child");
            cases.reverse();
            let mut backwards = silicon.run(&cases).expect("a child");
            backwards.reverse();
            cases.reverse();
            for ((case, first), second) in cases.iter().zip(&forwards).zip(&backwards) {
                assert!(comparable(first) == comparable(second), "{:02x?} in {mode:?}", case.code);
            }
        }
    }
}

/// What is compared; in 32-bit code, R8 to R15 are nobody's.
fn comparable(outcome: &Outcome) -> impl PartialEq + use<> {
    match outcome {
        Outcome::Stopped(stop) => {
            Ok((stop.state.gprs, stop.state.rip, stop.exception.vector, stop.changes.sum))
        }
        Outcome::SystemCall => Err("a system call".to_owned()),
        Outcome::Hung => Err("hung".to_owned()),
        Outcome::Lost(reason) => Err(reason.clone()),
    }
}

#[test]
fn a_case_that_never_ends_is_given_up() {
    let mut silicon = Silicon::new().expect("a child");
    let endless = Case::new(Mode::Bits64, &[0xEB, 0xFE]);
    let nothing = Case::new(Mode::Bits32, &[0x90]);
    let outcomes = silicon.run(&[nothing.clone(), endless, nothing]).expect("a child");
    assert!(matches!(outcomes[..], [Outcome::Stopped(_), Outcome::Hung, Outcome::Stopped(_)]));
}

#[test]
fn cases_cannot_call_the_system() {
    let mut silicon = Silicon::new().expect("a child");
    let cases = [
        Case::new(Mode::Bits64, &[0x0F, 0x05]),
        Case::new(Mode::Bits64, &[0xCD, 0x80]),
        Case::new(Mode::Bits32, &[0xCD, 0x80]),
    ];
    let outcomes = silicon.run(&cases).expect("a child");
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::SystemCall));
}
