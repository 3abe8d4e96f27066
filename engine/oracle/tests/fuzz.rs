//! The engine survives random programs. All of it follows from seeds; nothing depends on time.

use wasm_sandbox_oracle::fuzz::{Target, fuzz};

/// Instructions a target: few by default, so that every test run can afford them.
fn instructions() -> u64 {
    if std::env::var_os("WASM_SANDBOX_FULL_TESTS").is_some() { 30_000_000 } else { 300_000 }
}

#[track_caller]
fn survives(target: Target) {
    let run = fuzz(target, 1, instructions()).expect("the engine comes back");
    println!("{target:?}: {run:?}");
    assert!(run.instructions > 0);
}

#[test]
fn programs_of_ring_3() {
    survives(Target::User);
}

#[test]
fn programs_of_ring_0() {
    survives(Target::Kernel);
}

#[test]
fn page_tables_of_anything() {
    survives(Target::PageTables);
}

#[test]
fn descriptor_tables_and_control_registers_of_anything() {
    survives(Target::Tables);
}
