//! Commands: what goes in, what comes out, and how they end.

mod common;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Encoding, ErrorCode, Noise, Shell, arch, noise, sha256, shared, shell_request, start_of};
use serde_json::json;

#[test]
fn standard_output_and_error_come_apart() {
    let answer = shared().shell("echo one; echo two >&2; echo three; printf four >&2; exit 7");
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("one\nthree\n", "two\nfour"));
    assert_eq!((answer.exit_code, answer.signal, answer.timed_out), (7, None, false));
    assert_eq!((answer.stdout_encoding, answer.stderr_encoding, answer.note), (None, None, None));
    assert_eq!((answer.stdout_truncated_bytes, answer.stderr_truncated_bytes), (0, 0));
    assert!(!answer.restarted);
}

#[test]
fn it_is_a_real_linux_with_bash() {
    let mut guest = shared();
    assert_eq!(guest.output("uname -sm"), format!("Linux {}\n", arch()));
    assert_eq!(guest.output("id -un; hostname"), "root\nsandbox\n");
    assert_eq!(guest.output("[[ $BASH_VERSION && $0 = */bash ]] && echo {1..5}"), "1 2 3 4 5\n");
    assert_eq!(guest.output("grep -c '^processor' /proc/cpuinfo"), "1\n");
    assert!(guest.output("cat /etc/os-release").contains("\nID=debian\n"));
}

#[test]
fn every_exit_code_is_reported() {
    let mut guest = shared();
    let ids: Vec<_> =
        (0..=255).map(|code| guest.send(shell_request(&format!("exit {code}"), json!({})))).collect();
    for (code, id) in (0..=255).zip(&ids) {
        let answer: Shell = guest.next_answer("shell", id);
        let found = (answer.exit_code, answer.signal, answer.stdout.as_str(), answer.stderr.as_str());
        assert_eq!(found, (code, None, "", ""));
    }
}

#[test]
fn a_signal_that_ends_the_command_is_named() {
    let mut guest = shared();
    let signals = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
        (35, "SIGRTMIN+1"),
    ];
    for (number, name) in signals {
        // Not bash itself, which ignores some signals.
        let answer = guest.shell(&format!("echo before; exec sh -c 'kill -{number} $$; echo after'"));
        let found = (answer.exit_code, answer.signal.as_deref(), answer.stdout.as_str(), answer.timed_out);
        assert_eq!(found, (128 + number, Some(name), "before\n", false));
        assert_eq!(answer.note, None, "{name}");
    }
}

#[test]
fn a_signal_inside_the_command_is_the_shells_affair() {
    let answer = shared().shell("bash -c 'kill -KILL $$'; exit $?");
    assert_eq!((answer.exit_code, answer.signal, answer.timed_out), (137, None, false));
}

#[test]
fn mistakes_in_a_command_are_results_not_failures() {
    let mut guest = shared();
    let missing = guest.shell("no-such-program --at all");
    assert_eq!((missing.exit_code, missing.stdout.as_str()), (127, ""));
    assert!(missing.stderr.contains("no-such-program: command not found"), "{}", missing.stderr);

    let broken = guest.shell("if then 'unclosed");
    assert_eq!((broken.exit_code, broken.stdout.as_str()), (2, ""));
    assert!(!broken.stderr.is_empty());

    let directory = guest.shell("/etc");
    assert_eq!(directory.exit_code, 126);

    assert_eq!(guest.output(""), "");
    assert_eq!(guest.output("# nothing"), "");
}

