//! Machine code that is put into a waiting shell and makes copies of it.
//!
//! The code runs where the shell waited: in the middle of a system call for which it returns a file descriptor. It takes
//! nothing from its surroundings and leaves nothing behind.
#![allow(unsafe_code)]

/// What the machine code finds at `esi`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct Data {
    pub message_name: [u32; 2],
    pub message_iov: u32,
    pub message_iov_count: u32,
    pub message_control: u32,
    pub message_control_bytes: u32,
    pub message_flags: u32,
    pub iov_base: u32,
    pub iov_bytes: u32,
    /// The message's content; then the answer, a process identifier or a negative error.
    pub word: u32,
    pub control: [u32; 3],
    /// What comes along: the script's reading end, standard output, error output, the control group.
    pub descriptors: [u32; 4],
    /// `struct clone_args`, its 64-bit numbers in halves.
    pub clone: [u32; 22],
    /// Places for the new process's identifier; 0 for none.
    pub identifiers: [u32; 4],
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

/// The bytes of a structure of integers without padding.
macro_rules! bytes_of {
    ($type:ty) => {
        impl $type {
            /// As it is in memory.
            pub fn bytes(&self) -> &[u8] {
                // SAFETY: made of integers, without padding, and borrowed for as long as the slice.
                unsafe { std::slice::from_raw_parts((&raw const *self).cast(), size_of::<Self>()) }
            }
        }
    };
}
bytes_of!(Data);
bytes_of!(Frame);

/// The code, which runs at any address. It wants `esi` at [`Data`], `ebp` at a [`Frame`], and a stack.
pub fn code() -> &'static [u8] {
    unsafe extern "C" {
        static fork_server_start: u8;
        static fork_server_end: u8;
    }
    // SAFETY: both symbols are defined below, and what is between them is this program's own read-only code.
    unsafe {
        let start = &raw const fork_server_start;
        std::slice::from_raw_parts(start, (&raw const fork_server_end).offset_from_unsigned(start))
    }
}

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
