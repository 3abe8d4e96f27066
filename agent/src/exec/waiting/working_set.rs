//! Which pages of programs and libraries a shell uses after the gate.
//!
//! A copy of the zygote inherits the zygote's page tables, so that it does not have to find pages of files again by page
//! faults. Linux fills page tables generously, sixteen pages at a time, and of each page that a copy inherits the kernel
//! has to take notice twice: when the copy is made and when it ends. With all pages that are near, these are half of what a
//! short command costs. So one shell, before all others, shows which pages it takes: its mappings are cut into single
//! pages, beyond which Linux does not look, and it executes a few lines of typical script. What it and its children
//! have in their page tables at their ends is what the zygote keeps.
//!
//! The number of mappings counts as well, at both ends of a copy. What the linker keeps apart, the code of a file and the
//! constants before and behind it, is one mapping in a zygote; its constants could be executed, if anybody wanted to.
#![allow(clippy::useless_conversion, reason = "an address is a u64 only on some processors")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io::{Errno, Result};
use rustix::process::Pid;
use wasm_sandbox_protocol::agent::Exec;

use super::mappings::{Mapping, mappings};
use super::script;
use super::shell::{BASH, Shell};
use crate::sys::arch::{MADVISE, MPROTECT, Registers, Word};
use crate::sys::ptrace::Stopped;

/// What the shell executes: variables, tests, loops, command substitution, a pipe, a program that cannot be executed, output.
const LESSON: &str = "x=$(echo \"${HOME%/}\"); if [ \"$x\" != y ] && [[ $x == * ]]; then for i in 1 2; do echo $((i+1)); done \
                      | /etc/passwd; fi 2>/dev/null; /etc/passwd 2>/dev/null; cd /; echo \"$x\" >/dev/null; echo hi";

/// How long that may take: a quarter of a second is usual, a cold translator needs more.
const PATIENCE: Duration = Duration::from_secs(4);

/// Files with larger mappings would take long to cut.
const LARGEST: u64 = 4 << 20;

/// Bytes in a page.
const PAGE: Word = 4096;

/// `madvise`: forget pages; leave pages out of core dumps, which makes them a mapping of their own.
const MADV_DONTNEED: Word = 4;
const MADV_DONTDUMP: Word = 16;

/// `mprotect`: what is there may be read and executed.
const READ_AND_EXECUTE: Word = 1 | 4;

/// Bits of an entry of `/proc/PID/pagemap`: the page is in the page table; it is the file's own, not a copy.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;

/// Numbers of pages of files, by the file's path.
#[derive(Debug, Default)]
pub struct WorkingSet(BTreeMap<String, BTreeSet<u64>>);

impl WorkingSet {
    /// Has a shell at the gate show it; the shell is used up.
    pub fn learn(shell: &mut Shell) -> Option<Self> {
        let pid = shell.pid();
        let stopped = Stopped::new(pid).ok()?;
        let registers = stopped.registers().ok()?;
        if !registers.opens_a_file() {
            return None;
        }
        cut(&stopped, &registers, pid).ok()?;
        stopped.set_registers(registers.again()).ok()?;
        let exec = Exec { argv: vec![BASH.into(), "-c".into(), LESSON.into()], ..Exec::default() };
        let random = crate::sys::entropy::number()?;
        let script = script::write(&exec, Some(random))?;
        let mut rest: Option<OwnedFd> = None;
        let begin = || {
            if !shell.sleeps() {
                return false;
            }
            rest = shell.release(LESSON.as_bytes(), &script, random);
            rest.is_some()
        };
        let mut found = Self::default();
        stopped.run_to_the_end(PATIENCE, begin, |pid| found.add(pid)).ok()?;
        Some(found)
    }

    fn add(&mut self, pid: Pid) {
        let Ok(map) = PageMap::of(pid) else { return };
        for mapping in of_files(pid).unwrap_or_default() {
            let pages = map.pages(&mapping).unwrap_or_default();
            let taken = (0..).zip(pages).filter(|(_, page)| page & PRESENT != 0);
            let numbers = taken.map(|(index, _)| mapping.page(index));
            self.0.entry(mapping.file.clone()).or_default().extend(numbers);
        }
    }

    /// Leaves a shell that is stopped at the gate, with these registers, no pages of files but these, in such a way that its
    /// copies inherit them.
    pub fn keep(&self, stopped: &Stopped, registers: &Registers, pid: Pid, memory: &File) -> Result<()> {
        let map = PageMap::of(pid)?;
        join(stopped, registers, pid, &map)?;
        for mapping in of_files(pid)? {
            let wanted = self.0.get(&mapping.file);
            let is_wanted = |index| wanted.is_some_and(|wanted| wanted.contains(&mapping.page(index)));
            let address = |index: u64| u64::from(mapping.start) + index * u64::from(PAGE);
            let mut last = None;
            for index in (0..mapping.pages()).filter(|index| is_wanted(*index)) {
                let mut byte = [0];
                memory.read_exact_at(&mut byte, address(index)).map_err(|_| Errno::FAULT)?;
                last = Some((index, byte));
            }
            // Linux leaves page tables out of copies where a mapping of a file was never written to. The last page is the best
            // for it: constants are behind code, and all code stays where other processes have it, too.
            if let Some((index, byte)) = last {
                memory.write_all_at(&byte, address(index)).map_err(|_| Errno::FAULT)?;
            }
            let pages = map.pages(&mapping)?;
            let needless = (0..).zip(pages).map(|(index, page)| !is_copy(page) && !is_wanted(index));
            for (start, length) in runs(needless) {
                forget(stopped, registers, mapping.start + start * PAGE, length * PAGE)?;
            }
        }
        Ok(())
    }
}

