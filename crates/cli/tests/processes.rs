//! Processes in the background.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{
    Answer, Done, ErrorCode, Event, Events, Failure, Fed, Processes, Session, Started, Waited, shared,
    shell_request,
};
use serde_json::{Value, json};

/// The events of a process after number `after_seq`, as soon as there are some.
fn read(guest: &mut Session, process: &str, after_seq: u64, fields: Value) -> Events {
    let mut request =
        json!({"type": "process_read", "process_id": process, "after_seq": after_seq, "wait_ms": 120_000});
    for (name, value) in fields.as_object().expect("an object") {
        request[name] = value.clone();
    }
    guest.ask(request)
}

/// All that a process writes from event `after_seq` on until its end.
fn read_to_end(guest: &mut Session, process: &str, mut after_seq: u64) -> (Vec<u8>, Option<u8>) {
    let (mut bytes, mut exit_code) = (Vec::new(), None);
    loop {
        let read = read(guest, process, after_seq, json!({}));
        assert!(!read.gap, "{:?}", read.last_seq);
        for event in &read.events {
            assert_eq!(event.seq, after_seq + 1);
            after_seq = event.seq;
            exit_code = exit_code.or(event.exit_code);
            if let Some(data) = &event.data {
                match event.encoding {
                    Some(_) => bytes.extend(STANDARD.decode(data).expect("base64")),
                    None => bytes.extend(data.as_bytes()),
                }
            }
        }
        assert_eq!(read.last_seq, after_seq);
        if !read.more {
            return (bytes, exit_code);
        }
    }
}

fn list(guest: &mut Session) -> Processes {
    guest.ask(json!({"type": "process_list"}))
}

fn close_stdin(guest: &mut Session, process: &str) {
    let _: Done = guest.ask(json!({"type": "process_close_stdin", "process_id": process}));
}

#[test]
fn a_process_in_the_background_is_listed_and_waited_for() {
    let mut guest = shared();
    let process =
        guest.background("echo hello; until [ -e /tmp/end ]; do sleep 0.02; done; exit 7", json!({}));
    let info = list(&mut guest).processes.pop().expect("a process");
    assert!(info.process_id == process && info.running && info.background, "{info:?}");
    assert!(info.command.starts_with("echo hello") && info.pid.is_some() && info.exit_code.is_none());
    let request = json!({"type": "process_wait", "process_id": process, "time_limit_ms": 50});
    let waited: Waited = guest.ask(request);
    assert!(waited.running && waited.exit_code.is_none() && waited.stdout.is_none(), "{waited:?}");
    guest.output("touch /tmp/end");
    let waited = guest.wait_process(&process);
    assert_eq!(
        (waited.exit_code, waited.stdout.as_deref(), waited.timed_out),
        (Some(7), Some("hello\n"), Some(false))
    );
    let info = list(&mut guest).processes.pop().expect("a process");
    assert!(info.process_id == process && !info.running && info.exit_code == Some(7), "{info:?}");
    assert_eq!(guest.wait_process(&process).stdout.as_deref(), Some("hello\n"));
    guest.output("rm /tmp/end");
}

#[test]
fn what_names_no_process_is_refused() {
    let mut guest = shared();
    for name in ["", "p", "p0", "1", "p999999", "p01", "P1", "p-1", "p18446744073709551616"] {
        for mut request in [
            json!({"type": "process_wait"}),
            json!({"type": "process_read"}),
            json!({"type": "process_write", "data": "x"}),
            json!({"type": "process_close_stdin"}),
            json!({"type": "process_signal"}),
            json!({"type": "process_resize", "cols": 80, "rows": 24}),
            json!({"type": "wait_log", "pattern": "x"}),
        ] {
            request["process_id"] = json!(name);
            guest.refusal(ErrorCode::UnknownProcess, request);
        }
    }
    let ended = guest.background("true", json!({"open_stdin": true}));
    guest.wait_process(&ended);
    guest.refusal(ErrorCode::UnknownProcess, json!({"type": "process_signal", "process_id": ended}));
    let closed = guest.background("sleep 100", json!({}));
    let write = json!({"type": "process_write", "process_id": closed, "data": "x"});
    guest.refusal(ErrorCode::StdinClosed, write.clone());
    guest.refusal(ErrorCode::StdinClosed, json!({"type": "process_close_stdin", "process_id": closed}));
    guest.refusal(
        ErrorCode::InvalidPattern,
        json!({"type": "wait_log", "process_id": closed, "pattern": "("}),
    );
    guest.signal(&closed, json!("SIGKILL"));
    guest.wait_process(&closed);
}

