//! Programs: what they get, what comes back, how they end.

mod common;

use std::time::{Duration, Instant};

use common::{Agent, argv, running, shell};
use wasm_sandbox_protocol::agent::*;

#[test]
fn output_streams_and_exit_code_come_back_apart() {
    let mut agent = Agent::start();
    let outcome = agent.shell("echo out; echo err >&2; exit 3");
    assert_eq!(outcome.stdout, b"out\n");
    assert_eq!(outcome.stderr, b"err\n");
    assert_eq!(outcome.status(), ExitStatus::Code(3));
    let exited = outcome.exited.expect("exited");
    assert_eq!(exited.ended_by, EndedBy::Itself);
    assert!(!exited.background_left && exited.duration_us > 0 && exited.usage.max_rss_kib > 0);
}

#[test]
fn a_delay_changes_nothing_but_the_moment() {
    let mut agent = Agent::start();
    for output_delay_ms in [0, 5, 50] {
        let command = "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done; echo e >&2";
        let outcome = agent.exec(Exec { output_delay_ms, ..shell(command) }).expect("starts");
        assert_eq!(outcome.text(), "1\n2\n3\n4\n5\n");
        assert_eq!(outcome.stderr, b"e\n");
    }
}

#[test]
fn a_signal_is_reported_as_such() {
    let mut agent = Agent::start();
    assert_eq!(agent.shell("kill -SEGV $$").status(), ExitStatus::Signal(11));
    assert_eq!(agent.shell("kill -TERM $$").status(), ExitStatus::Signal(15));
}

#[test]
fn sigpipe_is_default_again_in_programs() {
    let mut agent = Agent::start();
    let outcome = agent.shell("yes | head -n 1; grep -i '^Sig[BI]' /proc/self/status");
    assert!(outcome.text().starts_with("y\n"), "{}", outcome.text());
    for line in outcome.text().lines().skip(1) {
        let mask =
            u64::from_str_radix(line.split_whitespace().last().expect("a mask"), 16).expect("hexadecimal");
        assert_eq!(mask & 1 << 12, 0, "{line}");
    }
}

#[test]
fn standard_input_comes_inline_as_a_stream_or_not_at_all() {
    let mut agent = Agent::start();
    let stdin = Stdin::Inline(b"in\0line\xff".as_slice().into());
    assert_eq!(agent.exec(Exec { stdin, ..argv(&["cat"]) }).expect("starts").stdout, b"in\0line\xff");
    assert_eq!(agent.exec(argv(&["cat"])).expect("starts").stdout, b"");

    let large = vec![b'x'; 900_000];
    let stdin = Stdin::Inline(large.as_slice().into());
    assert_eq!(agent.exec(Exec { stdin, ..argv(&["cat"]) }).expect("starts").stdout, large);

    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, stdin: Stdin::Stream, ..argv(&["cat"]) }));
    agent.send(&HostToAgent::Stdin { op, data: "one ".into() });
    agent.send(&HostToAgent::Stdin { op, data: "two".into() });
    agent.send(&HostToAgent::CloseStdin { op });
    assert_eq!(agent.finish(op).expect("starts").text(), "one two");
}

#[test]
fn more_input_than_the_window_ends_the_operation() {
    let mut agent = Agent::start();
    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, stdin: Stdin::Stream, ..argv(&["sleep", "30"]) }));
    let data = vec![0; INITIAL_WINDOW as usize];
    agent.send(&HostToAgent::Stdin { op, data: data.as_slice().into() });
    agent.send(&HostToAgent::Stdin { op, data: data.as_slice().into() });
    let exited = agent.finish(op).expect("started").exited.expect("exited");
    assert_eq!(exited.ended_by, EndedBy::Cancelled);
    assert!(agent.answers());
}

#[test]
fn a_program_that_does_not_read_its_input_ends_normally() {
    let mut agent = Agent::start();
    let large = vec![b'x'; 900_000];
    let stdin = Stdin::Inline(large.as_slice().into());
    assert_eq!(agent.exec(Exec { stdin, ..argv(&["true"]) }).expect("starts").status(), ExitStatus::Code(0));
}

