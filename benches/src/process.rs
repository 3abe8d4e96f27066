//! What `/proc` says about a process.

use std::fs;

use anyhow::{Context, Result};

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Memory that is its own (Private_Clean and Private_Dirty), in bytes.
    pub private: u64,
    /// The part of it that was written to (Private_Dirty): the rest is files that others could share.
    pub written: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

/// What the process `pid` holds at this moment.
pub fn holdings(pid: u32) -> Result<Holdings> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("reading smaps_rollup")?;
    let field = |name: &str| field(&rollup, name).unwrap_or(0) << 10;
    let entries = |what| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{pid}/{what}"))?.count()) };
    Ok(Holdings {
        private: field("Private_Clean") + field("Private_Dirty"),
        written: field("Private_Dirty"),
        descriptors: entries("fd")?,
        threads: entries("task")?,
    })
}

/// The number after `name:`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time that the threads of process `pid` have used, in nanoseconds.
pub fn cpu_nanoseconds(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).context("reading schedstat")?;
        sum += text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let mine = holdings(std::process::id()).unwrap();
        assert!(mine.private > 0 && mine.descriptors >= 3 && mine.threads >= 1, "{mine:?}");
        assert_eq!(field("Rss: 1 kB\nPrivate_Clean:     12 kB\n", "Private_Clean"), Some(12));
    }
}
