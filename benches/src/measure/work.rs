//! Work for the processor.

use anyhow::{Result, ensure};

use super::Bench;
use crate::report::{Figure, Goal, Unit};
use crate::samples::{Samples, geometric_mean};
use crate::shell::Shell;
use crate::workloads::{self, FORK_AND_EXEC, Workload};

/// Times of one piece of work in one system, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: f64,
    warm: f64,
}

/// Ratios to the references, of all work.
#[derive(Default)]
struct Ratios {
    native: Vec<f64>,
    qemu: Vec<f64>,
    v86: Vec<f64>,
    first_v86: Vec<f64>,
}

/// Measures all workloads everywhere.
pub fn work(bench: &mut Bench) -> Result<()> {
    bench.report.section("Work for the processor");
    let runs = bench.pick(2, 3);
    let mut client = bench.program.start(&[])?;
    let mut ratios = Ratios::default();
    for work in workloads::all(bench.size) {
        eprintln!("bench: {}", work.name);
        let native = bench.native.as_mut().map(|shell| measure(shell, &work, runs)).transpose()?;
        let qemu = bench.qemu.as_mut().map(|shell| measure(shell, &work, 1)).transpose()?;
        let v86 = bench.v86.as_mut().map(|(_, shell)| measure(shell, &work, runs)).transpose()?;
        let guest = measure(&mut client, &work, runs)?;
        let figure = Figure::new(&work.name, guest.warm, Unit::Milliseconds)
            .detail(format!("first {:.0} ms", guest.first))
            .beside("native", native.map(|times| times.warm))
            .beside("QEMU", qemu.map(|times| times.warm))
            .beside("v86 on Node", v86.map(|times| times.warm));
        bench.report.add(figure);
        ratios.native.extend(native.map(|times| guest.warm / times.warm));
        ratios.qemu.extend(qemu.map(|times| guest.warm / times.warm));
        ratios.v86.extend(v86.map(|times| guest.warm / times.warm));
        ratios.first_v86.extend(v86.map(|times| guest.first / times.first));
        if let (FORK_AND_EXEC, Some(v86)) = (work.name.as_str(), v86) {
            let faster = Figure::new(
                "fork and exec, times as fast as v86 on Node",
                v86.warm / guest.warm,
                Unit::Times,
            );
            bench.report.add(faster.goal(Goal::AtLeast(2.0)));
        }
    }
    client.finish()?;
    ratios.add(bench);
    Ok(())
}

/// Runs the work, the first time and then `warm` times, and looks at its output each time.
fn measure(shell: &mut dyn Shell, work: &Workload, warm: usize) -> Result<Times> {
    for command in &work.prepare {
        shell.run(command)?;
    }
    let mut times = Vec::new();
    for _ in 0..=warm {
        let outcome = shell.run(&work.command)?;
        ensure!(
            outcome.output == work.expected,
            "{} gives {:?} instead of {:?}",
            work.name,
            outcome.output,
            work.expected
        );
        if let Some((check, expected)) = &work.check {
            let found = shell.run(check)?.output;
            ensure!(found == *expected, "{}: `{check}` gives {found:?}", work.name);
        }
        times.push(outcome.duration);
    }
    let warm: Samples = times[1..].iter().copied().collect();
    Ok(Times { first: times[0].as_secs_f64() * 1000.0, warm: warm.median() })
}

impl Ratios {
    /// Their geometric means.
    fn add(&self, bench: &mut Bench) {
        let rows = [
            (
                "geometric mean of the times, as a multiple of v86 on Node, warm",
                &self.v86,
                Some(Goal::AtMost(1.0)),
            ),
            ("the same of first runs", &self.first_v86, None),
            ("geometric mean, as a multiple of QEMU", &self.qemu, None),
            ("geometric mean, as a multiple of native i386", &self.native, None),
        ];
        for (what, ratios, goal) in rows {
            let Some(mean) = geometric_mean(ratios) else { continue };
            let figure = Figure::new(what, mean, Unit::Times).detail(format!("of {}", ratios.len()));
            bench.report.add(match goal {
                Some(goal) => figure.goal(goal),
                None => figure,
            });
        }
    }
}
