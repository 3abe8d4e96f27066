use proptest::prelude::*;
use wasmtime::{Engine, Instance, Linker, Memory, MemoryType, Module, Store};

use super::*;

/// Uses two functions, memory, and a block with a type of its own.
const FIRST: &str = r#"(module
    (type $unused (func (param f64 f64)))
    (type $f (func (param i32) (result i32)))
    (type $pair (func (param i32) (result i32 i32)))
    (import "e" "add_one" (func $add_one (type $f)))
    (import "e" "m" (memory 1))
    (import "e" "times_ten" (func $times_ten (type $f)))
    (func (export "f") (type $f)
        (local $kept i64)
        local.get 0
        call $times_ten
        (block (type $pair) local.get 0)
        i32.store
        local.get 0
        call $add_one))"#;

/// Has its own types, and imports in another order: one that the first has, and two that it has not.
const SECOND: &str = r#"(module
    (type $g (func (param i64) (result i64)))
    (type $f (func (param i32) (result i32)))
    (type $nothing (func))
    (import "e" "note" (func $note (type $nothing)))
    (import "e" "times_ten" (func $times_ten (type $f)))
    (import "e" "negate" (func $negate (type $g)))
    (import "e" "m" (memory 1))
    (func (export "f") (type $f)
        call $note
        local.get 0
        call $times_ten
        i64.extend_i32_s
        call $negate
        i32.wrap_i64
        local.get 0
        i32.load
        i32.add))"#;

/// Imports nothing but memory.
const THIRD: &str = r#"(module
    (import "e" "m" (memory 1))
    (func (export "f") (param i32) (result i32)
        (loop (br_if 0 (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1)))))
        local.get 0))"#;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn merged(modules: &[(u32, &[u8])]) -> Result<Vec<u8>, VcpuError> {
    merge(modules.iter().copied())
}

/// The bundle in a store with the functions that the modules import; the store counts the notes.
fn instantiate(bundle: &[u8]) -> (Store<u32>, Instance, Memory) {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("e", "add_one", |value: i32| value + 1).unwrap();
    linker.func_wrap("e", "times_ten", |value: i32| value * 10).unwrap();
    linker.func_wrap("e", "negate", |value: i64| -value).unwrap();
    linker.func_wrap("e", "note", |mut caller: wasmtime::Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
    linker.define(&store, "e", "m", memory).unwrap();
    let module = Module::new(&engine, bundle).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance, memory)
}

fn call(store: &mut Store<u32>, instance: &Instance, name: &str, value: i32) -> i32 {
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, value).unwrap()
}

#[test]
fn modules_with_different_imports_do_what_they_did() {
    let (first, second, third) = (wasm(FIRST), wasm(SECOND), wasm(THIRD));
    let parts: [(u32, &[u8]); 3] = [(899, &first), (0, &second), (17, &third)];
    for rotation in 0..3 {
        let mut parts = parts;
        parts.rotate_left(rotation);
        let (mut store, instance, memory) = instantiate(&merged(&parts).unwrap());
        assert_eq!(call(&mut store, &instance, "f899", 8), 9);
        let stored = i32::from_le_bytes(memory.data(&store)[80..84].try_into().unwrap());
        assert_eq!(stored, 8, "the first module stores its argument at ten times its argument");
        assert_eq!(call(&mut store, &instance, "f0", 80), 8 - 800);
        assert_eq!(call(&mut store, &instance, "f17", 12345), 0);
        assert_eq!(*store.data(), 1, "the second module takes a note");
        assert_eq!(instance.exports(&mut store).count(), 3);
    }
}

#[test]
fn each_import_and_type_is_there_once() {
    let (first, second) = (wasm(FIRST), wasm(SECOND));
    let modules: Vec<(u32, &[u8])> =
        (0..100).flat_map(|at| [(2 * at, &*first), (2 * at + 1, &*second)]).collect();
    let module = Module::new(&Engine::default(), merged(&modules).unwrap()).unwrap();
    let mut imports: Vec<&str> = module.imports().map(|import| import.name()).collect();
    imports.sort_unstable();
    assert_eq!(imports, ["add_one", "m", "negate", "note", "times_ten"]);
    assert_eq!(module.exports().count(), 200);
}

