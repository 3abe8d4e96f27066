//! Files in and out, and the state of the guest.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use common::Agent;
use wasm_sandbox_protocol::agent::*;

fn write<'a>(path: &'a str, data: &'a [u8]) -> WriteFile<'a> {
    WriteFile { path: path.into(), data: data.into(), last: true, ..WriteFile::default() }
}

fn read(path: &str) -> ReadFile<'_> {
    ReadFile { path: path.into(), ..ReadFile::default() }
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

#[test]
fn a_small_file_goes_in_and_out_in_one_frame_each_way() {
    let mut agent = Agent::start();
    let path = agent.path("naïve ✓ name");
    let content = b"\0\xff binary \r\n";
    agent.write_file(WriteFile { mode: Some(0o4751), ..write(&path, content) }).expect("written");
    assert_eq!(std::fs::read(&path).expect("there"), content);
    let (back, end) = agent.read_file(read(&path)).expect("read");
    assert_eq!(back, content);
    assert_eq!((end.sent, end.size, end.mode), (content.len() as u64, content.len() as u64, 0o4751));
    assert!(end.modified_ns > 1_600_000_000_000_000_000);
    agent.write_file(write(&path, b"")).expect("emptied");
    assert_eq!(agent.read_file(read(&path)).expect("read").0, b"");
    // Without a mode, that of an existing file stays.
    assert_eq!(agent.read_file(read(&path)).expect("read").1.mode & 0o777, 0o751);
}

#[test]
fn a_large_file_goes_in_and_out_in_chunks_under_flow_control() {
    let mut agent = Agent::start();
    let path = agent.path("large");
    let content = noise(16 << 20);
    let op = agent.op();
    agent.send(&HostToAgent::WriteFile(WriteFile { op, path: path.as_str().into(), ..WriteFile::default() }));
    let mut window = INITIAL_WINDOW as usize;
    for (index, chunk) in content.chunks(30_011).enumerate() {
        while window < chunk.len() {
            match agent.receive() {
                AgentToHost::Credit { op: credited, bytes } if credited == op => window += bytes as usize,
                other => panic!("unexpected {other:?} at chunk {index}"),
            }
        }
        window -= chunk.len();
        agent.send(&HostToAgent::FileData { op, data: chunk.into() });
    }
    agent.send(&HostToAgent::FileEnd { op });
    agent.done(op).expect("written");
    assert!(std::fs::read(&path).expect("there") == content);
    let (back, end) = agent.read_file(read(&path)).expect("read");
    assert!(back == content);
    assert_eq!((end.sent, end.size), (16 << 20, 16 << 20));
}

#[test]
fn reading_takes_an_offset_and_a_length() {
    let mut agent = Agent::start();
    let path = agent.path("file");
    std::fs::write(&path, "0123456789").expect("written");
    for (offset, length, expected) in [
        (0, None, "0123456789"),
        (3, Some(4), "3456"),
        (8, Some(100), "89"),
        (10, None, ""),
        (u64::MAX, Some(1), ""),
        (2, Some(0), ""),
    ] {
        let (content, end) = agent.read_file(ReadFile { offset, length, ..read(&path) }).expect("read");
        assert_eq!(content, expected.as_bytes(), "{offset} {length:?}");
        assert_eq!((end.sent, end.size), (expected.len() as u64, 10));
    }
}

#[test]
fn the_files_of_proc_are_read_to_their_end() {
    let mut agent = Agent::start();
    let (content, end) = agent.read_file(read("/proc/cpuinfo")).expect("read");
    assert!(!content.is_empty());
    assert_eq!((end.sent, end.size), (content.len() as u64, 0));
}

#[test]
fn flags_decide_how_a_file_is_written() {
    let mut agent = Agent::start();
    let (path, deep, link) = (agent.path("file"), agent.path("a/b/c"), agent.path("link"));
    let with = |flags, path, data| WriteFile { flags, ..write(path, data) };
    let flags = WriteFlags::default();

    agent.write_file(write(&path, b"one")).expect("written");
    agent.write_file(with(WriteFlags { append: true, ..flags }, &path, b" two")).expect("appended");
    assert_eq!(std::fs::read(&path).expect("there"), b"one two");

    let exclusive = WriteFlags { exclusive: true, ..flags };
    assert_eq!(agent.write_file(with(exclusive, &path, b"")).expect_err("exists").code, FailureCode::Exists);
    let both = WriteFlags { atomic: true, ..exclusive };
    assert_eq!(agent.write_file(with(both, &path, b"")).expect_err("exists").code, FailureCode::Exists);

    assert_eq!(agent.write_file(write(&deep, b"")).expect_err("no parent").code, FailureCode::NotFound);
    agent.write_file(with(WriteFlags { create_parents: true, ..flags }, &deep, b"deep")).expect("written");
    assert_eq!(std::fs::read(&deep).expect("there"), b"deep");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    symlink(&path, &link).expect("a link");
    agent.write_file(with(WriteFlags { atomic: true, ..flags }, &link, b"replaced")).expect("written");
    assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(std::fs::read(&path).expect("there"), b"replaced");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    let excluded = WriteFlags { append: true, atomic: true, ..flags };
    assert_eq!(
        agent.write_file(with(excluded, &path, b"")).expect_err("excluded").code,
        FailureCode::InvalidArgument
    );
}

