//! Code that changes: across pages, by another mapping, by another frame behind its page.

mod machine;

use machine::*;

const CROSSING: u64 = 0x50FFE;
const ALIAS: u64 = 0x60000;

#[test]
fn an_instruction_across_pages_is_decoded_again_after_a_write_to_either() {
    for kind in [Kind::Flat, Kind::Narrow, Kind::Pae, Kind::Long] {
        // call CROSSING; mov byte [where], 7; call CROSSING; hlt
        for (to, expected) in [(CROSSING + 1, 0x0403_0207u64), (CROSSING + 3, 0x0407_0201)] {
            let mut code = Vec::new();
            code.push(0xE8);
            code.extend((CROSSING as u32 - CODE as u32 - 5).to_le_bytes());
            code.extend([0xC6, 4, 0x25]);
            code.extend((to as u32).to_le_bytes());
            code.extend([7, 0xE8]);
            code.extend((CROSSING as u32 - CODE as u32 - 18).to_le_bytes());
            code.push(0xF4);
            let mut machine = Machine::new(kind, &code);
            // mov eax, 0x04030201; ret
            machine.write(CROSSING, &[0xB8, 1, 2, 3, 4, 0xC3]);
            machine.cpu.run(20);
            assert!(machine.cpu.halted, "{kind:?} at {:x}", machine.cpu.rip);
            assert_eq!(machine.cpu.regs[0], expected, "{kind:?} {to:x}");
        }
    }
}

#[test]
fn code_written_through_another_mapping_runs_changed() {
    for kind in [Kind::Narrow, Kind::Pae, Kind::Long] {
        // add byte [ALIAS + 0x21], 1; nops; then at CODE + 0x20: mov eax, 1; hlt
        let mut code = vec![0x80, 4, 0x25];
        code.extend((ALIAS as u32 + 0x21).to_le_bytes());
        code.push(1);
        code.resize(0x20, 0x90);
        code.extend([0xB8, 1, 0, 0, 0, 0xF4]);
        let mut machine = Machine::new(kind, &code);
        machine.map(ALIAS, CODE | 7);
        for round in 2..5 {
            machine.cpu.run(100);
            assert!(machine.cpu.halted, "{kind:?}");
            assert_eq!(machine.cpu.regs[0], round);
            machine.cpu.halted = false;
            machine.cpu.rip = CODE;
        }
    }
}

#[test]
fn code_that_was_thrown_away_goes_on() {
    for kind in [Kind::Flat, Kind::Narrow, Kind::Pae, Kind::Long] {
        // call CROSSING; add eax, 1; cmp eax, 1000; jne to the call; hlt
        let mut code = vec![0xE8];
        code.extend((CROSSING as u32 - CODE as u32 - 5).to_le_bytes());
        code.extend([0x83, 0xC0, 1, 0x3D, 0xE8, 3, 0, 0, 0x75, 0xF1, 0xF4]);
        let mut machine = Machine::new(kind, &code);
        // add ecx, 0x10101; ret
        machine.write(CROSSING, &[0x81, 0xC1, 1, 1, 1, 0, 0xC3]);
        (machine.cpu.regs[0], machine.cpu.regs[1]) = (0, 0);
        let mut rounds = 0;
        while !machine.cpu.halted {
            machine.cpu.run(97);
            machine.cpu.renew_code();
            rounds += 1;
            assert!(rounds < 100, "{kind:?}");
        }
        assert!(rounds > 50, "{kind:?}");
        assert_eq!((machine.cpu.regs[0], machine.cpu.regs[1]), (1000, 1000 * 0x10101), "{kind:?}");
    }
}

#[test]
fn a_page_with_another_frame_runs_what_is_in_it() {
    for kind in [Kind::Narrow, Kind::Pae, Kind::Long] {
        let size = if kind == Kind::Narrow { 4 } else { 8 };
        let entry = (TABLE + (ALIAS >> 12) * size) as u32;
        // call ALIAS; mov dword [entry], 0x50007; invlpg [ALIAS]; mov ebx, eax; call ALIAS; hlt
        let mut code = vec![0xE8];
        code.extend((ALIAS as u32 - CODE as u32 - 5).to_le_bytes());
        code.extend([0xC7, 4, 0x25]);
        code.extend(entry.to_le_bytes());
        code.extend(0x50007u32.to_le_bytes());
        code.extend([0x0F, 0x01, 0x3C, 0x25]);
        code.extend((ALIAS as u32).to_le_bytes());
        code.extend([0x89, 0xC3, 0xE8]);
        code.extend((ALIAS as u32 - CODE as u32 - code.len() as u32 - 4).to_le_bytes());
        code.push(0xF4);
        let mut machine = Machine::new(kind, &code);
        machine.write(ALIAS, &[0xB8, 1, 0, 0, 0, 0xC3]);
        machine.write(0x50000, &[0xB8, 2, 0, 0, 0, 0xC3]);
        machine.cpu.run(20);
        assert!(machine.cpu.halted, "{kind:?} at {:x}", machine.cpu.rip);
        assert_eq!((machine.cpu.regs[3], machine.cpu.regs[0]), (1, 2), "{kind:?}");
    }
}

#[test]
fn the_second_page_of_an_instruction_may_get_another_frame() {
    // call CROSSING; mov dword [entry of the second page], 0x60007; invlpg; mov ebx, eax; call CROSSING; hlt
    for kind in [Kind::Narrow, Kind::Pae, Kind::Long] {
        let size = if kind == Kind::Narrow { 4 } else { 8 };
        let entry = (TABLE + 0x51 * size) as u32;
        let mut code = vec![0xE8];
        code.extend((CROSSING as u32 - CODE as u32 - 5).to_le_bytes());
        code.extend([0xC7, 4, 0x25]);
        code.extend(entry.to_le_bytes());
        code.extend(0x60007u32.to_le_bytes());
        code.extend([0x0F, 0x01, 0x3C, 0x25, 0, 0x10, 5, 0, 0x89, 0xC3, 0xE8]);
        code.extend((CROSSING as u32 - CODE as u32 - code.len() as u32 - 4).to_le_bytes());
        code.push(0xF4);
        let mut machine = Machine::new(kind, &code);
        machine.write(CROSSING, &[0xB8, 1, 2, 3, 4, 0xC3]);
        machine.write(0x60000, &[9, 9, 9, 0xC3]);
        machine.cpu.run(20);
        assert!(machine.cpu.halted, "{kind:?} at {:x}", machine.cpu.rip);
        assert_eq!((machine.cpu.regs[3], machine.cpu.regs[0]), (0x0403_0201, 0x0909_0901), "{kind:?}");
    }
}
