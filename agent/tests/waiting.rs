//! Shells that wait for a command: nobody can tell them from new ones.

mod common;

use std::time::{Duration, Instant};

use common::{Agent, Outcome, argv};
use wasm_sandbox_protocol::agent::*;

/// The shells an agent keeps waiting.
fn waiting(agent: &Agent) -> Vec<u32> {
    shells(agent, false)
}

/// Of the agent's children whose command is empty, the one that is only there to be copied, whose output is a socket, or
/// the others.
fn shells(agent: &Agent, copied: bool) -> Vec<u32> {
    let parent = format!("PPid:\t{}\n", agent.ready.pid);
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let read = |name| std::fs::read(entry.path().join(name)).ok();
            let waits = read("cmdline")?.starts_with(b"/bin/bash\0-c\0\0");
            let child = String::from_utf8(read("status")?).ok()?.contains(&parent);
            let output = std::fs::read_link(entry.path().join("fd/1")).ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            (waits && child && output.to_str()?.starts_with("socket:") == copied).then_some(pid)
        })
        .collect()
}

fn wait_for_shells(agent: &Agent) -> Vec<u32> {
    for _ in 0..1000 {
        let pids = waiting(agent);
        // More of them where they are copies.
        let wanted = if shells(agent, true).is_empty() { 2 } else { 4 };
        if pids.len() == wanted {
            return pids;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no shells are waiting");
}

fn bash(command: &str) -> Exec<'static> {
    argv(&["/bin/bash", "-c", command])
}

/// Sends a signal to processes, from a shell of the agent's.
fn kill(signal: &str, pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    format!("kill -{signal} {}", pids.join(" "))
}

/// Runs a request, and says in which process.
fn run(agent: &mut Agent, exec: Exec) -> (u32, Outcome) {
    let op = agent.op();
    agent.send(&HostToAgent::Exec(Exec { op, announce_start: true, ..exec }));
    let pid = match agent.receive() {
        AgentToHost::Started { pid, .. } => pid,
        other => panic!("expected Started, got {other:?}"),
    };
    (pid, agent.finish(op).expect("starts"))
}

/// Runs a request in a shell that waited.
fn run_waiting(agent: &mut Agent, exec: Exec) -> (u32, Outcome) {
    let pids = wait_for_shells(agent);
    let what = format!("{exec:?}");
    let (pid, outcome) = run(agent, exec);
    assert!(pids.contains(&pid), "no waiting shell ran {what}");
    (pid, outcome)
}

/// Runs a request in a new shell although others wait.
fn run_new(agent: &mut Agent, exec: Exec) -> (u32, Outcome) {
    let pids = wait_for_shells(agent);
    let what = format!("{exec:?}");
    let (pid, outcome) = run(agent, exec);
    assert!(!pids.contains(&pid), "a waiting shell ran {what}");
    (pid, outcome)
}

/// Numbers that differ from run to run.
fn normalise(pid: u32, agent: &Agent, bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for (number, name) in [(agent.ready.pid, "AGENT"), (pid, "SELF")] {
        text = text.replace(&number.to_string(), name);
    }
    text
}

const COMMANDS: &[&str] = &[
    "",
    "echo hi",
    "   echo   hi  ",
    "true",
    "false",
    "exit 7",
    "nonsense-command",
    "/nonexistent/program",
    "echo $0 $$ $PPID $BASH_SUBSHELL $- $# $? $! $SHLVL $BASHPID $LINENO",
    "echo \"[$_]\"",
    "echo \"$BASH_ENV|$OLDPWD|$PWD|$BASH_EXECUTION_STRING\"; pwd; pwd -P",
    "echo $SECONDS",
    "echo ${#FUNCNAME[@]} ${BASH_SOURCE[0]} $BASH_COMMAND",
    "caller; echo $?",
    "env",
    "env | sort; printenv BASH_ENV",
    "exec env",
    "declare -p | grep -v -e RANDOM -e SECONDS -e BASH_ARGC -e PIPESTATUS",
    "set | grep -v -e RANDOM -e SECONDS -e BASH_ARGC -e PIPESTATUS",
    "export -p",
    "declare -F; alias; trap; hash; jobs; dirs; complete",
    "shopt; set -o; umask; ulimit -a",
    "ls -l /proc/self/fd | grep -c -- '->'; ls -l /proc/self/fd/0",
    "ls /proc/$$/fd",
    "for fd in /proc/self/fd/*; do [ -e $fd ] && echo ${fd##*/}; done",
    "cd /tmp; echo $PWD $OLDPWD; cd -",
    "x=(",
    "if true; then",
    "echo 'unterminated",
    "echo one\necho two\nnonsense-command",
    "f() { echo in f; return 3; }; f; echo $?",
    "kill -TERM $$",
    "kill -KILL $$",
    "sh -c 'kill -SEGV $$'",
    "exec sh -c 'kill -SEGV $$'",
    "sleep 0",
    "echo out; echo err >&2",
    "cat; echo end",
    "read line; echo $?",
    "cat <<END\nhere $((6 * 7))\nEND",
    "echo a | tr a b; echo ${PIPESTATUS[@]}",
    "set -e; false; echo not reached",
    "set -u; echo $unset_variable",
    "trap 'echo bye' EXIT; echo hi",
    "echo 'it'\\''s' \"quoted\" \\\\ $'tab\\t' ü €",
    "(echo sub; exit 4); echo $? $BASH_SUBSHELL",
    "diff <(echo a) <(echo a) && echo same",
    "tty; echo $?; ps -o sid=,pgid= -p $$ | tr -d ' '",
    "nice; cat /proc/self/oom_score_adj; grep -e ^Sig -e ^Cap -e ^Umask /proc/self/status",
    "grep -a -o BASH_ENV /proc/self/environ",
    "unset HOME; echo ~; cd; echo $?",
    "readonly x=1; x=2; echo not reached",
    "echo $((1/0)); echo after",
    "type ls cd if; command -v cat",
    "wait; echo $?; ( : ) & wait $!; echo $?",
    "unset RANDOM SECONDS; echo \"$RANDOM$SECONDS\"",
    "a=$RANDOM b=$RANDOM; [ $a = $b ] || echo differ",
    "printf '%(%s)T' -2 | grep -c .",
    "times | wc -l; history; fc -l; bind -l 2>&1 | wc -l",
];

fn compare(variants: &[Exec<'static>]) {
    let mut warm = Agent::start();
    let mut cold = Agent::start_without_waiting_shells();
    for exec in variants {
        let (pid, one) = run_waiting(&mut warm, exec.clone());
        let (new, two) = run(&mut cold, exec.clone());
        let of = |agent: &Agent, pid: u32, outcome: &Outcome| {
            let text = |bytes: &[u8]| normalise(pid, agent, bytes);
            (text(&outcome.stdout), text(&outcome.stderr), outcome.status())
        };
        assert_eq!(of(&warm, pid, &one), of(&cold, new, &two), "{exec:?}");
    }
}

#[test]
fn a_command_cannot_tell_whether_its_shell_waited() {
    compare(&COMMANDS.iter().map(|command| bash(command)).collect::<Vec<_>>());
}

#[test]
fn directories_and_variables_are_as_in_a_new_shell() {
    let link = tempfile::tempdir().expect("a directory");
    let odd = link.path().join("it's a $(dir)");
    std::fs::create_dir(&odd).expect("made");
    let symbolic = link.path().join("link");
    std::os::unix::fs::symlink(&odd, &symbolic).expect("made");
    let env = |pairs: &[(&str, &str)]| {
        let owned = |text: &str| Bytes::from(text.to_owned());
        pairs.iter().map(|(name, value)| (owned(name), owned(value))).collect::<Vec<_>>()
    };
    let look = "pwd; echo \"$PWD|$OLDPWD|$_\"; export -p; env; declare -p OLDPWD PWD; cd /; echo $OLDPWD";
    let mut variants = Vec::new();
    for directory in [
        "/",
        "/tmp",
        "/usr/bin/",
        "/proc/self/../../tmp",
        "/tmp//.",
        odd.to_str().expect("text"),
        symbolic.to_str().expect("text"),
    ] {
        variants.push(Exec { cwd: Some(directory.to_owned().into()), ..bash(look) });
    }
    for pairs in [
        &[("A", "1"), ("B", "it's \"x\" $y `z` \\ \n two"), ("A", "2")][..],
        &[("PATH", "/nowhere"), ("HOME", "/tmp"), ("EMPTY", "")],
        &[("LC_ALL", "C"), ("LANG", "C"), ("USER", "somebody"), ("ü", "x")][..3],
    ] {
        variants.push(Exec { env: env(pairs), ..bash(look) });
        variants.push(Exec {
            env: env(pairs),
            ..bash("declare -p A B EMPTY PATH HOME LC_ALL; cd; /bin/pwd; ls")
        });
    }
    compare(&variants);
}

#[test]
fn what_does_not_fit_takes_the_usual_way() {
    let mut agent = Agent::start();
    let text = |name: &str, value: &str| vec![(Bytes::from(name.to_owned()), Bytes::from(value.to_owned()))];
    for (exec, expected) in [
        (Exec { env: text("BASH_ENV", "/dev/null"), ..bash("echo $BASH_ENV") }, "/dev/null\n"),
        (Exec { env: text("TZ", "XYZ-1"), ..bash("date +%Z") }, "XYZ\n"),
        (Exec { user: Some("root".into()), ..bash("id -u") }, "0\n"),
        (Exec { stdin: Stdin::Inline("in".into()), ..bash("cat") }, "in"),
        (Exec { clear_env: true, ..bash("echo $HOME-") }, "-\n"),
        (argv(&["/bin/bash", "-c", "echo $1", "x", "y"]), "y\n"),
        (bash(&format!("echo x #{}", "-".repeat(20_000))), "x\n"),
    ] {
        assert_eq!(run_new(&mut agent, exec).1.text(), expected);
    }
    // Refusals are those of the usual way, too.
    wait_for_shells(&agent);
    let refusal =
        agent.exec(Exec { cwd: Some("/nonexistent".into()), ..bash("pwd") }).expect_err("no directory");
    assert_eq!(refusal.code, FailureCode::BadCwd);
    assert!(agent.exec(bash("a\0b")).is_err());
    // The longest that fits.
    let long = format!("echo {}", "y".repeat((16 << 10) - 5));
    assert_eq!(run_waiting(&mut agent, bash(&long)).1.text().len(), (16 << 10) - 4);
}

#[test]
fn shells_that_die_are_replaced() {
    let mut agent = Agent::start();
    for signal in ["KILL", "TERM"] {
        let pids = wait_for_shells(&agent);
        let killer = format!("{}; echo done", kill(signal, &pids));
        assert_eq!(agent.shell(&killer).text(), "done\n");
        // A copy waits for the script itself, so with a signal on its way it may still take it.
        if shells(&agent, true).is_empty() {
            assert_eq!(agent.exec(bash("echo on")).expect("starts").text(), "on\n");
        }
        // Killed is not yet dead.
        while waiting(&agent).iter().any(|pid| pids.contains(pid)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(run_waiting(&mut agent, bash("echo again")).1.text(), "again\n");
        assert!(waiting(&agent).iter().all(|pid| !pids.contains(pid)));
    }
    // Stopped ones are not used, or woken.
    let pids = wait_for_shells(&agent);
    assert_eq!(agent.shell(&kill("STOP", &pids)).status(), ExitStatus::Code(0));
    assert_eq!(agent.exec(bash("echo up")).expect("starts").text(), "up\n");
}

#[test]
fn limits_and_signals_work_from_the_request_on() {
    let mut agent = Agent::start();
    wait_for_shells(&agent);
    std::thread::sleep(Duration::from_millis(300));
    let exec = Exec { time_limit_ms: Some(200), ..bash("sleep 30 & sleep 30") };
    let (_, outcome) = run_waiting(&mut agent, exec);
    let exited = outcome.exited.expect("exited");
    assert_eq!(exited.ended_by, EndedBy::TimeLimit);
    assert!((200_000..290_000).contains(&exited.duration_us), "{}", exited.duration_us);
    // The others were not touched.
    assert!(!waiting(&agent).is_empty());
    let op = agent.op();
    wait_for_shells(&agent);
    agent.send(&HostToAgent::Exec(Exec { op, ..bash("sleep 30; echo no") }));
    agent.send(&HostToAgent::Cancel { op });
    let exited = agent.finish(op).expect("starts").exited.expect("exited");
    assert_eq!(exited.ended_by, EndedBy::Cancelled);
    let (_, outcome) = run_waiting(&mut agent, bash("sleep 987.5 & echo on"));
    assert_eq!(outcome.text(), "on\n");
    let abandon = HostToAgent::Hello { protocol_version: PROTOCOL_VERSION, abandon_operations: true };
    agent.send(&abandon);
    agent.receive();
    assert_eq!(run_waiting(&mut agent, bash("echo on")).1.text(), "on\n");
}

#[test]
fn many_requests_at_once_find_their_way() {
    let mut agent = Agent::start();
    for round in 0..20 {
        if round % 3 == 0 {
            wait_for_shells(&agent);
        }
        let ops: Vec<OperationId> = (0..5).map(|_| agent.op()).collect();
        for op in &ops {
            agent.send(&HostToAgent::Exec(Exec {
                op: *op,
                ..bash(&format!("echo {}; exit {}", op.0, op.0 % 7))
            }));
        }
        for (op, outcome) in agent.finish_all(&ops) {
            let outcome = outcome.expect("starts");
            assert_eq!(outcome.text(), format!("{}\n", op.0));
            assert_eq!(outcome.status(), ExitStatus::Code((op.0 % 7) as u8));
        }
    }
}

#[test]
fn the_random_numbers_of_two_shells_differ() {
    let mut agent = Agent::start();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        assert!(seen.insert(run_waiting(&mut agent, bash("echo $RANDOM $RANDOM $RANDOM")).1.text()));
    }
}

#[test]
fn nothing_is_left_when_the_agent_ends() {
    let agent = Agent::start();
    let pids = wait_for_shells(&agent);
    drop(agent);
    for _ in 0..200 {
        if pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}/mem")).exists()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Zombies belong to whoever adopted them.
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
}

#[test]
#[ignore = "a measurement"]
fn how_much_is_saved() {
    let mut warm = Agent::start();
    let mut cold = Agent::start_without_waiting_shells();
    for (name, agent) in [("waiting", &mut warm), ("new", &mut cold)] {
        let (mut inside, mut outside, mut cpu) = (Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..100 {
            if name == "waiting" {
                wait_for_shells(agent);
            }
            let start = Instant::now();
            let exited = agent.exec(bash("echo hi")).expect("starts").exited.expect("exited");
            outside += start.elapsed() / 100;
            inside += Duration::from_micros(exited.duration_us) / 100;
            cpu += exited.usage.user_us + exited.usage.system_us;
        }
        println!("{name}: {outside:?} each, {inside:?} inside, {} us of CPU", cpu / 100);
    }
}
