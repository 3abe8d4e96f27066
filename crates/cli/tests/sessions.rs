//! Shells and interpreters that live on from one request to the next.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Done, Encoding, ErrorCode, Session, SessionInfo, Sessions, Shell, shared, shell_request};
use serde_json::{Value, json};

fn request(session: &str, command: &str, mut fields: Value) -> Value {
    fields["session"] = json!(session);
    shell_request(command, fields)
}

fn run(guest: &mut Session, session: &str, command: &str) -> Shell {
    guest.ask(request(session, command, json!({})))
}

fn output(guest: &mut Session, session: &str, command: &str) -> String {
    let answer = run(guest, session, command);
    let ended = (answer.exit_code, answer.stderr.as_str(), answer.session_ended, answer.timed_out);
    assert_eq!(ended, (0, "", false, false), "{command}: {}", answer.stdout);
    answer.stdout
}

fn close(guest: &mut Session, session: &str) {
    let _: Done = guest.ask(json!({"type": "session_close", "session": session}));
}

fn list(guest: &mut Session) -> Vec<SessionInfo> {
    guest.ask::<Sessions>(json!({"type": "session_list"})).sessions
}

#[test]
fn the_state_of_a_shell_persists() {
    let mut guest = shared();
    output(
        &mut guest,
        "a",
        "cd /usr/lib; x='some  words'; export Y=2; f() { echo \"f $1\"; }; shopt -s extglob; set -f",
    );
    output(&mut guest, "b", "x=other");
    assert_eq!(
        output(&mut guest, "a", "pwd; echo \"$x\"; f 1; sh -c 'echo $Y'; echo *"),
        "/usr/lib\nsome  words\nf 1\n2\n*\n"
    );
    assert_eq!(
        output(&mut guest, "b", "pwd; echo $x; type f 2>/dev/null || echo no f"),
        "/root\nother\nno f\n"
    );
    for (command, exit_code) in
        [("(exit 9)", 9), ("echo $?; false", 1), ("echo $?", 0), ("no-such-command", 127)]
    {
        let answer = run(&mut guest, "a", command);
        assert_eq!((answer.exit_code, answer.session_ended), (exit_code, false), "{command}");
        match command {
            "echo $?; false" => assert_eq!(answer.stdout, "9\n"),
            "echo $?" => assert_eq!(answer.stdout, "1\n"),
            _ => assert_eq!(answer.stdout, ""),
        }
    }
    assert!(run(&mut guest, "a", "echo $?; no-such-command").stderr.contains("no-such-command"));
    close(&mut guest, "a");
    close(&mut guest, "b");
    assert_eq!(output(&mut guest, "a", "echo \"[$x]\""), "[]\n");
    close(&mut guest, "a");
}

#[test]
fn a_shell_may_end_itself() {
    let mut guest = shared();
    let answer = run(&mut guest, "s", "echo bye; exit 3");
    assert_eq!((answer.stdout.as_str(), answer.exit_code, answer.session_ended), ("bye\n", 3, true));
    assert_eq!(list(&mut guest), []);
    output(&mut guest, "s", "set -e; x=1");
    assert_eq!(output(&mut guest, "s", "false || true; if false; then :; fi; echo still $x"), "still 1\n");
    let answer = run(&mut guest, "s", "echo before; false; echo after");
    assert_eq!((answer.stdout.as_str(), answer.exit_code, answer.session_ended), ("before\n", 1, true));
    let answer = run(&mut guest, "s", "kill -9 $$");
    assert_eq!((answer.exit_code, answer.session_ended), (137, true));
    let answer = run(&mut guest, "s", "exec sh -c 'echo replaced; exit 6'");
    assert_eq!((answer.stdout.as_str(), answer.exit_code, answer.session_ended), ("replaced\n", 6, true));
}

#[test]
fn mistakes_do_not_end_a_shell() {
    let mut guest = shared();
    output(&mut guest, "s", "x=1");
    for command in [
        "if",
        "echo 'open",
        "fi",
        "for",
        "( echo",
        "cat <<EOF\ntext",
        "}",
        "return 5",
        "break",
        "exec /no/such/program",
        "cd /nowhere",
        "x=$((1/0))",
        ". /no/such/file",
    ] {
        let answer = run(&mut guest, "s", command);
        assert!(!answer.timed_out, "{command}");
        if answer.session_ended {
            assert_eq!(command, "exec /no/such/program", "{answer:?}");
            output(&mut guest, "s", "x=1");
        }
    }
    let answer = run(&mut guest, "s", "if then");
    assert!(answer.exit_code != 0 && answer.stderr.contains("syntax error"), "{answer:?}");
    assert_eq!(output(&mut guest, "s", "echo $x"), "1\n");
    assert_eq!(output(&mut guest, "s", ""), "");
    assert_eq!(output(&mut guest, "s", "# nothing"), "");
    close(&mut guest, "s");
}

