//! Checkpoints: there and back.

mod common;

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Checkpointed, ErrorCode, Failure, Restored, Session, shared, shell_request};
use serde_json::json;

fn checkpoint(guest: &mut Session, name: &str) {
    let done: Checkpointed = guest.request(json!({"type": "checkpoint", "name": name}));
    assert_eq!((done.name.as_str(), done.restarted), (name, false));
}

fn restore(guest: &mut Session, name: &str) {
    let done: Restored = guest.request(json!({"type": "restore", "name": name}));
    assert_eq!((done.name.as_str(), done.restarted), (name, false));
}

/// Starts a program in the background of the guest.
fn start(guest: &mut Session, script: &str) {
    guest.shell_with("cat >/tmp/program", json!({"stdin": script}));
    guest.output("setsid --fork bash /tmp/program </dev/null >/dev/null 2>&1");
}

/// A program that counts in its memory and shows it in `/tmp/count`.
const COUNTER: &str =
    "n=0; while :; do n=$((n + 1)); echo $n >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.02; done";
/// Waits until the counter's file is there, then shows it.
const COUNT: &str = "until [ -e /tmp/count ]; do sleep 0.02; done; cat /tmp/count";

fn count(guest: &mut Session) -> u64 {
    guest.output(COUNT).trim().parse().expect("a number")
}

/// Waits until the counter is beyond `limit`.
fn count_beyond(guest: &mut Session, limit: u64) {
    guest.output(&format!("until [ $(cat /tmp/count) -gt {limit} ]; do sleep 0.02; done"));
}

#[test]
fn a_restored_machine_is_as_it_was() {
    let mut guest = shared();
    guest.reset();
    let restarts = guest.status().restarts;
    let look = "cd / && { find etc home root opt tmp var -xdev ! -name 'count*' ! -type d -printf '%p %s %m %T@\n' | sort | sha256sum
                cat /srv/kept /proc/mounts; hostname; pgrep -fx 'sleep [0-9]+'; cat /proc/sys/vm/swappiness; ls /sys/fs/cgroup; } 2>&1";
    guest.write_file("/srv/kept", "kept");
    guest.output("setsid --fork sleep 1000; hostname before; echo 7 >/proc/sys/vm/swappiness; mkdir /mnt/here; mount -t tmpfs none /mnt/here");
    start(&mut guest, COUNTER);
    let counted = count(&mut guest);
    let before = guest.output(look);
    checkpoint(&mut guest, "as it was");
    for _ in 0..2 {
        let mess = "rm /srv/kept; echo new >/srv/new; pkill sleep; setsid --fork sleep 2000; hostname after; rm -r /etc/ssl
                    echo 9 >/proc/sys/vm/swappiness; umount /mnt/here; useradd mallory; pkill -f '^bash /tmp/program'; rm /tmp/count";
        assert_eq!(guest.shell(mess).exit_code, 0);
        assert_ne!(guest.output(look), before);
        restore(&mut guest, "as it was");
        assert_eq!(guest.output(look), before);
        // The counter runs on from where it was, in its own memory.
        let now = count(&mut guest);
        assert!(now >= counted, "{now} {counted}");
        count_beyond(&mut guest, now);
        assert_eq!(guest.shell("rm /tmp/count").exit_code, 0);
        assert!(count(&mut guest) > now, "the number is the process's, not the file's");
    }
    assert_eq!(guest.status().restarts, restarts, "this is no restart");
    guest.reset();
}

