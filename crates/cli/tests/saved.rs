//! Machines in files: written by one process, continued by another.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;

use common::kept::{CACHE, ENTRY, files, mapped, said};
use common::{ErrorCode, Failure, Saved, Session, is_v86, shell_request, wasm_sandbox};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Memory of the saved machine: another size than the usual.
const MEMORY_MIB: u64 = 96;

const COUNTER: &str =
    "n=0; while :; do n=$((n + 1)); echo $n >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.02; done";

/// What a process saved before it ended.
struct Original {
    directory: TempDir,
    path: PathBuf,
    count: u64,
    uptime: f64,
    uuid: String,
}

/// One machine in a file, for all tests here.
static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("machine.snapshot");
    let mut first = Session::start_with(&["--no-snapshot", "--memory-limit", &MEMORY_MIB.to_string()]);
    first.write_file("/srv/kept", "kept");
    first.shell_with("cat >/tmp/counter", json!({"stdin": COUNTER}));
    first.output("setsid --fork bash /tmp/counter </dev/null >/dev/null 2>&1; hostname saved; date -s @1000000000 >/dev/null");
    first.output("until [ -e /tmp/count ]; do sleep 0.02; done");
    let seen = first.output("cat /tmp/count; cut -d' ' -f1 /proc/uptime");
    let [count, uptime] = seen.lines().collect::<Vec<_>>()[..] else { panic!("{seen}") };
    let (count, uptime) = (count.parse().expect("a number"), uptime.parse().expect("a number"));
    fs::write(&path, "what was there before").expect("a file");
    let saved: Saved = first.request(json!({"type": "save", "path": path}));
    assert_eq!((Path::new(&saved.path), saved.size), (&*path, fs::metadata(&path).expect("a file").len()));
    // It goes on, and does not touch the file any more.
    let uuid = first.output("rm /srv/kept; cat /proc/sys/kernel/random/uuid");
    assert!(first.close().status.success());
    assert_eq!(
        fs::read_dir(directory.path()).expect("a directory").count(),
        1,
        "something is left beside the file"
    );
    Original { directory, path, count, uptime, uuid }
});

fn go_on(path: &Path) -> Session {
    Session::start_from(wasm_sandbox().arg("--snapshot").arg(path))
}

/// Waits until the counter is beyond `limit`; what it shows then.
fn count_beyond(session: &mut Session, limit: u64) -> u64 {
    let command = format!("until [ \"$(cat /tmp/count)\" -gt {limit} ]; do sleep 0.02; done; cat /tmp/count");
    session.output(&command).trim().parse().expect("a number")
}

#[test]
fn another_process_goes_on_where_one_was_saved() {
    let original = &*ORIGINAL;
    let mut second = go_on(&original.path);
    assert_eq!(second.read_file("/srv/kept"), "kept");
    assert_eq!(second.output("hostname"), "saved\n");
    let count = count_beyond(&mut second, original.count);
    // Its children are in its session, and have its name until they execute another program.
    let counters = "ps -o sid= -p $(pgrep -d, -f '^bash /tmp/counter') | sort -u | wc -l";
    assert_eq!(second.output(counters), "1\n");
    count_beyond(&mut second, count);
    assert_eq!(second.status().memory_limit_bytes, MEMORY_MIB << 20);
    let uptime: f64 = second.output("cut -d' ' -f1 /proc/uptime").trim().parse().expect("a number");
    assert!(uptime >= original.uptime, "{uptime} {}", original.uptime);
    let before = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs() as i64;
    let date: i64 = second.output("date +%s").trim().parse().expect("a number");
    let after = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs() as i64;
    assert!((before - 2..=after + 2).contains(&date), "{date} is not from {before} to {after}");
    let uuids = [(); 2].map(|()| go_on(&original.path).output("cat /proc/sys/kernel/random/uuid"));
    assert!(uuids[0] != uuids[1] && !uuids.contains(&original.uuid), "{uuids:?} {}", original.uuid);

    // Its initial state is that of the file.
    second.output("rm /srv/kept");
    assert!(!second.reset().restarted);
    assert_eq!(second.read_file("/srv/kept"), "kept");
    second.output("rm /srv/kept");
    let crash: Failure = second.request(shell_request("busybox reboot -f; sleep 60", json!({})));
    assert_eq!(crash.error_code, ErrorCode::MachineCrashed);
    let next = second.shell("cat /srv/kept");
    assert_eq!((next.stdout.as_str(), next.restarted), ("kept", true));
    count_beyond(&mut second, original.count);
    assert!(second.close().status.success());
}

