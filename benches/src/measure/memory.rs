//! Memory that a sandbox has for itself.

use anyhow::Result;
use serde_json::json;

use super::{Bench, megabytes};
use crate::process::holdings;
use crate::report::{Figure, Goal, Unit};
use crate::shell::Shell;

/// Forks in one process.
const FORKS: usize = 50;

/// Measures one sandbox, and fifty of them in one process.
pub fn memory(bench: &mut Bench) -> Result<()> {
    bench.report.section("Memory");
    let qemu = bench.qemu.as_ref().map(|qemu| private(qemu.pid())).transpose()?;
    let v86 = bench.v86.as_ref().map(|(_, machine)| private(machine.pid())).transpose()?;
    let mut client = bench.program.start(&[])?;
    client.run("echo hi")?;
    let one = private(client.pid())?;
    let written = megabytes(holdings(client.pid())?.written);
    let figure =
        Figure::new("memory of one sandbox after an `echo`, alone on the machine", one, Unit::Megabytes)
            .detail(format!(
                "{written:.1} MB of it written to, the rest pages of files that nobody else has mapped"
            ));
    bench.report.add(figure.beside("QEMU", qemu).beside("v86 on Node", v86));

    // Pages of files become shared, and so are no longer private, when a second process maps them.
    let mut other = bench.program.start(&[])?;
    other.run("echo hi")?;
    let beside = private(client.pid())?;
    let figure =
        Figure::new("private memory of one sandbox, a second process beside it", beside, Unit::Megabytes);
    bench.report.add(figure.goal(Goal::AtMost(30.0)).beside("QEMU", qemu).beside("v86 on Node", v86));
    other.finish()?;

    for number in 0..FORKS {
        let name = format!("fork {number}");
        client.ask(&json!({"type": "fork", "id": 1, "name": name}))?;
        client.shell_in(&name, "echo hi")?;
    }
    let all = private(client.pid())?;
    let each = (all - one) / FORKS as f64;
    let all_written = megabytes(holdings(client.pid())?.written);
    let figure =
        Figure::new("of each of 50 forks in one process after an `echo` in each", each, Unit::Megabytes)
            .detail(format!("{all:.0} MB with the first, {all_written:.0} MB of it written to"));
    bench.report.add(figure.goal(Goal::AtMost(10.0)).beside("QEMU", qemu));
    client.finish()
}

/// In megabytes.
fn private(pid: u32) -> Result<f64> {
    Ok(megabytes(holdings(pid)?.private))
}