#[test]
fn checkpoints_have_names() {
    let mut guest = shared();
    let longest = "ä".repeat(100);
    let restored_to = |guest: &mut Session, name: &str| {
        restore(guest, name);
        guest.read_file("/tmp/version")
    };
    guest.write_file("/tmp/version", "1");
    checkpoint(&mut guest, "a");
    guest.write_file("/tmp/version", "2");
    checkpoint(&mut guest, &longest);
    guest.write_file("/tmp/version", "3");
    checkpoint(&mut guest, " a");
    assert_eq!(restored_to(&mut guest, "a"), "1");
    assert_eq!(restored_to(&mut guest, &longest), "2");
    assert_eq!(restored_to(&mut guest, " a"), "3");
    checkpoint(&mut guest, "a");
    guest.write_file("/tmp/version", "4");
    assert_eq!(restored_to(&mut guest, "a"), "3", "a checkpoint of that name is replaced");

    guest.write_file("/tmp/version", "5");
    for name in ["b", "A", "a ", "main", "../a"] {
        let error = guest.refusal(ErrorCode::UnknownCheckpoint, json!({"type": "restore", "name": name}));
        assert!(error.contains(&format!("{name:?}")), "{error}");
    }
    for kind in ["checkpoint", "restore"] {
        for name in [json!(""), json!("x".repeat(201)), json!(1), json!(null), json!(["a"])] {
            guest.refusal(ErrorCode::InvalidRequest, json!({"type": kind, "name": name}));
        }
        guest.refusal(ErrorCode::InvalidRequest, json!({"type": kind}));
        guest.refusal(ErrorCode::InvalidRequest, json!({"type": kind, "name": "a", "path": "b"}));
    }
    assert_eq!(guest.read_file("/tmp/version"), "5", "what was refused changes nothing");
}

#[test]
fn checkpoints_outlive_resets_and_crashes() {
    let mut guest = shared();
    guest.write_file("/tmp/mark", "old");
    start(&mut guest, COUNTER);
    count(&mut guest);
    checkpoint(&mut guest, "survivor");
    guest.reset();
    guest.refusal(ErrorCode::NotFound, json!({"type": "read_file", "path": "/tmp/mark"}));
    restore(&mut guest, "survivor");
    assert_eq!(guest.read_file("/tmp/mark"), "old");

    let restarts = guest.status().restarts;
    let crash: Failure = guest.request(shell_request("busybox reboot -f; sleep 60", json!({})));
    assert_eq!(crash.error_code, ErrorCode::MachineCrashed);
    let restored: Restored = guest.request(json!({"type": "restore", "name": "survivor"}));
    assert!(restored.restarted, "the first answer after a crash says so");
    assert_eq!(guest.read_file("/tmp/mark"), "old");
    let now = count(&mut guest);
    count_beyond(&mut guest, now);
    assert_eq!(guest.status().restarts, restarts + 1);
    guest.reset();
}

#[test]
fn a_machine_that_crashes_goes_back_to_the_prepared_state() {
    let mut guest = Session::start();
    guest.write_file("/tmp/mark", "");
    checkpoint(&mut guest, "marked");
    restore(&mut guest, "marked");
    let crash: Failure = guest.request(shell_request("busybox reboot -f; sleep 60", json!({})));
    assert_eq!(crash.error_code, ErrorCode::MachineCrashed);
    let next = guest.shell("ls -A /tmp");
    assert_eq!((next.stdout.as_str(), next.restarted), ("", true));
    assert!(guest.close().status.success());
}

#[test]
fn requests_around_checkpoints_keep_their_order() {
    let mut guest = shared();
    let requests = [
        json!({"type": "write_file", "path": "/tmp/turn", "content": "1"}),
        json!({"type": "checkpoint", "name": "turn"}),
        json!({"type": "write_file", "path": "/tmp/turn", "content": "2"}),
        json!({"type": "restore", "name": "turn"}),
        json!({"type": "read_file", "path": "/tmp/turn"}),
    ];
    let ids = requests.map(|request| (request["type"].as_str().unwrap().to_owned(), guest.send(request)));
    let [first, second, third, fourth, fifth] = &ids;
    let _: common::Written = guest.next_answer(&first.0, &first.1);
    let _: Checkpointed = guest.next_answer(&second.0, &second.1);
    let _: common::Written = guest.next_answer(&third.0, &third.1);
    let _: Restored = guest.next_answer(&fourth.0, &fourth.1);
    let content: common::Content = guest.next_answer(&fifth.0, &fifth.1);
    assert_eq!(content.content, "1");
}