#[test]
fn directory_and_environment_are_as_asked() {
    let mut agent = Agent::start();
    let outcome = agent.exec(Exec { cwd: Some("/usr/bin".into()), ..argv(&["pwd"]) }).expect("starts");
    assert_eq!(outcome.text(), "/usr/bin\n");

    let env = vec![("GREETING".into(), "grüß".into())];
    let outcome =
        agent.exec(Exec { env: env.clone(), ..shell("echo $GREETING $TERM $LANG $USER") }).expect("starts");
    assert_eq!(outcome.text(), "grüß dumb C.UTF-8 root\n");

    let outcome = agent.exec(Exec { env, clear_env: true, ..argv(&["/usr/bin/env"]) }).expect("starts");
    assert_eq!(outcome.text(), "GREETING=grüß\n");
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    let mut agent = Agent::start();
    let path = |name: &str| agent.path(name);
    let (plain, script, binary) = (path("plain"), path("script"), path("binary"));
    std::fs::write(&plain, "text").expect("written");
    let make = |path: &str, content: &[u8]| {
        std::fs::write(path, content).expect("written");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    make(&script, b"#!/no/such/interpreter\n");
    make(&binary, b"\x01\x02\x03 neither script nor program");
    for (exec, code) in [
        (argv(&["no-such-program"]), FailureCode::NotFound),
        (argv(&["/no/such/program"]), FailureCode::NotFound),
        (argv(&["/etc/passwd/x"]), FailureCode::NotFound),
        (argv(&["/tmp"]), FailureCode::IsADirectory),
        (argv(&[&plain]), FailureCode::NotExecutable),
        (argv(&[&binary]), FailureCode::NotExecutable),
        (argv(&[&script]), FailureCode::BadInterpreter),
        (argv(&[]), FailureCode::InvalidArgument),
        (argv(&[""]), FailureCode::InvalidArgument),
        (argv(&["a\0b"]), FailureCode::InvalidArgument),
        (argv(&["true", &"x".repeat(200_000)]), FailureCode::TooLarge),
        (Exec { cwd: Some("/no/such/directory".into()), ..argv(&["true"]) }, FailureCode::BadCwd),
        (Exec { cwd: Some("/etc/passwd".into()), ..argv(&["true"]) }, FailureCode::BadCwd),
        (Exec { user: Some("no-such-user".into()), ..argv(&["true"]) }, FailureCode::BadUser),
    ] {
        let shown = format!("{exec:?}");
        let failure = agent.exec(exec).expect_err(&shown);
        assert_eq!(failure.code, code, "{shown}: {}", failure.message);
    }
    assert!(agent.answers());
}

#[test]
fn a_time_limit_kills_the_whole_tree_and_keeps_the_output() {
    for mut agent in [Agent::start(), Agent::start_without_cgroups()] {
        let marker = format!("98765{}", std::process::id());
        let command =
            format!("echo before; sleep {marker} & (setsid sleep {marker} & sleep {marker}) & wait");
        let started = Instant::now();
        let outcome = agent.exec(Exec { time_limit_ms: Some(300), ..shell(&command) }).expect("starts");
        assert!(
            started.elapsed() >= Duration::from_millis(300) && started.elapsed() < Duration::from_secs(10)
        );
        assert_eq!(outcome.text(), "before\n");
        let exited = outcome.exited.expect("exited");
        assert_eq!(exited.ended_by, EndedBy::TimeLimit);
        assert_eq!(exited.status, ExitStatus::Signal(9));
        assert!(!exited.background_left);
        assert_eq!(running(&marker), 0, "with control groups: {}", agent.ready.control_groups);
    }
}

#[test]
fn with_control_groups_even_daemons_do_not_escape_the_time_limit() {
    let mut agent = Agent::start();
    if !agent.ready.control_groups {
        return;
    }
    let marker = format!("98766{}", std::process::id());
    let command = format!("(setsid sh -c 'setsid sleep {marker} & exit' &); sleep 0.2; sleep {marker}");
    let outcome = agent.exec(Exec { time_limit_ms: Some(500), ..shell(&command) }).expect("starts");
    assert_eq!(outcome.exited.expect("exited").ended_by, EndedBy::TimeLimit);
    assert_eq!(running(&marker), 0);
}

#[test]
fn a_cpu_time_limit_counts_work_and_not_waiting() {
    let mut agent = Agent::start();
    let limit = |command| Exec { cpu_time_limit_ms: Some(300), ..shell(command) };
    let outcome = agent.exec(limit("sleep 0.6; echo slept")).expect("starts");
    assert_eq!(outcome.text(), "slept\n");
    // Run twice: the second gets a control group that has counted before.
    for _ in 0..2 {
        let outcome = agent.exec(limit("while :; do :; done & while :; do :; done")).expect("starts");
        let exited = outcome.exited.expect("exited");
        assert_eq!(exited.ended_by, EndedBy::CpuTimeLimit, "{exited:?}");
    }
}

#[test]
fn background_children_do_not_keep_the_answer_back_and_live_on() {
    let mut agent = Agent::start();
    let marker = format!("98767{}", std::process::id());
    let started = Instant::now();
    let outcome = agent.shell(&format!("echo hi; sleep {marker} &"));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.text(), "hi\n");
    assert!(outcome.exited.expect("exited").background_left);
    let patience = Instant::now() + Duration::from_secs(5);
    while running(&marker) != 1 {
        assert!(Instant::now() < patience, "the child has gone");
    }
    // What it leaves behind neither disturbs nor is disturbed by what follows.
    assert_eq!(agent.shell("echo next").text(), "next\n");
    agent.shell(&format!("pkill -f 'sleep {marker}'"));
    assert!(agent.answers());
}

