//! Machines beside machines.

mod common;

use std::collections::HashSet;

use common::{
    Answer, Checkpointed, Closed, Content, ErrorCode, Failure, Forked, ResetDone, Session, Shell, Status,
    at_full_tests, shell_request,
};
use serde_json::{Value, json};

/// A request to one of the machines.
fn to(sandbox: &str, mut request: Value) -> Value {
    request["sandbox"] = json!(sandbox);
    request
}

fn fork(session: &mut Session, from: &str, name: &str) {
    let forked: Forked = session.request(to(from, json!({"type": "fork", "name": name})));
    assert_eq!((forked.sandbox.as_str(), forked.restarted), (name, false));
}

fn close(session: &mut Session, name: &str) {
    let closed: Closed = session.request(to(name, json!({"type": "close"})));
    assert_eq!(closed.sandbox, name);
}

/// Runs a command that must end well, in one of the machines.
fn output(session: &mut Session, sandbox: &str, command: &str) -> String {
    let answer: Shell = session.request(to(sandbox, shell_request(command, json!({}))));
    assert_eq!(
        (answer.exit_code, answer.stderr.as_str(), answer.restarted),
        (0, "", false),
        "{sandbox}: {command}"
    );
    answer.stdout
}

#[test]
fn forks_go_their_own_ways() {
    let mut session = Session::start();
    let count = "n=0; while :; do n=$((n + 1)); echo $n >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.02; done";
    session.shell_with("cat >/tmp/counter", json!({"stdin": count}));
    output(
        &mut session,
        "main",
        "setsid --fork bash /tmp/counter </dev/null >/dev/null 2>&1; echo old >/srv/shared; hostname before",
    );
    fork(&mut session, "main", "a");
    fork(&mut session, "a", "b");
    for name in ["main", "a", "b"] {
        // What was there is there, and what ran runs on, in each of them.
        assert_eq!(output(&mut session, name, "cat /srv/shared; hostname"), "old\nbefore\n");
        let counts = "until [ -e /tmp/count ]; do sleep 0.02; done; n=$(cat /tmp/count); until [ $(cat /tmp/count) -gt $n ]; do sleep 0.02; done";
        output(&mut session, name, counts);
    }
    for name in ["b", "main", "a"] {
        output(
            &mut session,
            name,
            &format!(
                "echo {name} >/srv/own; echo {name} >/srv/shared; hostname {name}; rm -r /etc/ssl; setsid --fork sleep 1000"
            ),
        );
    }
    for name in ["main", "a", "b"] {
        assert_eq!(
            output(
                &mut session,
                name,
                "cat /srv/own /srv/shared; hostname; pgrep -xc sleep; ls /etc/ssl 2>/dev/null || true"
            )
            .replace(char::is_numeric, ""),
            format!("{name}\n{name}\n{name}\n\n")
        );
    }
    output(&mut session, "a", "pkill -f '^bash /tmp/counter'");
    output(&mut session, "main", "pgrep -f '^bash /tmp/counter'");

    // The source may end before those that came from it.
    close(&mut session, "a");
    assert_eq!(output(&mut session, "b", "cat /srv/own; ls /usr/bin | wc -l").lines().next(), Some("b"));
    assert!(session.close().status.success(), "the end of the input ends all of them");
}