#[test]
fn a_cancelled_atomic_write_leaves_nothing() {
    let mut agent = Agent::start();
    let directory = agent.path("dir");
    std::fs::create_dir(&directory).expect("made");
    let path = format!("{directory}/file");
    let op = agent.op();
    let flags = WriteFlags { atomic: true, ..WriteFlags::default() };
    agent.send(&HostToAgent::WriteFile(WriteFile {
        op,
        flags,
        path: path.as_str().into(),
        ..WriteFile::default()
    }));
    agent.send(&HostToAgent::FileData { op, data: "half".into() });
    agent.send(&HostToAgent::Cancel { op });
    assert_eq!(agent.done(op).expect_err("cancelled").code, FailureCode::Cancelled);
    // What was under way when the host learned of it is ignored.
    agent.send(&HostToAgent::FileData { op, data: "late".into() });
    agent.send(&HostToAgent::FileEnd { op });
    assert!(agent.answers());
    assert_eq!(std::fs::read_dir(&directory).expect("there").count(), 0);
}

#[test]
fn what_cannot_be_read_or_written_says_why() {
    let mut agent = Agent::start();
    let (pipe, plain) = (agent.path("pipe"), agent.path("plain"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::fs::write(&plain, "").expect("written");
    let below = format!("{plain}/x");
    let long = format!("/tmp/{}", "x".repeat(300));
    let slash = format!("{plain}/");
    for (path, for_reading, for_writing) in [
        ("/no/such/file", FailureCode::NotFound, FailureCode::NotFound),
        ("/tmp", FailureCode::IsADirectory, FailureCode::IsADirectory),
        (&below, FailureCode::NotADirectory, FailureCode::NotADirectory),
        (&slash, FailureCode::NotADirectory, FailureCode::IsADirectory),
        (&pipe, FailureCode::NotARegularFile, FailureCode::NotARegularFile),
        ("/dev/zero", FailureCode::NotARegularFile, FailureCode::NotARegularFile),
        ("relative", FailureCode::InvalidArgument, FailureCode::InvalidArgument),
        ("", FailureCode::InvalidArgument, FailureCode::InvalidArgument),
        ("/tmp/\0", FailureCode::InvalidArgument, FailureCode::InvalidArgument),
        (&long, FailureCode::TooLarge, FailureCode::TooLarge),
    ] {
        let failure = agent.read_file(read(path)).expect_err(path);
        assert_eq!(failure.code, for_reading, "reading: {}", failure.message);
        let failure = agent.write_file(write(path, b"x")).expect_err(path);
        assert_eq!(failure.code, for_writing, "writing: {}", failure.message);
    }
    let failure =
        agent.write_file(WriteFile { mode: Some(0o10000), ..write(&plain, b"") }).expect_err("a mode");
    assert_eq!(failure.code, FailureCode::InvalidArgument);
}

#[test]
fn reading_waits_for_credit_while_others_are_served() {
    let mut agent = Agent::start();
    let path = agent.path("large");
    std::fs::write(&path, noise(1 << 20)).expect("written");
    let op = agent.op();
    agent.send(&HostToAgent::ReadFile(ReadFile { op, ..read(&path) }));
    let mut got = 0;
    agent.set_patience(Duration::from_millis(300));
    while let Some(AgentToHost::FileData { data, .. }) = agent.try_receive() {
        got += data.len();
    }
    assert_eq!(got, INITIAL_WINDOW as usize);
    agent.set_patience(Duration::from_secs(20));
    assert_eq!(agent.shell("echo meanwhile").text(), "meanwhile\n");
    agent.send(&HostToAgent::Cancel { op });
    assert!(matches!(agent.receive(), AgentToHost::Failed(Failure { code: FailureCode::Cancelled, .. })));
}

#[test]
fn the_status_has_plausible_numbers() {
    let mut agent = Agent::start();
    let sleeper = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op: sleeper, ..common::argv(&["sleep", "30"]) }));
    let op = agent.op();
    agent.send(&HostToAgent::Status { op });
    let AgentToHost::StatusReport(report) = agent.receive() else { panic!("expected a report") };
    assert_eq!((report.op, report.operations), (op, 1));
    assert!(report.uptime_ms > 0 && report.processes > 0);
    assert!(report.memory_available < report.memory_total && report.memory_total > 16 << 20);
    assert_eq!(report.memory_used, report.memory_total - report.memory_available);
    assert!(report.disk_used <= report.disk_total && report.disk_total > 0);
}
