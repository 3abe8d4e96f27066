//! Programs without a shell, and their output while they run.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Encoding, ErrorCode, Event, Session, Shell, shared};
use serde_json::{Value, json};

fn exec(argv: &[&str], fields: Value) -> Value {
    let mut request = json!({"type": "exec", "argv": argv, "time_limit_ms": 120_000});
    for (name, value) in fields.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

fn run(guest: &mut Session, argv: &[&str], fields: Value) -> Shell {
    guest.ask(exec(argv, fields))
}

#[test]
fn arguments_arrive_as_they_are() {
    let mut guest = shared();
    let arguments = ["printf", "%s|", "a b", "", "$HOME", "*", "'\"", "\n", "é😀", "-n"];
    let answer = run(&mut guest, &arguments, json!({}));
    assert_eq!((answer.stdout.as_str(), answer.exit_code), ("a b||$HOME|*|'\"|\n|é😀|-n|", 0));
    assert!(answer.cpu_time_ms.is_some());
    assert_eq!(run(&mut guest, &["/bin/false"], json!({})).exit_code, 1);
    let many: Vec<String> = (0..5000).map(|number| format!("argument-{number}")).collect();
    let mut argv = vec!["sh", "-c", "echo $#", "sh"];
    argv.extend(many.iter().map(String::as_str));
    assert_eq!(run(&mut guest, &argv, json!({})).stdout, "5000\n");
}

#[test]
fn what_cannot_be_started_is_refused() {
    use ErrorCode::*;
    let mut guest = shared();
    guest.write_bytes("/tmp/not-executable", b"text", "0644");
    guest.write_bytes("/tmp/no-program", b"\x7FELF nonsense", "0755");
    guest.write_bytes("/tmp/no-interpreter", b"#!/no/such/interpreter\n", "0755");
    for (argv, fields, code) in [
        (&["no-such-program"][..], json!({}), NotFound),
        (&["/no/such/program"], json!({}), NotFound),
        (&["/tmp/not-executable"], json!({}), NotExecutable),
        (&["/tmp/no-program"], json!({}), NotExecutable),
        (&["/tmp/no-interpreter"], json!({}), NotExecutable),
        (&["/tmp"], json!({}), IsADirectory),
        (&["true"], json!({"cwd": "/no/such/directory"}), BadCwd),
        (&["true"], json!({"cwd": "/etc/hostname"}), BadCwd),
        (&["true"], json!({"user": "nobody-at-all"}), BadUser),
        (&["true"], json!({"user": "root:no-group"}), BadUser),
        (&["true"], json!({"cwd": "tmp"}), InvalidPath),
        (&["true"], json!({"user": ""}), InvalidRequest),
        (&["true"], json!({"user": "x".repeat(3 << 20)}), InvalidRequest),
        (&["true"], json!({"stdin": "?", "stdin_encoding": "base64"}), InvalidBase64),
        (&["cat", "a\0b"], json!({}), InvalidRequest),
        (&[], json!({}), InvalidRequest),
        (&[""], json!({}), InvalidRequest),
        (&["true", &"x".repeat(200_000)], json!({}), TooLarge),
        (&["true"], json!({"env": {"A": "x".repeat(1 << 20)}}), TooLarge),
    ] {
        for background in [false, true] {
            let mut request = exec(argv, fields.clone());
            request["background"] = json!(background);
            guest.refusal(code, request);
        }
    }
    assert_eq!(guest.output("echo fine"), "fine\n");
}

#[test]
fn the_environment_is_as_asked_for() {
    let mut guest = shared();
    let env = run(&mut guest, &["/usr/bin/env"], json!({"clear_env": true, "env": {"B": "2", "A": "1 ="}}));
    assert_eq!(env.stdout, "A=1 =\nB=2\n");
    assert_eq!(run(&mut guest, &["/usr/bin/env"], json!({"clear_env": true})).stdout, "");
    let usual = run(&mut guest, &["env"], json!({"env": {"HOME": "/elsewhere", "A": "x"}})).stdout;
    for line in ["A=x", "HOME=/elsewhere", "USER=root"] {
        assert_eq!(usual.lines().filter(|found| *found == line).count(), 1, "{line}: {usual}");
    }
}

#[test]
fn another_user_runs_it() {
    let mut guest = shared();
    let nobody = run(&mut guest, &["id"], json!({"user": "nobody", "cwd": "/"})).stdout;
    assert!(nobody.starts_with("uid=65534(nobody) gid=65534(nogroup)"), "{nobody}");
    let number = run(&mut guest, &["id", "-u"], json!({"user": "12345:678", "cwd": "/"})).stdout;
    assert_eq!(number, "12345\n");
    let group = run(&mut guest, &["id", "-g"], json!({"user": "12345:678", "cwd": "/"})).stdout;
    assert_eq!(group, "678\n");
}

#[test]
fn standard_input_is_text_or_base64_of_any_length() {
    let mut guest = shared();
    assert_eq!(run(&mut guest, &["cat"], json!({"stdin": "héllo"})).stdout, "héllo");
    assert_eq!(run(&mut guest, &["cat"], json!({})).stdout, "");
    let bytes = common::noise(3 << 20);
    let fields = json!({"stdin": STANDARD.encode(&bytes), "stdin_encoding": "base64"});
    let sum = run(&mut guest, &["sha256sum"], fields).stdout;
    assert_eq!(sum, format!("{}  -\n", common::sha256(&bytes)));
    // All that goes along with the first frame, as large as it may be.
    let value = "v".repeat(100_000);
    let env = json!({"A": value, "B": value, "C": value, "D": value, "E": value});
    for length in [200_000, 400_000, 524_288, 524_289] {
        let fields = json!({"stdin": "i".repeat(length), "env": env});
        let argument = "a".repeat(100_000);
        let answer = run(&mut guest, &["sh", "-c", "wc -c; echo ${#A} ${#1}", "sh", &argument], fields);
        assert_eq!(answer.stdout, format!("{length}\n100000 100000\n"));
    }
}

#[test]
fn processor_time_is_limited_with_all_descendants() {
    let mut guest = shared();
    let command = "echo begun; (while :; do :; done) & while :; do :; done";
    let answer = guest.shell_with(command, json!({"cpu_time_limit_ms": 300}));
    assert_eq!((answer.exit_code, answer.timed_out, answer.stdout.as_str()), (137, true, "begun\n"));
    assert!(answer.note.expect("a note").contains("CPU time"));
    let sleeper = guest.shell_with("sleep 1; echo done", json!({"cpu_time_limit_ms": 900}));
    assert_eq!((sleeper.stdout.as_str(), sleeper.timed_out), ("done\n", false));
}

#[test]
fn output_is_cut_in_its_middle() {
    let mut guest = shared();
    let print = "printf 0123456789; printf abc >&2";
    for (limit, stdout, stderr) in
        [(0, "", ""), (1, "", ""), (4, "0189", "abc"), (10, "0123456789", "abc"), (2, "09", "ac")]
    {
        let answer = guest.shell_with(print, json!({"max_output_bytes": limit}));
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), (stdout, stderr), "{limit}");
        assert_eq!(answer.stdout_truncated_bytes, 10 - stdout.len() as u64);
        assert_eq!(answer.stdout_truncated, stdout.len() < 10);
        assert_eq!(answer.stderr_truncated_bytes, 3 - stderr.len() as u64);
        assert_eq!(answer.note.is_some(), stdout.len() < 10);
    }
    guest.refusal(ErrorCode::InvalidRequest, exec(&["true"], json!({"max_output_bytes": (64 << 20) + 1})));
    let answer = run(&mut guest, &["echo", "hi"], json!({"encoding": "base64"}));
    assert_eq!((answer.stdout.as_str(), answer.stdout_encoding), ("aGkK", Some(Encoding::Base64)));
    let binary = run(&mut guest, &["printf", "\\377"], json!({}));
    assert_eq!((binary.stdout.as_str(), binary.stdout_encoding), ("/w==", Some(Encoding::Base64)));
}