#[test]
fn a_background_writer_is_neither_blocked_nor_killed() {
    let mut agent = Agent::start();
    let done = agent.path("done");
    agent.shell(&format!("(sleep 0.2; head -c 3000000 /dev/zero; touch {done}) &"));
    let patience = Instant::now() + Duration::from_secs(10);
    while !std::path::Path::new(&done).exists() {
        assert!(Instant::now() < patience, "the writer hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(agent.answers());
}

#[test]
fn output_stops_without_credit_and_goes_on_with_it() {
    let mut agent = Agent::start();
    let total = 3 * INITIAL_WINDOW as usize + 12345;
    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, ..argv(&["head", "-c", &total.to_string(), "/dev/zero"]) }));
    let mut got = 0;
    agent.set_patience(Duration::from_millis(500));
    while let Some(frame) = agent.try_receive() {
        match frame {
            AgentToHost::Output { data, .. } => got += data.len(),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(got, INITIAL_WINDOW as usize);
    agent.set_patience(Duration::from_secs(20));
    agent.send(&HostToAgent::Credit { op, bytes: INITIAL_WINDOW });
    let rest = agent.finish(op).expect("started");
    assert_eq!(got + rest.stdout.len(), total);
}

#[test]
fn a_lot_of_output_arrives_complete() {
    let mut agent = Agent::start();
    for output_delay_ms in [0, 10] {
        let outcome =
            agent.exec(Exec { output_delay_ms, ..shell("seq 1 400000; seq 1 1000 >&2") }).expect("starts");
        let expected: String = (1..=400_000).map(|number| format!("{number}\n")).collect();
        assert!(outcome.text() == expected);
        assert_eq!(outcome.stderr.len(), 3893);
    }
}

#[test]
fn signals_go_to_the_leader_or_the_group() {
    let mut agent = Agent::start();
    let op = agent.op();
    let command = "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    agent.send(&HostToAgent::Exec(Exec { op, announce_start: true, ..shell(command) }));
    assert!(matches!(agent.receive(), AgentToHost::Started { op: started, pid } if started == op && pid > 0));
    assert!(matches!(agent.receive(), AgentToHost::Output { .. }));
    agent.send(&HostToAgent::Signal { op, signal: 10, whole_group: false });
    let outcome = agent.finish(op).expect("started");
    assert_eq!((outcome.text().as_str(), outcome.status()), ("caught\n", ExitStatus::Code(7)));

    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, ..shell("echo ready; sleep 50 & sleep 50") }));
    assert!(matches!(agent.receive(), AgentToHost::Output { .. }));
    agent.send(&HostToAgent::Signal { op, signal: 15, whole_group: true });
    assert_eq!(agent.finish(op).expect("started").status(), ExitStatus::Signal(15));
    // Numbers that are no signals, and operations that are gone.
    for signal in [0, 65, 255] {
        agent.send(&HostToAgent::Signal { op, signal, whole_group: true });
    }
    assert!(agent.answers());
}