#[test]
fn the_environment_is_the_usual_one_and_what_is_asked_for() {
    let mut guest = shared();
    assert_eq!(guest.output("echo $HOME $USER $SHELL $LANG"), "/root root /bin/bash C.UTF-8\n");
    assert_eq!(guest.output("echo $PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");

    let env = json!({"GREETING": "grüß dich,\n世界 = \"$HOME\"", "EMPTY": "", "LANG": "C", "a.b-c": "odd"});
    let answer = guest.shell_with(
        "printf '%s|' \"$GREETING\" \"${EMPTY-unset}\" $LANG; printenv a.b-c",
        json!({"env": env}),
    );
    assert_eq!(answer.stdout, "grüß dich,\n世界 = \"$HOME\"||C|odd\n");

    assert_eq!(guest.output("echo ${GREETING-unset} $LANG"), "unset C.UTF-8\n");
}

#[test]
fn commands_start_in_the_directory_asked_for() {
    let mut guest = shared();
    assert_eq!(guest.output("pwd; readlink /proc/self/cwd"), "/root\n/root\n");
    let answer = guest.shell_with("pwd; ls -d passwd", json!({"cwd": "/etc"}));
    assert_eq!(answer.stdout, "/etc\npasswd\n");

    guest.output("mkdir -p '/tmp/a dir/ünï'; cd '/tmp/a dir'; variable=1");
    assert_eq!(guest.shell_with("pwd", json!({"cwd": "/tmp/a dir/ünï"})).stdout, "/tmp/a dir/ünï\n");
    assert_eq!(guest.output("pwd; echo ${variable-unset}"), "/root\nunset\n");

    for cwd in ["/no/such/directory", "/etc/passwd", "/etc/passwd/x"] {
        let error = guest.refusal(ErrorCode::BadCwd, json!({"type": "shell", "command": "pwd", "cwd": cwd}));
        assert!(error.contains(cwd), "{error}");
    }
}

#[test]
fn standard_input_reaches_the_command() {
    let mut guest = shared();
    let text = "first line\nzweite Zeile – 世界 🌍\0 and a NUL, no newline at the end";
    let answer = guest.shell_with("cat", json!({"stdin": text}));
    assert_eq!(answer.stdout, text);

    let answer =
        guest.shell_with("while read -r line; do echo \"<$line>\"; done", json!({"stdin": "a\nb\n"}));
    assert_eq!(answer.stdout, "<a>\n<b>\n");

    let empty = guest.shell_with("wc -c; readlink /proc/self/fd/0", json!({"stdin": ""}));
    assert!(empty.stdout.starts_with("0\npipe:"), "{}", empty.stdout);
}

#[test]
fn without_standard_input_there_is_dev_null() {
    assert_eq!(shared().output("readlink /proc/self/fd/0; cat | wc -c"), "/dev/null\n0\n");
}

#[test]
fn megabytes_of_standard_input_arrive_unchanged() {
    let mut guest = shared();
    let text = STANDARD.encode(noise(4_000_001));
    let answer = guest.shell_with("sha256sum", json!({"stdin": text}));
    assert_eq!(answer.stdout, format!("{}  -\n", sha256(text.as_bytes())));

    for (command, stdout) in [("true", ""), ("head -c 5", &text[..5]), ("exec <&-; echo closed", "closed\n")]
    {
        let answer = guest.shell_with(command, json!({"stdin": text}));
        assert_eq!(
            (answer.stdout.as_str(), answer.exit_code, answer.timed_out),
            (stdout, 0, false),
            "{command}"
        );
    }
}

#[test]
fn pipes_and_redirections_work() {
    let mut guest = shared();
    assert_eq!(guest.output("seq 1000 | awk '{sum += $1} END {print sum}'"), "500500\n");
    assert_eq!(guest.output("false | true | (exit 3); echo ${PIPESTATUS[*]}"), "1 0 3\n");
    assert_eq!(guest.output("cat <(echo left) - <<< right 2>&1 | tr a-z A-Z"), "LEFT\nRIGHT\n");
    assert_eq!(guest.output("(echo to stderr >&2) 2>&1; echo $(( 6 * 7 ))"), "to stderr\n42\n");
}

#[test]
fn a_megabyte_goes_through_sort_uniq_sort() {
    const WORDS: u64 = 500;
    let mut noise = Noise(2);
    let mut text = String::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    while text.len() < 1 << 20 {
        // The smaller of two draws: some words are frequent, others rare.
        let draw = noise.next().unwrap().min(noise.next().unwrap());
        let word = format!("word-{:x}", draw / (u64::MAX / WORDS));
        text += &word;
        text.push('\n');
        *counts.entry(word).or_default() += 1;
    }
    let mut ranking: Vec<_> = counts.iter().map(|(word, count)| (count, word)).collect();
    ranking.sort_by(|a, b| b.cmp(a));
    let expected: String = ranking.iter().map(|(count, word)| format!("{count:7} {word}\n")).collect();

    let answer = shared().shell_with("sort | uniq -c | sort -rn", json!({"stdin": text}));
    assert_eq!((answer.exit_code, answer.stderr.as_str()), (0, ""));
    assert!(answer.stdout == expected, "{}", start_of(answer.stdout.as_bytes()));
}

#[test]
fn unicode_survives_in_commands_names_and_output() {
    let text = "äöüß Ελληνικά العربية 日本語 🦀 e\u{301} \u{10FFFF} \u{FEFF} \u{85} \u{2028}";
    let mut guest = shared();
    assert_eq!(guest.output(&format!("printf %s '{text}'")), text);
    assert_eq!(guest.output("printf %s 日本語 | wc -m"), "3\n");
    let listed =
        guest.output("mkdir /tmp/unicode && cd /tmp/unicode && touch '🦀 ü' $'new\\nline' && printf '%s|' *");
    assert_eq!(listed, "new\nline|🦀 ü|");
    assert_eq!(guest.output("python3 -c 'print(\"straße\".upper())'"), "STRASSE\n");
}

#[test]
fn output_that_is_no_text_comes_in_base64_and_says_so() {
    let mut guest = shared();
    let answer = guest.shell(r"printf '\377\001\200plain'; echo text >&2");
    assert_eq!((answer.stdout_encoding, answer.stderr_encoding), (Some(Encoding::Base64), None));
    assert_eq!(STANDARD.decode(&answer.stdout).unwrap(), b"\xFF\x01\x80plain");
    assert_eq!(answer.stderr, "text\n");
    let note = answer.note.expect("a note");
    assert!(note.contains("stdout") && note.contains("base64") && !note.contains("stderr"), "{note}");

    let answer = guest.shell(r"printf text; printf '\303' >&2");
    assert_eq!((answer.stdout_encoding, answer.stderr_encoding), (None, Some(Encoding::Base64)));
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("text", "ww=="));

    let control = guest.output(r#"printf 'NUL \000, escape \033, quote ", backslash \\, DEL \177'"#);
    assert_eq!(control, "NUL \0, escape \x1B, quote \", backslash \\, DEL \x7F");
}

#[test]
fn output_can_be_asked_for_in_base64() {
    let answer = shared().shell_with(r"printf 'a\0\377'; printf text >&2", json!({"encoding": "base64"}));
    assert_eq!(STANDARD.decode(&answer.stdout).unwrap(), b"a\0\xFF");
    assert_eq!(STANDARD.decode(&answer.stderr).unwrap(), b"text");
    assert_eq!(
        (answer.stdout_encoding, answer.stderr_encoding),
        (Some(Encoding::Base64), Some(Encoding::Base64))
    );
    assert_eq!(answer.note, None);
}

#[test]
fn of_very_long_output_head_and_tail_are_kept() {
    const KEPT: usize = 16 << 20;
    const MIDDLE: usize = 20_000_000;
    let line = b"0123456789abcde\n";
    let whole: Vec<u8> =
        b"begin".iter().chain(line.iter().cycle().take(MIDDLE)).chain(b"end").copied().collect();
    let kept = [&whole[..KEPT / 2], &whole[whole.len() - KEPT / 2..]].concat();

    let command =
        format!("{{ printf begin; yes 0123456789abcde | head -c {MIDDLE}; printf end; }} | tee /dev/stderr");
    let answer = shared().shell(&command);
    assert_eq!((answer.exit_code, answer.timed_out), (0, false));
    let dropped = (whole.len() - KEPT) as u64;
    assert_eq!((answer.stdout_truncated_bytes, answer.stderr_truncated_bytes), (dropped, dropped));
    for (name, output) in [("stdout", &answer.stdout), ("stderr", &answer.stderr)] {
        assert_eq!(output.len(), KEPT, "{name}");
        assert!(output.as_bytes() == kept, "{name} is not head and tail");
    }
    let note = answer.note.expect("a note");
    assert!(
        note.contains(&dropped.to_string()) && note.contains("stdout") && note.contains("stderr"),
        "{note}"
    );
}

#[test]
fn commands_and_environments_may_be_as_large_as_linux_takes_them() {
    const LONGEST: usize = 131_071;
    let mut guest = shared();
    let mut command = String::from("echo ${#BASH_EXECUTION_STRING} # ");
    command += &"x".repeat(LONGEST - command.len());
    assert_eq!(guest.output(&command), format!("{LONGEST}\n"));

    command.push('x');
    let error = guest.refusal(ErrorCode::TooLarge, shell_request(&command, json!({})));
    assert!(error.contains("write_file"), "{error}");

    let value = "v".repeat(100_000);
    let answer = guest.shell_with("echo ${#A} ${#B}", json!({"env": {"A": value, "B": value}}));
    assert_eq!(answer.stdout, "100000 100000\n");
    let request = shell_request("true", json!({"env": {"TOO_LONG_FOR_LINUX": "v".repeat(200_000)}}));
    guest.refusal(ErrorCode::TooLarge, request);
    let many: serde_json::Map<_, _> = (0..20).map(|n| (format!("V{n}"), json!(value))).collect();
    guest.refusal(ErrorCode::TooLarge, shell_request("true", json!({"env": many})));
    assert_eq!(guest.output("echo still here"), "still here\n");
}

#[test]
fn run_time_and_clock_are_those_of_the_host() {
    let mut guest = shared();
    let answer = guest.shell("sleep 0.3");
    assert!(answer.duration_ms >= 300, "{}", answer.duration_ms);

    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let inside: u64 = guest.output("date +%s").trim().parse().unwrap();
    assert!((before.saturating_sub(1)..=now() + 1).contains(&inside), "{before} {inside} {}", now());
}

#[test]
fn the_tools_people_expect_are_there_and_work() {
    let mut guest = shared();
    let tools = "awk bash busybox bunzip2 bzip2 cat curl cut diff file find gawk git grep gunzip gzip head jq ldd less ls \
                 mount mktemp nice nohup pgrep perl ps python3 sed setsid sha256sum sort sqlite3 stat tail tar tee \
                 timeout top tr uniq unxz unzstd vi wc xargs xz zcat zstd";
    let command = format!("for tool in {tools}; do command -v $tool >/dev/null || echo $tool; done");
    assert_eq!(guest.output(&command), "", "missing");

    assert_eq!(guest.output("sqlite3 :memory: 'select sum(value) from json_each(\"[1,2,3]\")'"), "6\n");
    assert_eq!(guest.output("echo '{\"a\":[1,{\"b\":2}]}' | jq -c '.a[1]'"), "{\"b\":2}\n");
    assert_eq!(guest.output("perl -e 'print join(\",\", map { $_ ** 2 } 1..4), \"\\n\"'"), "1,4,9,16\n");
    assert_eq!(guest.output("printf 'b\\na\\n' | sed 's/a/A/' | gawk '{print NR \":\" $0}'"), "1:b\n2:A\n");
    let compressors = "cd /tmp && for z in gzip bzip2 xz zstd; do seq 9999 | $z | $z -dc | cmp - <(seq 9999) || echo $z; done";
    assert_eq!(guest.output(compressors), "");
    let archive = "mkdir -p /tmp/t/sub && cd /tmp/t && seq 99 >sub/f && tar cJf ../t.tar.xz . && rm -r sub && tar xf ../t.tar.xz && sha256sum <sub/f";
    let numbers: String = (1..=99).map(|number| format!("{number}\n")).collect();
    assert_eq!(guest.output(archive), format!("{}  -\n", sha256(numbers.as_bytes())));
    let repository = "git init -q -b main /tmp/repository && cd /tmp/repository && echo hi >f && git add f && \
                      git -c user.name=n -c user.email=e@x commit -qm 'first ✓' && git log --format=%s && git status --short";
    assert_eq!(guest.output(repository), "first ✓\n");
}

#[test]
fn python_has_its_standard_library() {
    let program = "
import ctypes, bz2, decimal, hashlib, json, lzma, multiprocessing, re, sqlite3, socket, ssl, subprocess
import threading, unicodedata, urllib.request, venv, zlib, asyncio, concurrent.futures as futures
print(hashlib.sha256(b'abc').hexdigest()[:8], sum(range(10 ** 6)), 2 ** 200 % 1000007)
print(json.dumps({'ü': [1.5, None]}, ensure_ascii=False), decimal.Decimal(1) / 7)
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout, end='')
with futures.ThreadPoolExecutor(4) as pool: print(sum(pool.map(lambda n: n * n, range(100))))
async def main(): await asyncio.sleep(0.01); return 'async'
print(asyncio.run(main()))
a, b = socket.socketpair(); a.sendall(b'socket'); print(b.recv(99).decode())
";
    let mut guest = shared();
    guest.write_file("/tmp/library.py", program);
    let modulo = (0..200).fold(1_u64, |power, _| power * 2 % 1_000_007);
    let expected = format!(
        "ba7816bf 499999500000 {modulo}\n{{\"ü\": [1.5, null]}} 0.1428571428571428571428571429\nchild\n328350\nasync\nsocket\n"
    );
    assert_eq!(guest.output("python3 /tmp/library.py"), expected);
}
