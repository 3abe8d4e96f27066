//! From the start of the process to its first answer.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, megabytes};
use crate::client::Program;
use crate::report::{Figure, Goal, Unit};
use crate::samples::Samples;
use crate::shell::Shell;

/// Makes the snapshot ahead, in the cache of this run.
pub fn prepare(bench: &mut Bench) -> Result<()> {
    let started = Instant::now();
    let status = bench.program.command(&["prepare"]).status()?;
    ensure!(status.success(), "`wasm-sandbox prepare` failed ({status})");
    let seconds = started.elapsed();
    bench.report.section("The snapshot");
    let time = Figure::new(
        "`wasm-sandbox prepare`, once after each installation",
        millis(seconds),
        Unit::Milliseconds,
    );
    bench.report.add(time);
    let state = match &bench.v86 {
        Some((v86, _)) => Some(megabytes(v86.state_size()?)),
        None => None,
    };
    for (what, name, reference) in
        [("snapshot file", ".snapshot", state), ("machine code of what the guest uses most", ".cwasm", None)]
    {
        let size = size_in_cache(&bench.program, name)?;
        let figure = Figure::new(what, megabytes(size), Unit::Megabytes);
        bench.report.add(figure.beside("v86 on Node, saved state", reference));
    }
    let size = fs::metadata(&bench.program.path)?.len();
    bench.report.add(Figure::new("the program itself", megabytes(size), Unit::Megabytes));
    Ok(())
}

/// Measures starts.
pub fn starts(bench: &mut Bench) -> Result<()> {
    bench.report.section("Start");
    let warm = samples(&bench.program, &[], bench.pick(20, 60))?;
    let cold = samples(&bench.program, &["--no-snapshot"], bench.pick(3, 5))?;
    let native = bench.medians("echo hi", 20)?.native;
    let references = bench.reference_starts;
    let figure = Figure::median("process start to the first `shell` answered, cache warm", &warm)
        .goal(Goal::AtMost(40.0))
        .beside("native `bash -c`", native)
        .beside("v86 on Node restores its state", references.v86_restore)
        .beside("QEMU boots", references.qemu);
    bench.report.add(figure);
    let figure = Figure::median("the same with `--no-snapshot`: a cold boot", &cold)
        .goal(Goal::AtMost(3000.0))
        .beside("QEMU boots", references.qemu)
        .beside("v86 on Node boots", references.v86);
    bench.report.add(figure);
    Ok(())
}

fn samples(program: &Program, arguments: &[&str], runs: usize) -> Result<Samples> {
    let once = || -> Result<Duration> {
        let started = Instant::now();
        let mut client = program.start(arguments)?;
        client.run("echo hi")?;
        let duration = started.elapsed();
        client.finish()?;
        Ok(duration)
    };
    once()?;
    (0..runs).map(|_| once()).collect()
}

/// The size of all files in the program's cache whose names end so, in bytes.
fn size_in_cache(program: &Program, end: &str) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(program.cache.join("snapshots")).context("there is no snapshot in the cache")? {
        for file in fs::read_dir(entry?.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().ends_with(end) {
                size += file.metadata()?.len();
            }
        }
    }
    Ok(size)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