#[test]
fn any_output_is_told_apart_from_the_marks() {
    let mut guest = shared();
    assert_eq!(output(&mut guest, "s", "printf 'no newline'"), "no newline");
    assert_eq!(output(&mut guest, "s", "printf 'a\\036b\\036\\036c\\036'"), "a\u{1e}b\u{1e}\u{1e}c\u{1e}");
    assert_eq!(
        output(&mut guest, "s", "printf '\\0360123456789abcdef:0\\036'"),
        "\u{1e}0123456789abcdef:0\u{1e}"
    );
    let binary = run(&mut guest, "s", "printf '\\377\\0\\036'");
    assert_eq!((binary.stdout.as_str(), binary.stdout_encoding), ("/wAe", Some(Encoding::Base64)));
    let answer = run(&mut guest, "s", "echo out; echo err >&2; printf x >&2");
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("out\n", "err\nx"));
    let large = guest.ask::<Shell>(request(
        "s",
        "head -c 1048576 /dev/urandom >/tmp/r; cat /tmp/r",
        json!({"encoding": "base64"}),
    ));
    let sum = output(&mut guest, "s", "sha256sum </tmp/r");
    assert_eq!(sum, format!("{}  -\n", common::sha256(&STANDARD.decode(&large.stdout).expect("base64"))));
    let cut = guest.ask::<Shell>(request("s", "printf 0123456789", json!({"max_output_bytes": 4})));
    assert_eq!((cut.stdout.as_str(), cut.stdout_truncated_bytes), ("0189", 6));
    // The shell's own streams may go elsewhere.
    output(&mut guest, "s", "exec >/tmp/log 2>&1; echo into the file");
    assert_eq!(output(&mut guest, "s", "echo more; echo problem >&2"), "");
    assert_eq!(guest.read_file("/tmp/log"), "into the file\nmore\nproblem\n");
    close(&mut guest, "s");
}

#[test]
fn a_command_in_a_shell_gets_what_was_asked_for() {
    let mut guest = shared();
    let first = json!({"cwd": "/tmp", "env": {"A": "1"}, "user": "nobody", "clear_env": true});
    let answer: Shell = guest.ask(request("n", "pwd; echo $A; id -un; echo \"[$HOME]\"", first));
    assert_eq!(answer.stdout, "/tmp\n1\nnobody\n[]\n", "{answer:?}");
    let fields = json!({"cwd": "/usr/it's", "env": {"A": "'\"$x\n\\ `", "_b": ""}, "stdin": "line\n"});
    guest.output("mkdir -p \"/usr/it's\"");
    let answer: Shell = guest.ask(request("n", "pwd; echo \"$A[$_b]\"; cat", fields));
    assert_eq!(answer.stdout, "/usr/it's\n'\"$x\n\\ `[]\nline\n", "{answer:?}");
    assert_eq!(run(&mut guest, "n", "pwd; sh -c 'echo $A' | head -c 2; cat").stdout, "/usr/it's\n'\"");
    let base64 = json!({"stdin": "/wA=", "stdin_encoding": "base64", "encoding": "base64"});
    assert_eq!(guest.ask::<Shell>(request("n", "cat", base64)).stdout, "/wA=");
    let nowhere: Shell = guest.ask(request("n", "echo not reached", json!({"cwd": "/nowhere"})));
    assert_eq!((nowhere.stdout.as_str(), nowhere.exit_code, nowhere.session_ended), ("", 1, false));
    for (fields, code) in [
        (json!({"user": "root"}), ErrorCode::InvalidRequest),
        (json!({"clear_env": true}), ErrorCode::InvalidRequest),
        (json!({"env": {"a b": "1"}}), ErrorCode::InvalidRequest),
        (json!({"env": {"A": "x".repeat(3 << 20)}}), ErrorCode::TooLarge),
        (json!({"env": {"A": "'".repeat(500_000)}}), ErrorCode::TooLarge),
        (json!({"stdin": "x".repeat(3 << 20)}), ErrorCode::TooLarge),
        (json!({"stdin": "?", "stdin_encoding": "base64"}), ErrorCode::InvalidBase64),
        (json!({"background": true}), ErrorCode::InvalidRequest),
        (json!({"pty": {"cols": 80, "rows": 24}}), ErrorCode::InvalidRequest),
        (json!({"open_stdin": true}), ErrorCode::InvalidRequest),
        (json!({"cpu_time_limit_ms": 100}), ErrorCode::InvalidRequest),
    ] {
        guest.refusal(code, request("n", "echo not run", fields));
    }
    let large = json!({"env": {"B": "y".repeat(500_000)}, "stdin": "z".repeat(1_000_000)});
    let answer: Shell = guest.ask(request(
        "n",
        &format!("echo ${{#B}}; export -n B; wc -c # {}", "x".repeat(100_000)),
        large,
    ));
    assert_eq!(answer.stdout, "500000\n1000000\n", "{}", answer.stderr);
    close(&mut guest, "n");
    guest.refusal(ErrorCode::BadUser, request("n", "true", json!({"user": "no-such-user"})));
    guest.refusal(ErrorCode::BadCwd, request("n", "true", json!({"cwd": "/nowhere"})));
    guest.refusal(ErrorCode::UnknownSession, json!({"type": "session_close", "session": "n"}));
}

