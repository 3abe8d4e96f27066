//! The limits that `status` reports hold.

mod common;

use common::{ErrorCode, Ran, Session, Shell, Status, at_full_tests, shell_request};
use serde_json::json;

#[test]
fn a_command_that_takes_all_memory_is_killed_and_the_machine_lives() {
    let mut session = Session::start();
    let answer = session.shell("exec python3 -c \"x = []\nwhile True: x.append(bytearray(10**6))\"");
    assert_eq!((answer.exit_code, answer.signal.as_deref(), answer.timed_out), (137, Some("SIGKILL"), false));
    assert!(answer.note.expect("a note").contains("out of memory"));
    // One that runs in the background all the while is left alone.
    let process = session.background("read x; echo alive", json!({"open_stdin": true}));
    let child = session.shell("python3 -c \"x = bytearray(10**9)\"; echo $?");
    assert!(["137\n", "1\n"].contains(&child.stdout.as_str()), "{child:?}");
    session.feed(&process, "\n");
    assert_eq!(session.wait_process(&process).stdout.as_deref(), Some("alive\n"));
    assert_eq!((session.output("echo fine").as_str(), session.status().restarts), ("fine\n", 0));
}

#[test]
fn no_more_processes_run_than_are_allowed() {
    let mut session = Session::start_with(&["--process-limit", "40"]);
    let status = session.status();
    assert_eq!((status.processes_limit, status.limits.processes), (40, 40));
    let bomb =
        shell_request("b() { b | b & b; }; b", json!({"time_limit_ms": 3000, "max_output_bytes": 1000}));
    let answer: Shell = session.ask(bomb);
    assert!(answer.timed_out || answer.exit_code != 0, "{answer:?}");
    let Status { processes, processes_limit, .. } = session.status();
    assert!(processes <= processes_limit, "{processes}");
    let count = "for i in $(seq 60); do sleep 100 & done 2>/dev/null; jobs -p | wc -l; kill $(jobs -p)";
    let started: u64 = session.shell(count).stdout.trim().parse().unwrap_or(0);
    assert!(started < 40, "{started}");
    assert_eq!(session.output("echo fine"), "fine\n");
    let _: common::ResetDone = session.ask(json!({"type": "reset"}));
    assert_eq!(session.status().processes_limit, 40);
}

#[test]
fn no_more_is_written_to_disk_than_is_allowed() {
    let mut session = Session::start_with(&["--disk-limit", "10"]);
    for _ in 0..2 {
        let status = session.status();
        assert_eq!((status.disk_limit_bytes, status.limits.disk_bytes), (10 << 20, 10 << 20));
        let write =
            |size: usize| json!({"type": "write_file", "path": "/tmp/file", "content": "x".repeat(size)});
        session.refusal(ErrorCode::NoSpace, write(12 << 20));
        let answer = session.shell("dd if=/dev/zero of=/tmp/file bs=1M count=20");
        assert!(answer.exit_code == 1 && answer.stderr.contains("No space left"), "{}", answer.stderr);
        session.refusal(
            ErrorCode::NoSpace,
            json!({"type": "write_file", "path": "/tmp/other", "content": "x".repeat(100_000)}),
        );
        assert_eq!(session.output("rm /tmp/file; echo fine >/tmp/file; cat /tmp/file"), "fine\n");
        let _: common::ResetDone = session.ask(json!({"type": "reset"}));
    }
    // A shell that cannot be given its command says so, and goes on when there is room.
    let kept = |command: &str| shell_request(command, json!({"session": "s"}));
    assert_eq!(session.ask::<Shell>(kept("echo one")).stdout, "one\n");
    session.shell("cat /dev/zero >/run/file; cat /dev/zero >>/run/more");
    let large = format!("echo two # {}", "x".repeat(500_000));
    let id = session.send(kept(&large));
    session.refused("shell", &id, ErrorCode::NoSpace);
    session.shell("rm /run/file /run/more");
    assert_eq!(session.ask::<Shell>(kept("echo three")).stdout, "three\n");
}

#[test]
fn a_client_that_does_not_read_costs_bounded_memory() {
    let mut session = Session::start();
    session.output("head -c 1048576 /dev/urandom | base64 >/tmp/block");
    let resting = session.host_memory("VmRSS");
    // A gigabyte, of which nobody reads anything until it has stopped at a full pipe.
    let flood = "for i in $(seq 750); do cat /tmp/block; done";
    let fields = json!({"stream": true, "max_output_bytes": 0, "time_limit_ms": 86_400_000});
    session.stop_reading();
    let flooding = session.send_async(shell_request(flood, fields));
    session.wait_until_it_rests();
    let grown = session.host_memory("VmRSS").saturating_sub(resting);
    assert!(grown < 100 << 20, "{grown} bytes more");
    session.go_on_reading();
    for _ in 0..50 {
        session.event(&flooding);
    }
    let beside = session.send_async(shell_request("echo beside", json!({})));
    assert_eq!(session.answer::<Shell>("shell", &beside).stdout, "beside\n");
    assert!(session.cancel(&flooding));
    session.refused("shell", &flooding, ErrorCode::Cancelled);
    let grown = session.host_memory("VmRSS").saturating_sub(resting);
    assert!(grown < 100 << 20, "{grown} bytes more");
}

#[test]
fn a_time_limit_behind_a_full_output_is_no_crash() {
    // The grace that the agent has is over before anybody reads.
    const BEYOND_THE_GRACE: std::time::Duration = std::time::Duration::from_secs(15);
    if at_full_tests(0, 1) == 0 {
        return;
    }
    let mut session = Session::start();
    session.output("echo ready");
    let fields = |session: Option<&str>| {
        let mut fields = json!({"stream": true, "max_output_bytes": 0, "time_limit_ms": 1000});
        if let Some(name) = session {
            fields["session"] = json!(name);
        }
        fields
    };
    session.stop_reading();
    let alone = session.send_async(shell_request("yes", fields(None)));
    let kept = session.send_async(shell_request("yes", fields(Some("s"))));
    let code = json!({"type": "run_code", "language": "python", "code": "while True: print('y' * 1000)", "stream": true, "max_output_bytes": 0, "time_limit_ms": 1000});
    let code = session.send_async(code);
    std::thread::sleep(BEYOND_THE_GRACE);
    session.go_on_reading();
    let answer: Shell = session.answer("shell", &alone);
    assert!(answer.timed_out && !answer.restarted, "{answer:?}");
    let answer: Shell = session.answer("shell", &kept);
    assert!(answer.timed_out && answer.session_ended, "{answer:?}");
    assert!(session.answer::<Ran>("run_code", &code).timed_out);
    assert_eq!(session.status().restarts, 0);
    session.forget();
}
