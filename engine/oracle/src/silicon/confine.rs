//! Keeps the cases of a child from calling the system.

use std::mem::offset_of;

const ARCHITECTURE: u32 = 0xC000_003E;

const fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

const fn unless(test: u32, value: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: 0, jf: skip, k: value }
}

const fn load(offset: usize) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32)
}

/// From here on only code above 4 GiB, which is the child's own, can call the system, and only for what
/// taking signals needs. Others get SIGSYS. Says whether that worked.
pub fn forbid_system_calls() -> bool {
    let pointer = offset_of!(libc::seccomp_data, instruction_pointer) + 4;
    let allow = statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW);
    let mut filter = [
        load(offset_of!(libc::seccomp_data, arch)),
        unless(libc::BPF_JEQ, ARCHITECTURE, 9),
        load(pointer),
        unless(libc::BPF_JGT, 0, 7),
        load(offset_of!(libc::seccomp_data, nr)),
        unless(libc::BPF_JEQ, libc::SYS_rt_sigreturn as u32, 1),
        allow,
        unless(libc::BPF_JEQ, libc::SYS_futex as u32, 1),
        allow,
        unless(libc::BPF_JEQ, libc::SYS_exit_group as u32, 1),
        allow,
        statement(libc::BPF_RET, libc::SECCOMP_RET_TRAP),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: prctl with a valid program; it concerns this process alone.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) == 0
    }
}
