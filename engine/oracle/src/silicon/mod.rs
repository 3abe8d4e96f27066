//! The processor of this machine, as the oracle: runs cases natively, in a child process.
//!
//! It is the one module of the crate with `unsafe`.
#![allow(unsafe_code, reason = "it runs arbitrary code, in a process of its own")]

mod child;
mod confine;
mod shared;

use crate::case::{Case, Outcome};
use crate::layout::{CODE, CODE_END, DATA, DATA_END, LOCAL_DESCRIPTORS, READ_ONLY, STACK, STACK_END};
use child::Child;
use shared::{LONGEST_CODE, MOST_PATCHES, PATCH_BYTES, SLOTS, Shared};
use std::io::{Error, Result};
use std::ptr::{self, null_mut};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How many cases can be under way at once.
pub const BATCH: usize = SLOTS;

/// A case that runs longer than this never ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// The bytes from the first page of data to the end of code.
const VIEW: usize = (CODE_END - DATA) as usize;

/// A process that runs cases on this machine's processor.
pub struct Silicon {
    shared: *mut Shared,
    child: Child,
    process: libc::pid_t,
    count: usize,
}

impl Silicon {
    /// Starts one.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn new() -> Result<Self> {
        let shared = map(size_of::<Shared>(), libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?.cast::<Shared>();
        let background = map(VIEW, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        let baseline = map(VIEW, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        let child = Child { shared, view: null_mut(), background, baseline, seen: 0, current: SLOTS };
        let mut silicon = Self { shared, child, process: 0, count: 0 };
        silicon.start()?;
        Ok(silicon)
    }

    /// Whether a case fits: what is too large or elsewhere cannot be run.
    pub fn accepts(case: &Case) -> bool {
        let end = case.state.rip.saturating_add(case.code.len() as u64);
        let inside = |address: u32, length: usize| {
            let end = u64::from(address) + length as u64;
            (address >= DATA && end <= u64::from(DATA_END))
                || (address >= STACK && end <= u64::from(STACK_END))
        };
        case.code.len() <= LONGEST_CODE
            && case.state.rip >= u64::from(CODE)
            && end <= u64::from(CODE_END)
            && case.patches.len() <= MOST_PATCHES
            && case.patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() <= PATCH_BYTES
            && case.patches.iter().all(|patch| inside(patch.address, patch.bytes.len()))
            // Otherwise the kernel refuses to load it.
            && case.state.fx.mxcsr() & 0xFFFF_0000 == 0
    }

    /// Begins to run at most `BATCH` cases that it accepts; [`Self::finish`] comes next.
    ///
    /// # Panics
    /// When it does not accept one of them.
    pub fn begin(&mut self, cases: &[Case]) {
        assert!(cases.len() <= BATCH && cases.iter().all(Self::accepts), "cases that cannot be run");
        for (index, case) in cases.iter().enumerate() {
            // SAFETY: the child touches slots only between `post` and `done`.
            unsafe { (*self.shared).slots[index].fill(case) };
        }
        self.count = cases.len();
        self.post(0);
    }

    /// What came of the cases.
    ///
    /// # Errors
    /// When a new child cannot be started.
    pub fn finish(&mut self) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(self.count);
        while let Some((at, outcome)) = self.wait()? {
            self.take(&mut outcomes, at);
            outcomes.push(outcome);
            self.child.seen = self.shared().posted.load(Ordering::Acquire);
            self.start()?;
            self.post(at + 1);
        }
        self.take(&mut outcomes, self.count);
        Ok(outcomes)
    }

    /// Runs cases, any number of them.
    ///
    /// # Errors
    /// When a new child cannot be started.
    pub fn run(&mut self, cases: &[Case]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(cases.len());
        for batch in cases.chunks(BATCH) {
            self.begin(batch);
            outcomes.append(&mut self.finish()?);
        }
        Ok(outcomes)
    }

    fn shared(&self) -> &Shared {
        // SAFETY: mapped as long as this lives; of what the child writes, only atomics are read through this.
        unsafe { &*self.shared }
    }

    fn take(&self, outcomes: &mut Vec<Outcome>, end: usize) {
        for index in outcomes.len()..end {
            // SAFETY: the child is done with these slots.
            outcomes.push(unsafe { (*self.shared).slots[index].outcome() });
        }
    }

    fn post(&self, start: usize) {
        let shared = self.shared();
        shared.start.store(start as u32, Ordering::Release);
        if start >= self.count {
            // The child ended with the last one.
            return;
        }
        shared.count.store(self.count as u32, Ordering::Release);
        shared.posted.fetch_add(1, Ordering::AcqRel);
        futex(shared.posted.as_ptr(), libc::FUTEX_WAKE, 1, null_mut());
    }

    /// Waits for the batch. If it is not done, says which case ended the child, and how.
    fn wait(&mut self) -> Result<Option<(usize, Outcome)>> {
        let mut progress = (u32::MAX, Instant::now());
        loop {
            let shared = self.shared();
            let posted = shared.posted.load(Ordering::Acquire);
            let done = shared.done.load(Ordering::Acquire);
            let everything_ran = shared.start.load(Ordering::Acquire) as usize >= self.count;
            if done == posted || everything_ran {
                return Ok(None);
            }
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            futex(shared.done.as_ptr(), libc::FUTEX_WAIT, done, &raw mut time);
            let current = shared.current.load(Ordering::Acquire);
            let mut status = 0;
            // SAFETY: the child is this process's own.
            if unsafe { libc::waitpid(self.process, &raw mut status, libc::WNOHANG) } == self.process {
                self.process = 0;
                let outcome = Outcome::Lost(format!("the child ended, with status {status:#x}"));
                if current as usize >= self.count {
                    return Err(Error::other("the child ended before its first case"));
                }
                return Ok(Some((current as usize, outcome)));
            }
            if current != progress.0 {
                progress = (current, Instant::now());
            } else if progress.1.elapsed() > PATIENCE {
                self.stop();
                return Ok(Some((current as usize, Outcome::Hung)));
            }
        }
    }

    /// Starts a child.
    fn start(&mut self) -> Result<()> {
        self.stop();
        self.child.current = SLOTS;
        self.shared().current.store(u32::MAX, Ordering::Release);
        let parent = std::process::id();
        // SAFETY: the child calls nothing that needs locks or memory of the allocator.
        match unsafe { libc::fork() } {
            -1 => Err(Error::last_os_error()),
            0 => {
                // SAFETY: as above; it has one thread.
                unsafe { become_child(&raw mut self.child, parent) }
            }
            process => {
                self.process = process;
                Ok(())
            }
        }
    }

    fn stop(&mut self) {
        if self.process > 0 {
            // SAFETY: the process is a child of this one, and not waited for yet.
            unsafe {
                libc::kill(self.process, libc::SIGKILL);
                libc::waitpid(self.process, null_mut(), 0);
            }
            self.process = 0;
        }
    }
}

impl Drop for Silicon {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: these are its own mappings.
        unsafe {
            libc::munmap(self.shared.cast(), size_of::<Shared>());
            libc::munmap(self.child.background.cast_mut().cast(), VIEW);
            libc::munmap(self.child.baseline.cast(), VIEW);
        }
    }
}

