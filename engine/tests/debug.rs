//! Single-step and breakpoints.

mod machine;

use machine::*;

/// DR6, and the event after which it was read.
fn debug(machine: &mut Machine) -> (Event, u64) {
    let event = machine.event();
    (event, machine.cpu.dr[6] & 0xE00F)
}

/// A machine that starts with TF set.
fn stepping(kind: Kind, code: &[u8]) -> Machine {
    let mut machine = Machine::new(kind, code);
    machine.cpu.system_flags |= 0x100;
    machine
}

#[test]
fn single_step_traps_after_each_instruction() {
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        for user in [false, true] {
            let mut machine = stepping(kind, &[0x90, 0x90]);
            if user {
                machine.user(false);
            }
            let (event, status) = debug(&mut machine);
            assert_eq!((event.vector, event.rip, status), (1, CODE + 1, 0x4000), "{kind:?}");
            assert_ne!(event.flags & 0x100, 0);
        }
    }
}

#[test]
fn mov_ss_holds_the_trap_off_and_software_interrupts_clear_tf() {
    // mov ss, ax; nop
    let mut machine = stepping(Kind::Pae, &[0x8E, 0xD0, 0x90, 0x90]);
    machine.cpu.regs[0] = u64::from(KERNEL_DATA);
    assert_eq!(debug(&mut machine).0.rip, CODE + 3);
    // int3
    let mut machine = stepping(Kind::Long, &[0xCC]);
    assert_eq!(debug(&mut machine).0.vector, 3);
}

#[test]
fn instruction_breakpoints_are_faults_that_rf_passes() {
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        let mut machine = Machine::new(kind, &[0x90, 0x90, 0x0F, 0x0B]);
        machine.cpu.dr[2] = CODE + 1;
        machine.cpu.dr[7] = 0x400 | 1 << 4;
        // The handler of #DB: set RF in the frame and return.
        let word = machine.word() as u8;
        let mut handler = vec![0x81, 0x4C, 0x24, 2 * word, 0, 0, 1, 0];
        handler.extend(if kind == Kind::Long { &[0x48, 0xCF][..] } else { &[0xCF] });
        machine.write(HANDLERS + 16, &handler);
        let (event, status) = debug(&mut machine);
        assert_eq!((event.vector, event.rip, status), (6, CODE + 2, 4), "{kind:?}");
        // Without RF it comes before the instruction.
        machine.write(HANDLERS + 16, &[0xF4]);
        machine.cpu.halted = false;
        machine.cpu.rip = CODE;
        let event = machine.event();
        assert_eq!((event.vector, event.rip), (1, CODE + 1));
    }
}

#[test]
fn data_breakpoints_are_traps() {
    // mov eax, [DATA]; mov [DATA+2], ax; nop; ud2
    let code = [0x8B, 4, 0x25, 0, 0, 4, 0, 0x66, 0x89, 4, 0x25, 2, 0, 4, 0, 0x90, 0x0F, 0x0B];
    for kind in [Kind::Pae, Kind::Long] {
        for (control, address, rip) in [
            (0xD_0001, DATA, CODE + 15), // writes, 4 bytes
            (0xF_0001, DATA, CODE + 7),  // reads and writes, 4 bytes
            (0x1_0001, DATA + 3, CODE + 15),
            (0x1_0001, DATA + 4, CODE + 16),
        ] {
            let mut code = code.to_vec();
            if kind != Kind::Long {
                // Without SIB the same length: a prefix in its place.
                code[..7].copy_from_slice(&[0x3E, 0x8B, 5, 0, 0, 4, 0]);
                code[7..15].copy_from_slice(&[0x3E, 0x66, 0x89, 5, 2, 0, 4, 0]);
            }
            let mut machine = Machine::new(kind, &code);
            machine.cpu.dr[0] = address;
            machine.cpu.dr[7] = 0x400 | control;
            machine.cpu.set_cpl(0);
            let event = machine.event();
            assert_eq!(event.rip, rip, "{kind:?} {control:x} {address:x}");
            let expected = if rip == CODE + 16 { 6 } else { 1 };
            assert_eq!(event.vector, expected);
        }
    }
}

#[test]
fn debug_registers_can_be_guarded() {
    // mov eax, dr0
    let mut machine = Machine::new(Kind::Long, &[0x0F, 0x21, 0xC0]);
    machine.cpu.dr[7] = 0x2400;
    let (event, status) = debug(&mut machine);
    assert_eq!((event.vector, event.rip, status), (1, CODE, 0x2000));
    assert_eq!(machine.cpu.dr[7], 0x400);
}
