//! Requests: small ones, large files, python3.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Bench, samples};
use crate::client::{Client, line};
use crate::report::{Figure, Goal, Unit};
use crate::samples::Samples;
use crate::shell::Shell;

/// What passes between two paced requests.
const GAP: Duration = Duration::from_millis(20);
/// The size of large files in bytes.
const LARGE: usize = 64 << 20;
/// A file in the guest.
const FILE: &str = "/tmp/bench-file";

/// Measures all of it.
pub fn requests(bench: &mut Bench) -> Result<()> {
    bench.report.section("Requests");
    let mut client = bench.program.start(&[])?;
    echo(bench, &mut client)?;
    small_files(bench, &mut client)?;
    python(bench, &mut client)?;
    client.finish()?;
    let mut client = bench.program.start(&[])?;
    large_files(bench, &mut client)?;
    client.finish()
}

fn echo(bench: &mut Bench, client: &mut Client) -> Result<()> {
    let command = "echo hi";
    let closed = samples(client, command, bench.pick(500, 2000))?;
    let references = bench.medians(command, 30)?;
    let beside = |figure: Figure| {
        figure
            .beside("native", references.native)
            .beside("QEMU", references.qemu)
            .beside("v86 on Node", references.v86)
    };
    bench.report.add(beside(Figure::median("`shell` with `echo hi`", &closed).goal(Goal::AtMost(3.0))));
    let p99 = Figure::new("its p99", closed.p99(), Unit::Milliseconds);
    bench.report.add(p99.goal(Goal::AtMost(10.0)).beside("its median", Some(closed.median())));
    let paced: Samples = (0..bench.pick(100, 500))
        .map(|_| {
            std::thread::sleep(GAP);
            Ok(client.run(command)?.duration)
        })
        .collect::<Result<_>>()?;
    bench
        .report
        .add(beside(Figure::median("the same after 20 ms of silence each", &paced).goal(Goal::AtMost(3.0))));
    let p99 = Figure::new("its p99", paced.p99(), Unit::Milliseconds);
    bench.report.add(p99.goal(Goal::AtMost(10.0)).beside("its median", Some(paced.median())));
    Ok(())
}

fn small_files(bench: &mut Bench, client: &mut Client) -> Result<()> {
    let content = "x".repeat(1 << 10);
    let write = line(&json!({"type": "write_file", "id": 1, "path": FILE, "content": content}));
    let read = line(&json!({"type": "read_file", "id": 1, "path": FILE}));
    let runs = bench.pick(500, 2000);
    let writes = repeat(client, &write, runs)?;
    let reads = repeat(client, &read, runs)?;
    let (answer, _) = client.ask_line(&read)?;
    ensure!(answer["content"] == content.as_str(), "the small file came back changed");

    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    let on_host = |action: &dyn Fn() -> std::io::Result<()>| -> Result<f64> {
        let once = |_| {
            let started = Instant::now();
            action()?;
            Ok(started.elapsed())
        };
        Ok((0..runs).map(once).collect::<Result<Samples>>()?.median())
    };
    let host_writes = on_host(&|| std::fs::write(&path, &content))?;
    let host_reads = on_host(&|| std::fs::read(&path).map(drop))?;
    for (what, samples, host) in
        [("`write_file` of 1 KB", writes, host_writes), ("`read_file` of 1 KB", reads, host_reads)]
    {
        let figure = Figure::median(what, &samples).goal(Goal::AtMost(1.0));
        bench.report.add(figure.beside("a file on the host", Some(host)));
    }
    Ok(())
}

fn repeat(client: &mut Client, request: &[u8], runs: usize) -> Result<Samples> {
    client.ask_line(request)?;
    (0..runs).map(|_| Ok(client.ask_line(request)?.1)).collect()
}

fn python(bench: &mut Bench, client: &mut Client) -> Result<()> {
    let command = "python3 -c 'print(1)'";
    // Translations settle within a few runs.
    for _ in 0..5 {
        client.run(command)?;
    }
    let references = bench.medians(command, 5)?;
    // Alternately, as what else runs on the machine changes within seconds.
    let (mut times, mut natives) = (Vec::new(), Vec::new());
    for _ in 0..bench.pick(20, 60) {
        times.push(client.run(command)?.duration);
        if let Some(native) = &mut bench.native {
            natives.push(native.run(command)?.duration);
        }
    }
    let [times, natives] = [times, natives].map(Samples::from_iter);
    let native = bench.native.is_some().then(|| natives.median());
    let figure = Figure::median("`python3 -c 'print(1)'`, warm", &times)
        .beside("native", native)
        .beside("QEMU", references.qemu)
        .beside("v86 on Node", references.v86);
    bench.report.add(figure);
    if let Some(native) = native {
        let ratio =
            Figure::new("the same as a multiple of native i386", times.median() / native, Unit::Times);
        bench.report.add(ratio.goal(Goal::AtMost(10.0)));
    }
    Ok(())
}

fn large_files(bench: &mut Bench, client: &mut Client) -> Result<()> {
    let runs = bench.pick(3, 7);
    // The same letters are text, and the base64 of other bytes.
    let base64 = letters(LARGE / 3 * 4);
    let text = &base64[..LARGE];
    for (encoding, content, size) in [("text", text, LARGE), ("base64", base64.as_str(), LARGE / 3 * 3)] {
        let write = line(&json!({"type": "write_file", "id": 1, "path": FILE, "content": content,
            "encoding": encoding}));
        let read = line(&json!({"type": "read_file", "id": 1, "path": FILE, "encoding": encoding}));
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (answer, duration) = client.ask_line(&write)?;
            ensure!(answer["size"] == size, "a large file was written incompletely: {answer}");
            writes.push(duration);
            let (answer, duration) = client.ask_line(&read)?;
            let back = answer["content"].as_str().context("an answer without content")?;
            ensure!(back == content, "a large file came back changed");
            reads.push(duration);
            client.run(&format!("rm {FILE}"))?;
        }
        let megabytes = size as f64 / 1e6;
        for (what, times) in [("write_file", writes), ("read_file", reads)] {
            let samples: Samples = times.into_iter().collect();
            let name = format!("`{what}` of {megabytes:.0} MB as {encoding}");
            let figure = Figure::new(name, megabytes * 1000.0 / samples.median(), Unit::MegabytesPerSecond);
            let detail = format!("median {:.0} ms, {} runs", samples.median(), samples.count());
            bench.report.add(
                figure
                    .detail(detail)
                    .goal(Goal::AtLeast(100.0))
                    .beside("a file on the host", host_speed(content.as_bytes(), what)?),
            );
        }
    }
    Ok(())
}

/// Megabytes a second of a file on the host.
fn host_speed(content: &[u8], what: &str) -> Result<Option<f64>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    let started = Instant::now();
    std::fs::write(&path, content)?;
    let write = started.elapsed();
    let started = Instant::now();
    std::fs::read(&path)?;
    let read = started.elapsed();
    let time = if what == "write_file" { write } else { read };
    Ok(Some(content.len() as f64 / 1e6 / time.as_secs_f64()))
}

/// Letters without a pattern.
fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state >> 32) as usize % 64])
    };
    (0..count).map(|_| next()).collect()
}
