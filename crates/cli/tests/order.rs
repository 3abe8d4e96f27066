//! Which requests wait for which, and how they are stopped.

mod common;

use common::{Done, ErrorCode, Forked, Processes, Ran, ResetDone, Session, Shell, shell_request};
use serde_json::{Value, json};

/// A command that goes on until the file `name` is there.
fn until(name: &str) -> String {
    format!("until [ -e /tmp/{name} ]; do sleep 0.02; done; echo {name}")
}

fn touch(session: &mut Session, name: &str) {
    let id = session.send_async(json!({"type": "write_file", "path": format!("/tmp/{name}"), "content": ""}));
    let _: common::Written = session.answer("write_file", &id);
}

#[test]
fn requests_wait_for_those_before_them_unless_they_say_otherwise() {
    let mut session = Session::start();
    let first = session.send(shell_request(&until("a"), json!({})));
    let second = session.send(shell_request("echo second", json!({})));
    let beside = session.send_async(shell_request("echo beside", json!({})));
    let answer: Shell = session.next_answer("shell", &beside);
    assert_eq!(answer.stdout, "beside\n");
    // These reach into what is under way.
    let processes: Processes = session.ask(json!({"type": "process_list"}));
    assert_eq!(processes.processes.len(), 1);
    let process = &processes.processes[0];
    assert!(process.running && !process.background, "{process:?}");
    let _: common::Sessions = session.ask(json!({"type": "session_list"}));
    let hello = session.send(json!({"type": "hello"}));
    let line = session.next_line().expect("an answer");
    let hello_answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&hello_answer["id"], &hello_answer["success"]), (&hello, &json!(true)), "{line}");
    let _: Done =
        session.ask(json!({"type": "process_signal", "process_id": process.process_id, "signal": "CONT"}));
    touch(&mut session, "a");
    let answer: Shell = session.next_answer("shell", &first);
    assert_eq!(answer.stdout, "a\n");
    let answer: Shell = session.next_answer("shell", &second);
    assert_eq!(answer.stdout, "second\n");
    assert!(session.close().status.success());
}

#[test]
fn whatever_waits_or_runs_can_be_stopped() {
    let mut session = Session::start();
    assert!(!session.cancel(&json!("no such id")));
    assert!(!session.cancel(&json!(1)));
    // Running, and two that wait behind it.
    let running = session.send(shell_request("echo begun; sleep 100", json!({"stream": true})));
    let waiting = session.send(shell_request("echo never", json!({})));
    let last = session.send(shell_request("echo last", json!({})));
    session.event(&running);
    session.event(&running);
    assert!(session.cancel(&waiting));
    session.refused("shell", &waiting, ErrorCode::Cancelled);
    assert!(session.cancel(&running));
    let failure = session.refused("shell", &running, ErrorCode::Cancelled);
    assert_eq!(failure.stdout.as_deref(), Some("begun\n"));
    assert_eq!(session.event(&running).signal.as_deref(), Some("SIGKILL"));
    let answer: Shell = session.answer("shell", &last);
    assert_eq!(answer.stdout, "last\n");
    // Waits of all kinds.
    let process = session.background("sleep 100", json!({"open_stdin": true}));
    for request in [
        json!({"type": "process_wait", "process_id": process}),
        json!({"type": "process_read", "process_id": process, "after_seq": 1, "wait_ms": 100_000}),
        json!({"type": "wait_log", "process_id": process, "pattern": "x", "time_limit_ms": 100_000}),
        json!({"type": "wait_port", "port": 4711, "time_limit_ms": 100_000}),
        json!({"type": "process_write", "process_id": process, "data": "x".repeat(1_000_000)}),
    ] {
        let kind = request["type"].as_str().expect("a type").to_owned();
        let id = session.send(request);
        assert!(session.cancel(&id), "{kind}");
        session.refused(&kind, &id, ErrorCode::Cancelled);
    }
    session.signal(&process, json!("KILL"));
    assert_eq!(session.wait_process(&process).exit_code, Some(137));
    assert_eq!(session.output("pgrep -x sleep || echo none"), "none\n");
}

#[test]
fn ids_are_strings_or_numbers_and_may_be_repeated() {
    let mut session = Session::start();
    for id in [json!("1"), json!(1), json!(-7), json!(1.5), json!(""), json!("é\u{0}\n"), json!(u64::MAX)] {
        session.send_line(&json!({"type": "shell", "id": id, "command": "sleep 100", "async": true}));
        session.send_line(&json!({"type": "process_list", "id": "x"}));
        let _: Processes = session.answer("process_list", &json!("x"));
        assert!(session.cancel(&id), "{id}");
        session.refused("shell", &id, ErrorCode::Cancelled);
    }
    let id = json!("twice");
    for _ in 0..2 {
        session.send_line(&json!({"type": "shell", "id": id, "command": "sleep 100", "async": true}));
    }
    let request = json!({"type": "cancel", "id": 5, "target": id});
    session.send_line(&request);
    let _: common::Cancelled = session.answer("cancel", &json!(5));
    for _ in 0..2 {
        session.refused("shell", &id, ErrorCode::Cancelled);
    }
    assert!(session.close().status.success());
}

