//! Differences counted by mnemonic, and each as one line that can be run again.

use crate::case::{Case, Mode, Patch, State};
use crate::generate::{Family, decode};
use iced_x86::{Formatter, Instruction, Mnemonic, NasmFormatter};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What was found for a mnemonic.
#[derive(Clone)]
pub struct Entry {
    /// Whose it is.
    pub family: Family,
    /// How many cases ran.
    pub cases: u64,
    /// How many of them differ.
    pub differing: u64,
    /// How many of these the engine ends with #UD, and the processor does not: it has no handler.
    pub missing: u64,
    /// The first ones, each with its differences; by what differs, so that all kinds are shown.
    pub examples: BTreeMap<String, Example>,
}

/// A kind of difference.
#[derive(Clone)]
pub struct Example {
    /// How many cases show it.
    pub count: u64,
    /// The first of them.
    pub case: Case,
    /// What differs.
    pub differences: Vec<String>,
}

/// All that was found.
#[derive(Clone, Default)]
pub struct Report {
    /// By mnemonic.
    pub entries: BTreeMap<String, Entry>,
    /// How many instructions this machine does not have.
    pub skipped: usize,
}

/// How many kinds of differences a mnemonic may show.
const KINDS: usize = 40;

impl Report {
    /// Notes a case.
    pub fn note(&mut self, mnemonic: Mnemonic, family: Family, case: &Case, differences: &[String]) {
        let entry = self.entries.entry(format!("{mnemonic:?}").to_lowercase()).or_insert_with(|| Entry {
            family,
            cases: 0,
            differing: 0,
            missing: 0,
            examples: BTreeMap::new(),
        });
        entry.cases += 1;
        if differences.is_empty() {
            return;
        }
        entry.differing += 1;
        let ends_with_ud = |first: &String| first.starts_with("exception") && first.ends_with("/6");
        if mnemonic != Mnemonic::INVALID && differences.first().is_some_and(ends_with_ud) {
            entry.missing += 1;
            return;
        }
        let kind = kind(case, differences);
        if let Some(example) = entry.examples.get_mut(&kind) {
            example.count += 1;
        } else if entry.examples.len() < KINDS {
            let differences = differences.to_vec();
            entry.examples.insert(kind, Example { count: 1, case: case.clone(), differences });
        }
    }

    /// Takes up another report.
    pub fn merge(&mut self, other: Self) {
        self.skipped += other.skipped;
        for (name, entry) in other.entries {
            match self.entries.get_mut(&name) {
                None => drop(self.entries.insert(name, entry)),
                Some(own) => {
                    own.cases += entry.cases;
                    own.differing += entry.differing;
                    own.missing += entry.missing;
                    for (kind, example) in entry.examples {
                        match own.examples.get_mut(&kind) {
                            Some(known) => known.count += example.count,
                            None => drop(own.examples.insert(kind, example)),
                        }
                    }
                }
            }
        }
    }

    /// Cases, and how many of them differ.
    pub fn totals(&self) -> (u64, u64) {
        let entries = self.entries.values();
        entries.fold((0, 0), |(cases, differing), entry| (cases + entry.cases, differing + entry.differing))
    }

    /// The table, worst first, with so many examples each.
    pub fn table(&self, examples: usize) -> String {
        let mut text = String::new();
        let mut without_handler = Vec::new();
        let mut entries: Vec<_> = self.entries.iter().filter(|(_, entry)| entry.differing > 0).collect();
        let rate = |entry: &Entry| (entry.differing - entry.missing) * 1_000_000 / entry.cases.max(1);
        entries.sort_by_key(|(_, entry)| std::cmp::Reverse(rate(entry)));
        for (name, entry) in entries {
            let Entry { family, cases, differing, missing, .. } = entry;
            if differing == missing {
                without_handler.push(name.as_str());
                continue;
            }
            let _ = write!(text, "{name:<14} {family:<8} {differing:>7} of {cases:>7} cases differ");
            let _ = if *missing > 0 { writeln!(text, ", {missing} of them #UD") } else { writeln!(text) };
            for Example { count, case, differences } in entry.most_frequent(examples) {
                let _ = writeln!(text, "    {count:>6}x {}", line(case, differences));
            }
        }
        if !without_handler.is_empty() {
            let _ = writeln!(text, "without a handler: {}", without_handler.join(" "));
        }
        let (cases, differing) = self.totals();
        let good = self.entries.values().filter(|entry| entry.differing == 0).count();
        let _ = writeln!(
            text,
            "{cases} cases, {differing} differ; {good} of {} mnemonics without a difference; {} instructions skipped \
             that this machine does not have",
            self.entries.len(),
            self.skipped
        );
        text
    }
}

impl Entry {
    /// So many examples, those of most cases first.
    fn most_frequent(&self, examples: usize) -> Vec<&Example> {
        let mut kinds: Vec<_> = self.examples.values().collect();
        kinds.sort_by_key(|example| std::cmp::Reverse(example.count));
        kinds.truncate(examples);
        kinds
    }
}

/// The instruction's form and what differs, without values.
pub fn kind(case: &Case, differences: &[String]) -> String {
    let (instruction, _) = decode(case.mode, &case.code, case.state.rip);
    let words = differences.iter().filter_map(|difference| difference.split(' ').next());
    let places = words
        .map(|word| if word.starts_with('[') { "memory" } else { word.trim_end_matches(char::is_numeric) });
    let mut places: Vec<&str> = places.collect();
    places.dedup();
    format!("{:?} {}", instruction.code(), places.join(" "))
}

/// Everything about a case that differs from the usual, in the syntax of `parse`, with what came of it.
pub fn line(case: &Case, differences: &[String]) -> String {
    format!("{} | {} | {}", Described(case), disassemble(case), differences.join(", "))
}