#[test]
fn saved_again_and_again_it_stays_what_it_is() {
    let original = &*ORIGINAL;
    let directory = tempfile::tempdir().expect("a directory");
    let mut path = original.path.clone();
    for turn in 0..3 {
        let mut session = go_on(&path);
        session.output(&format!("echo {turn} >>/srv/turns"));
        // Over the file that it came from, too.
        path = directory.path().join(if turn < 2 { "first" } else { "second" });
        let _: Saved = session.request(json!({"type": "save", "path": path}));
        session.output("echo never >>/srv/turns");
        // The machine that came from a file which is replaced goes on, and so does its initial state.
        session.reset();
        let turns: String = (0..turn).map(|turn| format!("{turn}\n")).collect();
        assert_eq!(session.output("cat /srv/turns 2>/dev/null || true"), turns);
    }
    let mut session = go_on(&path);
    assert_eq!(session.output("cat /srv/turns"), "0\n1\n2\n");
    fs::remove_file(&path).expect("the file is there");
    session.output("ls -R / >/dev/null 2>&1 || true");
    session.reset();
    assert_eq!(
        session.output("cat /srv/turns"),
        "0\n1\n2\n",
        "the file may be deleted while a machine runs from it"
    );
}

#[test]
fn what_was_translated_for_the_prepared_snapshot_is_used_by_files_that_come_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let save = |session: &mut Session, path: &Path| {
        let _: Saved = session.request(json!({"type": "save", "path": path}));
    };
    let mapped_code = |session: &mut Session| {
        assert_eq!(session.output("echo works"), "works\n");
        let mut code = files();
        code.retain(|name| name.starts_with("code-"));
        mapped(session, &ENTRY, &code)
    };
    save(&mut Session::start(), &first);
    let all = files().len() - "machine.snapshot manifest".split(' ').count();
    // v86 translates as it runs, and does so anew.
    let expected = if is_v86() { 0 } else { all };
    assert!(all > 0);
    let mut session = go_on(&first);
    assert_eq!(mapped_code(&mut session), expected);
    session.reset();
    assert_eq!(mapped_code(&mut session), expected);
    // On a computer that has prepared nothing, and from a file that was saved there.
    let nothing = directory.path().join("nothing");
    let mut session = Session::start_from(wasm_sandbox().arg("--snapshot").arg(&first).env(CACHE, &nothing));
    assert_eq!(mapped_code(&mut session), 0);
    save(&mut session, &second);
    assert!(!nothing.exists(), "nothing is prepared for a machine from a file");
    assert_eq!(mapped_code(&mut go_on(&second)), expected);
    // What does not come of it has nothing of it.
    assert_eq!(mapped_code(&mut go_on(&ORIGINAL.path)), 0);
}

#[test]
fn what_a_file_has_translated_is_compiled_once_where_that_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, cache) = (directory.path().join("machine"), directory.path().join("cache"));
    let _: Saved = Session::start().request(json!({"type": "save", "path": path}));
    let prepare = || {
        let mut command = wasm_sandbox();
        let command = command.arg("prepare").arg("--snapshot").arg(&path).env(CACHE, &cache);
        let output = command.output().expect("the program starts");
        assert!(output.status.success() && output.stdout.is_empty());
        said(&output.stderr)
    };
    let lines = prepare();
    if is_v86() {
        assert_eq!(
            lines,
            ["the file is ready: it has no translated code that could be compiled ahead of time"]
        );
        return;
    }
    let entry = lines.last().and_then(|line| line.strip_prefix("the file is ready: its machine code is in "));
    let entry = Path::new(entry.unwrap_or_else(|| panic!("{lines:?}")));
    let code: Vec<String> = (0..2).map(|part| format!("code-{part}.cwasm")).collect();
    let is_used = || {
        let mut session = Session::start_from(wasm_sandbox().arg("--snapshot").arg(&path).env(CACHE, &cache));
        assert_eq!(session.output("echo works"), "works\n");
        let mapped = mapped(&session, entry, &code);
        assert!(mapped == 0 || mapped == code.len());
        mapped > 0
    };
    assert!(is_used());
    assert_eq!(prepare(), ["the file is ready: there is machine code for what it has translated"]);
    // What is damaged is not used, and made anew.
    fs::write(entry.join(&code[0]), "cut short").expect("a file");
    assert!(!is_used());
    assert_eq!(prepare().last(), lines.last());
    assert!(is_used());
}

#[test]
fn a_place_where_nothing_can_be_written_is_no_harm() {
    let mut session = Session::start();
    let directory = tempfile::tempdir().expect("a directory");
    let in_directory =
        |name: &str| directory.path().join(name).into_os_string().into_string().expect("UTF-8");
    for path in
        ["/nonexistent/machine".to_owned(), "/proc/machine".to_owned(), in_directory(""), in_directory("a/b")]
    {
        let error = session.refusal(ErrorCode::HostIo, json!({"type": "save", "path": path}));
        assert!(error.contains(&path), "{error}");
    }
    for request in [
        json!({"type": "save"}),
        json!({"type": "save", "path": 1}),
        json!({"type": "save", "path": "x", "name": "y"}),
    ] {
        session.refusal(ErrorCode::InvalidRequest, request);
    }
    session.refusal(ErrorCode::InvalidPath, json!({"type": "save", "path": ""}));
    assert_eq!(session.output("echo works"), "works\n");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);

    let mut there = Session::start_from(wasm_sandbox().current_dir(&directory));
    let saved: Saved = there.request(json!({"type": "save", "path": "relative"}));
    assert_eq!(fs::metadata(in_directory("relative")).expect("a file").len(), saved.size);
}

