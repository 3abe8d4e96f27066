//! Commands run in copies of a shell that was started before: nobody can tell them from new shells.
//!
//! (`agent/tests/waiting.rs` does the same outside of a guest, where shells wait but are not copied.)

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::Session;

/// A command longer than this is always run by a new shell.
const ROOM: usize = 16 << 10;

/// What differs for those who look closely (and is documented): the place of the command has a fixed size.
const WAITED: &str = "[ $(wc -c < /proc/$$/cmdline) -gt 16000 ] && echo waited; ";

/// A session whose next short command finds a shell that waits.
fn session() -> Session {
    let mut session = Session::start();
    rest(&mut session);
    session
}

/// Gives the agent the quiet moment in which it makes shells.
fn rest(session: &mut Session) {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(20));
        if session.shell(WAITED).stdout == "waited\n" {
            return;
        }
    }
    panic!("no shell waits");
}

#[test]
fn a_copy_is_as_a_new_shell() {
    let mut session = session();
    for command in [
        "",
        "echo hi",
        "exit 7",
        "nonsense-command",
        "[ $$ = $BASHPID ] && [ $(ps -o pid= -p $$) = $$ ] && echo same",
        "[ $(ps -o sid= -p $$) = $$ ] && [ $(ps -o pgid= -p $$) = $$ ] && echo leads",
        "ps -o ppid= -p $$; echo $PPID; ps -o nice=,stat= -p $$",
        "(echo $((BASHPID > $$))); echo $((BASHPID - $$)) $BASH_SUBSHELL $SHLVL $- $# $? $! $LINENO",
        "set -m; sleep 0 & wait $!; echo $?; [ $(ps -o pgid= -p $$) = $$ ] && echo leads",
        "kill -TERM $$",
        "kill -KILL $$",
        "kill -TERM 0",
        "trap 'echo got it' USR1; kill -USR1 $$; trap 'echo bye' EXIT; echo hi",
        "echo \"[$_]\"; echo \"$BASH_ENV|$OLDPWD|$PWD|$SECONDS\"",
        "env",
        "exec env",
        "declare -p | grep -v -e RANDOM -e SECONDS -e BASH_ARGC -e PIPESTATUS -e EXECUTION -e BASHPID",
        "export -p; declare -F; alias; trap; hash; jobs; dirs; complete; shopt; set -o; umask; ulimit -a",
        "ls /proc/$$/fd; stat -L -c %F /proc/$$/fd/[012]; readlink /proc/$$/fd/0 /proc/$$/exe /proc/$$/cwd",
        "for fd in 0 1 2; do cat /proc/$$/fdinfo/$fd | grep flags; done",
        "cut -d/ -f2 /proc/$$/cgroup; cat /proc/$$/oom_score_adj /proc/$$/comm /proc/$$/limits",
        "grep -e ^Sig -e ^Shd -e ^Cap -e ^Umask -e ^TracerPid -e ^Threads -e ^Seccomp /proc/$$/status",
        "sh -c 'ps -o args= -p $PPID | cut -c1-12'",
        "echo out; echo err >&2; cat; read line; echo $?",
        "cat <<END\nhere $((6 * 7))\nEND\necho a | tr a b; echo ${PIPESTATUS[@]}; diff <(echo a) <(echo a) && echo same",
        "tty; times | wc -l; history; fc -l; printf '%(%s)T' -2 | grep -c .",
        "coproc cat; echo x >&${COPROC[1]}; read -u ${COPROC[0]} y; echo $y",
        "f() { local x=1; return 3; }; f; echo $?; a=(1 2 3); echo ${a[@]: -1} ü € ${#a[@]}",
        "echo 'echo from a script $0 $#' > /tmp/script; chmod +x /tmp/script; /tmp/script x; rm /tmp/script",
        "unset HOME; echo ~; cd; echo $?; ulimit -s unlimited; ulimit -s",
    ] {
        rest(&mut session);
        // A comment behind it, too: bash runs the last line's command without a process of its own.
        let copy = session.shell(&format!("{command}\n#"));
        let new = session.shell(&format!("{command}\n#{}", "-".repeat(ROOM)));
        let of = |answer: &common::Shell| {
            (answer.exit_code, answer.signal.clone(), answer.stdout.clone(), answer.stderr.clone())
        };
        assert_eq!(of(&copy), of(&new), "{command}");
    }
}

/// What page tables hold costs time at the beginning and at the end of each copy.
#[test]
fn a_copy_inherits_the_pages_that_shells_use() {
    let mut session = session();
    let mut code = |command: String| {
        let inner =
            "awk '/r-xp.*(bash|libc)/ { code = 1 } code && /^Rss/ { sum += $2; code = 0 } END { print sum }'";
        let answer = session.shell(&command.replace("CODE", &format!("{inner} /proc/$$/smaps")));
        answer.stdout.trim().parse::<u32>().unwrap_or_else(|_| panic!("{answer:?}"))
    };
    // bash becomes its last command.
    let copied = code("CODE; exit".into());
    let new = code(format!("CODE; exit #{}", "x".repeat(ROOM)));
    // Linux itself puts what lies around into page tables, too.
    assert!(copied > 100 && copied < new, "{copied} KB in a copy, {new} KB in a new shell");
}

#[test]
fn processes_random_numbers_and_streams_are_their_own() {
    let mut session = session();
    let mut pids = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for _ in 0..30 {
        let line = session.output("echo $$ $RANDOM.$RANDOM.$SRANDOM; ls -i /proc/$$/fd/ > /dev/null");
        let (pid, number) = line.split_once(' ').expect("two words");
        assert!(pids.insert(pid.to_owned()) && numbers.insert(number.to_owned()), "{line}");
    }
    // A process left behind keeps its streams, and takes nothing from later commands.
    session.shell("(sleep 0.3; echo late) & echo now");
    assert_eq!(session.output("sleep 0.6; echo then").trim_end(), "then");
}

#[test]
fn without_its_shells_the_agent_makes_others() {
    let mut session = session();
    let all = "pgrep -x bash | grep -v -x $$";
    for signal in ["KILL", "TERM", "STOP", "SEGV"] {
        rest(&mut session);
        assert_eq!(session.shell(&format!("kill -{signal} $({all}); echo sent")).stdout, "sent\n");
        for number in 0..8 {
            assert_eq!(session.output(&format!("echo {number}")).trim_end(), number.to_string(), "{signal}");
        }
        session.shell(&format!("kill -CONT $({all})"));
    }
}
