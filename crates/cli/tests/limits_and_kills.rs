//! What a command may not do for ever, and what is left of it afterwards.

mod common;

use common::{Session, Shell, shared};
use serde_json::json;

/// Runs a command with a time limit that must end it.
fn stopped(guest: &mut Session, command: &str, time_limit_ms: u64) -> Shell {
    let answer = guest.shell_with(command, json!({"time_limit_ms": time_limit_ms}));
    let ended = (answer.timed_out, answer.exit_code, answer.signal.as_deref(), answer.restarted);
    assert_eq!(ended, (true, 137, Some("SIGKILL"), false), "{command}: {:?}", answer.stderr);
    assert!(answer.duration_ms >= time_limit_ms, "{command}: {} ms", answer.duration_ms);
    answer
}

/// The arguments of all living processes called `name`.
fn alive(guest: &mut Session, name: &str) -> Vec<String> {
    let processes = guest.shell(&format!("ps -C {name} -o stat=,args=")).stdout;
    let living = processes.lines().filter(|line| !line.starts_with('Z'));
    living.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
}

/// No shell of an earlier command runs; those that wait for the next command have none yet.
fn no_shell_is_left(guest: &mut Session) {
    let mut shells = alive(guest, "bash");
    shells.retain(|arguments| arguments != "/bin/bash -c");
    assert_eq!(shells, [""; 0]);
}

#[test]
fn a_command_is_stopped_at_its_time_limit() {
    let mut guest = shared();
    let answer = stopped(&mut guest, "echo before; echo problem >&2; sleep 60; echo after", 500);
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("before\n", "problem\n"));
    assert_eq!(alive(&mut guest, "sleep"), [""; 0]);
}

#[test]
fn the_time_limit_is_five_seconds_by_default() {
    let answer: Shell = shared().request(json!({"type": "shell", "command": "echo started; sleep 60"}));
    assert!(answer.timed_out && answer.duration_ms >= 5000, "{answer:?}");
    assert_eq!(answer.stdout, "started\n");
}

#[test]
fn nobody_escapes_the_time_limit() {
    let escapes = r#"
        trap '' TERM INT HUP
        sleep 60 &
        ( sleep 61 & )
        ( ( setsid sleep 62 >/dev/null 2>&1 & ) & )
        setsid --fork sleep 63
        nohup sleep 64 >/dev/null 2>&1 & disown
        sh -c 'trap "" TERM; setsid --fork nohup sleep 65 </dev/null >/dev/null 2>&1'
        setpriv --reuid 1000 --regid 1000 --clear-groups sleep 66 &
        unshare --pid --fork sleep 67 &
        until [ $(pgrep -xc sleep) -ge 8 ]; do :; done
        pkill -STOP -ox sleep
        echo all are there
        wait; sleep 70"#;
    let mut guest = shared();
    let answer = stopped(&mut guest, escapes, 12_000);
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("all are there\n", ""));
    assert_eq!(alive(&mut guest, "sleep"), [""; 0]);
}

#[test]
fn two_sleepers_and_the_shell_that_waits_for_them_are_gone() {
    let mut guest = shared();
    stopped(&mut guest, "sleep 60 & sleep 60 & wait", 1000);
    assert_eq!(alive(&mut guest, "sleep"), [""; 0]);
    no_shell_is_left(&mut guest);
}

#[test]
fn busy_stopped_and_flooding_commands_are_stopped_too() {
    let mut guest = shared();
    stopped(&mut guest, "while :; do :; done", 300);
    stopped(&mut guest, "kill -STOP $$", 300);
    let answer = stopped(&mut guest, "yes | tee /dev/stderr", 1500);
    for flood in [&answer.stdout, &answer.stderr] {
        let line = flood.bytes().position(|byte| byte != b'y' && byte != b'\n');
        assert_eq!((line, flood.starts_with("y\ny\n")), (None, true));
    }
    assert_eq!(alive(&mut guest, "yes"), [""; 0]);
}