/// Runs the program on a file that it must refuse; the sentence it says.
fn refused(path: &Path) -> String {
    let output = run(&["--snapshot".as_ref(), path.as_os_str()]);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    let sentence = stderr.strip_prefix("wasm-sandbox: ").and_then(|rest| rest.strip_suffix('\n'));
    let sentence = sentence.unwrap_or_else(|| panic!("{stderr:?}"));
    assert!(sentence.contains(&*path.to_string_lossy()) && !sentence.contains('\n'), "{sentence:?}");
    sentence.to_owned()
}

fn run(arguments: &[&std::ffi::OsStr]) -> Output {
    wasm_sandbox().args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// Makes the header's checksum right, as somebody with ill intent does.
fn seal(bytes: &mut [u8]) {
    const CHECKSUM: usize = 180;
    let sum = Sha256::digest(&bytes[..CHECKSUM]);
    bytes[CHECKSUM..CHECKSUM + 32].copy_from_slice(&sum);
}

#[test]
fn files_that_are_none_or_damaged_are_refused_with_a_sentence() {
    let original = &*ORIGINAL;
    let good = fs::read(&original.path).expect("the file");
    let path = original.directory.path().join("damaged");
    let sentence_for = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a file");
        let sentence = refused(&path);
        fs::remove_file(&path).expect("the file is there");
        sentence
    };
    let flipped = |at: usize, bit: u32| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        sentence_for(&bytes)
    };
    let sealed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        seal(&mut bytes);
        sentence_for(&bytes)
    };
    assert!(flipped(0, 5).contains("not a snapshot"));
    for (at, bit) in [(20, 0), (80, 7), (170, 3), (3000, 1), (4096, 0), (5000, 6)] {
        let sentence = flipped(at, bit);
        assert!(sentence.contains("damaged"), "bit {bit} of byte {at}: {sentence}");
    }
    for part in 1..8 {
        let sentence = flipped(good.len() * part / 8, part as u32);
        assert!(sentence.contains("damaged"), "{part} eighths: {sentence}");
    }
    assert!(flipped(good.len() - 1, 7).contains("damaged"));

    for length in [0, 1, 8, 100, 4095] {
        assert!(sentence_for(&good[..length]).contains("not a snapshot"), "{length} bytes");
    }
    for length in [4096, 10_000, good.len() / 2, good.len() - 4096, good.len() - 1] {
        assert!(sentence_for(&good[..length]).contains("longer or shorter"), "{length} bytes");
    }
    assert!(sentence_for(&[&good[..], b"x"].concat()).contains("longer or shorter"));
    assert!(sentence_for(&vec![0; 100_000]).contains("not a snapshot"));
    assert!(
        sentence_for(b"#!/bin/sh\necho this is a script\n".repeat(300).as_slice()).contains("not a snapshot")
    );

    // Whole, but not for this program.
    let version = sealed(8, 77);
    assert!(version.contains("version 77"), "{version}");
    assert!(sealed(12, good[12] ^ 1).contains("another CPU engine"));
    assert!(sealed(20, good[20] ^ 1).contains("another CPU engine"));
    let (own, other) = if good[12] == b'v' { (b"v86", b"wx86\0") } else { (b"wx8", b"v86\0\0") };
    assert!(good[12..].starts_with(own), "it begins with magic, version and engine");
    let mut foreign = good.clone();
    foreign[12..17].copy_from_slice(other);
    seal(&mut foreign);
    let sentence = sentence_for(&foreign);
    let option = format!("use --engine {}", String::from_utf8_lossy(other).trim_end_matches('\0'));
    assert!(sentence.contains(&option), "{sentence}");
    assert!(sealed(52, good[52] ^ 1).contains("another architecture"));
    let other: &[u8; 8] = if good[52] == b'i' { b"x86_64\0\0" } else { b"i686\0\0\0\0" };
    let mut foreign = good.clone();
    foreign[52..60].copy_from_slice(other);
    seal(&mut foreign);
    let sentence = sentence_for(&foreign);
    let option = format!("use --arch {}", String::from_utf8_lossy(other).trim_end_matches('\0'));
    assert!(sentence.contains(&option), "{sentence}");
    assert!(sealed(60, good[60] ^ 1).contains("another image"));
    // A header that says another memory size than the machine in it has.
    let size = sealed(92 + 3, 0x10);
    assert!(size.contains("RAM"), "{size}");

    assert!(refused(Path::new("/nonexistent/machine")).contains("No such file"));
    refused(original.directory.path());
    refused(Path::new("/dev/null"));
}

#[test]
fn the_memory_size_is_the_file_s() {
    let path = ORIGINAL.path.as_os_str();
    let output = run(&["--snapshot".as_ref(), path, "--memory-limit".as_ref(), "128".as_ref()]);
    assert_eq!(output.status.code(), Some(2), "a wrong command line");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--memory-limit"));
    assert_eq!(run(&["--snapshot".as_ref(), path, "--no-snapshot".as_ref()]).status.code(), Some(2));
    assert_eq!(run(&["--snapshot".as_ref()]).status.code(), Some(2));
}
