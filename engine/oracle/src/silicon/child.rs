//! The child: a process that does nothing but take signals.
//!
//! The kernel does all the work. Returning from a signal loads every register, the mode included, from the
//! frame on the signal stack, and the next exception stores them all there. So a case is what happens
//! between two signals, and costs one of them. Nothing here may use thread-local storage: FS belongs to
//! the cases.

use super::shared::{SLOTS, STOPPED, SYSTEM_CALL, Shared, Slot};
use crate::case::{Changes, Exception, State};
use crate::layout::{self, CODE, CODE_END, DATA, FILLER, REGIONS};
use std::arch::{asm, naked_asm};
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::Ordering;

/// The part of an FXSAVE image that is state; the kernel keeps notes in the rest.
const FX_STATE: usize = 464;
/// What the kernel writes into the image when XSAVE's header follows it.
const XSAVE_MAGIC: u32 = 0x4650_5853;
/// The order of the general registers in a signal frame, by their number in instructions.
const GREGS: [usize; 16] = [
    libc::REG_RAX as usize,
    libc::REG_RCX as usize,
    libc::REG_RDX as usize,
    libc::REG_RBX as usize,
    libc::REG_RSP as usize,
    libc::REG_RBP as usize,
    libc::REG_RSI as usize,
    libc::REG_RDI as usize,
    libc::REG_R8 as usize,
    libc::REG_R9 as usize,
    libc::REG_R10 as usize,
    libc::REG_R11 as usize,
    libc::REG_R12 as usize,
    libc::REG_R13 as usize,
    libc::REG_R14 as usize,
    libc::REG_R15 as usize,
];

/// All that the signal handler knows.
pub struct Child {
    /// Shared with the parent.
    pub shared: *mut Shared,
    /// A writable view of `DATA` and what follows, up to the end of code.
    pub view: *mut u8,
    /// Memory as it is before each case, laid out like the view.
    pub background: *const u8,
    /// Memory as it was before this case, laid out like the view.
    pub baseline: *mut u8,
    /// How many batches were seen.
    pub seen: u32,
    /// The case that runs, or `SLOTS` before the first.
    pub current: usize,
}

/// The one `Child` of this process.
static mut CHILD: *mut Child = ptr::null_mut();

/// Takes over the process; it ends when somebody kills it.
///
/// # Safety
/// The process has one thread and maps the case's memory; `child` lives as long as it.
pub unsafe fn run(child: *mut Child) -> ! {
    // SAFETY: by the contract of this function; the handler is safe to run from here on.
    unsafe {
        CHILD = child;
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = entry as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS] {
            libc::sigaction(signal, &action, ptr::null_mut());
        }
        if !super::confine::forbid_system_calls() {
            libc::_exit(3);
        }
        asm!("int3");
        libc::_exit(4)
    }
}

/// Where signals arrive: with the case's AC flag, which compiled code cannot live with, and its ID and NT, which
/// the next case would inherit.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        "pushfq",
        "and dword ptr [rsp], 0xFFDBBFFF",
        "popfq",
        "jmp {handler}",
        handler = sym on_signal,
    )
}

unsafe extern "C" fn on_signal(signal: c_int, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel passes a valid context, and CHILD was set before the first signal.
    unsafe {
        let child = &mut *CHILD;
        let context = &mut *context;
        if child.current < SLOTS {
            let slot = &raw mut (*child.shared).slots[child.current];
            store(&mut *slot, context, signal);
            child.collect(&mut *slot);
        }
        let index = child.advance();
        let slot = &raw mut (*child.shared).slots[index];
        child.prepare(&*slot);
        load(&(*slot).before, context);
    }
}

impl Child {
    /// The next case; waits for one.
    unsafe fn advance(&mut self) -> usize {
        // SAFETY: the memory is shared with the parent and outlives the child.
        let shared = self.shared.cast_const();
        // SAFETY: as above; only atomics are touched.
        let (posted, done, start, count, current) = unsafe {
            (&(*shared).posted, &(*shared).done, &(*shared).start, &(*shared).count, &(*shared).current)
        };
        let mut next = self.current + 1;
        if self.current >= SLOTS || next >= count.load(Ordering::Acquire) as usize {
            if self.current < SLOTS {
                done.store(self.seen, Ordering::Release);
                wake(done.as_ptr());
            }
            while posted.load(Ordering::Acquire) == self.seen {
                wait(posted.as_ptr(), self.seen);
            }
            self.seen = posted.load(Ordering::Acquire);
            next = start.load(Ordering::Acquire) as usize;
        }
        self.current = next;
        current.store(next as u32, Ordering::Release);
        next
    }

    /// Puts code and data where they belong.
    unsafe fn prepare(&mut self, slot: &Slot) {
        // SAFETY: the parent has checked that patches and code lie inside the layout.
        unsafe {
            let code = self.view.add((slot.before.rip as u32 - DATA) as usize);
            ptr::copy_nonoverlapping(slot.code.as_ptr(), code, slot.code_length as usize);
            for patch in &slot.patches[..slot.patch_count as usize] {
                let at = (patch.address - DATA) as usize;
                let bytes = slot.bytes.as_ptr().add(patch.start as usize);
                ptr::copy_nonoverlapping(bytes, self.view.add(at), patch.length as usize);
                ptr::copy_nonoverlapping(bytes, self.baseline.add(at), patch.length as usize);
            }
        }
    }