#[test]
fn a_command_that_runs_too_long_ends_its_shell() {
    let mut guest = shared();
    output(&mut guest, "s", "x=1");
    let answer: Shell =
        guest.ask(request("s", "echo begun; sleep 100 & sleep 100", json!({"time_limit_ms": 300})));
    assert_eq!((answer.stdout.as_str(), answer.timed_out, answer.session_ended), ("begun\n", true, true));
    assert_eq!(answer.exit_code, 137);
    assert_eq!(guest.shell("pgrep -x sleep").stdout, "");
    assert_eq!(output(&mut guest, "s", "echo \"[$x]\""), "[]\n");
    close(&mut guest, "s");
}

#[test]
fn one_command_at_a_time_and_each_can_be_stopped() {
    let mut guest = shared();
    let running = guest.send_async(request("s", "echo begun; sleep 100", json!({"stream": true})));
    let started = guest.event(&running);
    assert!(started.event == "started" && started.process_id.is_none(), "{started:?}");
    assert_eq!(guest.event(&running).data.as_deref(), Some("begun\n"));
    let second = guest.send_async(request("s", "echo second", json!({})));
    guest.refused("shell", &second, ErrorCode::Busy);
    assert_eq!(
        list(&mut guest).iter().map(|info| (info.session.as_str(), info.busy)).collect::<Vec<_>>(),
        [("s", true)]
    );
    assert_eq!(output(&mut guest, "t", "echo other"), "other\n");
    assert!(guest.cancel(&running));
    let failure = guest.refused("shell", &running, ErrorCode::Cancelled);
    assert_eq!(failure.stdout.as_deref(), Some("begun\n"));
    assert_eq!(guest.event(&running).event, "exited");
    // Closing stops what is under way, too.
    let running = guest.send_async(request("t", "echo begun; sleep 100", json!({"stream": true})));
    guest.event(&running);
    guest.event(&running);
    let closing = guest.send_async(json!({"type": "session_close", "session": "t"}));
    guest.refused("shell", &running, ErrorCode::Cancelled);
    let _: Done = guest.answer("session_close", &closing);
    assert_eq!((list(&mut guest), guest.status().open_sessions), (vec![], 0));
    guest.forget();
}

#[test]
fn events_of_a_command_in_a_shell_are_its_own() {
    let mut guest = shared();
    for round in 0..3 {
        let id = guest.send(request(
            "s",
            "printf 'é😀%.0s' $(seq 5000); echo problem >&2; exec 2>&2",
            json!({"stream": true}),
        ));
        let answer: Shell = guest.answer("shell", &id);
        let events = guest.events_so_far(&id);
        let text: String = events
            .iter()
            .filter(|event| event.event == "stdout")
            .filter_map(|event| event.data.clone())
            .collect();
        assert_eq!((text == answer.stdout, text.chars().count()), (true, 10_000), "{round}");
        let kinds: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("started", "exited"));
        assert!(events.iter().all(|event| event.encoding.is_none()));
    }
    close(&mut guest, "s");
}

#[test]
fn what_a_child_writes_between_commands_is_not_lost() {
    let mut guest = shared();
    output(
        &mut guest,
        "s",
        "(until [ -e /tmp/speak ]; do sleep 0.02; done; echo late; touch /tmp/spoken) & jobs >/dev/null",
    );
    guest.output("touch /tmp/speak; until [ -e /tmp/spoken ]; do sleep 0.02; done");
    assert_eq!(output(&mut guest, "s", "echo now; wait; rm /tmp/speak /tmp/spoken"), "late\nnow\n");
    // A child that never stops writing does not confuse who wrote what is asked for.
    output(&mut guest, "s", "(while :; do echo noise; done) & true");
    for round in 0..20 {
        let answer = run(&mut guest, "s", &format!("echo round-{round} >&2"));
        assert_eq!((answer.stderr, answer.exit_code), (format!("round-{round}\n"), 0));
        assert!(
            answer.stdout.lines().all(|line| "noise".ends_with(line) || "noise".starts_with(line)),
            "{:?}",
            answer.stdout
        );
    }
    close(&mut guest, "s");
}