#[test]
fn a_command_that_does_not_read_its_input_is_stopped() {
    let mut guest = shared();
    let stdin = "x".repeat(3_000_000);
    let request = json!({"type": "shell", "command": "sleep 60", "stdin": stdin, "time_limit_ms": 500});
    let answer: Shell = guest.request(request);
    assert!(answer.timed_out);
    assert_eq!(guest.output("echo next"), "next\n");
}

#[test]
fn root_can_leave_its_control_group_but_not_its_time_limit() {
    let mut guest = shared();
    let answer = stopped(&mut guest, "echo $$ >/sys/fs/cgroup/cgroup.procs && echo out; sleep 60", 1000);
    assert_eq!(answer.stdout, "out\n");
    guest.shell("pkill -KILL -x sleep");
}

#[test]
fn a_background_process_does_not_delay_the_answer() {
    let mut guest = shared();
    let answer: Shell = guest.request(json!({"type": "shell", "command": "sleep 1000 & echo done; exit 4"}));
    let ended = (answer.stdout.as_str(), answer.exit_code, answer.timed_out);
    assert_eq!(ended, ("done\n", 4, false), "it holds standard output open");
    assert_eq!(alive(&mut guest, "sleep"), ["sleep 1000"]);

    stopped(&mut guest, "sleep 60", 100);
    assert_eq!(alive(&mut guest, "sleep"), ["sleep 1000"], "it is not of the command that was stopped");
    guest.output("pkill -x sleep");
}

#[test]
fn a_background_process_may_go_on_writing() {
    let mut guest = shared();
    let writer = "while :; do echo tick; echo tock >&2; echo >>/tmp/ticks; sleep 0.02; done & echo $!";
    let writer = guest.shell(writer).stdout.lines().find(|line| *line != "tick").expect("its pid").to_owned();
    // Its output belongs to nobody: not to this request, and it must not end for lack of a reader.
    assert_eq!(
        guest.output(": >/tmp/ticks; until [ $(wc -l </tmp/ticks) -ge 10 ]; do :; done; echo here"),
        "here\n"
    );
    assert_eq!(guest.output(&format!("kill {writer}; rm /tmp/ticks")), "");
}

#[test]
fn memory_has_an_end() {
    let mut guest = shared();
    let answer = guest.shell("tail /dev/zero");
    assert_eq!((answer.exit_code, answer.signal.as_deref(), answer.timed_out), (137, Some("SIGKILL"), false));
    let note = answer.note.expect("a note");
    assert!(note.contains("memory"), "{note}");

    let survived =
        guest.shell("python3 -c 'a = [bytearray(10 ** 6) for _ in range(10 ** 4)]'; echo python: $?");
    assert!(["python: 137\n", "python: 1\n"].contains(&survived.stdout.as_str()), "{}", survived.stdout);
    let next = guest.shell("echo next");
    assert_eq!((next.stdout.as_str(), next.restarted), ("next\n", false));
}

#[test]
fn fork_bombs_are_answered_and_the_next_command_works() {
    let mut guest = Session::start();
    let bomb = guest.shell_with("bomb() { bomb | bomb; }; bomb", json!({"time_limit_ms": 3000}));
    assert!(bomb.timed_out, "{}", bomb.exit_code);
    let next = guest.shell("echo next");
    assert_eq!((next.stdout.as_str(), next.restarted), ("next\n", false));
    no_shell_is_left(&mut guest);

    // In the background it is left alone, as every background process is; but the guest must stay usable.
    let bomb = guest.shell_with(":(){ :|:& };:", json!({"time_limit_ms": 3000}));
    assert!(!bomb.timed_out, "{}", bomb.exit_code);
    let next = guest.shell("echo next");
    assert_eq!((next.stdout.as_str(), next.exit_code), ("next\n", 0));
    guest.reset();
    no_shell_is_left(&mut guest);
    assert!(guest.close().status.success());
}