#[test]
fn two_hundred_requests_side_by_side_get_their_own_answers() {
    let mut session = Session::start();
    let ids: Vec<Value> = (0..200)
        .map(|number| match number % 4 {
            0 => session.send_async(shell_request(&format!("cat; exit {number}"), json!({"stdin": format!("in {number}")}))),
            1 => session.send_async(json!({"type": "write_file", "path": format!("/tmp/{number}"), "content": "x".repeat(number)})),
            2 => session.send_async(json!({"type": "read_file", "path": format!("/no/such/{number}")})),
            _ => session.send_async(json!({"type": "shell", "command": format!("echo {number}"), "session": format!("s{}", number % 3), "time_limit_ms": 120_000})),
        })
        .collect();
    for (number, id) in ids.iter().enumerate().rev() {
        match number % 4 {
            0 => {
                let answer: Shell = session.answer("shell", id);
                assert_eq!((answer.stdout, answer.exit_code as usize), (format!("in {number}"), number));
            }
            1 => assert_eq!(session.answer::<common::Written>("write_file", id).size, number as u64),
            2 => assert!(
                session.refused("read_file", id, ErrorCode::NotFound).error.contains(&format!("/{number}"))
            ),
            _ => {
                let line = session.any_answer(id);
                match serde_json::from_str::<Shell>(&line) {
                    Ok(answer) => assert_eq!(answer.stdout, format!("{number}\n")),
                    Err(_) => assert!(line.contains("\"busy\""), "{line}"),
                }
            }
        }
    }
    assert!(session.close().status.success());
}

#[test]
fn the_end_of_the_input_waits_for_everything_but_the_background() {
    let mut session = Session::start();
    session.background("sleep 1000", json!({}));
    let slow = session.send_async(shell_request("sleep 0.5; echo slow", json!({"stream": true})));
    let code = session.send_async(
        json!({"type": "run_code", "language": "python", "code": "1 + 1", "time_limit_ms": 120_000}),
    );
    let ordered = session.send(shell_request("sleep 0.2; echo ordered", json!({})));
    let behind = session.send(json!({"type": "status"}));
    session.close_input();
    assert_eq!(session.answer::<Shell>("shell", &slow).stdout, "slow\n");
    assert_eq!(session.answer::<Ran>("run_code", &code).result.as_deref(), Some("2"));
    assert_eq!(session.answer::<Shell>("shell", &ordered).stdout, "ordered\n");
    let _: common::Status = session.answer("status", &behind);
    assert_eq!(session.events_so_far(&slow).len(), 3);
    assert!(session.close().status.success());
}

#[test]
fn machines_run_side_by_side() {
    let mut session = Session::start();
    session.output("mkfifo /tmp/fifo");
    let names = ["one", "two", "three"];
    for name in names {
        let _: Forked = session.ask(json!({"type": "fork", "name": name}));
    }
    let ids = names.map(|name| {
        session
            .send_async(shell_request("echo begun; cat /tmp/fifo", json!({"sandbox": name, "stream": true})))
    });
    for id in &ids {
        while session.event(id).data.as_deref() != Some("begun\n") {}
    }
    // All of them are at work; each is ended by a word of its own, in the other order.
    for (name, id) in names.iter().zip(&ids).rev() {
        let word =
            session.send_async(shell_request(&format!("echo {name} >/tmp/fifo"), json!({"sandbox": name})));
        let _: Shell = session.answer("shell", &word);
        assert_eq!(session.answer::<Shell>("shell", id).stdout, format!("begun\n{name}\n"));
    }
    let running = session.send_async(shell_request("sleep 100", json!({"sandbox": "two", "stream": true})));
    session.event(&running);
    let _: common::Closed = session.ask(json!({"type": "close", "sandbox": "two"}));
    session.refused("shell", &running, ErrorCode::Cancelled);
}

#[test]
fn reset_and_restore_stop_what_is_under_way() {
    let mut session = Session::start();
    let _: common::Checkpointed = session.ask(json!({"type": "checkpoint", "name": "c"}));
    for back in [json!({"type": "reset"}), json!({"type": "restore", "name": "c"})] {
        let process = session.background("sleep 100", json!({"open_stdin": true}));
        let streamed = session.send_async(shell_request("echo begun; sleep 100", json!({"stream": true})));
        let mut ids = vec![("shell", streamed.clone())];
        for request in [
            json!({"type": "shell", "command": "sleep 100", "session": "s"}),
            json!({"type": "run_code", "language": "python", "code": "while True: pass"}),
            json!({"type": "process_wait", "process_id": process}),
            json!({"type": "wait_port", "port": 4711}),
            json!({"type": "wait_log", "process_id": process, "pattern": "x"}),
            json!({"type": "process_read", "process_id": process, "after_seq": 1, "wait_ms": 100_000}),
            json!({"type": "process_write", "process_id": process, "data": "x".repeat(1_000_000)}),
        ] {
            let mut request = request;
            let kind = [
                "shell",
                "run_code",
                "process_wait",
                "wait_port",
                "wait_log",
                "process_read",
                "process_write",
            ][ids.len() - 1];
            if !kind.starts_with("process_") {
                request["time_limit_ms"] = json!(100_000);
            }
            ids.push((kind, session.send_async(request)));
        }
        session.event(&streamed);
        session.event(&streamed);
        let id = session.send(back.clone());
        for (kind, id) in &ids {
            session.refused(kind, id, ErrorCode::Cancelled);
        }
        match back["type"].as_str() {
            Some("reset") => drop(session.answer::<ResetDone>("reset", &id)),
            _ => drop(session.answer::<common::Restored>("restore", &id)),
        }
        let processes: Processes = session.ask(json!({"type": "process_list"}));
        assert_eq!(processes.processes, []);
        assert_eq!(session.output("pgrep -x sleep || echo none"), "none\n");
    }
}
