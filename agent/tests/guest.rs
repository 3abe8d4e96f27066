//! The agent as PID 1 of a real kernel, in any virtual machine whose virtio console port ends in a Unix socket here.
//!
//! Not run by default, because it needs such a machine:
//! `AGENT_SOCKET=/path cargo test -p wasm-sandbox-agent --test guest -- --ignored --test-threads 1`

mod common;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime};

use common::{Agent, argv, shell};
use wasm_sandbox_protocol::agent::*;

fn guest() -> Agent {
    let path =
        std::env::var_os("AGENT_SOCKET").expect("AGENT_SOCKET names the socket of a virtual machine's port");
    Agent::attach(UnixStream::connect(path).expect("the virtual machine runs"))
}

#[test]
#[ignore = "needs a virtual machine"]
fn the_system_is_complete() {
    let mut agent = guest();
    assert!(agent.ready.control_groups);
    let outcome = agent.shell(
        "set -e; mount; ls -la /dev/fd /dev/stdin; hostname; cat /sys/fs/cgroup/sandbox/memory.max \
         /sys/fs/cgroup/sandbox/pids.max; cat /proc/self/cgroup /proc/self/oom_score_adj; nice; ulimit -a; id; pwd; env; \
         echo x | cat > /dev/stdout; ls /proc/self/fd; (echo > /dev/tcp/127.0.0.1/1) 2>&1 | grep -i refused; ps -ef",
    );
    println!("{}{}", outcome.text(), String::from_utf8_lossy(&outcome.stderr));
}

#[test]
#[ignore = "needs a virtual machine"]
fn clock_and_entropy_are_taken() {
    let mut agent = guest();
    let wall_clock_ns = 1_900_000_000_000_000_000;
    agent.send(&HostToAgent::SetClock { wall_clock_ns });
    agent.send(&HostToAgent::AddEntropy { data: vec![7; 64].into() });
    let seconds: u64 = agent.shell("date +%s").text().trim().parse().expect("a number");
    assert!((1_900_000_000..1_900_000_020).contains(&seconds), "{seconds}");
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    agent.send(&HostToAgent::SetClock { wall_clock_ns: now });
    let op = agent.op();
    agent.send(&HostToAgent::Status { op });
    println!("{:?}", agent.receive());
}

#[test]
#[ignore = "needs a virtual machine"]
fn a_fork_bomb_is_contained_and_cleared() {
    let mut agent = guest();
    let bomb = Exec { time_limit_ms: Some(3000), ..shell("b() { b | b & b; }; b") };
    let outcome = agent.exec(bomb).expect("starts");
    println!("{:?}", outcome.exited);
    assert_eq!(agent.shell("echo alive").text(), "alive\n");
}

#[test]
#[ignore = "needs a virtual machine"]
fn a_program_that_takes_all_memory_is_killed_alone() {
    let mut agent = guest();
    let hog = Exec { time_limit_ms: Some(60_000), ..shell("exec tail /dev/zero") };
    let outcome = agent.exec(hog).expect("starts");
    assert_eq!(outcome.exited.expect("exited").ended_by, EndedBy::OutOfMemory);
    assert_eq!(agent.shell("echo alive").text(), "alive\n");
}

#[test]
#[ignore = "needs a virtual machine"]
fn large_files_go_both_ways() {
    let mut agent = guest();
    let content: Vec<u8> =
        (0..8u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let op = agent.op();
    let start = Instant::now();
    agent.send(&HostToAgent::WriteFile(WriteFile { op, path: "/tmp/large".into(), ..WriteFile::default() }));
    let mut window = INITIAL_WINDOW as usize;
    for chunk in content.chunks(64 << 10) {
        while window < chunk.len() {
            match agent.receive() {
                AgentToHost::Credit { bytes, .. } => window += bytes as usize,
                other => panic!("unexpected {other:?}"),
            }
        }
        window -= chunk.len();
        agent.send(&HostToAgent::FileData { op, data: chunk.into() });
    }
    agent.send(&HostToAgent::FileEnd { op });
    agent.done(op).expect("written");
    println!("in: {:?}", start.elapsed());
    let start = Instant::now();
    let (back, _) =
        agent.read_file(ReadFile { path: "/tmp/large".into(), ..ReadFile::default() }).expect("read");
    println!("out: {:?}", start.elapsed());
    assert!(back == content);
    agent.shell("rm /tmp/large");
}

#[test]
#[ignore = "needs a virtual machine"]
fn short_commands_are_quick() {
    let mut agent = guest();
    for (name, exec) in [("true", argv(&["/bin/true"])), ("bash", argv(&["/bin/bash", "-c", "echo hi"]))] {
        for output_delay_ms in [0, 5] {
            let start = Instant::now();
            let mut inside = Duration::ZERO;
            for _ in 0..100 {
                let outcome = agent.exec(Exec { output_delay_ms, ..exec.clone() }).expect("starts");
                inside += Duration::from_micros(outcome.exited.expect("exited").duration_us);
            }
            println!(
                "{name} delay {output_delay_ms}: {:?} each, {:?} inside",
                start.elapsed() / 100,
                inside / 100
            );
        }
    }
}
