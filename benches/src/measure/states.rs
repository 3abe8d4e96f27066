//! `reset`, `checkpoint`, `restore` and `fork`, with little and with much memory dirtied.

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use crate::client::Client;
use crate::report::{Figure, Goal, Unit};
use crate::samples::Samples;
use crate::shell::Shell;

/// Megabytes that are written before.
const DIRTIED: [usize; 4] = [0, 1, 10, 50];

/// Measures all of it.
pub fn states(bench: &mut Bench) -> Result<()> {
    bench.report.section("Reset, checkpoint, restore, fork");
    let mut client = bench.program.start(&[])?;
    for request in ["reset", "checkpoint", "restore", "fork"] {
        for megabytes in DIRTIED {
            let runs = if megabytes == 0 { bench.pick(100, 1000) } else { bench.pick(8, 40) };
            client.ask(&json!({"type": "reset", "id": 1}))?;
            if request == "restore" {
                client.ask(&json!({"type": "checkpoint", "id": 1, "name": "restored"}))?;
            }
            let samples: Samples = (0..runs)
                .map(|_| {
                    dirty(&mut client, megabytes)?;
                    let (answer, duration) = client.ask(&body(request))?;
                    close(&mut client, &answer)?;
                    Ok(duration)
                })
                .collect::<Result<_>>()?;
            add(bench, request, megabytes, &samples);
        }
    }
    client.finish()
}

fn body(request: &str) -> Value {
    match request {
        "checkpoint" => json!({"type": request, "id": 1, "name": "a"}),
        "restore" => json!({"type": request, "id": 1, "name": "restored"}),
        _ => json!({"type": request, "id": 1}),
    }
}

/// Lets the guest write to so much of its memory, or do a little.
fn dirty(client: &mut Client, megabytes: usize) -> Result<()> {
    match megabytes {
        0 => client.run("echo hi")?,
        _ => client.run(&format!("head -c {megabytes}M /dev/zero > /tmp/dirty"))?,
    };
    Ok(())
}

/// Ends the fork that an answer is about.
fn close(client: &mut Client, answer: &Value) -> Result<()> {
    if let Some(name) = answer["sandbox"].as_str() {
        client.ask(&json!({"type": "close", "id": 1, "sandbox": name}))?;
    }
    Ok(())
}

fn add(bench: &mut Bench, request: &str, megabytes: usize, samples: &Samples) {
    let references = bench.reference_starts;
    let beside = |figure: Figure| {
        figure
            .beside("QEMU boots", references.qemu)
            .beside("v86 on Node restores its state", references.v86_restore)
    };
    if megabytes > 0 {
        let what = format!("`{request}` after {megabytes} MB were written");
        bench.report.add(beside(Figure::median(what, samples)));
        return;
    }
    let what = format!("`{request}` after an `echo`");
    bench.report.add(beside(Figure::median(what, samples).goal(Goal::AtMost(10.0))));
    let p99 = Figure::new("its p99", samples.p99(), Unit::Milliseconds).goal(Goal::AtMost(50.0));
    bench.report.add(p99.beside("its median", Some(samples.median())));
}
