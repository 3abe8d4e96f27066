//! Code in interpreters that keep their state.

mod common;

use common::{Done, ErrorCode, Ran, Session, shared};
use serde_json::{Value, json};

fn request(language: &str, code: &str, fields: Value) -> Value {
    let mut request =
        json!({"type": "run_code", "language": language, "code": code, "time_limit_ms": 120_000});
    for (name, value) in fields.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

fn python(guest: &mut Session, code: &str) -> Ran {
    guest.ask(request("python", code, json!({})))
}

fn result(guest: &mut Session, code: &str) -> Option<String> {
    let ran = python(guest, code);
    assert_eq!((ran.exit_code, &ran.exception, ran.session_ended), (0, &None, false), "{}", ran.stderr);
    ran.result
}

fn close(guest: &mut Session, context: &str, language: &str) {
    let _: Done = guest.ask(json!({"type": "session_close", "session": context, "language": language}));
}

#[test]
fn python_keeps_its_state_and_gives_results() {
    let mut guest = shared();
    assert_eq!(result(&mut guest, "import math\nx = 6\ndef f(n):\n    return n * x"), None);
    assert_eq!(result(&mut guest, "f(7)").as_deref(), Some("42"));
    assert_eq!(result(&mut guest, "_ + 1").as_deref(), Some("43"));
    assert_eq!(result(&mut guest, "'é😀' + chr(0x1e)").as_deref(), Some("'é😀\\x1e'"));
    assert_eq!(result(&mut guest, "None"), None);
    assert_eq!(result(&mut guest, ""), None);
    assert_eq!(result(&mut guest, "__name__").as_deref(), Some("'__main__'"));
    let ran = python(&mut guest, "import sys\nprint('out', end='')\nprint('err', file=sys.stderr)\nx");
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str(), ran.result.as_deref()),
        ("out", "err\n", Some("6"))
    );
    assert_eq!(
        result(
            &mut guest,
            "class A:\n    pass\nimport pickle\npickle.loads(pickle.dumps(A())).__class__.__name__"
        )
        .as_deref(),
        Some("'A'")
    );
}

#[test]
fn what_python_raises_is_told() {
    let mut guest = shared();
    let ran = python(&mut guest, "def g():\n    return 1 / 0\n\ny = 5\ng()");
    let exception = ran.exception.expect("an exception");
    assert_eq!(
        (exception.name.as_str(), exception.message.as_str(), ran.exit_code),
        ("ZeroDivisionError", "division by zero", 1)
    );
    assert!(
        exception.traceback.contains("line 2, in g") && exception.traceback.contains("return 1 / 0"),
        "{}",
        exception.traceback
    );
    assert!(!exception.traceback.contains("_run"), "{}", exception.traceback);
    assert_eq!(ran.stderr, exception.traceback);
    assert_eq!(result(&mut guest, "y").as_deref(), Some("5"));
    let ran = python(&mut guest, "print('not run')\nx = = 1");
    assert_eq!(
        (ran.stdout.as_str(), ran.exception.expect("an exception").name.as_str()),
        ("", "SyntaxError")
    );
    for (code, exit_code) in [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("exit(0)", 0),
        ("import sys; sys.exit('words')", 1),
        ("import sys; sys.exit(300)", 44),
    ] {
        let ran = python(&mut guest, code);
        assert_eq!((ran.exit_code, ran.exception, ran.session_ended), (exit_code, None, false), "{code}");
    }
    for (code, name) in [
        ("input()", "EOFError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def h(): h()\nh()", "RecursionError"),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "E"),
        ("raise Exception('\\ud800')", "Exception"),
        ("raise BaseException('x' * 20_000_000)", "BaseException"),
        ("class B:\n    def __repr__(self): raise ValueError('no')\nB()", "ValueError"),
        ("'\\0' and eval('1 +')", "SyntaxError"),
    ] {
        let ran = python(&mut guest, code);
        let exception = ran.exception.unwrap_or_else(|| panic!("{code}: {:?}", ran.result));
        assert_eq!((exception.name.as_str(), ran.exit_code, ran.timed_out), (name, 1, false), "{code}");
        assert!(exception.message.len() <= 1 << 20);
    }
    assert_eq!(result(&mut guest, "y").as_deref(), Some("5"));
}

#[test]
fn results_are_cut_and_any_characters_come_through() {
    let mut guest = shared();
    assert_eq!(result(&mut guest, "'x' * 3_000_000").expect("a result").len(), 1 << 20);
    assert_eq!(result(&mut guest, "'😀' * 2_000_000").expect("a result").chars().count(), 1 << 20);
    let odd = "class R:\n    def __repr__(self): return 'a\\ud800\\x1e\\0'\nR()";
    assert_eq!(result(&mut guest, odd).as_deref(), Some("a\\ud800\u{1e}\0"));
    let ran = python(&mut guest, "print('\\ud800')\nimport os\nos.write(1, b'\\x1eraw\\x1e')");
    assert!(ran.stdout.ends_with("\u{1e}raw\u{1e}") && ran.result.as_deref() == Some("5"), "{ran:?}");
    let large = format!("len('{}')", "y".repeat(900_000));
    assert_eq!(result(&mut guest, &large).as_deref(), Some("900000"));
    guest.refusal(ErrorCode::TooLarge, request("python", &"#".repeat(2 << 20), json!({})));
}

