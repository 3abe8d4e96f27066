//! Guests that go down: each request is answered all the same, and the next one finds a fresh machine.

mod common;

use common::{Answer, ErrorCode, Failure, Session, Shell, shared, shell_request};
use serde_json::{Value, json};

/// Runs a command that takes the machine down, after output that must not be lost.
fn crash(guest: &mut Session, command: &str, time_limit_ms: u64) -> Failure {
    // Output that is under way for less than the agent's pause between two looks may be lost with the machine.
    let command = format!("echo before; echo problem >&2; sleep 1; {command}\nsleep 60; echo never");
    let failure: Failure = guest.request(shell_request(&command, json!({"time_limit_ms": time_limit_ms})));
    assert_eq!(failure.error_code, ErrorCode::MachineCrashed, "{command}: {}", failure.error);
    let output = (failure.stdout.as_deref(), failure.stderr.as_deref());
    assert_eq!(output, (Some("before\n"), Some("problem\n")), "{command}: {}", failure.error);
    assert_eq!((failure.stdout_encoding, failure.stderr_encoding), (None, None), "{command}");
    assert!(!failure.restarted, "{command}: that is for the next answer to say");
    failure
}

/// The next answer says that there is a fresh machine, and only that one.
fn goes_on(guest: &mut Session) {
    let first = guest.shell("echo works; ls -A /tmp");
    assert_eq!((first.stdout.as_str(), first.exit_code, first.restarted), ("works\n", 0, true));
    let second = guest.shell("echo works");
    assert_eq!((second.stdout.as_str(), second.exit_code, second.restarted), ("works\n", 0, false));
}

/// Marks the machine, takes it down, and finds a fresh one.
fn crash_and_go_on(command: &str, time_limit_ms: u64, words: &str) {
    let mut guest = shared();
    guest.write_file("/tmp/mark", "");
    let restarts = guest.status().restarts;
    let failure = crash(&mut guest, command, time_limit_ms);
    assert!(failure.error.contains(words), "{command}: {}", failure.error);
    goes_on(&mut guest);
    assert_eq!(guest.status().restarts, restarts + 1);
}

const PLENTY: u64 = 100_000;

#[test]
fn the_guest_reboots() {
    crash_and_go_on("busybox reboot -f", PLENTY, "rebooted");
}

#[test]
fn the_guest_halts() {
    crash_and_go_on("busybox halt -f", PLENTY, "halted");
}

#[test]
fn the_guest_powers_off() {
    crash_and_go_on("busybox poweroff -f", PLENTY, "went down");
}

#[test]
fn the_guests_kernel_panics() {
    // With this switch, memory that runs out is the end of everything: a panic without a special kernel.
    crash_and_go_on("echo 2 >/proc/sys/vm/panic_on_oom; tail /dev/zero", PLENTY, "panic");
}

/// A shell word for the process identifier of the agent's server.
const AGENT: &str = "$(ps axo pid=,args= | awk '$3 == \"serve\" {print $1}')";

#[test]
fn the_agent_is_found() {
    assert_eq!(shared().output(&format!("echo {AGENT} | wc -w")), "1\n");
}

#[test]
fn the_agent_is_killed() {
    crash_and_go_on(&format!("kill -KILL {AGENT}"), PLENTY, "went down");
}

#[test]
fn the_agent_is_stopped() {
    crash_and_go_on(&format!("kill -STOP {AGENT}"), 4000, "did not answer");
}

#[test]
fn the_agent_is_stopped_between_two_requests() {
    let mut guest = shared();
    guest.output(&format!("(sleep 1; kill -STOP {AGENT}) >/dev/null 2>&1 &"));
    // However many requests are answered before: one finds the agent silent, and the one after it a fresh machine.
    let answers = std::iter::from_fn(|| {
        let id = guest.send(json!({"type": "read_file", "path": "/proc/uptime"}));
        let line = guest.next_line().expect("an answer");
        Some((id, line))
    });
    let found = answers.take(100_000).find(|(_, line)| line.contains("\"success\":false"));
    let (id, line) = found.expect("a failure");
    let failure = Failure::read(&line, "read_file", &id);
    assert_eq!(failure.error_code, ErrorCode::MachineCrashed);
    assert_eq!((failure.stdout, failure.stderr), (None, None), "it was no command");
    goes_on(&mut guest);
}

/// A static i386 program for Linux of these instructions (ELF: one header, one segment).
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let size = HEADERS + code.len() as u32;
    let mut elf = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes())); // executable, for 80386
    elf.extend([1, BASE + HEADERS, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes())); // entry; segments at 52
    elf.extend([52_u16, 32, 1, 40, 0, 0].iter().flat_map(|half| half.to_le_bytes())); // sizes and counts
    elf.extend([1, 0, BASE, BASE, size, size, 5, 0x1000].iter().flat_map(|word: &u32| word.to_le_bytes())); // load, r-x
    elf.extend(code);
    elf
}

