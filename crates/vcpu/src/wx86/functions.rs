//! From the functions that the engine writes to modules, and whether a module is one of these.

use std::ops::Range;
use std::sync::Arc;

use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, EntityType, ExportKind, ExportSection, FunctionSection,
    ImportSection, MemoryType, RawSection, Section, SectionId, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use super::translation::PARTS;
use crate::VcpuError;
use crate::module::module_error;

/// Name of the export with which a part is entered; its number follows.
const ENTER: &str = "enter";
/// The functions that each part begins with, and which of them that is.
const OWN_FUNCTIONS: u32 = 4;
const ENTER_NUMBER: u32 = 2;

const NARROW: ValType = ValType::I32;
const WIDE: ValType = ValType::I64;
/// Types of functions: that of pages of code and of `enter` is the first.
const TYPES: [(&[ValType], &[ValType]); 8] = [
    (&[NARROW], &[NARROW]),
    (&[NARROW, NARROW], &[NARROW]),
    (&[], &[NARROW]),
    (&[NARROW, NARROW], &[]),
    (&[WIDE, WIDE], &[WIDE]),
    (&[WIDE], &[NARROW]),
    (&[NARROW, NARROW, NARROW], &[NARROW]),
    (&[WIDE, NARROW], &[NARROW]),
];
const CODE_TYPE: u32 = 0;
/// What is imported from the engine, in the order of `engine/src/translate/helpers.rs`, with the types.
pub(super) const IMPORTS: [(&str, u32); 6] = [
    ("engine_general", 1),
    ("engine_condition", 0),
    ("engine_pushed_flags", 2),
    ("engine_change_flags", 3),
    ("engine_unsigned_high", 4),
    ("engine_signed_high", 4),
];
/// Types of the functions that each part begins with: going to an address (known before, or not), `enter`, a general
/// instruction and what follows.
const OWN_TYPES: [u32; OWN_FUNCTIONS as usize] = [7, 7, CODE_TYPE, 6];

/// A function, as the engine gives it.
struct Function {
    body: Vec<u8>,
    /// Where in it are branches that are hardly ever taken.
    unlikely: Vec<u32>,
}

/// The functions of all parts.
#[derive(Default)]
pub(super) struct Functions([Vec<Function>; PARTS]);

impl Functions {
    /// The next function of `part`, which is counted from 1.
    pub(super) fn push(
        &mut self,
        part: u32,
        body: &[u8],
        unlikely: impl Iterator<Item = u32>,
    ) -> Result<(), VcpuError> {
        let functions = (part as usize).checked_sub(1).and_then(|part| self.0.get_mut(part));
        let functions = functions.ok_or_else(|| module_error(format!("it translates a part {part}")))?;
        functions.push(Function { body: body.to_vec(), unlikely: unlikely.collect() });
        Ok(())
    }

    /// The modules of the parts that there are.
    pub(super) fn modules(self) -> [Option<Arc<[u8]>>; PARTS] {
        let mut part = 0;
        self.0.map(|functions| {
            part += 1;
            (!functions.is_empty()).then(|| module(part - 1, &functions).into())
        })
    }
}

/// Name of the export with which a part is entered.
pub(super) fn export_name(part: usize) -> String {
    format!("{ENTER}{part}")
}

/// The part that is entered with an export.
pub(super) fn part_of(export: &str) -> Option<usize> {
    export.strip_prefix(ENTER)?.parse().ok()
}

/// The module of a part's functions.
fn module(part: usize, bodies: &[Function]) -> Vec<u8> {
    let own = IMPORTS.len() as u32;
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut hints = BranchHints::new();
    for ((number, Function { body, unlikely }), index) in bodies.iter().enumerate().zip(own..) {
        functions.function(OWN_TYPES.get(number).copied().unwrap_or(CODE_TYPE));
        code.raw(body);
        let not_taken = |place: &u32| BranchHint { branch_func_offset: *place, branch_hint_value: 0 };
        hints.function_hints(index, unlikely.iter().map(not_taken));
    }
    let Interface { types, imports, exports } = Interface::of(part);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports);
    module.section(&hints).section(&code);
    module.finish()
}

