//! Processes and sessions in checkpoints, forks and saved machines.

mod common;

use std::collections::BTreeSet;

use common::{
    Checkpointed, Done, ErrorCode, Events, Forked, Processes, Ran, Restored, Saved, Session, Sessions, Shell,
    at_full_tests, shell_request,
};
use serde_json::{Value, json};

fn to(sandbox: &str, mut request: Value) -> Value {
    if !sandbox.is_empty() {
        request["sandbox"] = json!(sandbox);
    }
    request
}

/// The output of a process after event `after_seq`, as soon as there is some; every event must follow the one before.
fn more(session: &mut Session, sandbox: &str, process: &str, after_seq: u64) -> (String, u64) {
    let request =
        json!({"type": "process_read", "process_id": process, "after_seq": after_seq, "wait_ms": 120_000});
    let read: Events = session.ask(to(sandbox, request));
    assert!(!read.gap && !read.events.is_empty(), "{read:?}");
    for (event, seq) in read.events.iter().zip(after_seq + 1..) {
        assert_eq!(event.seq, seq);
    }
    (read.events.iter().filter_map(|event| event.data.clone()).collect(), read.last_seq)
}

fn feed(session: &mut Session, sandbox: &str, process: &str, line: &str) {
    let request = json!({"type": "process_write", "process_id": process, "data": line});
    let _: common::Fed = session.ask(to(sandbox, request));
}

/// An echo in the background, a shell and an interpreter, all with a past.
fn with_a_past(session: &mut Session) -> String {
    let process =
        session.background("while read x; do echo \"got $x\"; done; echo end", json!({"open_stdin": true}));
    feed(session, "", &process, "one\n");
    assert_eq!(more(session, "", &process, 1), ("got one\n".into(), 2));
    let _: Shell = session.ask(shell_request(
        "x=kept; cd /tmp; (until [ -e /tmp/speak ]; do sleep 0.02; done; echo child) &",
        json!({"session": "s"}),
    ));
    let _: Ran = session.ask(
        json!({"type": "run_code", "language": "python", "code": "y = [1, 2]", "time_limit_ms": 120_000}),
    );
    process
}

/// Whether they go on from where they were.
fn go_on(session: &mut Session, sandbox: &str, process: &str) {
    let all = more(session, sandbox, process, 0);
    assert_eq!(all, ("got one\n".into(), 2));
    feed(session, sandbox, process, "two\n");
    assert_eq!(more(session, sandbox, process, 2), ("got two\n".into(), 3));
    let shell = shell_request("touch /tmp/speak; wait; echo $x $PWD", json!({"session": "s"}));
    let answer: Shell = session.ask(to(sandbox, shell));
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("child\nkept /tmp\n", ""));
    let code =
        json!({"type": "run_code", "language": "python", "code": "y.append(3)\ny", "time_limit_ms": 120_000});
    assert_eq!(session.ask::<Ran>(to(sandbox, code)).result.as_deref(), Some("[1, 2, 3]"));
    let _: Done = session.ask(to(sandbox, json!({"type": "process_close_stdin", "process_id": process})));
    let waited: common::Waited =
        session.ask(to(sandbox, json!({"type": "process_wait", "process_id": process})));
    assert_eq!((waited.stdout.as_deref(), waited.exit_code), (Some("got one\ngot two\nend\n"), Some(0)));
    let sessions: Sessions = session.ask(to(sandbox, json!({"type": "session_list"})));
    assert_eq!(sessions.sessions.len(), 2);
    // Names are not given twice.
    let next = shell_request("true", json!({"background": true}));
    let next: common::Started = session.ask(to(sandbox, next));
    assert_ne!(next.process_id, process);
}

#[test]
fn processes_and_sessions_go_on_after_restore_and_fork() {
    let mut session = Session::start();
    let process = with_a_past(&mut session);
    let _: Checkpointed = session.ask(json!({"type": "checkpoint", "name": "c"}));
    let _: Forked = session.ask(json!({"type": "fork", "name": "f"}));
    go_on(&mut session, "", &process);
    for _ in 0..2 {
        let _: Restored = session.ask(json!({"type": "restore", "name": "c"}));
        go_on(&mut session, "", &process);
    }
    go_on(&mut session, "f", &process);
    let _: common::ResetDone = session.ask(to("f", json!({"type": "reset"})));
    go_on(&mut session, "f", &process);
    let _: common::ResetDone = session.ask(json!({"type": "reset"}));
    let processes: Processes = session.ask(json!({"type": "process_list"}));
    assert_eq!(processes.processes, []);
    session.refusal(ErrorCode::UnknownProcess, json!({"type": "process_wait", "process_id": process}));
}

