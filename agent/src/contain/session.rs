//! Process trees without control groups: whoever is in the leader's session, or descends from somebody who is.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// One line of `/proc/<pid>/stat`.
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    ticks: u64,
}

/// Kills the tree. Repeats until a look at `/proc` finds nobody new, so that a fork in between is not missed.
pub fn kill(leader: Pid) {
    let mut killed = BTreeSet::new();
    loop {
        let fresh: Vec<i32> =
            tree(leader).into_iter().map(|stat| stat.pid).filter(|pid| killed.insert(*pid)).collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh.into_iter().filter_map(Pid::from_raw) {
            let _already_gone = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// CPU time of the living members of the tree and of the children they waited for.
pub fn cpu_time(leader: Pid) -> Duration {
    let ticks: u64 = tree(leader).iter().map(|stat| stat.ticks).sum();
    // `/proc` counts in hundredths of a second on every x86 kernel, whatever its own tick is.
    Duration::from_millis(ticks * 10)
}

fn tree(leader: Pid) -> Vec<Stat> {
    let leader = leader.as_raw_nonzero().get();
    let mut others = all();
    let mut members: Vec<Stat> = Vec::new();
    loop {
        let known: BTreeSet<i32> = members.iter().map(|stat| stat.pid).collect();
        let belongs =
            |stat: &Stat| stat.pid == leader || stat.session == leader || known.contains(&stat.parent);
        let (found, rest): (Vec<Stat>, Vec<Stat>) = others.into_iter().partition(belongs);
        if found.is_empty() {
            return members;
        }
        members.extend(found);
        others = rest;
    }
}

fn all() -> Vec<Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        })
        .collect()
}

fn parse(pid: i32, line: &str) -> Option<Stat> {
    // The command name may itself contain parentheses and spaces; the fields start behind the last one.
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}
