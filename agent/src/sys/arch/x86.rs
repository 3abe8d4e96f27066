//! i386.

use std::ffi::c_void;

/// What a register holds.
pub type Word = u32;

/// The system call `mprotect`.
pub const MPROTECT: Word = 125;

/// The system call `madvise`.
pub const MADVISE: Word = 219;

/// Whether what lies on the stack can be executed: pages have no bit against it.
pub const CODE_ON_STACK: bool = true;

/// Bytes below the stack pointer that belong to whoever runs.
pub const RED_ZONE: Word = 0;

/// System calls that open a file: `open` and `openat`.
const OPENS: [Word; 2] = [5, 295];
/// What they return when a signal, or nobody's signal, interrupts them.
const RESTART: Word = -512i32 as Word;

/// The registers of a process: `struct user_regs_struct`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Registers {
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub esi: u32,
    pub edi: u32,
    pub ebp: u32,
    pub eax: u32,
    pub segments: [u32; 4],
    pub orig_eax: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
    pub esp: u32,
    pub ss: u32,
}

impl Registers {
    /// Whether the process was stopped while it waited for a file to be opened.
    pub fn opens_a_file(&self) -> bool {
        OPENS.contains(&self.orig_eax) && self.eax == RESTART
    }

    /// These for another system call, with the instruction that made the one it was stopped in.
    pub fn calling(&self, number: Word, [ebx, ecx, edx]: [Word; 3]) -> Self {
        // Not in a system call: nothing is to be started again. INT 0x80 has two bytes; it is there after SYSENTER, too.
        Self { eax: number, ebx, ecx, edx, orig_eax: Word::MAX, eip: self.eip.wrapping_sub(2), ..*self }
    }

    /// These for the system call it was stopped in, from its beginning.
    pub fn again(&self) -> Self {
        self.calling(self.orig_eax, [self.ebx, self.ecx, self.edx])
    }

    /// What a system call has returned.
    pub fn answer(&self) -> Word {
        self.eax
    }

    /// The stack pointer.
    pub fn stack(&self) -> Word {
        self.esp
    }

    /// What returns to where the process was, with 0 as the system call's answer.
    pub fn frame(&self) -> Frame {
        Frame {
            edi: self.edi,
            esi: self.esi,
            ebp: self.ebp,
            esp_not_used: 0,
            ebx: self.ebx,
            edx: self.edx,
            ecx: self.ecx,
            eax: 0,
            eflags: self.eflags,
            eip: self.eip,
        }
    }

    /// Goes on in the machine code of [`fork_server`](crate::sys::fork_server) instead.
    pub fn enter(&mut self, code: Word, data: Word, frame: Word) {
        self.eip = code;
        self.esp = frame;
        self.ebp = frame;
        self.esi = data;
        // Not in a system call: nothing is to be started again.
        self.orig_eax = Word::MAX;
    }
}

/// How the shell's registers are kept: in the order of `popad`, `popfd`, `ret`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Frame {
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    pub esp_not_used: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub eflags: u32,
    pub eip: u32,
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
        "push ebx",
        "push esi",
        "push edi",
        "mov ebx, [esp + 16]",
        "mov ecx, [esp + 20]",
        "mov esi, [esp + 24]",
        "mov edi, [esp + 28]",
        "mov eax, 435",
        "int 0x80", // not sysenter: it would return to the parent's stack
        "test eax, eax",
        "jz 2f",
        "pop edi",
        "pop esi",
        "pop ebx",
        "ret",
        "2:",
        "xor ebp, ebp",
        "sub esp, 12", // keeps the stack aligned to 16 bytes at the call
        "push edi",
        "call esi",
        "ud2",
    )
}

// The code of `fork_server`: `esi` at its data, `ebp` at a frame.
core::arch::global_asm!(
    ".pushsection .rodata.fork_server,\"a\",@progbits",
    ".globl fork_server_start",
    ".globl fork_server_end",
    "fork_server_start:",
    "2:",
    "mov dword ptr [esi + 20], 28", // room for four descriptors
    "mov eax, 372",                 // recvmsg(1, esi, 0)
    "mov ebx, 1",
    "mov ecx, esi",
    "xor edx, edx",
    "int 0x80",
    "cmp eax, -4", // EINTR
    "je 2b",
    "cmp eax, 4",
    "jne 8f",
    "cmp dword ptr [esi + 20], 28",
    "jne 8f",
    "mov eax, [esi + 64]", // the control group's descriptor
    "mov [esi + 148], eax",
    "mov eax, 435", // clone3
    "lea ebx, [esi + 68]",
    "mov ecx, 88",
    "int 0x80",
    "test eax, eax",
    "je 5f",
    "mov [esi + 36], eax",
    "lea edi, [esi + 52]",
    "3:",
    "mov eax, 6", // close
    "mov ebx, [edi]",
    "int 0x80",
    "add edi, 4",
    "lea eax, [esi + 68]",
    "cmp edi, eax",
    "jb 3b",
    "4:",
    "mov eax, 4", // write
    "mov ebx, 1",
    "lea ecx, [esi + 36]",
    "mov edx, 4",
    "int 0x80",
    "cmp eax, -4",
    "je 4b",
    "jmp 2b",
    // the child
    "5:",
    "mov eax, 63", // dup2
    "mov ebx, [esi + 56]",
    "mov ecx, 1",
    "int 0x80",
    "mov eax, 63",
    "mov ebx, [esi + 60]",
    "mov ecx, 2",
    "int 0x80",
    "lea edi, [esi + 56]",
    "6:",
    "mov eax, 6",
    "mov ebx, [edi]",
    "int 0x80",
    "add edi, 4",
    "lea eax, [esi + 68]",
    "cmp edi, eax",
    "jb 6b",
    "mov eax, 66", // setsid, whose answer is the new process's identifier
    "int 0x80",
    "lea edi, [esi + 156]",
    "mov edx, 4",
    "7:",
    "mov ecx, [edi]",
    "test ecx, ecx",
    "je 9f",
    "mov [ecx], eax",
    "9:",
    "add edi, 4",
    "dec edx",
    "jne 7b",
    "mov eax, [esi + 52]",
    "mov [ebp + 28], eax",
    "mov esp, ebp",
    "popad",
    "popfd",
    "ret",
    "8:",
    "mov eax, 252", // exit_group
    "xor ebx, ebx",
    "int 0x80",
    "jmp 8b",
    "fork_server_end:",
    ".popsection",
);

// The structures are where the code looks for them.
const _: () = {
    use crate::sys::fork_server::Data;
    use std::mem::offset_of;
    assert!(offset_of!(Data, message_control_bytes) == 20);
    assert!(offset_of!(Data, word) == 36);
    assert!(offset_of!(Data, descriptors) == 52);
    assert!(offset_of!(Data, clone) == 68);
    assert!(offset_of!(Data, clone) + 80 == 148);
    assert!(offset_of!(Data, identifiers) == 156);
    assert!(size_of::<Data>() == 172);
    assert!(offset_of!(Frame, eax) == 28 && size_of::<Frame>() == 40);
};