#[test]
fn threads_and_children_write_where_the_code_does() {
    let mut guest = shared();
    let ran = python(
        &mut guest,
        "import threading\nts = [threading.Thread(target=print, args=(f'thread {i}',)) for i in range(5)]\n\
        for t in ts: t.start()\nfor t in ts: t.join()\nimport subprocess\nprint('before')\n\
        subprocess.run('echo child; echo problem >&2; cat', shell=True).returncode",
    );
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("thread")).collect();
    assert_eq!((lines, ran.stdout.lines().count()), (vec!["before", "child"], 7));
    assert_eq!((ran.stderr.as_str(), ran.result.as_deref()), ("problem\n", Some("0")));
}

#[test]
fn code_that_runs_too_long_is_interrupted_and_keeps_its_state() {
    let mut guest = shared();
    result(&mut guest, "x = 1");
    let ran: Ran = guest.ask(request(
        "python",
        "x = 2\nprint('begun')\nwhile True: pass",
        json!({"time_limit_ms": 500}),
    ));
    assert_eq!((ran.timed_out, ran.session_ended, ran.stdout.as_str()), (true, false, "begun\n"));
    assert_eq!(ran.exception.expect("an exception").name, "KeyboardInterrupt");
    assert_eq!(result(&mut guest, "x").as_deref(), Some("2"));
    let ran: Ran =
        guest.ask(request("python", "import time\ntime.sleep(100)", json!({"time_limit_ms": 300})));
    assert_eq!((ran.timed_out, ran.session_ended), (true, false));
    assert_eq!(result(&mut guest, "x").as_deref(), Some("2"));
    let stubborn =
        "import time\nwhile True:\n    try:\n        time.sleep(100)\n    except BaseException: pass";
    let ran: Ran = guest.ask(request("python", stubborn, json!({"time_limit_ms": 300})));
    assert_eq!((ran.timed_out, ran.session_ended, ran.exit_code), (true, true, 137));
    assert_eq!(python(&mut guest, "x").exception.expect("an exception").name, "NameError");
    let ran = python(&mut guest, "import os\nos._exit(4)");
    assert_eq!((ran.session_ended, ran.exit_code), (true, 4));
}

#[test]
fn cancelled_code_keeps_its_state() {
    let mut guest = shared();
    result(&mut guest, "x = 'kept'");
    let id = guest.send_async(request("python", "print('begun')\nwhile True: pass", json!({"stream": true})));
    assert_eq!(guest.event(&id).event, "started");
    assert_eq!(guest.event(&id).data.as_deref(), Some("begun\n"));
    let second = guest.send_async(request("python", "1", json!({})));
    guest.refused("run_code", &second, ErrorCode::Busy);
    assert!(guest.cancel(&id));
    let failure = guest.refused("run_code", &id, ErrorCode::Cancelled);
    assert_eq!(failure.stdout.as_deref(), Some("begun\n"));
    assert_eq!(result(&mut guest, "x").as_deref(), Some("'kept'"));
    guest.forget();
}

#[test]
fn contexts_and_languages_are_apart() {
    let mut guest = shared();
    let ids: Vec<Value> = (0..4)
        .map(|number| {
            guest.send_async(request(
                "python",
                &format!("x = {number}"),
                json!({"context": format!("c{number}"), "cwd": "/tmp", "env": {"N": number.to_string()}}),
            ))
        })
        .collect();
    for id in ids.iter().rev() {
        assert_eq!(guest.answer::<Ran>("run_code", id).exit_code, 0);
    }
    let bash: Ran =
        guest.ask(request("bash", "x=shell; cd /usr; echo $x; (exit 3)", json!({"context": "c1"})));
    assert_eq!((bash.stdout.as_str(), bash.exit_code, bash.result), ("shell\n", 3, None));
    for number in 0..4 {
        let context = format!("c{number}");
        let ran: Ran = guest.ask(request(
            "python",
            "import os\n(x, os.environ['N'], os.getcwd())",
            json!({"context": context}),
        ));
        assert_eq!(ran.result, Some(format!("({number}, '{number}', '/tmp')")));
        close(&mut guest, &context, "python");
    }
    let bash: Ran = guest.ask(request("bash", "pwd; echo $x", json!({"context": "c1"})));
    assert_eq!(bash.stdout, "/usr\nshell\n");
    let late: Ran =
        guest.ask(request("bash", "echo begun; sleep 100", json!({"context": "c1", "time_limit_ms": 300})));
    assert_eq!((late.timed_out, late.session_ended, late.stdout.as_str()), (true, true, "begun\n"));
    guest.refusal(ErrorCode::InvalidRequest, request("ruby", "1", json!({})));
    guest.refusal(ErrorCode::UnknownSession, json!({"type": "session_close", "session": "c1"}));
}
