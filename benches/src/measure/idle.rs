//! What a sandbox costs that does nothing.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use crate::process::cpu_nanoseconds;
use crate::report::{Figure, Goal, Unit};
use crate::shell::Shell;

/// Measures CPU time.
pub fn idle(bench: &mut Bench) -> Result<()> {
    bench.report.section("Idleness");
    let mut client = bench.program.start(&[])?;
    client.run("echo hi")?;
    if let Some(qemu) = &bench.qemu {
        qemu.wake();
    }
    if let Some((_, machine)) = &bench.v86 {
        machine.wake();
    }
    std::thread::sleep(Duration::from_secs(2));
    let time = Duration::from_secs(bench.pick(10, 30) as u64);
    let processes = [
        Some(client.pid()),
        bench.qemu.as_ref().map(|qemu| qemu.pid()),
        bench.v86.as_ref().map(|(_, machine)| machine.pid()),
    ];
    let used = || processes.map(|pid| pid.map(cpu_nanoseconds).transpose());
    let before = used();
    let started = Instant::now();
    std::thread::sleep(time);
    let nanoseconds = started.elapsed().as_nanos() as f64;
    let after = used();
    let mut percents = Vec::new();
    for (before, after) in before.into_iter().zip(after) {
        let used = after?.zip(before?).map(|(after, before)| after.saturating_sub(before));
        percents.push(used.map(|used| used as f64 / nanoseconds * 100.0));
    }
    let figure =
        Figure::new("CPU time of an idle sandbox", percents[0].unwrap_or(f64::NAN), Unit::PercentOfCore);
    let figure = figure.detail(format!("over {} s", time.as_secs())).goal(Goal::AtMost(0.5));
    bench.report.add(figure.beside("QEMU", percents[1]).beside("v86 on Node", percents[2]));
    client.finish()
}