/// What the events say that was written to one stream.
fn told(events: &[Event], stream: &str) -> Vec<u8> {
    let pieces = events.iter().filter(|event| event.event == stream);
    let bytes = pieces.map(|event| match event.encoding {
        Some(_) => STANDARD.decode(event.data.as_ref().expect("data")).expect("base64"),
        None => event.data.clone().expect("data").into_bytes(),
    });
    bytes.flatten().collect()
}

#[test]
fn output_is_told_while_a_command_runs() {
    let mut guest = shared();
    guest.output("rm -f /tmp/go-on");
    let command = "printf first; until [ -e /tmp/go-on ]; do sleep 0.02; done; printf problem >&2; exit 3";
    let id = guest.send_async(common::shell_request(command, json!({"stream": true})));
    let started = guest.event(&id);
    assert!(started.event == "started" && started.pid.is_some_and(|pid| pid > 1), "{started:?}");
    let first = guest.event(&id);
    assert_eq!((first.event.as_str(), first.data.as_deref(), first.seq), ("stdout", Some("first"), 2));
    guest.send_async(json!({"type": "write_file", "path": "/tmp/go-on", "content": ""}));
    let problem = guest.event(&id);
    assert_eq!(
        (problem.event.as_str(), problem.data.as_deref(), problem.seq),
        ("stderr", Some("problem"), 3)
    );
    let exited = guest.event(&id);
    assert_eq!((exited.event.as_str(), exited.exit_code, exited.seq), ("exited", Some(3), 4));
    assert!(exited.signal.is_none() && !exited.timed_out);
    let answer: Shell = guest.answer("shell", &id);
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str(), answer.exit_code), ("first", "problem", 3));
    guest.forget();
}

