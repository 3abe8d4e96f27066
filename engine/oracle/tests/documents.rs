//! The documents that are made from the engine are up to date.

#[test]
fn the_table_of_instructions_is_that_of_the_engine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/instructions.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == wasm_sandbox_oracle::table::instructions(),
        "docs/instructions.md is old: run `make docs`"
    );
}
