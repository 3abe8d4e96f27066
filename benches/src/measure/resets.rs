//! Many resets: what grows?

use std::fs;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::{Bench, megabytes};
use crate::process::holdings;
use crate::report::{Figure, Goal, Unit};
use crate::shell::Shell;

/// Resets that let caches fill.
const WARM_UP: usize = 50;
/// Growth of memory in megabytes that counts as none: allocators move by this much.
const NOISE: f64 = 2.0;

/// Resets a sandbox again and again, with a command now and then.
pub fn resets(bench: &mut Bench) -> Result<()> {
    let count = bench.pick(1000, 10_000);
    bench.report.section(&format!("{count} resets"));
    let mut client = bench.program.start(&[])?;
    let reset = json!({"type": "reset", "id": 1});
    let mut round = |count: usize| -> Result<_> {
        for number in 0..count {
            client.ask(&reset)?;
            if number % 10 == 9 {
                client.run("echo hi > /tmp/file")?;
            }
        }
        client.ask(&reset)?;
        client.run("echo hi")?;
        holdings(client.pid())
    };
    let before = round(WARM_UP)?;
    let started = Instant::now();
    let after = round(count)?;
    let each = started.elapsed().as_secs_f64() * 1000.0 / count as f64;
    client.finish()?;

    let row = |what: &str, before: f64, after: f64, unit, noise| {
        let figure = Figure::new(format!("{what} after them"), after, unit);
        figure.goal(Goal::AtMost(before + noise)).beside("before", Some(before))
    };
    let memory = [before.private, after.private].map(megabytes);
    bench.report.add(row("private memory", memory[0], memory[1], Unit::Megabytes, NOISE));
    let count = |number: usize| number as f64;
    let [from, to] = [before.descriptors, after.descriptors].map(count);
    bench.report.add(row("file descriptors", from, to, Unit::Count, 0.0));
    let [from, to] = [before.threads, after.threads].map(count);
    bench.report.add(row("threads", from, to, Unit::Count, 0.0));
    let left = fs::read_dir(&bench.program.temporary)?.count();
    bench.report.add(Figure::new("temporary files left", count(left), Unit::Count).goal(Goal::AtMost(0.0)));
    let detail = "with an `echo` after every tenth";
    bench.report.add(Figure::new("each", each, Unit::Milliseconds).detail(detail));
    Ok(())
}
