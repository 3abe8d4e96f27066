//! Interrupts and exceptions through gates: stacks, error codes, double faults, returns.

mod machine;

use machine::*;
use wasm_sandbox_engine::Stop;

const KINDS: [Kind; 4] = [Kind::Flat, Kind::Narrow, Kind::Pae, Kind::Long];

#[test]
fn an_exception_in_ring_0_stays_on_its_stack() {
    for kind in KINDS {
        // ud2
        let mut machine = Machine::new(kind, &[0x0F, 0x0B]);
        let event = machine.event();
        assert_eq!((event.vector, event.rip, event.cs), (6, CODE, 0x10), "{kind:?}");
        assert_ne!(event.flags & 0x10000, 0, "a fault saves RF");
        assert!(machine.cpu.regs[4] < STACK && machine.cpu.regs[4] > STACK - 64);
    }
}

#[test]
fn an_exception_in_ring_3_switches_stacks() {
    for kind in KINDS {
        let mut machine = Machine::new(kind, &[0x0F, 0x0B]);
        machine.user(false);
        let event = machine.event();
        assert_eq!((event.vector, event.rip, event.cs), (6, CODE, u64::from(USER_CODE)), "{kind:?}");
        let word = machine.word();
        assert_eq!(machine.cpu.regs[4], STACK0 - 5 * word);
        assert_eq!(machine.get(STACK0 - word, word), u64::from(USER_DATA));
        assert_eq!(machine.get(STACK0 - 2 * word, word), STACK);
    }
}

#[test]
fn an_interrupt_stack_is_used_whatever_the_privilege() {
    for user in [false, true] {
        let mut machine = Machine::new(Kind::Long, &[0x0F, 0x0B]);
        machine.gate(6, 0x8E, KERNEL_CODE, 2);
        if user {
            machine.user(false);
        }
        assert_eq!(machine.event().vector, 6);
        assert_eq!(machine.cpu.regs[4], IST[1] - 40);
    }
}

#[test]
fn software_interrupts_look_at_the_gate() {
    for kind in KINDS {
        // int 30h
        for (access, selector, expected) in [
            (0xEE, KERNEL_CODE, (0x30, 0)),
            (0x8E, KERNEL_CODE, (13, 0x30 * 8 + 2)),
            (0x6E, KERNEL_CODE, (11, 0x30 * 8 + 2)),
            (0xE9, KERNEL_CODE, (13, 0x30 * 8 + 2)),
            (0xEE, ABSENT, (11, 0x38)),
            (0xEE, KERNEL_DATA, (13, 0x18)),
            (0xEE, 0, (13, 0)),
            (0xEE, 0x60, (13, 0x60)),
        ] {
            let mut machine = Machine::new(kind, &[0xCD, 0x30]);
            machine.gate(0x30, access, selector, 0);
            machine.user(false);
            assert_eq!(machine.fault(), expected, "{kind:?} {access:x} {selector:x}");
        }
    }
}

#[test]
fn contributory_faults_become_a_double_fault_and_then_a_shutdown() {
    for kind in KINDS {
        // mov ds, ax with a selector beyond the table
        let code = [0x66, 0xB8, 0x60, 0, 0x8E, 0xD8];
        let mut machine = Machine::new(kind, &code);
        machine.gate(13, 0x0E, KERNEL_CODE, 0);
        assert_eq!(machine.fault(), (8, 0), "{kind:?}");
        let mut machine = Machine::new(kind, &code);
        machine.gate(13, 0x0E, KERNEL_CODE, 0);
        machine.gate(8, 0x0E, KERNEL_CODE, 0);
        assert_eq!(machine.cpu.run(100), Stop::Shutdown, "{kind:?}");
        // A benign first exception: the second is delivered as it is, with EXT.
        let mut machine = Machine::new(kind, &[0x0F, 0x0B]);
        machine.gate(6, 0x0E, KERNEL_CODE, 0);
        assert_eq!(machine.fault(), (11, 6 * 8 + 3), "{kind:?}");
    }
}

#[test]
fn a_stack_overflow_is_a_double_fault_with_its_address() {
    // push rax with a stack that is not mapped
    let mut machine = Machine::new(Kind::Long, &[0x50]);
    machine.map(0x50000, 0);
    machine.gate(8, 0x8E, KERNEL_CODE, 1);
    machine.cpu.regs[4] = 0x51000;
    assert_eq!(machine.fault(), (8, 0));
    assert_eq!(machine.cr2() & !0xFFF, 0x50000);
}
