//! Interrupts of the controller, halts, shadows, and the I/O permission bitmap.

mod machine;

use machine::*;
use wasm_sandbox_engine::host::{Host, set_host};
use wasm_sandbox_engine::{Stop, flag};

/// A host whose interrupt has the vector 40h.
struct Board;

impl Host for Board {
    fn now(&mut self) -> u64 {
        0
    }
    fn random(&mut self) -> u64 {
        0
    }
    fn port_read(&mut self, port: u32, _: u32) -> u32 {
        port + 1
    }
    fn port_write(&mut self, _: u32, _: u32, _: u32) {}
    fn mmio_read(&mut self, _: u64, _: u32) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: u64, _: u32, _: u64) {}
    fn acknowledge_interrupt(&mut self) -> u32 {
        0x40
    }
}

fn machine(kind: Kind, code: &[u8]) -> Machine {
    set_host(Box::new(Board));
    Machine::new(kind, code)
}

#[test]
fn a_halt_ends_with_an_interrupt() {
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        // sti; hlt; nop
        let mut machine = machine(kind, &[0xFB, 0xF4, 0x90]);
        assert_eq!(machine.cpu.run(100), Stop::Idle, "{kind:?}");
        assert_eq!(machine.cpu.rip, CODE + 2);
        assert_eq!(machine.cpu.run(100), Stop::Idle);
        machine.cpu.shared.interrupt_line = 1;
        let event = machine.event();
        assert_eq!((event.vector, event.rip), (0x40, CODE + 2));
        assert_ne!(event.flags & 0x200, 0);
        assert_eq!(machine.cpu.system_flags & flag::IF, 0, "an interrupt gate");
    }
}

#[test]
fn sti_and_mov_ss_hold_interrupts_off_for_an_instruction() {
    // sti; nop; nop
    let mut sti = machine(Kind::Long, &[0xFB, 0x90, 0x90]);
    sti.cpu.shared.interrupt_line = 1;
    assert_eq!(sti.event().rip, CODE + 2);
    // sti; hlt with an interrupt that waits: HLT is reached, and left
    let mut halt = machine(Kind::Long, &[0xFB, 0xF4, 0x90]);
    halt.cpu.shared.interrupt_line = 1;
    assert_eq!(halt.event().rip, CODE + 2);
    // sti; mov ss, ax; nop; nop
    let mut stack = machine(Kind::Pae, &[0xFB, 0x8E, 0xD0, 0x90, 0x90]);
    stack.cpu.regs[0] = u64::from(KERNEL_DATA);
    stack.cpu.shared.interrupt_line = 1;
    assert!(stack.event().rip >= CODE + 3);
}

#[test]
fn a_program_of_32_bits_is_interrupted_by_a_kernel_of_64_bits() {
    // jmp $
    let mut machine = machine(Kind::Long, &[0xEB, 0xFE]);
    machine.user(true);
    machine.cpu.system_flags |= flag::IF;
    assert_eq!(machine.cpu.run(100), Stop::Budget);
    machine.cpu.shared.interrupt_line = 1;
    let event = machine.event();
    assert_eq!((event.vector, event.rip, event.cs), (0x40, CODE, u64::from(USER_COMPAT)));
    assert_eq!(machine.cpu.regs[4], STACK0 - 40);
}

#[test]
fn ports_need_privilege_or_a_clear_bit() {
    for kind in [Kind::Flat, Kind::Pae, Kind::Long] {
        for (limit, bits, iopl, allowed) in [
            (0x67, 0u16, 0, false),
            (0x167, 0, 0, true),
            (0x167, 1 << 3, 0, false),
            (0x167, 1 << 4, 0, true),
            (0x167, 1 << 3, 3, true),
            (0x67 + 0x10, 0, 0, false),
        ] {
            // mov edx, 83h; in al, dx; ud2
            let mut machine = machine(kind, &[0xBA, 0x83, 0, 0, 0, 0xEC, 0x0F, 0x0B]);
            machine.cpu.tr.limit = limit;
            machine.write(TSS + 0x68 + 0x10, &bits.to_le_bytes());
            machine.user(false);
            machine.cpu.system_flags |= iopl << 12;
            let expected = if allowed { (6, 0) } else { (13, 0) };
            assert_eq!(machine.fault(), expected, "{kind:?} {limit:x} {bits:x} {iopl}");
            if allowed {
                assert_eq!(machine.cpu.regs[0] & 0xFF, 0x84);
            }
        }
    }
}