/// Seconds since 1970 on this host.
fn host_clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn clocks_of_a_restored_machine_show_the_present() {
    let mut guest = shared();
    // As if the checkpoint were from another time.
    guest.shell("date -s @1000000000");
    let uptime = number(&guest.output("cut -d' ' -f1 /proc/uptime"));
    checkpoint(&mut guest, "past");
    for _ in 0..3 {
        restore(&mut guest, "past");
        let before = host_clock();
        let shown = number(&guest.output("date +%s.%N"));
        let after = host_clock();
        assert!((before - 2.0..after + 2.0).contains(&shown), "{shown} is not from {before} to {after}");
        let monotonic = number(&guest.output("cut -d' ' -f1 /proc/uptime"));
        assert!(monotonic >= uptime, "{monotonic} is before {uptime}");
    }
    // The time at which the chip says it is, for guests that ask.
    let before = host_clock().floor();
    let chip = guest.shell("cat /sys/class/rtc/rtc0/since_epoch");
    assert!(chip.exit_code != 0 || number(&chip.stdout) >= before - 2.0, "{chip:?}");
}

#[test]
fn a_process_never_sees_monotonic_time_go_back() {
    let mut guest = shared();
    let watch = "exec python3 - <<'EOF'
import time
clocks = [time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME, time.CLOCK_PROCESS_CPUTIME_ID]
last = [0] * len(clocks)
turns = 0
while True:
    for number, clock in enumerate(clocks):
        now = time.clock_gettime_ns(clock)
        if now < last[number]:
            open('/tmp/back', 'a').write(f'clock {clock}: {last[number]} {now}\\n')
        last[number] = now
    turns += 1
    if turns % 100 == 0:
        open('/tmp/turns', 'w').write(str(turns))
EOF";
    start(&mut guest, watch);
    let more = "until [ -e /tmp/turns ]; do sleep 0.02; done; n=$(cat /tmp/turns); until [ \"$(cat /tmp/turns)\" != \"$n\" ]; do sleep 0.02; done; cat /tmp/back 2>/dev/null || true";
    assert_eq!(guest.output(more), "");
    for turn in 0..5 {
        checkpoint(&mut guest, "watched");
        assert_eq!(guest.output(more), "", "after checkpoint {turn}");
        restore(&mut guest, "watched");
        assert_eq!(guest.output(more), "", "after restore {turn}");
    }
    guest.reset();
}

/// Files that the program has open, and bytes of those that are in memory only.
fn open_files(session: &Session) -> (usize, u64) {
    let files: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", session.pid()))
        .expect("the program runs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let in_memory = files
        .iter()
        .filter(|path| {
            std::fs::read_link(path).is_ok_and(|target| target.starts_with("/memfd:wasm-sandbox-memory"))
        })
        .map(|path| std::fs::metadata(path).expect("a file").len());
    (files.len(), in_memory.sum())
}

#[test]
fn a_long_row_of_checkpoints_takes_no_more_than_the_last_one_needs() {
    const ROUNDS: usize = 40;
    let mut guest = Session::start();
    let mut after_the_first = None;
    for round in 0..ROUNDS {
        // Each goes on from the one before, and replaces it.
        guest.output(&format!("echo {round} >>/tmp/rounds; python3 -c 'print({round})'"));
        checkpoint(&mut guest, "the last");
        restore(&mut guest, "the last");
        let (files, bytes) = open_files(&guest);
        let (files_before, bytes_before) = *after_the_first.get_or_insert((files, bytes));
        assert!(files <= files_before + 20, "{files} files in round {round}, {files_before} before");
        assert!(bytes <= 4 * bytes_before, "{bytes} bytes in round {round}, {bytes_before} before");
    }
    let rounds: String = (0..ROUNDS).map(|round| format!("{round}\n")).collect();
    assert_eq!(guest.read_file("/tmp/rounds"), rounds);
}

#[test]
fn checkpoints_are_as_many_as_the_hosts_hard_limit_of_open_files_allows() {
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -Sn 50; ulimit -Hn 150; exec \"$@\"", "sh"]);
    let program = common::wasm_sandbox();
    limited.arg(program.get_program()).args(program.get_args());
    let mut guest = Session::start_from(&mut limited);
    let mut count = 0;
    let failure = loop {
        guest.output(&format!("echo {count} >/tmp/count"));
        let id = guest.send(json!({"type": "checkpoint", "name": format!("{count}")}));
        let line = guest.next_line().expect("an answer");
        if line.contains("\"success\":false") {
            break <Failure as common::Answer>::read(&line, "checkpoint", &id);
        }
        count += 1;
        assert!(count <= 150, "there is a limit");
    };
    assert!(count >= 100, "only {count} checkpoints: {}", failure.error);
    assert_eq!(failure.error_code, ErrorCode::HostIo, "{}", failure.error);
    restore(&mut guest, "3");
    assert_eq!(guest.read_file("/tmp/count"), "3\n");
    assert_eq!(guest.output("echo works"), "works\n");
}