    /// Notes what memory has changed, and makes it as it was before the case.
    unsafe fn collect(&mut self, slot: &mut Slot) {
        slot.changes.count = 0;
        slot.changes.sum = Changes::NONE.sum;
        // SAFETY: all regions and patches lie inside the view, as in `prepare`.
        unsafe {
            for region in REGIONS {
                for address in (region.start..region.end).step_by(8) {
                    let at = (address - DATA) as usize;
                    let now = self.view.add(at).cast::<u64>();
                    if *now != *self.baseline.add(at).cast::<u64>() {
                        slot.changes.add(address, *now);
                        *now = *self.background.add(at).cast::<u64>();
                    }
                }
            }
            for patch in &slot.patches[..slot.patch_count as usize] {
                let at = (patch.address - DATA) as usize;
                let background = self.background.add(at);
                ptr::copy_nonoverlapping(background, self.view.add(at), patch.length as usize);
                ptr::copy_nonoverlapping(background, self.baseline.add(at), patch.length as usize);
            }
            let code = self.view.add((slot.before.rip as u32 - DATA) as usize);
            ptr::write_bytes(code, FILLER, slot.code_length as usize);
        }
    }
}

/// From the signal frame into the slot.
unsafe fn store(slot: &mut Slot, context: &libc::ucontext_t, signal: c_int) {
    let registers = &context.uc_mcontext.gregs;
    let after = &mut slot.after;
    for (value, index) in after.gprs.iter_mut().zip(GREGS) {
        *value = registers[index] as u64;
    }
    after.rip = registers[libc::REG_RIP as usize] as u64;
    after.rflags = registers[libc::REG_EFL as usize] as u64;
    let segments = registers[libc::REG_CSGSFS as usize] as u64;
    let (es, ds, fs, gs): (u16, u16, u16, u16);
    // SAFETY: these read segment registers; FSGSBASE was checked by the parent. The frame has an FXSAVE image.
    unsafe {
        asm!("mov {0:x}, es", "mov {1:x}, ds", "mov {2:x}, fs", "mov {3:x}, gs",
            out(reg) es, out(reg) ds, out(reg) fs, out(reg) gs, options(nostack, nomem, preserves_flags));
        asm!("rdfsbase {0}", "rdgsbase {1}", out(reg) after.bases[0], out(reg) after.bases[1],
            options(nostack, nomem, preserves_flags));
        let image = context.uc_mcontext.fpregs.cast::<u8>();
        ptr::copy_nonoverlapping(image, after.fx.0.as_mut_ptr(), FX_STATE);
    }
    after.selectors = [es, segments as u16, (segments >> 48) as u16, ds, fs, gs];
    slot.exception = Exception {
        vector: registers[libc::REG_TRAPNO as usize] as u32,
        error_code: registers[libc::REG_ERR as usize] as u32,
        address: registers[libc::REG_CR2 as usize] as u64,
    };
    slot.status = if signal == libc::SIGSYS { SYSTEM_CALL } else { STOPPED };
}

/// From the slot into the signal frame.
unsafe fn load(before: &State, context: &mut libc::ucontext_t) {
    let registers = &mut context.uc_mcontext.gregs;
    for (value, index) in before.gprs.iter().zip(GREGS) {
        registers[index] = *value as i64;
    }
    registers[libc::REG_RIP as usize] = before.rip as i64;
    registers[libc::REG_EFL as usize] = before.rflags as i64;
    let [es, cs, ss, ds, fs, gs] = before.selectors;
    registers[libc::REG_CSGSFS as usize] = (u64::from(cs) | u64::from(ss) << 48) as i64;
    // SAFETY: the selectors are those of `State::new`, which exist; nobody else uses FS or GS here. The frame
    // has an FXSAVE image, and the header of XSAVE behind it when the image says so.
    unsafe {
        asm!("mov es, {0:x}", "mov ds, {1:x}", "mov fs, {2:x}", "mov gs, {3:x}",
            in(reg) es, in(reg) ds, in(reg) fs, in(reg) gs, options(nostack, nomem, preserves_flags));
        if cs == layout::CS64 {
            asm!("wrfsbase {0}", "wrgsbase {1}", in(reg) before.bases[0], in(reg) before.bases[1],
                options(nostack, nomem, preserves_flags));
        }
        let image = context.uc_mcontext.fpregs.cast::<u8>();
        ptr::copy_nonoverlapping(before.fx.0.as_ptr(), image, FX_STATE);
        if image.add(FX_STATE).cast::<u32>().read_unaligned() == XSAVE_MAGIC {
            let present = image.add(512).cast::<u64>();
            *present |= 3;
        }
    }
}

/// Fills the view and both copies of it; for the parent.
///
/// # Safety
/// All three are as long as the layout.
pub unsafe fn fill(view: *mut u8, background: *mut u8, baseline: *mut u8) {
    for region in REGIONS {
        let bytes = layout::background(region);
        for target in [view, background, baseline] {
            // SAFETY: regions lie inside the layout.
            unsafe {
                let target = target.add((region.start - DATA) as usize);
                ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
            }
        }
    }
    // SAFETY: so does code.
    unsafe { ptr::write_bytes(view.add((CODE - DATA) as usize), FILLER, (CODE_END - CODE) as usize) };
}

/// Sleeps until somebody wakes those who wait for the word, unless it has changed.
fn wait(word: *const u32, seen: u32) {
    // SAFETY: the word is in shared memory.
    unsafe { system_call(libc::SYS_futex, word as usize, libc::FUTEX_WAIT as usize, seen as usize) };
}

/// Wakes who waits for the word.
fn wake(word: *const u32) {
    // SAFETY: the word is in shared memory.
    unsafe { system_call(libc::SYS_futex, word as usize, libc::FUTEX_WAKE as usize, 1) };
}

/// A system call that leaves `errno`, which is thread-local, alone.
unsafe fn system_call(number: i64, first: usize, second: usize, third: usize) {
    // SAFETY: by the contract of the callers.
    unsafe {
        asm!("syscall", inlateout("rax") number => _, in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") 0, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
}