#[test]
fn events_are_read_from_where_one_was() {
    let mut guest = shared();
    let process = guest
        .background("read a; echo 1$a; read a; echo 2$a >&2; read a; exit 4", json!({"open_stdin": true}));
    let started = read(&mut guest, &process, 0, json!({}));
    assert_eq!((started.events[0].event.as_str(), started.last_seq, started.more), ("started", 1, true));
    let nothing = read(&mut guest, &process, 1, json!({"wait_ms": 0}));
    assert_eq!((nothing.events.len(), nothing.last_seq, nothing.more, nothing.gap), (0, 1, true, false));
    let poll = json!({"type": "process_read", "process_id": process, "after_seq": 1, "wait_ms": 120_000});
    let waiting = guest.send(poll);
    guest.feed(&process, "a\n");
    let answer: Events = guest.answer("process_read", &waiting);
    assert_eq!((answer.events[0].data.as_deref(), answer.last_seq), (Some("1a\n"), 2));
    guest.feed(&process, "b\n");
    let answer = read(&mut guest, &process, 2, json!({}));
    assert_eq!((answer.events[0].event.as_str(), answer.events[0].data.as_deref()), ("stderr", Some("2b\n")));
    guest.feed(&process, "c\n");
    let answer = read(&mut guest, &process, 3, json!({}));
    assert_eq!((answer.events[0].exit_code, answer.more), (Some(4), false));
    let one = read(&mut guest, &process, 0, json!({"max_bytes": 0}));
    assert_eq!((one.events.len(), one.last_seq, one.more), (1, 1, true));
    let beyond = read(&mut guest, &process, u64::MAX, json!({}));
    assert_eq!((beyond.events.len(), beyond.last_seq, beyond.more, beyond.gap), (0, u64::MAX, false, false));
}

#[test]
fn old_events_are_dropped_and_that_is_told() {
    let mut guest = shared();
    let print = "for i in $(seq 20); do head -c 20000 /dev/zero | tr '\\0' x; sleep 0.05; done; echo end";
    let process = guest.background(print, json!({"max_output_bytes": 50_000}));
    let waited = guest.wait_process(&process);
    assert_eq!((waited.stdout_truncated_bytes, waited.stdout_truncated), (350_004, true));
    let answer = read(&mut guest, &process, 0, json!({}));
    assert!(answer.gap && !answer.more && answer.events[0].seq > 2, "{:?}", answer.events[0].seq);
    assert_eq!(answer.events.last().and_then(|event| event.exit_code), Some(0));
    let again = read(&mut guest, &process, answer.events[0].seq - 1, json!({}));
    assert_eq!((again.gap, again.events.len()), (false, answer.events.len()));
    // The end is found even if nothing else is kept.
    let none = guest.background("echo a; sleep 0.1; echo b", json!({"max_output_bytes": 0}));
    guest.wait_process(&none);
    let answer = read(&mut guest, &none, 0, json!({}));
    let events: Vec<&str> = answer.events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!((events, answer.gap, answer.more), (vec!["exited"], true, false));
}

#[test]
fn a_line_is_waited_for_even_if_no_output_is_kept() {
    let mut guest = shared();
    for kept in [0, 10, 1 << 20] {
        let process = guest.background(
            "read a; head -c 100000 /dev/zero | tr '\\0' x; echo; echo listening on port 80; sleep 100",
            json!({"open_stdin": true, "max_output_bytes": kept}),
        );
        let wait = json!({"type": "wait_log", "process_id": process, "pattern": "^listening on port [0-9]+$", "time_limit_ms": 120_000});
        let waiting = guest.send_async(wait);
        guest.feed(&process, "go\n");
        let found: common::LogFound = guest.answer("wait_log", &waiting);
        assert_eq!(found.line, "listening on port 80");
        let late =
            json!({"type": "wait_log", "process_id": process, "pattern": "never", "time_limit_ms": 50});
        guest.refusal(ErrorCode::TimedOut, late);
        let waiting = guest.send_async(
            json!({"type": "wait_log", "process_id": process, "pattern": "never", "time_limit_ms": 120_000}),
        );
        guest.signal(&process, json!(9));
        guest.refused("wait_log", &waiting, ErrorCode::NotFound);
    }
}

