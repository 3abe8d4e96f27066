//! The program as a whole: arguments, the order of answers, its end.

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::{
    Answer, Content, ErrorCode, Failure, ResetDone, Session, Shell, Status, Written, prepare, shared,
    wait_for, wasm_sandbox,
};
use serde_json::{Value, json};

/// The example of the README, as a user types it, except for the time limit: hosts that run tests are busy.
#[test]
fn five_lines_from_a_pipe() {
    let script = r#"printf '%s\n' '{"type":"write_file","id":"1","path":"/tmp/a.py","content":"import platform,sys\nprint(platform.machine(), sum(range(10**6)))\nsys.exit(3)"}' '{"type":"shell","id":"2","time_limit_ms":120000,"command":"python3 /tmp/a.py; echo $?; uname -a; ls / | wc -l"}' '{"type":"status","id":"3"}' '{"type":"reset","id":"4"}' '{"type":"shell","id":"5","command":"cat /tmp/a.py"}' | "$@""#;
    prepare();
    let program = wasm_sandbox();
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    let output = shell.output().expect("a shell");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let lines: Vec<_> = text(&output.stdout).split_terminator('\n').collect();
    let [written, ran, status, reset, missing] = lines[..] else { panic!("{lines:?}") };

    let written = Written::read(written, "write_file", &json!("1"));
    assert_eq!(written.size, 76);

    let ran = Shell::read(ran, "shell", &json!("2"));
    assert_eq!((ran.exit_code, ran.stderr.as_str(), ran.timed_out), (0, "", false));
    let printed: Vec<_> = ran.stdout.lines().collect();
    let [sum, code, uname, entries] = printed[..] else { panic!("{printed:?}") };
    let arch = common::arch();
    assert_eq!((sum, code), (format!("{arch} 499999500000").as_str(), "3"));
    assert!(uname.starts_with("Linux sandbox ") && uname.ends_with(&format!(" {arch} GNU/Linux")), "{uname}");
    assert!(entries.parse::<u32>().expect("a number") >= 15, "{entries}");

    let status = Status::read(status, "status", &json!("3"));
    assert!(status.ready);
    assert!(uname.contains(&status.kernel), "{uname}: {}", status.kernel);

    ResetDone::read(reset, "reset", &json!("4"));

    let missing = Shell::read(missing, "shell", &json!("5"));
    assert_eq!((missing.exit_code, missing.stdout.as_str(), missing.restarted), (1, "", false));
    assert_eq!(missing.stderr, "cat: /tmp/a.py: No such file or directory\n");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn the_status_is_that_of_the_machine() {
    const MIB: u64 = 1 << 20;
    let mut session = Session::start_with(&["--memory-limit", "128", "--no-snapshot"]);
    let first = session.status();
    assert_eq!((first.ready, first.restarts, first.memory_limit_bytes), (true, 0, 128 * MIB));
    assert!(first.uptime_ms > 0 && first.instructions > 1_000_000, "{first:?}");
    assert!(first.memory_used_bytes > 4 * MIB && first.memory_used_bytes < 128 * MIB, "{first:?}");
    assert!(
        first.disk_used_bytes < first.disk_limit_bytes && first.disk_limit_bytes < 128 * MIB,
        "{first:?}"
    );
    assert!((16 * MIB..4096 * MIB).contains(&first.host_memory_bytes), "{first:?}");
    assert!(first.processes < 20, "{first:?}");
    assert!(!first.engine.is_empty() && !first.image.is_empty(), "{first:?}");
    assert_eq!(first.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(session.output("uname -r").trim(), first.kernel);

    let total = session.output("awk '/^MemTotal:/ {print $2}' /proc/meminfo");
    let total = total.trim().parse::<u64>().expect("a number") * 1024;
    assert!((104 * MIB..=128 * MIB).contains(&total), "the guest sees {} MiB", total / MIB);
    let resident = session.host_memory("VmRSS");
    assert!(first.host_memory_bytes <= 2 * resident && resident <= 2 * session.status().host_memory_bytes);

    let hold = "sleep 1000 & head -c 20000000 /dev/zero >/tmp/zeros; python3 -c 'import time
a = bytearray(b\"x\") * 20_000_000
print(len(a), flush=True)
time.sleep(1000)' >/tmp/out & until [ -s /tmp/out ]; do :; done";
    session.output(hold);
    let later = session.status();
    assert!(later.memory_used_bytes >= first.memory_used_bytes + 38 * MIB, "{first:?} {later:?}");
    assert!(later.disk_used_bytes >= first.disk_used_bytes + 20_000_000, "{first:?} {later:?}");
    assert!(later.processes >= first.processes + 2, "{first:?} {later:?}");
    assert!(later.uptime_ms >= first.uptime_ms && later.instructions > first.instructions);
    assert!(session.close().status.success());
}

#[test]
fn fifty_requests_at_once_are_answered_in_order() {
    let mut guest = shared();
    let mut expected = Vec::new();
    for number in 0..50 {
        let path = format!("/tmp/pipelined-{}", number / 5);
        let request = match number % 5 {
            0 => json!({"type": "write_file", "path": path, "content": format!("{number}")}),
            1 => json!({"type": "read_file", "path": path}),
            2 => json!({"type": "shell", "command": format!("cat {path}; rm {path}; exit {number}")}),
            3 => json!({"type": "read_file", "path": path}),
            _ => json!({"type": "status"}),
        };
        expected.push((number, guest.send(request)));
    }
    for (number, id) in expected {
        let start = number - number % 5;
        match number % 5 {
            0 => drop(guest.next_answer::<Written>("write_file", &id)),
            1 => assert_eq!(guest.next_answer::<Content>("read_file", &id).content, start.to_string()),
            2 => {
                let answer: Shell = guest.next_answer("shell", &id);
                assert_eq!((answer.stdout, answer.exit_code), (start.to_string(), number));
            }
            3 => {
                let answer: Failure = guest.next_answer("read_file", &id);
                assert_eq!(answer.error_code, ErrorCode::NotFound);
            }
            _ => drop(guest.next_answer::<Status>("status", &id)),
        }
    }
}

#[test]
fn ids_come_back_as_they_were() {
    let mut guest = shared();
    let ids = [
        "0",
        "-7",
        "1.5",
        "18446744073709551615",
        "-9223372036854775808",
        "\"\"",
        "\"0\"",
        "\"a b\\n\\u0000ü🦀\"",
        "\"same\"",
        "\"same\"",
    ];
    for id in ids {
        guest.send_raw(format!("{{\"type\":\"shell\",\"id\":{id},\"command\":\"exit 1\"}}\n"));
        let answer: Shell = guest.next_answer("shell", &serde_json::from_str(id).expect("JSON"));
        assert_eq!(answer.exit_code, 1);
    }
    let long = json!("i".repeat(1_000_000));
    guest.send_line(&json!({"type": "read_file", "id": long, "path": "/no"}));
    let answer: Failure = guest.next_answer("read_file", &long);
    assert_eq!(answer.error_code, ErrorCode::NotFound);
}

#[test]
fn the_end_of_input_is_the_end_of_the_program_after_all_answers() {
    let mut session = Session::start();
    let first = session.send(json!({"type": "shell", "command": "sleep 1; echo first"}));
    let second = session.send(json!({"type": "shell", "command": "sleep 1000 & echo second"}));
    // A last line counts without a newline, too.
    session.send_raw(r#"{"type":"shell","id":"last","command":"echo last"}"#);
    session.close_input();
    for (id, stdout) in [(first, "first\n"), (second, "second\n"), (json!("last"), "last\n")] {
        assert_eq!(session.next_answer::<Shell>("shell", &id).stdout, stdout);
    }
    let end = session.close();
    assert_eq!((end.status.code(), end.stderr.as_str()), (Some(0), ""));
}

#[test]
fn without_any_input_there_is_no_answer() {
    let output = run(&[], b"");
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(0), "", ""));
}

#[test]
fn bad_lines_are_answered_at_the_end_of_input_too() {
    let output = run(&[], b"\n{\"type\":\"fly\",\"id\":1}\nno newline");
    let answers: Vec<Failure> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a failure")).collect();
    let codes: Vec<_> = answers.iter().map(|answer| answer.error_code).collect();
    assert_eq!(codes, [ErrorCode::InvalidJson, ErrorCode::UnknownType, ErrorCode::InvalidJson]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nobody_who_reads_is_the_end_too() {
    prepare();
    let mut child = wasm_sandbox()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    // Its input stays open: only the answer it cannot write tells the program that nobody is there.
    let mut stdin = child.stdin.take().expect("its standard input");
    stdin.write_all(b"{\"type\":\"status\",\"id\":1}\n").expect("it reads");
    let status = wait_for(&mut child);
    assert!(status.code().is_some(), "{status}");
    drop(stdin);
}

#[test]
fn verbose_shows_the_kernels_log_on_standard_error_only() {
    let mut session = Session::start_with(&["--verbose", "--no-snapshot"]);
    assert_eq!(session.output("echo hello"), "hello\n");
    let end = session.close();
    assert!(end.stderr.contains("Linux version "), "{}", end.stderr);
    assert!(end.status.success());
}

#[test]
fn help_and_version_are_printed() {
    let output = run(&["--help"], b"");
    let help = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    for word in ["--memory-limit", "--image", "--verbose", "--version", "256", "JSON"] {
        assert!(help.contains(word), "{word} is not mentioned: {help}");
    }
    let output = run(&["--version"], b"");
    let version = format!("wasm-sandbox {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), version.as_str()));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let cases: [&[&str]; 8] = [
        &["--fly"],
        &["word"],
        &["--memory-limit"],
        &["--memory-limit", "0"],
        &["--memory-limit", "63"],
        &["--memory-limit", "1025"],
        &["--memory-limit", "lots"],
        &["--memory-limit", "-1"],
    ];
    for arguments in cases {
        let output = run(arguments, b"");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: ") && stderr.contains("--help"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_image_that_is_none_is_refused() {
    let output = run(&["--image", "/nonexistent"], b"{\"type\":\"status\",\"id\":1}\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("/nonexistent") && stderr.contains("No such file"), "{stderr}");

    let directory = tempfile::tempdir().expect("a directory");
    for file in ["vmlinux", "root.erofs.zst", "image.json"] {
        std::fs::write(directory.path().join(file), "{\"name\":\"junk\"}").expect("a file");
    }
    let path = directory.path().to_str().expect("text");
    let output = run(&["--image", path], b"{\"type\":\"status\",\"id\":1}\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).starts_with("wasm-sandbox: "), "{}", text(&output.stderr));
}

#[test]
fn the_smallest_and_the_largest_memory_limit_work() {
    for megabytes in [64_u64, 1024] {
        let mut session = Session::start_with(&["--memory-limit", &megabytes.to_string(), "--no-snapshot"]);
        let status = session.status();
        assert_eq!(status.memory_limit_bytes, megabytes << 20);
        let total = session.output("awk '/^MemTotal:/ {print $2}' /proc/meminfo");
        let total = total.trim().parse::<u64>().expect("a number") >> 10;
        assert!(
            total <= megabytes && total >= megabytes - megabytes / 10 - 12,
            "of {megabytes} MiB the guest sees {total}"
        );
        assert_eq!(session.output("python3 -c 'print(sum(range(1000)))'"), "499500\n");
        assert!(session.close().status.success());
    }
}

/// Runs the program to its end with little input.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    prepare();
    let mut child = wasm_sandbox()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may have ended already without reading.
    let _ = child.stdin.take().expect("its standard input").write_all(input);
    wait_for(&mut child);
    child.wait_with_output().expect("its output")
}

#[test]
fn an_answer_is_one_line_whatever_is_in_it() {
    let mut guest = shared();
    let answer = guest.shell("printf 'a\\nb\\r\\nc\\u2028d\\u0085e'");
    assert_eq!(answer.stdout, "a\nb\r\nc\u{2028}d\u{85}e");
    let null: Value = Value::Null;
    guest.send_raw("{\n}\n");
    for _ in 0..2 {
        let failure: Failure = guest.next_answer("error", &null);
        assert_eq!(failure.error_code, ErrorCode::InvalidJson);
    }
}