#[test]
fn processes_and_sessions_go_on_in_a_saved_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("machine");
    let path = path.to_str().expect("UTF-8");
    let mut session = Session::start();
    let process = with_a_past(&mut session);
    let _: Saved = session.ask(json!({"type": "save", "path": path}));
    drop(session);
    let mut session = Session::start_with(&["--snapshot", path]);
    go_on(&mut session, "", &process);
    let _: common::ResetDone = session.ask(json!({"type": "reset"}));
    go_on(&mut session, "", &process);
}

#[test]
fn what_is_under_way_is_not_in_a_checkpoint_and_goes_on_beside_it() {
    let mut session = Session::start();
    let until = "until [ -e /tmp/end ]; do sleep 0.02; done; echo done";
    let foreground = session.send_async(shell_request(until, json!({"stream": true})));
    let busy = session.send_async(shell_request(until, json!({"session": "s", "stream": true})));
    let code = "import os, time\nprint('begun')\nwhile not os.path.exists('/tmp/end'): time.sleep(0.02)\nprint('done')";
    let code = json!({"type": "run_code", "language": "python", "code": code, "stream": true, "time_limit_ms": 120_000});
    let code = session.send_async(code);
    session.event(&foreground);
    session.event(&busy);
    while session.event(&code).data.is_none() {}
    // Nobody needs to wait for a process that stands still: these are asked for beside what is under way.
    let checkpoint = session.send_async(json!({"type": "checkpoint", "name": "c"}));
    let _: Checkpointed = session.answer("checkpoint", &checkpoint);
    let end = session.send_async(json!({"type": "write_file", "path": "/tmp/end", "content": ""}));
    let _: common::Written = session.answer("write_file", &end);
    assert_eq!(session.answer::<Shell>("shell", &foreground).stdout, "done\n");
    assert_eq!(session.answer::<Shell>("shell", &busy).stdout, "done\n");
    assert_eq!(session.answer::<Ran>("run_code", &code).stdout, "begun\ndone\n");
    let _: Restored = session.ask(json!({"type": "restore", "name": "c"}));
    let processes: Processes = session.ask(json!({"type": "process_list"}));
    assert_eq!(processes.processes, []);
    let sessions: Sessions = session.ask(json!({"type": "session_list"}));
    assert_eq!(sessions.sessions, []);
    let none_left = "until ! pgrep -x 'sleep|python3' >/dev/null; do sleep 0.02; done; echo none";
    assert_eq!(session.ask::<Shell>(shell_request(none_left, json!({}))).stdout, "none\n");
}

#[test]
fn no_random_number_is_drawn_twice() {
    // What was drawn but not yet read from the pipe at the checkpoint is in all of the futures.
    const IN_THE_PIPE: usize = 200;
    const COMPARED: usize = 50;
    let mut session = Session::start();
    let script = "while read x < /proc/sys/kernel/random/uuid; do echo $x; done";
    let process = session.background(script, json!({}));
    session.wait_log(&process, "-");
    let _: Checkpointed = session.ask(json!({"type": "checkpoint", "name": "c"}));
    let mut seen = BTreeSet::new();
    let mut past = None;
    for round in 0..at_full_tests(20, 200) {
        let _: Restored = session.ask(json!({"type": "restore", "name": "c"}));
        let mut at = past.unwrap_or_else(|| more(&mut session, "", &process, 0).1);
        past = Some(at);
        let mut text = String::new();
        while text.lines().count() < IN_THE_PIPE + COMPARED + 2 {
            let (more, last) = more(&mut session, "", &process, at);
            text += &more;
            at = last;
        }
        for line in text.lines().skip(IN_THE_PIPE).take(COMPARED) {
            assert_eq!(line.len(), 36, "{line}");
            assert!(seen.insert(line.to_owned()), "{line} again in round {round}");
        }
    }
}
