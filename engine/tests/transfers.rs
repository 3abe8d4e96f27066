//! Returns and calls between privileges: IRET, SYSENTER, SYSCALL, 32-bit programs on a 64-bit kernel.

mod machine;

use machine::*;

/// push of the words, last first, then IRET; 32-bit pushes.
fn iret(long: bool, words: &[u32]) -> Vec<u8> {
    let mut code = Vec::new();
    for word in words.iter().rev() {
        code.push(0x68);
        code.extend(word.to_le_bytes());
    }
    if long {
        code.push(0x48);
    }
    code.push(0xCF);
    code
}

#[test]
fn iret_checks_what_it_returns_to() {
    let there = (CODE + 0x800) as u32;
    let (stack, data) = (STACK as u32, u32::from(USER_DATA));
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        for (cs, ss, expected) in [
            (u32::from(USER_CODE), data, (6, 0)),
            (0, data, (13, 0)),
            (u32::from(KERNEL_DATA), data, (13, 0x18)),
            (0x63, data, (13, 0x60)),
            (u32::from(USER_CODE) & !3, data, (13, 0x20)),
            (u32::from(ABSENT), u32::from(KERNEL_DATA), (11, 0x38)),
            (u32::from(USER_CODE), 0, (13, 0)),
            (u32::from(USER_CODE), 3, (13, 0)),
            (u32::from(USER_CODE), u32::from(KERNEL_DATA), (13, 0x18)),
            (u32::from(USER_CODE), u32::from(ABSENT_DATA), (12, 0x40)),
            (u32::from(USER_CODE), 0x63, (13, 0x60)),
        ] {
            let code = iret(kind == Kind::Long, &[there, cs, 2, stack, ss]);
            let mut machine = Machine::new(kind, &code);
            machine.write(u64::from(there), &[0x0F, 0x0B]);
            assert_eq!(machine.fault(), expected, "{kind:?} {cs:x} {ss:x}");
        }
    }
}

#[test]
fn iret_to_ring_3_drops_what_ring_3_may_not_have() {
    // mov ds, KERNEL_DATA first
    let mut code = vec![0x66, 0xB8, 0x18, 0, 0x8E, 0xD8];
    let there = (CODE + 0x800) as u32;
    code.extend(iret(false, &[there, u32::from(USER_CODE), 2, STACK as u32, u32::from(USER_DATA)]));
    let mut machine = Machine::new(Kind::Pae, &code);
    machine.write(u64::from(there), &[0x0F, 0x0B]);
    assert_eq!(machine.event().cs, u64::from(USER_CODE));
    assert_eq!(machine.cpu.segments[3].selector, 0);
}

#[test]
fn a_program_of_32_bits_on_a_kernel_of_64_bits() {
    // int 80h; ud2, the stack pointer's upper half being rubbish
    let mut machine = Machine::new(Kind::Long, &[0xCD, 0x80, 0x0F, 0x0B]);
    machine.gate(0x80, 0xEE, KERNEL_CODE, 0);
    machine.user(true);
    machine.cpu.regs[4] = 0xFFFF_C900_0000_0000 | STACK;
    // The handler: mov rbx, [rsp+24]; iretq
    machine.write(HANDLERS + 0x800, &[0x48, 0x8B, 0x5C, 0x24, 0x18, 0x48, 0xCF]);
    let event = machine.event();
    assert_eq!(machine.cpu.regs[3], STACK, "the handler sees ESP");
    assert_eq!((event.vector, event.rip, event.cs), (6, CODE + 2, u64::from(USER_COMPAT)));
    assert_eq!(machine.get(STACK0 - 16, 8), STACK);
}

#[test]
fn iret_from_64_bits_to_32_bits_leaves_no_upper_half() {
    let code = iret(true, &[CODE as u32 + 0x800, u32::from(USER_COMPAT), 2, 0x38000, u32::from(USER_DATA)]);
    let mut machine = Machine::new(Kind::Long, &code);
    // push eax; ud2
    machine.write(CODE + 0x800, &[0x50, 0x0F, 0x0B]);
    assert_eq!(machine.event().cs, u64::from(USER_COMPAT));
    assert_eq!(machine.get(STACK0 - 16, 8), STACK - 4);
}