/// The instructions of a case.
pub fn disassemble(case: &Case) -> String {
    let mut text = String::new();
    let mut formatter = NasmFormatter::new();
    let mut start = 0;
    while start < case.code.len() {
        let rip = case.state.rip + start as u64;
        let (instruction, _): (Instruction, _) = decode(case.mode, &case.code[start..], rip);
        if start > 0 {
            text.push_str("; ");
        }
        if instruction.is_invalid() {
            text.push_str("(bad)");
            break;
        }
        formatter.format(&instruction, &mut text);
        start += instruction.len();
    }
    text
}

/// Writes a case as one word: `mode:code` and what is not as usual, all separated by commas.
pub struct Described<'a>(pub &'a Case);

const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { mode, state, code, patches } = self.0;
        write!(f, "{}:{}", mode.bits(), hex(code))?;
        let usual = State::new(*mode);
        let mut number = |name: &str, value: u64, usual: u64| {
            if value == usual { Ok(()) } else { write!(f, ",{name}={value:x}") }
        };
        number("rip", state.rip, usual.rip)?;
        number("flags", state.rflags, usual.rflags)?;
        for (register, name) in NAMES.iter().enumerate() {
            number(name, state.gprs[register], usual.gprs[register])?;
        }
        if state.fx != usual.fx {
            write!(f, ",fx=")?;
            // Runs of zeros are long: only words that are not as usual are named.
            for (index, (word, usual)) in state.fx.0.chunks(8).zip(usual.fx.0.chunks(8)).enumerate() {
                if word != usual {
                    write!(f, "{:x}.{}.", index * 8, hex(word))?;
                }
            }
        }
        for Patch { address, bytes } in patches {
            write!(f, ",[{address:x}]={}", hex(bytes))?;
        }
        Ok(())
    }
}

/// Reads a case as `Described` writes it; `mode:` may be left out.
///
/// # Errors
/// What cannot be read.
pub fn parse(text: &str, mode: Mode) -> Result<Case, String> {
    let mut fields = text.trim().split(',');
    let first = fields.next().unwrap_or_default();
    let (mode, code) = match first.split_once(':') {
        Some(("32", code)) => (Mode::Bits32, code),
        Some(("64", code)) => (Mode::Bits64, code),
        Some((mode, _)) => return Err(format!("no mode: {mode}")),
        None => (mode, first),
    };
    let mut case = Case::new(mode, &bytes(code)?);
    for field in fields {
        let (name, value) = field.split_once('=').ok_or_else(|| format!("no `=` in {field}"))?;
        let number = || u64::from_str_radix(value, 16).map_err(|error| format!("{field}: {error}"));
        if let Some(register) = NAMES.iter().position(|known| *known == name) {
            case.state.gprs[register] = number()?;
        } else if name == "rip" {
            case.state.rip = number()?;
        } else if name == "flags" {
            case.state.rflags = number()?;
        } else if name == "fx" {
            let mut words = value.trim_end_matches('.').split('.');
            while let (Some(at), Some(word)) = (words.next(), words.next()) {
                let at = usize::from_str_radix(at, 16).map_err(|error| error.to_string())?;
                let word = bytes(word)?;
                let place = case.state.fx.0.get_mut(at..at + word.len()).ok_or("beyond the image")?;
                place.copy_from_slice(&word);
            }
        } else if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let address = u32::from_str_radix(address, 16).map_err(|error| format!("{field}: {error}"))?;
            case.patches.push(Patch { address, bytes: bytes(value)? });
        } else {
            return Err(format!("nothing is called {name}"));
        }
    }
    Ok(case)
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(format!("no bytes: {text}"));
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|error| error.to_string());
    (0..text.len()).step_by(2).map(byte).collect()
}

impl crate::case::Stop {
    /// The exception, and all registers and memory that are not as before.
    pub fn describe(&self, before: &State) -> String {
        let Self { state, exception, changes } = self;
        let mut text = format!(
            "exception {} error {:x} cr2 {:x} at rip {:x}\n",
            exception.vector, exception.error_code, exception.address, state.rip
        );
        let mut number = |name: &str, value: u64, before: u64| {
            if value != before {
                let _ = writeln!(text, "  {name} {before:x} -> {value:x}");
            }
        };
        number("flags", state.rflags, before.rflags);
        for (register, name) in NAMES.iter().enumerate() {
            number(name, state.gprs[register], before.gprs[register]);
        }
        for (segment, name) in ["es", "cs", "ss", "ds", "fs", "gs"].iter().enumerate() {
            number(name, state.selectors[segment].into(), before.selectors[segment].into());
        }
        number("fs.base", state.bases[0], before.bases[0]);
        number("gs.base", state.bases[1], before.bases[1]);
        number("fcw", state.fx.control().into(), before.fx.control().into());
        number("fsw", state.fx.status().into(), before.fx.status().into());
        number("ftw", state.fx.0[4].into(), before.fx.0[4].into());
        number("mxcsr", state.fx.mxcsr().into(), before.fx.mxcsr().into());
        let mut bytes = |name: String, value: &[u8], before: &[u8]| {
            if value != before {
                let hex =
                    |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
                let _ = writeln!(text, "  {name} {} -> {}", hex(before), hex(value));
            }
        };
        for register in 0..8 {
            bytes(format!("st{register}"), &state.fx.st(register), &before.fx.st(register));
        }
        for register in 0..16 {
            let (value, before) = (state.fx.xmm(register), before.fx.xmm(register));
            bytes(format!("xmm{register}"), &value.to_le_bytes(), &before.to_le_bytes());
        }
        for (address, word) in changes.named() {
            let _ = writeln!(text, "  [{address:x}] = {word:016x}");
        }
        text
    }
}
