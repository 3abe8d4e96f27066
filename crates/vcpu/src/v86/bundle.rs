//! Many translated modules in one.
//!
//! Each module that v86's JIT writes has one function `f`. Installing hundreds of them one by one
//! costs more than a restored machine's first answer may take, so a snapshot's modules are merged
//! into a single one, whose functions are `f<index>`.

use std::collections::HashMap;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, FunctionSection, ImportSection, MemoryType, Module,
    TypeSection,
};
use wasmparser::{CompositeInnerType, FuncType, Parser, Payload, TypeRef};

use crate::VcpuError;

#[cfg(test)]
mod tests;

/// Name of the function of table index `index` in a bundle.
pub(super) fn export_name(index: u32) -> String {
    format!("f{index}")
}

/// The table index of the function that a bundle exports as `name`.
pub(super) fn index_of(name: &str) -> Option<u32> {
    name.strip_prefix('f')?.parse().ok()
}

/// Merges translated modules, given by their table index.
///
/// # Errors
/// [`VcpuError::Module`] if one of them is not of the form in which v86 writes them.
pub(super) fn merge<'a>(modules: impl IntoIterator<Item = (u32, &'a [u8])>) -> Result<Vec<u8>, VcpuError> {
    let parts: Vec<Part<'_>> =
        modules.into_iter().map(|(index, wasm)| Part::parse(index, wasm)).collect::<Result<_, _>>()?;

    let mut types = Types::default();
    let mut imports = ImportSection::new();
    // No maximum: the importer must take whatever the exporter has.
    let memory =
        MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import("e", "m", memory);
    let mut imported: HashMap<(&str, u32), u32> = HashMap::new();
    let mut function_maps = Vec::new();
    for part in &parts {
        let map: Vec<u32> = part
            .imports
            .iter()
            .map(|(name, function_type)| {
                let type_index = types.index_of(function_type);
                let next = imported.len() as u32;
                *imported.entry((name, type_index)).or_insert_with(|| {
                    imports.import("e", name, EntityType::Function(type_index));
                    next
                })
            })
            .collect();
        function_maps.push(map);
    }

    let (mut functions, mut exports, mut code) =
        (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (number, (part, function_map)) in parts.iter().zip(function_maps).enumerate() {
        functions.function(types.index_of(&part.function_type));
        exports.export(&export_name(part.index), ExportKind::Func, imported.len() as u32 + number as u32);
        let type_map = part.types.iter().map(|function_type| types.index_of(function_type)).collect();
        Renumber { function_map, type_map }
            .parse_function_body(&mut code, part.body.clone())
            .map_err(malformed)?;
    }
    let mut module = Module::new();
    module.section(&types.section).section(&imports).section(&functions).section(&exports).section(&code);
    Ok(module.finish())
}

fn malformed(error: impl std::fmt::Display) -> VcpuError {
    VcpuError::Module(format!("translated code: {error}"))
}

/// What matters of one module.
struct Part<'a> {
    index: u32,
    types: Vec<FuncType>,
    imports: Vec<(&'a str, FuncType)>,
    function_type: FuncType,
    body: wasmparser::FunctionBody<'a>,
}

impl<'a> Part<'a> {
    fn parse(index: u32, wasm: &'a [u8]) -> Result<Self, VcpuError> {
        let mut types: Vec<FuncType> = Vec::new();
        let mut imports = Vec::new();
        let (mut function_type, mut body) = (None, None);
        let type_at = |types: &[FuncType], at: u32| {
            types.get(at as usize).cloned().ok_or_else(|| malformed("a type that is not there"))
        };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(malformed)? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for sub_type in group.map_err(malformed)?.into_types() {
                            let CompositeInnerType::Func(function_type) = sub_type.composite_type.inner
                            else {
                                return Err(malformed("a type that is not a function's"));
                            };
                            types.push(function_type);
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(malformed)?;
                        match import.ty {
                            TypeRef::Func(at) => imports.push((import.name, type_at(&types, at)?)),
                            TypeRef::Memory(_) if import.name == "m" => {}
                            _ => return Err(malformed("an import that is neither function nor memory")),
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    for at in section {
                        let at = at.map_err(malformed)?;
                        if function_type.replace(type_at(&types, at)?).is_some() {
                            return Err(malformed("more than one function"));
                        }
                    }
                }
                Payload::CodeSectionEntry(entry) => {
                    if body.replace(entry).is_some() {
                        return Err(malformed("more than one function's code"));
                    }
                }
                Payload::Version { .. }
                | Payload::ExportSection(_)
                | Payload::CodeSectionStart { .. }
                | Payload::CustomSection(_)
                | Payload::End(_) => {}
                _ => return Err(malformed("a section that does not belong there")),
            }
        }
        let (Some(function_type), Some(body)) = (function_type, body) else {
            return Err(malformed("no function"));
        };
        Ok(Self { index, types, imports, function_type, body })
    }
}

/// Function types of the bundle, each once.
#[derive(Default)]
struct Types {
    section: TypeSection,
    indices: HashMap<FuncType, u32>,
}

impl Types {
    fn index_of(&mut self, function_type: &FuncType) -> u32 {
        let next = self.indices.len() as u32;
        let section = &mut self.section;
        *self.indices.entry(function_type.clone()).or_insert_with(|| {
            let convert = |types: &[wasmparser::ValType]| -> Vec<_> {
                types.iter().filter_map(|value| reencode::RoundtripReencoder.val_type(*value).ok()).collect()
            };
            section.ty().function(convert(function_type.params()), convert(function_type.results()));
            next
        })
    }
}

/// Rewrites a function body for the index spaces of the bundle.
struct Renumber {
    function_map: Vec<u32>,
    type_map: Vec<u32>,
}

impl Reencode for Renumber {
    type Error = &'static str;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Self::Error>> {
        let mapped = self.function_map.get(function as usize).copied();
        mapped.ok_or(reencode::Error::UserError("a function that is not imported"))
    }

    fn type_index(&mut self, at: u32) -> Result<u32, reencode::Error<Self::Error>> {
        let mapped = self.type_map.get(at as usize).copied();
        mapped.ok_or(reencode::Error::UserError("a type that is not there"))
    }
}