#[test]
fn machines_are_addressed_by_name() {
    let mut session = Session::start();
    let unknown = |session: &mut Session, name: &str| {
        for request in [
            json!({"type": "shell", "command": "true"}),
            json!({"type": "read_file", "path": "/etc/passwd"}),
            json!({"type": "status"}),
            json!({"type": "reset"}),
            json!({"type": "checkpoint", "name": "x"}),
            json!({"type": "fork"}),
            json!({"type": "close"}),
            json!({"type": "save", "path": "/nonexistent/x"}),
        ] {
            let error = session.refusal(ErrorCode::UnknownSandbox, to(name, request));
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    };
    unknown(&mut session, "a");
    unknown(&mut session, "");
    for wrong in [json!(1), json!(["main"]), json!({"name": "main"})] {
        session.refusal(ErrorCode::InvalidRequest, json!({"type": "status", "sandbox": wrong}));
    }

    fork(&mut session, "main", "a");
    assert_eq!(output(&mut session, "main", "echo named"), "named\n");
    session.refusal(ErrorCode::AlreadyExists, json!({"type": "fork", "name": "a"}));
    session.refusal(ErrorCode::AlreadyExists, to("a", json!({"type": "fork", "name": "a"})));
    session.refusal(ErrorCode::AlreadyExists, json!({"type": "fork", "name": "main"}));
    for name in [json!(""), json!("x".repeat(201)), json!(5)] {
        session.refusal(ErrorCode::InvalidRequest, json!({"type": "fork", "name": name}));
    }
    session.refusal(ErrorCode::InvalidRequest, json!({"type": "close"}));
    session.refusal(ErrorCode::InvalidRequest, to("main", json!({"type": "close"})));
    session.refusal(ErrorCode::InvalidRequest, to("a", json!({"type": "close", "name": "a"})));

    // Names that the program chooses are free ones.
    fork(&mut session, "main", "fork-2");
    let mut names: HashSet<String> = ["main", "a", "fork-2"].map(str::to_owned).into();
    for _ in 0..3 {
        let forked: Forked = session.request(json!({"type": "fork"}));
        assert_eq!(output(&mut session, &forked.sandbox, "echo there"), "there\n");
        assert!(names.insert(forked.sandbox.clone()), "{} again", forked.sandbox);
    }

    close(&mut session, "a");
    unknown(&mut session, "a");
    fork(&mut session, "main", "a");
    assert_eq!(output(&mut session, "a", "echo again"), "again\n");
    let odd = "größe\n\"'/../ ";
    fork(&mut session, "a", odd);
    assert_eq!(output(&mut session, odd, "echo odd"), "odd\n");
}

#[test]
fn each_machine_has_its_own_checkpoints_resets_and_crashes() {
    let mut session = Session::start();
    session.write_file("/tmp/mark", "main");
    let _: Checkpointed = session.request(json!({"type": "checkpoint", "name": "c"}));
    fork(&mut session, "main", "a");
    session.refusal(ErrorCode::UnknownCheckpoint, to("a", json!({"type": "restore", "name": "c"})));
    output(&mut session, "a", "echo -n a >/tmp/mark");
    let _: Checkpointed = session.request(to("a", json!({"type": "checkpoint", "name": "c"})));
    output(&mut session, "a", "echo -n b >/tmp/mark");
    let _: common::Restored = session.request(json!({"type": "restore", "name": "c"}));
    assert_eq!(output(&mut session, "a", "cat /tmp/mark"), "b");
    let _: common::Restored = session.request(to("a", json!({"type": "restore", "name": "c"})));
    assert_eq!(output(&mut session, "a", "cat /tmp/mark"), "a");
    assert_eq!(output(&mut session, "main", "cat /tmp/mark"), "main");

    let crash: Failure = session.request(to("a", shell_request("busybox reboot -f; sleep 60", json!({}))));
    assert_eq!(crash.error_code, ErrorCode::MachineCrashed);
    assert_eq!(
        output(&mut session, "main", "cat /tmp/mark"),
        "main",
        "nothing of it is seen in the other one"
    );
    let next: Shell = session.request(to("a", shell_request("cat /tmp/mark", json!({}))));
    assert_eq!(
        (next.stdout.as_str(), next.restarted),
        ("main", true),
        "its initial state is that of the fork"
    );
    let statuses =
        ["main", "a"].map(|name| session.request::<Status>(to(name, json!({"type": "status"}))).restarts);
    assert_eq!(statuses, [0, 1]);

    // A crash that nobody has heard of is not the fork's.
    let crash: Failure = session.request(shell_request("busybox reboot -f; sleep 60", json!({})));
    assert_eq!(crash.error_code, ErrorCode::MachineCrashed);
    fork(&mut session, "main", "b");
    assert_eq!(output(&mut session, "b", "ls -A /tmp"), "");
    assert!(session.shell("true").restarted);

    let _: ResetDone = session.request(json!({"type": "reset"}));
    session.refusal(ErrorCode::NotFound, json!({"type": "read_file", "path": "/tmp/mark"}));
    let kept: Content = session.request(to("a", json!({"type": "read_file", "path": "/tmp/mark"})));
    assert_eq!(kept.content, "main");
}

#[test]
fn answers_of_several_machines_keep_the_order_of_the_requests() {
    let mut session = Session::start();
    let steps = [
        ("main", "fork", json!({"type": "fork", "name": "a"})),
        ("a", "shell", shell_request("sleep 0.5; echo slow", json!({}))),
        ("main", "shell", shell_request("echo fast", json!({}))),
        ("nobody", "shell", shell_request("echo never", json!({}))),
        ("a", "close", json!({"type": "close"})),
        ("a", "shell", shell_request("echo never", json!({}))),
    ];
    let ids: Vec<Value> =
        steps.iter().map(|(name, _, request)| session.send(to(name, request.clone()))).collect();
    let lines: Vec<String> = ids.iter().map(|_| session.next_line().expect("an answer")).collect();
    let _ = Forked::read(&lines[0], "fork", &ids[0]);
    assert_eq!(Shell::read(&lines[1], "shell", &ids[1]).stdout, "slow\n");
    assert_eq!(Shell::read(&lines[2], "shell", &ids[2]).stdout, "fast\n");
    assert_eq!(Failure::read(&lines[3], "shell", &ids[3]).error_code, ErrorCode::UnknownSandbox);
    let _ = Closed::read(&lines[4], "close", &ids[4]);
    assert_eq!(Failure::read(&lines[5], "shell", &ids[5]).error_code, ErrorCode::UnknownSandbox);
}

/// Entries of a directory of the host's `/proc/PID`.
fn entries(session: &Session, directory: &str) -> usize {
    std::fs::read_dir(format!("/proc/{}/{directory}", session.pid())).expect("the program runs").count()
}

#[test]
fn no_two_forks_draw_the_same_random_numbers_and_none_leaves_anything_behind() {
    const BATCH: usize = 50;
    let mut session = Session::start();
    let uuid = json!({"type": "read_file", "path": "/proc/sys/kernel/random/uuid"});
    let python = "python3 -c 'import os,uuid; print(uuid.uuid4()); print(os.urandom(16).hex())'";
    let mut seen = HashSet::new();
    let mut draw = |session: &mut Session, name: &str, with_python: bool| {
        let mut drawn = session.request::<Content>(to(name, uuid.clone())).content;
        if with_python {
            drawn += &output(session, name, python);
        }
        assert_eq!(drawn.lines().count(), if with_python { 3 } else { 1 }, "{drawn}");
        for line in drawn.lines() {
            assert!(seen.insert(line.to_owned()), "{line} again, in {name}");
        }
    };
    draw(&mut session, "main", true);
    let mut before = None;
    for batch in 0..at_full_tests(4, 20) {
        let names: Vec<String> = (0..BATCH).map(|number| format!("{batch}-{number}")).collect();
        names.iter().for_each(|name| fork(&mut session, "main", name));
        names.iter().enumerate().for_each(|(number, name)| draw(&mut session, name, number % 10 == 0));
        names.iter().for_each(|name| close(&mut session, name));
        let left = [entries(&session, "fd"), entries(&session, "task"), entries(&session, "map_files")];
        let [files, threads, maps] = *before.get_or_insert(left);
        assert_eq!(left[..2], [files, threads], "files and threads after batch {batch}");
        assert!(left[2] < maps + 500, "{} mappings after batch {batch}, {maps} after the first", left[2]);
    }
    draw(&mut session, "main", true);
}

#[test]
fn as_many_machines_as_the_host_takes_and_then_a_clear_answer() {
    let mut session = Session::start();
    let mut forks = 0;
    let failure = loop {
        let id = session.send(json!({"type": "fork"}));
        let line = session.next_line().expect("an answer");
        if line.contains("\"success\":false") {
            break Failure::read(&line, "fork", &id);
        }
        forks += 1;
        assert!(forks <= 1000, "there is a limit");
    };
    assert!(forks >= 50, "only {forks}: {}", failure.error);
    assert_eq!(failure.error_code, ErrorCode::HostIo, "{}", failure.error);
    assert_eq!(output(&mut session, "main", "echo works"), "works\n");
    assert_eq!(output(&mut session, "fork-1", "python3 -c 'print(1)'"), "1\n");
    for number in 1..=5 {
        close(&mut session, &format!("fork-{number}"));
    }
    fork(&mut session, "main", "there is room again");
    assert_eq!(output(&mut session, "there is room again", "echo works"), "works\n");
    assert!(session.close().status.success());
}
