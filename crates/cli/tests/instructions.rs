//! Guest instructions: counted, limited, and as the measure of time.

mod common;

use common::{ErrorCode, Failure, Ran, Session, Shell, Started, Status, shared, wasm_sandbox};
use serde_json::{Value, json};

/// A loop of bash without an end.
const ENDLESS: &str = "while :; do :; done";

#[test]
fn what_a_command_costs_is_told() {
    let mut guest = shared();
    let before = guest.status();
    assert_eq!(before.memory_hash, None);
    let little = guest.shell("true").instructions;
    let much = guest.shell("for i in {1..20000}; do :; done").instructions;
    assert!(little > 1000 && much > little + 20_000, "{little} {much}");
    let ran: Ran = guest.request(json!({"type": "run_code", "language": "bash", "code": "true"}));
    assert!(ran.instructions > 1000, "{ran:?}");
    let after = guest.status();
    assert!(after.instructions >= before.instructions + little + much, "{after:?}");
}

#[test]
fn instructions_are_limited_with_all_descendants() {
    const MOST: u64 = 30_000_000;
    let mut guest = shared();
    let command = format!("echo begun; ({ENDLESS}) & sleep 100 & {ENDLESS}");
    let answer = guest.shell_with(&command, json!({"max_instructions": MOST}));
    assert_eq!((answer.exit_code, answer.timed_out, answer.stdout.as_str()), (137, true, "begun\n"));
    assert!(answer.note.expect("a note").contains("instructions"));
    // What the kill costs is little beside it.
    assert!((MOST..2 * MOST).contains(&answer.instructions), "{}", answer.instructions);
    assert_eq!(guest.output("pgrep -c -x sleep || true"), "0\n");
    let enough = guest.shell_with("echo done", json!({"max_instructions": 1_u64 << 40}));
    assert_eq!((enough.stdout.as_str(), enough.timed_out, enough.note), ("done\n", false, None));

    let started: Started = guest
        .request(json!({"type": "exec", "argv": ["sh", "-c", ENDLESS], "background": true,
        "max_instructions": MOST}));
    let wait = json!({"type": "process_wait", "process_id": started.process_id, "time_limit_ms": 60_000});
    let id = guest.send(wait);
    let line: Value = serde_json::from_str(&guest.next_line().expect("an answer")).expect("JSON");
    assert!(
        line["id"] == id && line["timed_out"] == json!(true) && line["exit_code"] == json!(137),
        "{line}"
    );

    for fields in [json!({"max_instructions": 0}), json!({"max_instructions": 5, "session": "s"})] {
        guest.refusal(ErrorCode::InvalidRequest, common::shell_request("true", fields));
    }
}

#[test]
fn the_sum_of_the_memory_changes_with_it() {
    let mut guest = shared();
    let sum = |guest: &mut Session| {
        let status: Status = guest.request(json!({"type": "status", "memory_hash": true}));
        status.memory_hash.expect("a sum")
    };
    let one = sum(&mut guest);
    assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    guest.write_file("/tmp/changed", "it is");
    assert_ne!(sum(&mut guest), one);
    guest.output("rm /tmp/changed");
}

/// Whether the tests run with an engine that counts exactly.
fn counts_exactly() -> bool {
    shared().status().engine == "wx86"
}

/// What requests do in a machine whose time follows its instructions: all answers, and the sum of its memory.
fn virtual_run(arguments: &[&str]) -> (Vec<String>, Status) {
    let mut guest = Session::start_with(&[&["--clock", "virtual"], arguments].concat());
    let mut answers = Vec::new();
    for command in [
        "date; cat /proc/sys/kernel/random/uuid /proc/uptime; echo $RANDOM $$",
        "for i in 1 2 3; do (sleep 0.$i; date +%s%N) & done; wait",
        "python3 -c 'import random, time; print(random.random(), id(object()), time.time_ns())'",
        "sleep 1000; date; head -c 1M /dev/urandom | sha256sum",
    ] {
        let request = common::shell_request(command, json!({"time_limit_ms": 86_400_000}));
        let answer: Shell = guest.request(request);
        answers.push(format!("{answer:?}"));
        // The host's time is none of the guest's business.
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    let stopped = guest.shell_with(ENDLESS, json!({"max_instructions": 20_000_000}));
    answers.push(format!("{stopped:?}"));
    let mut status: Status = guest.request(json!({"type": "status", "memory_hash": true}));
    status.host_memory_bytes = 0;
    (answers, status)
}

#[test]
fn with_a_virtual_clock_everything_is_as_it_was() {
    if !counts_exactly() {
        let output = wasm_sandbox().args(["--clock", "virtual"]).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains("--engine wx86"), "{stderr}");
        return;
    }
    for arguments in [&["--seed", "7"][..], &["--no-snapshot"]] {
        let (answers, status) = virtual_run(arguments);
        let (again, status_again) = virtual_run(arguments);
        assert_eq!(answers, again, "{arguments:?}");
        assert_eq!(format!("{status:?}"), format!("{status_again:?}"), "{arguments:?}");
    }
    let (one, other) = (virtual_run(&["--seed", "1"]), virtual_run(&["--seed", "2"]));
    assert_ne!(one.0[0], other.0[0], "another seed");
}

#[test]
fn time_stands_while_nobody_asks() {
    if !counts_exactly() {
        return;
    }
    let mut guest = Session::start_with(&["--clock", "virtual"]);
    let uptime = |guest: &mut Session| -> f64 {
        let text = guest.output("cut -d ' ' -f 1 /proc/uptime");
        text.trim().parse().expect("a number")
    };
    let before = uptime(&mut guest);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let after = uptime(&mut guest);
    assert!(after - before < 0.5, "{before} {after}");
    guest.output("sleep 500");
    assert!(uptime(&mut guest) - after > 500.0);
    let killed = guest.shell_with("sleep 60", json!({"time_limit_ms": 500}));
    assert!(killed.timed_out && (500..600).contains(&killed.duration_ms), "{killed:?}");
    let _: Failure = guest.request(json!({"type": "wait_port", "port": 9, "time_limit_ms": 60_000}));
}