/// What may come of a program that a real CPU would end with a signal: that, or a machine that went down.
fn run_unprivileged(guest: &mut Session, code: &[u8]) -> bool {
    guest.write_bytes("/tmp/program", &program(code), "0755");
    let command =
        "echo before; sleep 1; setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs /tmp/program";
    let id = guest.send(shell_request(command, json!({"time_limit_ms": 20_000})));
    let line = guest.next_line().expect("an answer");
    let crashed = line.contains("\"success\":false");
    let stdout = if crashed {
        let failure = Failure::read(&line, "shell", &id);
        assert_eq!(failure.error_code, ErrorCode::MachineCrashed, "{}", failure.error);
        failure.stdout
    } else {
        let answer = Shell::read(&line, "shell", &id);
        assert_eq!((answer.exit_code, answer.timed_out), (139, false), "{line}");
        Some(answer.stdout)
    };
    assert_eq!(stdout.as_deref(), Some("before\n"), "{line}");
    crashed
}

#[test]
fn the_elf_programs_of_this_file_run() {
    // exit(42)
    let exit = [0xB8, 1, 0, 0, 0, 0xBB, 42, 0, 0, 0, 0xCD, 0x80];
    let mut guest = shared();
    guest.write_bytes("/tmp/exit", &program(&exit), "0755");
    assert_eq!(guest.shell("setpriv --reuid 1000 --regid 1000 --clear-groups /tmp/exit").exit_code, 42);
    guest.output("rm /tmp/exit");
}

#[test]
fn unprivileged_code_reaches_a_defect_of_the_cpu_engine() {
    let programs: [(&str, &[u8]); 3] = [
        ("push 0; push 0; push 0; iret", &[0x6A, 0, 0x6A, 0, 0x6A, 0, 0xCF]),
        ("xor ebp, ebp; enter 0, 31", &[0x31, 0xED, 0xC8, 0, 0, 31]),
        ("push 0; push 0x60; push 0; iret", &[0x6A, 0, 0x6A, 0x60, 0x6A, 0, 0xCF]),
    ];
    let mut guest = shared();
    for (name, code) in programs {
        if run_unprivileged(&mut guest, code) {
            goes_on(&mut guest);
        } else {
            assert_eq!(guest.output("echo works"), "works\n", "{name}");
            guest.output("rm /tmp/program");
        }
    }
}

#[test]
fn unprivileged_users_cannot_take_the_machine_down_by_asking() {
    let mut guest = shared();
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups";
    let command =
        format!("{user} busybox reboot -f; {user} kill -STOP {AGENT}; {user} kill -KILL 1; echo still here");
    let answer = guest.shell(&command);
    assert_eq!((answer.stdout.as_str(), answer.restarted), ("still here\n", false));
}

#[test]
fn requests_behind_a_crash_keep_their_order() {
    let mut guest = shared();
    let crash = guest.send(shell_request("busybox reboot -f; sleep 60", json!({})));
    let broken = guest.send(json!({"type": "fly"}));
    let next = guest.send(shell_request("echo next", json!({})));
    let status = guest.send(json!({"type": "status"}));

    let crash: Failure = guest.next_answer("shell", &crash);
    assert_eq!((crash.error_code, crash.restarted), (ErrorCode::MachineCrashed, false));
    let broken: Failure = guest.next_answer("fly", &broken);
    assert_eq!(
        (broken.error_code, broken.restarted),
        (ErrorCode::UnknownType, true),
        "the first answer after it"
    );
    let next: Shell = guest.next_answer("shell", &next);
    assert_eq!((next.stdout.as_str(), next.restarted), ("next\n", false));
    let status: common::Status = guest.next_answer("status", &status);
    assert!(status.ready && !status.restarted);
}

#[test]
fn a_crash_as_the_last_request_still_ends_well() {
    let mut session = Session::start();
    let id = session.send(shell_request("busybox reboot -f; sleep 60", json!({})));
    session.close_input();
    let failure: Failure = session.next_answer("shell", &id);
    assert_eq!(failure.error_code, ErrorCode::MachineCrashed);
    assert!(session.close().status.success());
}

#[test]
fn a_crash_in_the_middle_of_a_file_is_answered() {
    let mut guest = shared();
    let trap = "shopt -s nullglob dotglob; files=(); until [ ${#files[*]} -gt 0 ]; do files=(/tmp/*); done; busybox reboot -f";
    guest.output(&format!("rm -rf /tmp/*; setsid --fork bash -c '{trap}' >/dev/null 2>&1"));
    let write =
        guest.send(json!({"type": "write_file", "path": "/tmp/large", "content": "x".repeat(9_000_000)}));
    // If the file was faster than the reboot, this command meets it.
    let look = guest.send(shell_request("[ ! -e /tmp/large ] || sleep 60", json!({})));
    let answers = [("write_file", &write), ("shell", &look)].map(|(kind, id)| {
        let answer: Value = serde_json::from_str(&guest.next_line().expect("an answer")).expect("JSON");
        assert_eq!((&answer["type"], &answer["id"]), (&json!(kind), id));
        answer
    });
    // It may also come between the two.
    let crashed = answers.each_ref().map(|answer| answer["error_code"] == "machine_crashed");
    assert!(crashed != [true; 2], "{answers:?}");
    assert_ne!(answers[0]["success"], crashed[0], "{answers:?}");
    if crashed[1] {
        goes_on(&mut guest);
    } else {
        assert_eq!((&answers[1]["restarted"], &answers[1]["exit_code"]), (&json!(true), &json!(0)));
    }
}