/// mov ecx, msr; mov eax, value; xor edx, edx; wrmsr
fn wrmsr(msr: u32, low: u32, high: u32) -> Vec<u8> {
    let mut code = vec![0xB9];
    code.extend(msr.to_le_bytes());
    code.push(0xB8);
    code.extend(low.to_le_bytes());
    code.push(0xBA);
    code.extend(high.to_le_bytes());
    code.extend([0x0F, 0x30]);
    code
}

#[test]
fn sysenter_and_sysexit() {
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        // User code for SYSEXIT: CS+16 (32 bits) or CS+32 (64 bits).
        let long = kind == Kind::Long;
        let mut code = wrmsr(0x174, 0x10, 0);
        code.extend(wrmsr(0x175, STACK0 as u32, 0));
        code.extend(wrmsr(0x176, CODE as u32 + 0x400, 0));
        // mov edx, CODE + 0x800; mov ecx, STACK; sysexit (32 bits)
        code.push(0xBA);
        code.extend((CODE as u32 + 0x800).to_le_bytes());
        code.push(0xB9);
        code.extend((STACK as u32).to_le_bytes());
        code.extend([0x0F, 0x35]);
        let mut machine = Machine::new(kind, &code);
        // sysenter
        machine.write(CODE + 0x800, &[0x0F, 0x34]);
        // ud2 in ring 0
        machine.write(CODE + 0x400, &[0x0F, 0x0B]);
        let event = machine.event();
        assert_eq!((event.vector, event.rip, event.cs), (6, CODE + 0x400, 0x10), "{kind:?}");
        assert_eq!(machine.cpu.segments[2].selector, 0x18);
        if long {
            assert_eq!(machine.get(machine.cpu.regs[4] + 24, 8), STACK0);
        }
        // SYSEXIT in ring 3 and SYSENTER without a segment.
        let mut machine = Machine::new(kind, &[0x0F, 0x35]);
        machine.user(false);
        assert_eq!(machine.fault(), (13, 0));
        let mut machine = Machine::new(kind, &[0x0F, 0x34]);
        machine.user(false);
        assert_eq!(machine.fault(), (13, 0));
    }
}

#[test]
fn syscall_and_sysret() {
    // STAR: kernel 0x10, user 0x10 + 16 and + 8: CS 0x23, SS 0x1B.
    let mut code = wrmsr(0xC000_0081, 0, 0x10_0010);
    code.extend(wrmsr(0xC000_0082, CODE as u32 + 0x400, 0));
    code.extend(wrmsr(0xC000_0084, 0x200, 0));
    // mov ecx, CODE + 0x800; mov r11d, 0x202; sysretq
    code.push(0xB9);
    code.extend((CODE as u32 + 0x800).to_le_bytes());
    code.extend([0x41, 0xBB, 2, 2, 0, 0, 0x48, 0x0F, 0x07]);
    let mut machine = Machine::new(Kind::Long, &code);
    machine.write(CODE + 0x800, &[0x0F, 0x05]);
    machine.write(CODE + 0x400, &[0x0F, 0x0B]);
    let event = machine.event();
    assert_eq!((event.vector, event.rip, event.cs), (6, CODE + 0x400, 0x10));
    assert_eq!(event.flags & 0x200, 0, "FMASK clears IF");
    assert_eq!((machine.cpu.regs[1], machine.cpu.regs[11] & 0x200), (CODE + 0x802, 0x200));
    assert_eq!(machine.cpu.segments[2].selector, 0x18);
    // In compatibility mode SYSCALL does not exist.
    let mut machine = Machine::new(Kind::Long, &[0x0F, 0x05]);
    machine.user(true);
    assert_eq!(machine.fault().0, 6);
}