impl Mapping {
    fn pages(&self) -> u64 {
        u64::from((self.end - self.start) / PAGE)
    }

    /// Whether another one follows, in memory and in the file.
    fn goes_on_in(&self, next: &Self) -> bool {
        let length = u64::from(self.end - self.start);
        self.end == next.start && self.offset + length == next.offset && self.file == next.file
    }

    /// The number in the file of one of its pages.
    fn page(&self, index: u64) -> u64 {
        self.offset / u64::from(PAGE) + index
    }
}

/// Makes one mapping of those that follow each other in memory and in a file, as far as they were never written to.
fn join(stopped: &Stopped, registers: &Registers, pid: Pid, map: &PageMap) -> Result<()> {
    let mut joined: Vec<(Mapping, Word)> = Vec::new();
    for mapping in pieces(pid)? {
        if map.pages(&mapping)?.into_iter().any(is_copy) {
            continue;
        }
        match joined.last_mut() {
            Some((last, count)) if last.goes_on_in(&mapping) => {
                (last.end, *count) = (mapping.end, *count + 1)
            }
            _ => joined.push((mapping, 1)),
        }
    }
    for (all, _) in joined.into_iter().filter(|(_, count)| *count > 1) {
        call(stopped, registers, MPROTECT, [all.start, all.end - all.start, READ_AND_EXECUTE])?;
    }
    Ok(())
}

/// Takes all pages of files from a shell, and cuts its mappings of files into single pages.
fn cut(stopped: &Stopped, registers: &Registers, pid: Pid) -> Result<()> {
    let map = PageMap::of(pid)?;
    for mapping in of_files(pid)? {
        let pages = map.pages(&mapping)?;
        for (start, length) in runs(pages.into_iter().map(|page| !is_copy(page))) {
            forget(stopped, registers, mapping.start + start * PAGE, length * PAGE)?;
        }
        for start in (mapping.start..mapping.end).step_by(2 * PAGE as usize) {
            call(stopped, registers, MADVISE, [start, PAGE, MADV_DONTDUMP])?;
        }
    }
    Ok(())
}

/// Mappings of files that nobody writes to.
fn pieces(pid: Pid) -> Result<impl Iterator<Item = Mapping>> {
    let is_one = |mapping: &Mapping| {
        let is_code_or_constant =
            matches!(&*mapping.rights, "r-xp" | "r--p") && mapping.file.starts_with('/');
        is_code_or_constant && u64::from(mapping.end - mapping.start) <= LARGEST
    };
    Ok(mappings(pid).ok_or(Errno::SRCH)?.into_iter().filter(is_one))
}

/// The same, but pieces of what was one are one.
fn of_files(pid: Pid) -> Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    for mapping in pieces(pid)? {
        match found.last_mut() {
            Some(last) if last.goes_on_in(&mapping) && last.rights == mapping.rights => {
                last.end = mapping.end
            }
            _ => found.push(mapping),
        }
    }
    Ok(found)
}

/// The file `/proc/PID/pagemap`.
struct PageMap(File);

impl PageMap {
    fn of(pid: Pid) -> Result<Self> {
        File::open(format!("/proc/{}/pagemap", pid.as_raw_nonzero())).map(Self).map_err(|_| Errno::SRCH)
    }

    /// Its entries for a mapping.
    fn pages(&self, mapping: &Mapping) -> Result<Vec<u64>> {
        let mut bytes = vec![0; mapping.pages() as usize * 8];
        self.0.read_exact_at(&mut bytes, u64::from(mapping.start / PAGE) * 8).map_err(|_| Errno::SRCH)?;
        let entry = |bytes: &[u8]| bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Ok(bytes.chunks_exact(8).map(entry).collect())
    }
}

/// Whether a page was written to, and would be lost.
fn is_copy(page: u64) -> bool {
    page & (PRESENT | OF_FILE) == PRESENT
}

fn forget(stopped: &Stopped, registers: &Registers, start: Word, length: Word) -> Result<()> {
    call(stopped, registers, MADVISE, [start, length, MADV_DONTNEED])
}

fn call(stopped: &Stopped, registers: &Registers, number: Word, arguments: [Word; 3]) -> Result<()> {
    if stopped.call(registers, number, arguments)? == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

/// Where, and how long, something is true.
fn runs(values: impl Iterator<Item = bool>) -> Vec<(Word, Word)> {
    let mut runs: Vec<(Word, Word)> = Vec::new();
    for (index, value) in (0..).zip(values) {
        match runs.last_mut() {
            Some((start, length)) if value && *start + *length == index => *length += 1,
            _ if value => runs.push((index, 1)),
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found() {
        let values = [true, true, false, true, false, false, true];
        assert_eq!(runs(values.into_iter()), [(0, 2), (3, 1), (6, 1)]);
        assert_eq!(runs([false; 3].into_iter()), []);
    }
}