#[test]
fn a_megabyte_goes_through_a_process_unchanged() {
    let mut guest = shared();
    let process = guest
        .background("cat", json!({"open_stdin": true, "encoding": "base64", "max_output_bytes": 4 << 20}));
    let bytes = common::noise(1 << 20);
    for piece in bytes.chunks(100_000) {
        let request = json!({"type": "process_write", "process_id": process, "data": STANDARD.encode(piece), "encoding": "base64"});
        guest.send(request);
    }
    close_stdin(&mut guest, &process);
    let (output, exit_code) = read_to_end(&mut guest, &process, 0);
    assert_eq!((common::sha256(&output), exit_code), (common::sha256(&bytes), Some(0)));
    let waited = guest.wait_process(&process);
    assert_eq!(STANDARD.decode(waited.stdout.expect("output")).expect("base64"), bytes);
    guest.forget();
}

#[test]
fn a_process_that_does_not_read_holds_its_writer_back() {
    let mut guest = shared();
    let wait = "until [ -e /tmp/read ]; do sleep 0.02; done; wc -c";
    let process = guest.background(wait, json!({"open_stdin": true}));
    let write =
        |size: usize| json!({"type": "process_write", "process_id": process, "data": "x".repeat(size)});
    let first = guest.send(write(2_000_000));
    let second = guest.send(write(500_000));
    let third = guest.send(write(10));
    // Other requests are served meanwhile, and none of the three was answered.
    assert_eq!(guest.output("echo fine"), "fine\n");
    assert!(guest.cancel(&second));
    guest.refused("process_write", &second, ErrorCode::Cancelled);
    guest.output("touch /tmp/read");
    let answer: Fed = guest.answer("process_write", &first);
    assert_eq!(answer.size, 2_000_000);
    let answer: Fed = guest.answer("process_write", &third);
    assert_eq!(answer.size, 10);
    close_stdin(&mut guest, &process);
    assert_eq!(guest.wait_process(&process).stdout.as_deref(), Some("2000010\n"));
    // Whoever still waits when it ends hears so.
    let process = guest.background("sleep 100", json!({"open_stdin": true}));
    let request = json!({"type": "process_write", "process_id": process, "data": "x".repeat(2_000_000)});
    let waiting = guest.send(request);
    guest.signal(&process, json!("TERM"));
    guest.refused("process_write", &waiting, ErrorCode::StdinClosed);
    guest.output("rm /tmp/read");
}

#[test]
fn signals_have_names_and_numbers() {
    let mut guest = shared();
    // Not a shell, which notes a signal and forgets it when it becomes another program right then.
    let sleep = json!({"type": "exec", "argv": ["sleep", "100"], "background": true});
    let start = |guest: &mut Session| guest.ask::<Started>(sleep.clone()).process_id;
    for (signal, name, exit_code) in [
        (json!("SIGTERM"), "SIGTERM", 143),
        (json!("hup"), "SIGHUP", 129),
        (json!(9), "SIGKILL", 137),
        (json!("USR1"), "SIGUSR1", 138),
        (json!(31), "SIGSYS", 159),
    ] {
        let process = start(&mut guest);
        guest.signal(&process, signal);
        let waited = guest.wait_process(&process);
        assert_eq!((waited.signal.as_deref(), waited.exit_code), (Some(name), Some(exit_code)));
    }
    let process = start(&mut guest);
    let _: Done = guest.ask(json!({"type": "process_signal", "process_id": process}));
    assert_eq!(guest.wait_process(&process).signal.as_deref(), Some("SIGTERM"));
    for signal in
        [json!("SIGFOO"), json!(0), json!(32), json!(65), json!(-1), json!(256), json!(null), json!(1.5)]
    {
        let request = json!({"type": "process_signal", "process_id": "p1", "signal": signal});
        guest.refusal(ErrorCode::InvalidRequest, request);
    }
}

#[test]
fn a_signal_reaches_the_group_or_the_leader_alone() {
    let mut guest = shared();
    let command = "trap 'echo leader' USR1; (trap 'echo child' USR1; echo ready; while :; do sleep 0.02; done) & \
                   while :; do sleep 0.02; done";
    let process = guest.background(command, json!({}));
    guest.wait_log(&process, "^ready$");
    let _: Done = guest
        .ask(json!({"type": "process_signal", "process_id": process, "signal": "USR1", "leader_only": true}));
    guest.wait_log(&process, "^leader$");
    guest.signal(&process, json!("USR1"));
    guest.wait_log(&process, "^child$");
    guest.signal(&process, json!("KILL"));
    assert_eq!(guest.wait_process(&process).exit_code, Some(137));
}