/// New memory.
fn map(length: usize, flags: i32, file: i32) -> Result<*mut u8> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address =
        unsafe { libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, file, 0) };
    if address == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(address.cast()) }
}

fn futex(word: *const u32, operation: i32, value: u32, time: *mut libc::timespec) {
    // SAFETY: the word is in shared memory.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, value, time) };
}

/// The rest of the child's life. Its exit codes say what failed.
unsafe fn become_child(child: *mut Child, parent: u32) -> ! {
    // SAFETY: this is a fresh process with one thread; the addresses below 4 GiB are not used by it.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        if libc::getppid() as u32 != parent {
            libc::_exit(1);
        }
        if map_case_memory(&mut *child).is_none() || !install_descriptors() {
            libc::_exit(2);
        }
        child::run(child)
    }
}

/// Maps the layout: once where cases see it, and once where it can be written.
unsafe fn map_case_memory(child: &mut Child) -> Option<()> {
    const STACK_SIZE: usize = 1 << 17;
    // SAFETY: as for the caller.
    unsafe {
        let file = libc::memfd_create(c"case".as_ptr(), 0);
        if file < 0 || libc::ftruncate(file, VIEW as libc::off_t) != 0 {
            return None;
        }
        child.view = map(VIEW, libc::MAP_SHARED, file).ok()?;
        child::fill(child.view, child.background.cast_mut(), child.baseline);
        let pages = [
            (DATA, READ_ONLY, libc::PROT_READ | libc::PROT_WRITE),
            (READ_ONLY, DATA_END, libc::PROT_READ),
            (STACK, STACK_END, libc::PROT_READ | libc::PROT_WRITE),
            (CODE, CODE_END, libc::PROT_READ | libc::PROT_EXEC),
        ];
        for (start, end, access) in pages {
            // Populated, as error codes tell whether a page is there.
            let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
            let address = ptr::without_provenance_mut(start as usize);
            let offset = libc::off_t::from(start - DATA);
            let mapped = libc::mmap(address, (end - start) as usize, access, flags, file, offset);
            if mapped != address {
                return None;
            }
        }
        let stack = map(STACK_SIZE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1).ok()?;
        let stack = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK_SIZE };
        (libc::sigaltstack(&raw const stack, null_mut()) == 0).then_some(())
    }
}

/// `struct user_desc` of the kernel.
#[repr(C)]
struct UserDescriptor {
    index: u32,
    base: u32,
    limit: u32,
    flags: u32,
}

/// Fills the local descriptor table.
fn install_descriptors() -> bool {
    const BITS32: u32 = 1;
    const EXPAND_DOWN: u32 = 1 << 1;
    const CODE: u32 = 2 << 1;
    LOCAL_DESCRIPTORS.iter().all(|entry| {
        let kind = if entry.code {
            CODE
        } else if entry.expand_down {
            EXPAND_DOWN
        } else {
            0
        };
        let descriptor = UserDescriptor {
            index: entry.index,
            base: entry.base,
            limit: entry.limit,
            flags: BITS32
                | kind
                | u32::from(entry.restricted) << 3
                | u32::from(entry.in_pages) << 4
                | u32::from(!entry.present) << 5,
        };
        // SAFETY: the descriptor is what the kernel expects; function 1 writes one entry.
        let result = unsafe {
            libc::syscall(libc::SYS_modify_ldt, 1, &raw const descriptor, size_of_val(&descriptor))
        };
        result == 0
    })
}
