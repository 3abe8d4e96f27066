//! `oracle`: hunts for differences between the x86 engine and the processor of this machine.

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use wasm_sandbox_oracle::case::{Case, Mode, Outcome};
use wasm_sandbox_oracle::compare::differences;
use wasm_sandbox_oracle::generate::{Catalogue, Family, Generator, Shape};
use wasm_sandbox_oracle::guest::System;
use wasm_sandbox_oracle::hunt::Pair;
use wasm_sandbox_oracle::report::{Report, disassemble, parse};

/// Runs generated cases on the engine and, in a child process, on this machine's processor, and prints what differs.
///
/// Each case is one instruction (or a few, with --shape) with registers, flags, x87/SSE state and memory.
/// The table has a line for each mnemonic with differences, worst first, and below it the first case of each kind
/// of difference:
///
///     COUNTx CASE | disassembly | what native/engine, ...
///
/// Numbers are hexadecimal. `rip` and `exception` first: an engine that raises #UD (6) has no handler yet.
/// CASE is one word that --case takes: it runs that case again and prints both results in full.
/// The same seed gives the same cases. More differences come with another --seed or a higher --count.
///
/// Examples:
///   oracle --family integer
///   oracle --family x87 --mnemonic fprem --count 200000 --examples 10
///   oracle --family simd --mode 64 --seed 7
///   oracle --shape sequence --family integer
///   oracle --shape bytes
///   oracle --case 64:480faf03,rbx=5010,rax=2
///   oracle --mode 32 --case d9fe
///
/// Use a release build: cargo run --release -p wasm-sandbox-oracle --bin oracle -- --family integer
#[derive(Parser)]
#[command(name = "oracle", verbatim_doc_comment)]
struct Arguments {
    /// Only instructions of this family.
    #[arg(long, value_enum)]
    family: Option<FamilyName>,
    /// Only instructions with this mnemonic; may be given several times. `name*` stands for all that begin so.
    #[arg(long)]
    mnemonic: Vec<String>,
    /// What cases consist of.
    #[arg(long, value_enum, default_value = "single")]
    shape: ShapeName,
    /// Only this mode.
    #[arg(long, value_parser = ["32", "64"])]
    mode: Option<String>,
    /// What the cases follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cases a mode.
    #[arg(long, default_value_t = 50_000)]
    count: u64,
    /// How many kinds of differences to show for a mnemonic.
    #[arg(long, default_value_t = 3)]
    examples: usize,
    /// Runs this one case and prints both results.
    #[arg(long)]
    case: Option<String>,
    /// Lets the engine deliver exceptions through gates to ring 0, rather than catching them before.
    #[arg(long)]
    gates: bool,
    /// Leaves out cases with the trap flag.
    #[arg(long)]
    no_trap: bool,
    /// Runs 32-bit code in protected mode with PAE, rather than in compatibility mode.
    #[arg(long)]
    protected: bool,
    /// Prints the table of instructions the engine has (docs/instructions.md), and nothing else.
    #[arg(long)]
    table: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FamilyName {
    Integer,
    String,
    System,
    X87,
    Simd,
}

#[derive(Clone, Copy, ValueEnum)]
enum ShapeName {
    /// One instruction.
    Single,
    /// Two to six instructions.
    Sequence,
    /// A few instructions, over and over.
    Loop,
    /// Random bytes.
    Bytes,
}

impl FamilyName {
    fn family(self) -> Family {
        match self {
            Self::Integer => Family::Integer,
            Self::String => Family::String,
            Self::System => Family::System,
            Self::X87 => Family::X87,
            Self::Simd => Family::Simd,
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.table {
        print!("{}", wasm_sandbox_oracle::table::instructions());
        return Ok(());
    }
    let system = if arguments.protected { System::Protected } else { System::Long };
    let mut pair = Pair::new(system, arguments.gates).context("starting a child process")?;
    let modes = match arguments.mode.as_deref() {
        Some("32") => vec![Mode::Bits32],
        Some(_) => vec![Mode::Bits64],
        None if arguments.protected => vec![Mode::Bits32],
        None => vec![Mode::Bits32, Mode::Bits64],
    };
    if let Some(text) = &arguments.case {
        let mode = if arguments.mode.is_some() { modes[0] } else { Mode::Bits64 };
        let case = parse(text, mode).map_err(|error| anyhow!(error))?;
        return show(&mut pair, &case);
    }
    let mut report = Report::default();
    for mode in modes {
        let catalogue = Catalogue::new(mode, |code, family| {
            let name = format!("{:?}", code.mnemonic()).to_lowercase();
            arguments.family.is_none_or(|wanted| wanted.family() == family)
                && (arguments.mnemonic.is_empty()
                    || arguments.mnemonic.iter().any(|wanted| is_like(&name, wanted)))
        });
        let shape = match arguments.shape {
            ShapeName::Single => Shape::Single,
            ShapeName::Sequence => Shape::Sequence,
            ShapeName::Loop => Shape::Loop,
            ShapeName::Bytes => Shape::Bytes,
        };
        if catalogue.codes.is_empty() {
            eprintln!("no such instruction in {}-bit mode", mode.bits());
            continue;
        }
        let generator = Generator { catalogue, shape, seed: arguments.seed };
        pair.leave_out = if arguments.no_trap { 0x100 } else { 0 };
        report.merge(pair.hunt(&generator, 0..arguments.count)?);
    }
    pair.simplify(&mut report, arguments.examples)?;
    print!("{}", report.table(arguments.examples));
    if report.totals().1 > 0 {
        std::process::exit(1);
    }
    Ok(())
}

fn is_like(name: &str, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    }
}

/// Prints both results of a case in full.
fn show(pair: &mut Pair, case: &Case) -> Result<()> {
    if !wasm_sandbox_oracle::silicon::Silicon::accepts(case) {
        bail!("the case does not fit: see `Silicon::accepts`");
    }
    let (native, engine) = pair.run(case)?;
    println!("{}-bit: {}", case.mode.bits(), disassemble(case));
    for (name, outcome) in [("native", &native), ("engine", &engine)] {
        print!("\n{name}: ");
        match outcome {
            Outcome::Stopped(stop) => println!("{}", stop.describe(&case.state)),
            Outcome::SystemCall => println!("a system call"),
            Outcome::Hung => println!("did not stop"),
            Outcome::Lost(reason) => println!("{reason}"),
        }
    }
    let found = differences(case, &native, &engine);
    println!("\n{}", if found.is_empty() { "no difference".into() } else { found.join("\n") });
    Ok(())
}