/// Random numbers as programs get them, a line each.
const RANDOM: &str = "cat /proc/sys/kernel/random/uuid; python3 -c 'import os,uuid; print(uuid.uuid4()); print(os.urandom(16).hex())'";

#[test]
fn each_restored_machine_has_randomness_of_its_own() {
    let mut guest = shared();
    checkpoint(&mut guest, "random");
    let mut seen = HashSet::new();
    for turn in 0..common::at_full_tests(30, 1000) {
        restore(&mut guest, "random");
        for line in guest.output(RANDOM).lines() {
            assert!(seen.insert(line.to_owned()), "{line} again, in turn {turn}");
        }
    }
    let last = guest.output(RANDOM);
    assert!(last.lines().count() == 3 && last.lines().all(|line| seen.insert(line.to_owned())));
}

#[test]
fn a_guest_that_breaks_the_conversation_off_keeps_no_checkpoint_waiting() {
    let mut guest = shared();
    guest.reset();
    // Root takes the agent's own end of the wire, and writes the beginning of a frame when the request is over.
    let steal = "exec python3 - <<'EOF'
import ctypes, os, time
pid = int(os.popen(\"ps axo pid=,args= | awk '$3 == \\\"serve\\\" {print $1}'\").read())
for name in os.listdir(f'/proc/{pid}/fd'):
    if 'vport' in os.readlink(f'/proc/{pid}/fd/{name}'):
        PIDFD_GETFD = 438
        port = ctypes.CDLL(None).syscall(PIDFD_GETFD, os.pidfd_open(pid), int(name), 0)
        if os.fork() == 0:
            os.setsid()
            while not os.path.exists('/tmp/go'):
                time.sleep(0.02)
            os.write(port, b'\\x10\\x00')
            os.write(os.open('/tmp/gone', os.O_CREAT | os.O_WRONLY), b'x')
            os._exit(0)
EOF";
    guest.shell_with("cat >/tmp/steal", json!({"stdin": steal}));
    assert_eq!(guest.output("bash /tmp/steal </dev/null >/dev/null 2>&1; echo $?"), "0\n");
    // The answer to this comes before the frame that is none.
    guest.output("(sleep 1; touch /tmp/go) </dev/null >/dev/null 2>&1 &");
    // However often it is asked before: one checkpoint meets the rest of a frame, and is answered all the same.
    let mut failure = None;
    for _ in 0..10_000 {
        let id = guest.send(json!({"type": "checkpoint", "name": "never"}));
        let line = guest.next_line().expect("an answer");
        if line.contains("\"success\":false") {
            failure = Some(<Failure as common::Answer>::read(&line, "checkpoint", &id));
            break;
        }
    }
    let failure = failure.expect("a checkpoint in the middle of a frame");
    assert_eq!(failure.error_code, ErrorCode::MachineCrashed, "{}", failure.error);
    let next = guest.shell("echo works; ls -A /tmp");
    assert_eq!((next.stdout.as_str(), next.restarted), ("works\n", true));
    checkpoint(&mut guest, "never");
    restore(&mut guest, "never");
    assert_eq!(guest.output("echo works"), "works\n");
}
