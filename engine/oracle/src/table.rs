//! The table of instructions the engine has, for the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use iced_x86::{Code, CpuidFeature, EncodingKind};

const HEAD: &str = "# Instructions of wx86

Made from the engine's own table of handlers by `oracle --table`; a test compares. An instruction that is not
here is #UD. Brackets say in which code alone it exists.

";

/// The table as Markdown: mnemonics by the CPUID feature they belong to.
pub fn instructions() -> String {
    let mut features: BTreeMap<String, BTreeMap<String, (bool, bool)>> = BTreeMap::new();
    let handled = |code: &Code| wasm_sandbox_engine::testing::has_handler(*code);
    for code in Code::values().filter(handled) {
        let info = code.op_code();
        let names: BTreeSet<String> = code.cpuid_features().iter().map(name).collect();
        let feature = names.into_iter().collect::<Vec<_>>().join(", ");
        let vector = if code.encoding() == EncodingKind::VEX { " (VEX)" } else { "" };
        let mnemonic = format!("{:?}", code.mnemonic()).to_uppercase();
        let modes = features.entry(format!("{feature}{vector}")).or_default().entry(mnemonic).or_default();
        modes.0 |= info.mode32();
        modes.1 |= info.mode64();
    }
    let mut text = HEAD.to_owned();
    for (feature, mnemonics) in features {
        let list: Vec<String> = mnemonics
            .into_iter()
            .map(|(mnemonic, modes)| match modes {
                (true, true) => mnemonic,
                (true, false) => format!("{mnemonic} (32-bit)"),
                _ => format!("{mnemonic} (64-bit)"),
            })
            .collect();
        let _ = writeln!(text, "## {feature}\n\n{}\n", list.join(", "));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn name(feature: &CpuidFeature) -> String {
    format!("{feature:?}")
}
