//! Back to the initial state.

mod common;

use common::{Failure, ResetDone, Session, Shell, at_full_tests, shared, shell_request};
use serde_json::json;

#[test]
fn background_processes_and_files_are_gone() {
    let mut guest = shared();
    let initially =
        guest.output("cd / && find /etc /home /opt /root /srv /tmp /var -xdev | sort | sha256sum");
    let quiet = guest.status();

    let mess = "for i in $(seq 50); do setsid --fork sleep 1000; done
                echo gone >/srv/file; rm -r /etc/ssl; mv /usr/bin/jq /usr/bin/jq2; chmod 0 /bin/ls; useradd mallory
                mkdir /mnt/tmp && mount -t tmpfs none /mnt/tmp; hostname changed; head -c 5000000 /dev/zero >/tmp/zeros";
    guest.shell(mess);
    assert_eq!(guest.output("pgrep -xc sleep; hostname"), "50\nchanged\n");
    let busy = guest.status();
    assert!(busy.processes >= quiet.processes + 50, "{} {}", busy.processes, quiet.processes);
    assert!(busy.disk_used_bytes >= quiet.disk_used_bytes + 5_000_000);

    let done = guest.reset();
    assert!(!done.restarted);

    let counted = guest.shell("pgrep -xc sleep");
    assert_eq!((counted.stdout.as_str(), counted.exit_code, counted.restarted), ("0\n", 1, false));
    assert_eq!(
        guest.output("cd / && find /etc /home /opt /root /srv /tmp /var -xdev | sort | sha256sum"),
        initially
    );
    assert_eq!(
        guest.output("hostname; id -u mallory 2>/dev/null || ls /bin/jq; grep -c /mnt /proc/mounts || true"),
        "sandbox\n/bin/jq\n0\n"
    );
    let fresh = guest.status();
    assert!(fresh.processes < quiet.processes + 10, "{} {}", fresh.processes, quiet.processes);
    assert!(fresh.disk_used_bytes < quiet.disk_used_bytes + 1_000_000);
    assert!(fresh.uptime_ms < busy.uptime_ms + done.duration_ms);
    assert_eq!((fresh.ready, fresh.restarts), (true, quiet.restarts), "a reset is no restart");
}

#[test]
fn each_machine_has_randomness_of_its_own() {
    let mut guest = shared();
    let question = "cat /proc/sys/kernel/random/boot_id; head -c 32 /dev/urandom | sha256sum; python3 -c 'import uuid; print(uuid.uuid4())'";
    let first = guest.output(question);
    guest.reset();
    let second = guest.output(question);
    for (first, second) in first.lines().zip(second.lines()) {
        assert_ne!(first, second);
    }
}

#[test]
fn a_reset_takes_its_turn_among_other_requests() {
    let mut guest = shared();
    let before = guest.send(json!({"type": "write_file", "path": "/tmp/turn", "content": "x"}));
    let seen = guest.send(shell_request("cat /tmp/turn; sleep 1000 & exit 5", json!({})));
    let first = guest.send(json!({"type": "reset"}));
    let second = guest.send(json!({"type": "reset"}));
    let missing = guest.send(json!({"type": "read_file", "path": "/tmp/turn"}));
    let counted = guest.send(shell_request("pgrep -xc sleep", json!({})));

    let _: common::Written = guest.next_answer("write_file", &before);
    let seen: Shell = guest.next_answer("shell", &seen);
    assert_eq!((seen.stdout.as_str(), seen.exit_code), ("x", 5));
    let _: ResetDone = guest.next_answer("reset", &first);
    let _: ResetDone = guest.next_answer("reset", &second);
    let missing: Failure = guest.next_answer("read_file", &missing);
    assert_eq!(missing.error_code, common::ErrorCode::NotFound);
    let counted: Shell = guest.next_answer("shell", &counted);
    assert_eq!(counted.stdout, "0\n");
}

#[test]
fn a_broken_system_can_be_reset() {
    let mut guest = shared();
    guest.shell("rm -rf --no-preserve-root /bin /usr /lib /etc 2>/dev/null");
    let broken: Failure = guest.request(json!({"type": "shell", "command": "echo never"}));
    assert_eq!(broken.error_code, common::ErrorCode::NotFound, "{}", broken.error);
    guest.reset();
    assert_eq!(guest.output("echo whole"), "whole\n");
}

#[test]
fn a_machine_that_went_down_can_be_reset() {
    let mut guest = shared();
    let crash: Failure = guest.request(shell_request("busybox reboot -f; sleep 60", json!({})));
    assert_eq!(crash.error_code, common::ErrorCode::MachineCrashed);
    assert!(!guest.reset().restarted, "whoever resets need not hear of a restart");
    let next = guest.shell("echo next");
    assert_eq!((next.stdout.as_str(), next.restarted), ("next\n", false));
}

#[test]
fn the_first_request_may_be_a_reset() {
    let mut session = Session::start();
    let done = session.reset();
    assert!(!done.restarted);
    let next = session.shell("echo next");
    assert_eq!((next.stdout.as_str(), next.restarted), ("next\n", false));
    assert_eq!(session.status().restarts, 0);
    assert!(session.close().status.success());
}

#[test]
fn however_many_resets_leave_nothing_behind() {
    let mut session = Session::start();
    let entries = |session: &Session, directory: &str| {
        std::fs::read_dir(format!("/proc/{}/{directory}", session.pid())).expect("the program runs").count()
    };
    let host = |session: &Session| ["fd", "task", "map_files"].map(|directory| entries(session, directory));
    let mut before = None;
    for turn in 0..at_full_tests(200, 10_000) {
        let command = format!("cat /tmp/turn 2>/dev/null; echo {turn} >/tmp/turn; echo done");
        let answer = session.shell(&command);
        assert_eq!((answer.stdout.as_str(), answer.restarted), ("done\n", false), "turn {turn}");
        assert!(!session.reset().restarted);
        // The first ones make what is made once.
        if turn == 20 {
            before = Some((host(&session), session.host_memory("VmRSS")));
        }
    }
    let ([files, threads, maps], memory) = before.expect("more turns");
    let after = host(&session);
    assert_eq!(after[..2], [files, threads], "files and threads");
    assert!(after[2] < maps + 500, "{} mappings, {maps} before", after[2]);
    const MEBIBYTE: u64 = 1 << 20;
    let more = session.host_memory("VmRSS").saturating_sub(memory) / MEBIBYTE;
    assert!(more < 50, "{more} MiB more than before");
    assert_eq!(session.status().restarts, 0);
}
