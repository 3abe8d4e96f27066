//! x86-64.

use std::ffi::c_void;

/// What a register holds.
pub type Word = u64;

/// The system call `mprotect`.
pub const MPROTECT: Word = 10;

/// The system call `madvise`.
pub const MADVISE: Word = 28;

/// Whether what lies on the stack can be executed: not even by those who ask for it late.
pub const CODE_ON_STACK: bool = false;

/// Bytes below the stack pointer that belong to whoever runs.
pub const RED_ZONE: Word = 128;

/// System calls that open a file: `open` and `openat`.
const OPENS: [Word; 2] = [2, 257];
/// What they return when a signal, or nobody's signal, interrupts them.
const RESTART: Word = -512i64 as Word;

/// The registers of a process: `struct user_regs_struct`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub segments: [u64; 4],
}

impl Registers {
    /// Whether the process was stopped while it waited for a file to be opened.
    pub fn opens_a_file(&self) -> bool {
        OPENS.contains(&self.orig_rax) && self.rax == RESTART
    }

    /// These for another system call, with the instruction that made the one it was stopped in.
    pub fn calling(&self, number: Word, [rdi, rsi, rdx]: [Word; 3]) -> Self {
        // Not in a system call: nothing is to be started again. SYSCALL has two bytes.
        Self { rax: number, rdi, rsi, rdx, orig_rax: Word::MAX, rip: self.rip.wrapping_sub(2), ..*self }
    }

    /// These for the system call it was stopped in, from its beginning.
    pub fn again(&self) -> Self {
        self.calling(self.orig_rax, [self.rdi, self.rsi, self.rdx])
    }

    /// What a system call has returned.
    pub fn answer(&self) -> Word {
        self.rax
    }

    /// The stack pointer.
    pub fn stack(&self) -> Word {
        self.rsp
    }

    /// What returns to where the process was, with 0 as the system call's answer.
    pub fn frame(&self) -> Frame {
        Frame {
            r15: self.r15,
            r14: self.r14,
            r13: self.r13,
            r12: self.r12,
            rbp: self.rbp,
            rbx: self.rbx,
            r11: self.r11,
            r10: self.r10,
            r9: self.r9,
            r8: self.r8,
            rax: 0,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            eflags: self.eflags,
            rip: self.rip,
        }
    }

    /// Goes on in the machine code of [`fork_server`](crate::sys::fork_server) instead.
    pub fn enter(&mut self, code: Word, data: Word, frame: Word) {
        self.rip = code;
        self.rsp = frame;
        self.rbp = frame;
        self.rbx = data;
        // Not in a system call: nothing is to be started again.
        self.orig_rax = Word::MAX;
    }
}

/// How the shell's registers are kept: in the order in which the code takes them from the stack. The [`RED_ZONE`] is
/// above.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub eflags: u64,
    pub rip: u64,
}

/// Calls `clone3`. The parent gets the kernel's answer, a process identifier or a negative error; the child, on its own
/// stack, calls `function(argument)`.
///
/// # Safety
/// `args` must be a `struct clone_args` of `size` bytes, valid for `clone3`, and name a stack for the child that stays untouched while the child uses it;
/// `argument` must suit `function`.
#[unsafe(naked)]
pub unsafe extern "C" fn clone3_and_call(
    args: *const c_void,
    size: usize,
    function: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> isize {
    core::arch::naked_asm!(
        "mov r8, rcx", // the kernel overwrites rcx and r11, and keeps rdx and r8
        "mov eax, 435",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "mov rdi, r8",
        "call rdx",
        "ud2",
    )
}

// The code of `fork_server`: `rbx` at its data, `rbp` at a frame. System calls keep all but `rax`, `rcx` and `r11`.
core::arch::global_asm!(
    ".pushsection .rodata.fork_server,\"a\",@progbits",
    ".globl fork_server_start",
    ".globl fork_server_end",
    "fork_server_start:",
    "2:",
    "mov qword ptr [rbx + 40], 32", // room for four descriptors
    "mov eax, 47",                  // recvmsg(1, rbx, 0)
    "mov edi, 1",
    "mov rsi, rbx",
    "xor edx, edx",
    "syscall",
    "cmp rax, -4", // EINTR
    "je 2b",
    "cmp rax, 4",
    "jne 8f",
    "cmp qword ptr [rbx + 40], 32",
    "jne 8f",
    "mov eax, [rbx + 108]", // the control group's descriptor
    "mov [rbx + 192], rax",
    "mov eax, 435", // clone3
    "lea rdi, [rbx + 112]",
    "mov esi, 88",
    "syscall",
    "test rax, rax",
    "je 5f",
    "mov [rbx + 72], eax",
    "lea r12, [rbx + 96]",
    "3:",
    "mov eax, 3", // close
    "mov edi, [r12]",
    "syscall",
    "add r12, 4",
    "lea rax, [rbx + 112]",
    "cmp r12, rax",
    "jb 3b",
    "4:",
    "mov eax, 1", // write
    "mov edi, 1",
    "lea rsi, [rbx + 72]",
    "mov edx, 4",
    "syscall",
    "cmp rax, -4",
    "je 4b",
    "jmp 2b",
    // the child
    "5:",
    "mov eax, 33", // dup2
    "mov edi, [rbx + 100]",
    "mov esi, 1",
    "syscall",
    "mov eax, 33",
    "mov edi, [rbx + 104]",
    "mov esi, 2",
    "syscall",
    "lea r12, [rbx + 100]",
    "6:",
    "mov eax, 3",
    "mov edi, [r12]",
    "syscall",
    "add r12, 4",
    "lea rax, [rbx + 112]",
    "cmp r12, rax",
    "jb 6b",
    "mov eax, 112", // setsid, whose answer is the new process's identifier
    "syscall",
    "lea r12, [rbx + 200]",
    "mov edx, 4",
    "7:",
    "mov rcx, [r12]",
    "test rcx, rcx",
    "je 9f",
    "mov [rcx], eax",
    "9:",
    "add r12, 8",
    "dec edx",
    "jne 7b",
    "mov eax, [rbx + 96]",
    "mov [rbp + 80], rax",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rax",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "popfq",
    "ret 128", // and over the red zone
    "8:",
    "mov eax, 231", // exit_group
    "xor edi, edi",
    "syscall",
    "jmp 8b",
    "fork_server_end:",
    ".popsection",
);

// The structures are where the code looks for them.
const _: () = {
    use crate::sys::fork_server::Data;
    use std::mem::offset_of;
    assert!(offset_of!(Data, message_control_bytes) == 40);
    assert!(offset_of!(Data, word) == 72);
    assert!(offset_of!(Data, descriptors) == 96);
    assert!(offset_of!(Data, clone) == 112);
    assert!(offset_of!(Data, clone) + 80 == 192);
    assert!(offset_of!(Data, identifiers) == 200);
    assert!(size_of::<Data>() == 232);
    assert!(offset_of!(Frame, rax) == 80 && offset_of!(Frame, rip) == 128 && size_of::<Frame>() == 136);
};