/// What is the same in all modules of a part.
struct Interface {
    types: TypeSection,
    imports: ImportSection,
    exports: ExportSection,
}

impl Interface {
    fn of(part: usize) -> Self {
        let mut types = TypeSection::new();
        for (parameters, results) in TYPES {
            types.ty().function(parameters.iter().copied(), results.iter().copied());
        }
        let mut imports = ImportSection::new();
        // No maximum: the importer must take whatever the exporter has.
        let memory =
            MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
        imports.import("engine", "memory", memory);
        for (name, of_type) in IMPORTS {
            imports.import("engine", name, EntityType::Function(of_type));
        }
        let mut exports = ExportSection::new();
        exports.export(&export_name(part), ExportKind::Func, IMPORTS.len() as u32 + ENTER_NUMBER);
        Self { types, imports, exports }
    }
}

/// Checks that a module from elsewhere has the form of those of a part: nothing but functions, whose bodies the
/// compiler checks. So it has no memory of its own, nothing that runs by itself, and can call nothing else.
///
/// # Errors
/// [`VcpuError::Snapshot`] if it has not.
pub(super) fn check(part: usize, wasm: &[u8]) -> Result<(), VcpuError> {
    let Interface { types, imports, exports } = Interface::of(part);
    let mut interface = wasm_encoder::Module::new();
    let expected = interface.section(&types).section(&imports).section(&exports).as_slice();
    let foreign = || VcpuError::Snapshot("its translated code has not the form of such code".into());
    // All but the functions themselves is as in the modules that are made here.
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|_| foreign())? {
            Payload::Version { range, .. } => found.extend(wasm.get(range).unwrap_or_default()),
            Payload::TypeSection(section) => append(&mut found, SectionId::Type, wasm, section.range()),
            Payload::ImportSection(section) => append(&mut found, SectionId::Import, wasm, section.range()),
            Payload::ExportSection(section) => append(&mut found, SectionId::Export, wasm, section.range()),
            Payload::FunctionSection(_)
            | Payload::CodeSectionStart { .. }
            | Payload::CodeSectionEntry(_)
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            _ => return Err(foreign()),
        }
    }
    if found == expected { Ok(()) } else { Err(foreign()) }
}

/// Appends a section of `wasm` whose content is at `range`.
fn append(to: &mut Vec<u8>, id: SectionId, wasm: &[u8], range: Range<usize>) {
    let data = wasm.get(range).unwrap_or_default();
    RawSection { id: id.into(), data }.append_to(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Function {
        // No locals; unreachable; end.
        Function { body: vec![0, 0, 0x0B], unlikely: vec![1] }
    }

    #[test]
    fn only_modules_of_functions_are_taken() {
        let functions: Vec<Function> = (0..6).map(|_| function()).collect();
        let own = module(1, &functions);
        wasmparser::validate(&own).unwrap();
        check(1, &own).unwrap();
        assert!(check(0, &own).is_err(), "that of another part");
        for end in [0, 7, 8, 40, own.len() - 1] {
            assert!(check(1, &own[..end]).is_err(), "{end} bytes");
        }
        let foreign = [
            "(module)",
            "(module (memory 65536))",
            r#"(module (func (export "enter1") (param i32) (result i32) local.get 0))"#,
        ];
        for text in foreign {
            assert!(check(1, &wat::parse_str(text).unwrap()).is_err(), "{text}");
        }
        // What is not in the others: memory, a start.
        let Interface { types, imports, exports } = Interface::of(1);
        let mut memories = wasm_encoder::MemorySection::new();
        memories.memory(MemoryType {
            minimum: 65536,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let start = wasm_encoder::StartSection { function_index: 2 };
        for more in [&memories as &dyn wasm_encoder::Section, &start] {
            let mut module = wasm_encoder::Module::new();
            module.section(&types).section(&imports);
            if more.id() == SectionId::Memory as u8 {
                module.section(&memories).section(&exports);
            } else {
                module.section(&exports).section(&start);
            }
            assert!(check(1, module.as_slice()).is_err(), "section {}", more.id());
        }
    }
}
