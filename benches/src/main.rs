//! The figures of wasm-sandbox: what a client waits for and what the host pays, measured from outside, beside
//! references measured in the same run. Writes `docs/benchmarks.md`.

mod boot;
mod client;
mod facts;
mod initramfs;
mod measure;
mod native;
mod process;
mod qemu;
mod report;
mod root;
mod samples;
mod shell;
mod v86;
mod workloads;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

use client::Program;
use measure::{Bench, ReferenceStarts};
use report::Report;
use root::Guest;
use workloads::Size;

/// How everything is measured; it goes before the figures.
const METHOD: &str = include_str!("../method.md");

/// Measures wasm-sandbox.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Take the sizes and counts that the goals name, which takes an hour, instead of those that take minutes
    #[arg(long)]
    full: bool,
    /// The program to measure, instead of the one beside this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Measure it with this CPU engine
    #[arg(long, value_name = "ENGINE", default_value = "wx86")]
    engine: String,
    /// Measure it with a guest of this architecture; the references are always i686
    #[arg(long, value_name = "ARCH", default_value = "i686")]
    arch: String,
    /// Write the document there
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    output: PathBuf,
    /// Kernel and root for the references
    #[arg(long, value_name = "DIR", default_value = "target/artifacts")]
    artifacts: PathBuf,
    /// Measure without these references
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without: Vec<Reference>,
    /// Measure these subjects only
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    only: Vec<Subject>,
}

/// Where the same programs run.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Reference {
    Native,
    Qemu,
    V86,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Subject {
    Start,
    Requests,
    States,
    Memory,
    Resets,
    Idle,
    Work,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let path = arguments.program.clone().map_or_else(client::neighbour, Ok)?;
    client::check(&path)?;
    let scratch = tempfile::Builder::new().prefix("wasm-sandbox-bench-").tempdir()?;
    let directory = |name: &str| -> Result<PathBuf> {
        let path = scratch.path().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    };
    let options = ["--engine", &arguments.engine, "--arch", &arguments.arch].map(str::to_owned).to_vec();
    let program = Program {
        path: path.canonicalize()?,
        cache: directory("cache")?,
        temporary: directory("tmp")?,
        options,
    };
    let size = if arguments.full { Size::Full } else { Size::Quick };
    let facts = facts::facts(&program);
    let mut bench = Bench {
        program,
        size,
        native: None,
        qemu: None,
        v86: None,
        reference_starts: ReferenceStarts::default(),
        report: Report::default(),
    };
    references(&mut bench, &arguments, &directory);
    measure(&mut bench, &arguments.only)?;

    let document = format!("{}\n\n{facts}\n{}", METHOD.trim_end(), bench.report.markdown());
    fs::write(&arguments.output, &document)
        .with_context(|| format!("writing {}", arguments.output.display()))?;
    println!("{document}");
    Ok(())
}

/// Measures one subject.
type Measurement = fn(&mut Bench) -> Result<()>;

fn measure(bench: &mut Bench, only: &[Subject]) -> Result<()> {
    let wanted = |subject| only.is_empty() || only.contains(&subject);
    eprintln!("bench: preparing a snapshot; this takes half a minute or more");
    measure::start::prepare(bench)?;
    let subjects: [(Subject, Measurement); 7] = [
        (Subject::Start, measure::start::starts),
        (Subject::Requests, measure::requests::requests),
        (Subject::States, measure::states::states),
        (Subject::Memory, measure::memory::memory),
        (Subject::Resets, measure::resets::resets),
        (Subject::Idle, measure::idle::idle),
        (Subject::Work, measure::work::work),
    ];
    for (subject, measure) in subjects.into_iter().filter(|(subject, _)| wanted(*subject)) {
        eprintln!("bench: {subject:?}");
        measure(bench).with_context(|| format!("measuring {subject:?}"))?;
    }
    Ok(())
}

/// Starts the references that can be had here; the report says which cannot, and why.
fn references(bench: &mut Bench, arguments: &Arguments, directory: &dyn Fn(&str) -> Result<PathBuf>) {
    bench.report.note("Docker as a reference of the start: this repository neither needs nor installs it.");
    let guest = cache().and_then(|cache| Ok((root::unpack(&arguments.artifacts, &cache)?, cache)));
    let (guest, cache) = match guest {
        Ok(found) => found,
        Err(error) => return bench.report.note(format!("All references: {error:#}.")),
    };
    for reference in [Reference::Native, Reference::Qemu, Reference::V86] {
        if arguments.without.contains(&reference) {
            bench.report.note(format!("{reference:?} as a reference: not asked for."));
            continue;
        }
        eprintln!("bench: starting {reference:?} as a reference");
        if let Err(error) = start(bench, reference, &guest, &cache, directory) {
            bench.report.note(format!("{reference:?} as a reference: {error:#}."));
        }
    }
}

fn start(
    bench: &mut Bench,
    reference: Reference,
    guest: &Guest,
    cache: &Path,
    directory: &dyn Fn(&str) -> Result<PathBuf>,
) -> Result<()> {
    let millis = |duration: std::time::Duration| Some(duration.as_secs_f64() * 1000.0);
    match reference {
        Reference::Native => bench.native = Some(native::start(guest)?),
        Reference::Qemu => {
            let directory = directory("qemu")?;
            drop(qemu::start(guest, &directory)?);
            let (machine, time) = qemu::start(guest, &directory)?;
            bench.reference_starts.qemu = millis(time);
            bench.qemu = Some(machine);
        }
        Reference::V86 => {
            let v86 = v86::V86::new(guest, cache, &directory("v86")?)?;
            let (mut machine, time) = v86.boot()?;
            v86.save(&mut machine)?;
            drop(v86.restore()?);
            let (restored, restore_time) = v86.restore()?;
            drop(restored);
            bench.reference_starts.v86 = millis(time);
            bench.reference_starts.v86_restore = millis(restore_time);
            bench.v86 = Some((v86, machine));
        }
    }
    Ok(())
}

/// Where unpacked references are kept between runs.
fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("WASM_SANDBOX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("wasm-sandbox")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/wasm-sandbox")));
    Ok(root.context("neither XDG_CACHE_HOME nor HOME is set")?.join("bench"))
}