#[test]
fn cancelling_kills_the_tree() {
    let mut agent = Agent::start();
    let marker = format!("98768{}", std::process::id());
    let op = agent.op();
    agent
        .send(&HostToAgent::Exec(Exec { op, ..shell(&format!("echo on; sleep {marker} & sleep {marker}")) }));
    assert!(matches!(agent.receive(), AgentToHost::Output { .. }));
    agent.send(&HostToAgent::Cancel { op });
    let exited = agent.finish(op).expect("started").exited.expect("exited");
    assert_eq!(exited.ended_by, EndedBy::Cancelled);
    assert_eq!(running(&marker), 0);
}

#[test]
fn a_terminal_has_a_size_echoes_and_ends() {
    let mut agent = Agent::start();
    let op = agent.op();
    let pty = Some(PtySize { cols: 91, rows: 17 });
    let command = "stty size; tty; read line; echo got $line; stty size; ps -o tty= -p $$ >/dev/null; exit 4";
    agent.send(&HostToAgent::Exec(Exec { op, pty, stdin: Stdin::Stream, ..shell(command) }));
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"/dev/") {
        match agent.receive() {
            AgentToHost::Output { data, .. } => seen.extend_from_slice(&data),
            other => panic!("unexpected {other:?}"),
        }
    }
    agent.send(&HostToAgent::Resize { op, size: PtySize { cols: 100, rows: 40 } });
    agent.send(&HostToAgent::Stdin { op, data: "hello\n".into() });
    let outcome = agent.finish(op).expect("started");
    seen.extend_from_slice(&outcome.stdout);
    let seen = String::from_utf8(seen).expect("text");
    assert!(seen.starts_with("17 91\r\n/dev/pts/"), "{seen:?}");
    assert!(seen.ends_with("hello\r\ngot hello\r\n40 100\r\n"), "{seen:?}");
    assert_eq!(outcome.status(), ExitStatus::Code(4));
}

#[test]
fn end_of_file_can_be_typed_on_a_terminal() {
    let mut agent = Agent::start();
    let op = agent.op();
    let pty = Some(PtySize { cols: 80, rows: 24 });
    agent.send(&HostToAgent::Exec(Exec { op, pty, stdin: Stdin::Stream, ..argv(&["cat"]) }));
    agent.send(&HostToAgent::Stdin { op, data: "line\n".into() });
    agent.send(&HostToAgent::CloseStdin { op });
    let outcome = agent.finish(op).expect("started");
    assert_eq!((outcome.text().as_str(), outcome.status()), ("line\r\nline\r\n", ExitStatus::Code(0)));
}

#[test]
fn many_programs_run_at_once() {
    let mut agent = Agent::start();
    let ops: Vec<OperationId> = (0..200).map(|_| agent.op()).collect();
    for op in &ops {
        let command = format!("sleep 0.2; echo {}", op.0);
        agent.send(&HostToAgent::Exec(Exec { op: *op, output_delay_ms: 5, ..shell(&command) }));
    }
    for (op, outcome) in agent.finish_all(&ops) {
        assert_eq!(outcome.expect("started").text(), format!("{}\n", op.0));
    }
}

#[test]
fn an_identifier_in_use_is_refused() {
    let mut agent = Agent::start();
    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, ..argv(&["sleep", "30"]) }));
    agent.send(&HostToAgent::Exec(Exec { op, ..argv(&["true"]) }));
    assert_eq!(agent.finish(op).expect_err("refused").code, FailureCode::Protocol);
    agent.send(&HostToAgent::Cancel { op });
    assert_eq!(agent.finish(op).expect("started").exited.expect("exited").ended_by, EndedBy::Cancelled);
}

#[test]
fn another_user_gets_its_groups_home_and_usable_streams() {
    let mut agent = Agent::start();
    if agent.shell("id -u").text() != "0\n" {
        return;
    }
    let exec =
        Exec { user: Some("daemon".into()), ..shell("id -un; id -G; echo $HOME; echo again > /dev/stderr") };
    let outcome = agent.exec(exec).expect("starts");
    assert_eq!(outcome.text(), "daemon\n1\n/usr/sbin\n");
    assert_eq!(outcome.stderr, b"again\n");
    let exec = Exec { user: Some("4711:4712".into()), ..shell("id -u; id -g") };
    assert_eq!(agent.exec(exec).expect("starts").text(), "4711\n4712\n");
}