#[test]
fn no_modules_make_an_empty_bundle() {
    let module = Module::new(&Engine::default(), merged(&[]).unwrap()).unwrap();
    assert_eq!(module.exports().count(), 0);
}

#[test]
fn names_lead_back_to_the_table() {
    for index in [0, 1, 899, u32::MAX] {
        assert_eq!(index_of(&export_name(index)), Some(index));
    }
    for name in ["", "f", "g1", "f-1", "f4294967296", "f1x", "memory"] {
        assert_eq!(index_of(name), None, "{name}");
    }
}

#[test]
fn modules_of_another_form_are_refused() {
    let f = r#"(func (export "f") (param i32) (result i32) local.get 0)"#;
    let cases = [
        ("no function", "(module)".to_owned()),
        ("a function that is only imported", r#"(module (import "e" "g" (func)))"#.to_owned()),
        ("two functions", format!("(module {f} (func))")),
        ("memory of another name", format!(r#"(module (import "e" "n" (memory 1)) {f})"#)),
        ("memory of its own", format!("(module (memory 1) {f})")),
        ("a table from outside", format!(r#"(module (import "e" "t" (table 1 funcref)) {f})"#)),
        ("a table of its own", format!("(module (table 1 funcref) {f})")),
        ("a global from outside", format!(r#"(module (import "e" "g" (global i32)) {f})"#)),
        ("a global of its own", format!("(module (global i32 (i32.const 1)) {f})")),
        ("data", format!(r#"(module (import "e" "m" (memory 1)) {f} (data (i32.const 0) "x"))"#)),
        ("a start function", r#"(module (func $s) (start $s))"#.to_owned()),
        ("a call of itself", r#"(module (func $s (export "f") call $s))"#.to_owned()),
        ("a type that is not a function's", "(module (type (struct)) (func))".to_owned()),
        ("a component", "(component)".to_owned()),
    ];
    for (name, text) in cases {
        let wasm = wasm(&text);
        assert!(matches!(merged(&[(1, &wasm)]), Err(VcpuError::Module(_))), "{name}");
        let good = wat::parse_str(THIRD).unwrap();
        assert!(merged(&[(0, &good), (1, &wasm)]).is_err(), "{name}, behind a good one");
    }
}

#[test]
fn a_module_with_two_bodies_for_one_function_is_refused() {
    let mut module = Raw::default();
    module.section(1, &[1, 0x60, 0, 0]); // one type: no parameters, no results
    module.section(3, &[1, 0]); // one function of it
    module.section(10, &[2, 2, 0, 0x0B, 2, 0, 0x0B]); // two bodies
    assert!(merged(&[(0, &module.0)]).is_err());
}

/// A module, section by section, right or wrong.
struct Raw(Vec<u8>);

impl Default for Raw {
    fn default() -> Self {
        Self(b"\0asm\x01\0\0\0".to_vec())
    }
}

impl Raw {
    fn section(&mut self, id: u8, content: &[u8]) {
        self.0.extend([id, content.len() as u8]);
        self.0.extend(content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), with_magic: bool) {
        let mut bytes = bytes;
        if with_magic {
            bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        prop_assert!(merged(&[(0, &bytes)]).is_err());
    }

    #[test]
    fn changed_modules_are_refused_or_merged_without_panic(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let good = wasm(THIRD);
        let mut bytes = wasm([FIRST, SECOND, THIRD][which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(bundle) = merged(&[(0, &good), (1, &bytes)]) {
            // What is wrong inside of a body is found when the bundle is compiled.
            let _may_be_refused = Module::validate(&Engine::default(), &bundle);
        }
    }
}