#[test]
fn all_events_come_before_the_answer_and_lose_nothing() {
    let mut guest = shared();
    let script = "import sys, time\nfor i in range(3000):\n sys.stdout.write('é😀' * 20)\n \
                  sys.stderr.write('%d\\n' % i)\nsys.stdout.flush()";
    guest.write_file("/tmp/writer.py", script);
    let id = guest.send(exec(&["python3", "/tmp/writer.py"], json!({"stream": true})));
    let answer: Shell = guest.answer("exec", &id);
    let events = guest.events_so_far(&id);
    assert!(events.iter().all(|event| event.encoding.is_none()), "a character was split");
    assert!(events.iter().all(|event| event.process_id == events[0].process_id));
    assert_eq!(told(&events, "stdout"), answer.stdout.as_bytes());
    assert_eq!(told(&events, "stderr"), answer.stderr.as_bytes());
    assert_eq!((answer.stdout.chars().count(), answer.stderr.lines().count()), (120_000, 3000));
    assert_eq!((events[0].event.as_str(), events.last().expect("one").event.as_str()), ("started", "exited"));
    // What is dropped from the answer is told all the same.
    let fields = json!({"stream": true, "max_output_bytes": 0, "encoding": "base64"});
    let id = guest.send(exec(&["head", "-c", "1000000", "/dev/urandom"], fields));
    let answer: Shell = guest.answer("exec", &id);
    let events = guest.events_so_far(&id);
    assert_eq!((answer.stdout.as_str(), answer.stdout_truncated_bytes), ("", 1_000_000));
    assert_eq!(told(&events, "stdout").len(), 1_000_000);
    assert!(events.iter().filter(|event| event.data.is_some()).all(|event| event.encoding.is_some()));
}

#[test]
fn the_end_of_a_streamed_command_tells_how_it_ended() {
    let mut guest = shared();
    let id = guest.send(common::shell_request("sleep 60", json!({"stream": true, "time_limit_ms": 200})));
    let answer: Shell = guest.answer("shell", &id);
    let last = guest.events_so_far(&id).pop().expect("an event");
    assert!(answer.timed_out && last.timed_out, "{last:?}");
    assert_eq!((last.signal.as_deref(), last.exit_code), (Some("SIGKILL"), Some(137)));
    let id = guest.send(exec(&["/no/such/program"], json!({"stream": true})));
    guest.refused("exec", &id, ErrorCode::NotFound);
    assert_eq!(guest.events_so_far(&id), []);
}