#[test]
fn a_terminal_has_a_size_and_takes_keys() {
    let mut guest = shared();
    let command = "tty; stty size; trap 'stty size; echo resized' WINCH; trap 'echo interrupted; exit 5' INT; \
                   echo ready; while :; do sleep 0.02; done";
    let process = guest.background(command, json!({"pty": {"cols": 100, "rows": 30}}));
    guest.wait_log(&process, "^/dev/pts/[0-9]+$");
    guest.wait_log(&process, "^30 100$");
    guest.wait_log(&process, "^ready$");
    let _: Done = guest.ask(json!({"type": "process_resize", "process_id": process, "cols": 81, "rows": 25}));
    guest.wait_log(&process, "^resized$");
    guest.wait_log(&process, "^25 81$");
    guest.feed(&process, "\u{3}");
    let waited = guest.wait_process(&process);
    assert_eq!(waited.exit_code, Some(5));
    let stdout = waited.stdout.expect("output");
    assert!(stdout.contains("\r\n") && stdout.contains("^C") && stdout.contains("interrupted"), "{stdout:?}");
    guest.refusal(
        ErrorCode::InvalidRequest,
        json!({"type": "process_resize", "process_id": process, "cols": 0, "rows": 1}),
    );
}

#[test]
fn a_port_is_waited_for() {
    let mut guest = shared();
    guest.refusal(ErrorCode::TimedOut, json!({"type": "wait_port", "port": 4711, "time_limit_ms": 50}));
    let waiting = guest.send_async(json!({"type": "wait_port", "port": 4711, "time_limit_ms": 120_000}));
    let server = "import socket, time; s = socket.create_server(('127.0.0.1', 4711)); time.sleep(100)";
    let process = guest.background(&format!("exec python3 -c \"{server}\""), json!({}));
    let open: common::PortOpen = guest.answer("wait_port", &waiting);
    assert_eq!(open.port, 4711);
    guest.signal(&process, json!("KILL"));
    guest.wait_process(&process);
}

#[test]
fn a_process_in_the_background_tells_its_events_behind_its_answer() {
    let mut guest = shared();
    let request = shell_request("echo hi; exit 2", json!({"background": true, "stream": true}));
    let id = guest.send(request);
    let started: Started = guest.answer("shell", &id);
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.event != "exited") {
        events.push(guest.event(&id));
        let event = events.last().expect("one");
        assert_eq!((event.seq, event.process_id.as_ref()), (events.len() as u64, Some(&started.process_id)));
    }
    assert_eq!((events[1].data.as_deref(), events[2].exit_code), (Some("hi\n"), Some(2)));
    let limited = guest.background("sleep 100", json!({}));
    let request = json!({"type": "shell", "command": "sleep 100", "background": true, "time_limit_ms": 100});
    let short: Started = guest.ask(request);
    let waited = guest.wait_process(&short.process_id);
    assert_eq!((waited.timed_out, waited.exit_code), (Some(true), Some(137)));
    guest.signal(&limited, json!(9));
    guest.wait_process(&limited);
}

#[test]
fn the_number_of_processes_is_limited_and_64_that_have_ended_are_kept() {
    let mut guest = Session::start();
    let limit = guest.status().limits.open_processes as usize;
    let mut processes = Vec::new();
    let refusal = loop {
        let id = guest.send(json!({"type": "exec", "argv": ["sleep", "1000"], "background": true}));
        let line = guest.next_line().expect("an answer");
        match serde_json::from_str::<Started>(&line) {
            Ok(started) => processes.push(started.process_id),
            Err(_) => break Failure::read(&line, "exec", &id),
        }
    };
    assert_eq!(refusal.error_code, ErrorCode::LimitReached, "{}", refusal.error);
    assert!((128..=limit).contains(&processes.len()), "{}", processes.len());
    assert_eq!(guest.status().open_processes as usize, processes.len());
    assert_eq!(list(&mut guest).processes.len(), processes.len());
    for process in &processes {
        guest.signal(process, json!("KILL"));
    }
    guest.wait_process(processes.last().expect("one"));
    let kept = processes.split_off(processes.len() - 64);
    for process in &kept {
        assert_eq!(guest.wait_process(process).exit_code, Some(137));
    }
    for process in &processes {
        guest.refusal(ErrorCode::UnknownProcess, json!({"type": "process_wait", "process_id": process}));
    }
    assert_eq!((list(&mut guest).processes.len(), guest.status().open_processes), (64, 64));
    assert_eq!(guest.output("echo fine"), "fine\n");
}
