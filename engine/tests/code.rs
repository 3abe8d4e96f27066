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

#[test]
fn when_the_arena_is_full_code_that_was_translated_goes_on_and_may_change() {
    const LEAF: u64 = 0x50000;
    const CHANGING: u64 = 0x60000;
    // Each time, so many micro-operations are decoded: some 5 KB.
    const LONG: usize = 300;
    const ROUNDS: u32 = 15_000;
    for kind in [Kind::Narrow, Kind::Long] {
        // call LEAF; add dword [CHANGING + 1], 1; call CHANGING; sub ecx, 1; jne to the start; hlt
        let mut code = vec![0xE8];
        code.extend((LEAF as u32 - CODE as u32 - 5).to_le_bytes());
        code.extend([0x83, 4, 0x25]);
        code.extend((CHANGING as u32 + 1).to_le_bytes());
        code.extend([1, 0xE8]);
        code.extend((CHANGING as u32 - CODE as u32 - 18).to_le_bytes());
        code.extend([0x83, 0xE9, 1, 0x75, 0xE9, 0xF4]);
        let mut machine = Machine::new(kind, &code);
        // test cl, 1; je to the second; add esi, 1; ret; add edi, 1; ret
        machine.write(LEAF, &[0xF6, 0xC1, 1, 0x74, 4, 0x83, 0xC6, 1, 0xC3, 0x83, 0xC7, 1, 0xC3]);
        // mov eax, 0; not edx ..., of which none are joined; add ebx, eax; ret
        let mut changing = vec![0xB8, 0, 0, 0, 0];
        changing.extend([0xF7, 0xD2].repeat(LONG));
        changing.extend([1, 0xC3, 0xC3]);
        machine.write(CHANGING, &changing);
        let run = |machine: &mut Machine, rounds: u32| {
            machine.cpu.halted = false;
            machine.cpu.rip = CODE;
            machine.cpu.regs[1] = rounds.into();
            while !machine.cpu.halted {
                machine.cpu.run(1 << 20);
            }
        };
        machine.cpu.renew_code();
        run(&mut machine, 1);
        machine.cpu.translate_code(1, |_, _, _| ());
        // The second way of the leaf is gone from now on only: it is no part of what stays.
        run(&mut machine, ROUNDS);
        let changes = ROUNDS + 1;
        let half = u64::from(ROUNDS / 2);
        let sum = changes.wrapping_mul(changes + 1) / 2;
        let counted = |machine: &Machine| [3, 2, 6, 7].map(|register| machine.cpu.regs[register]);
        let expected = [sum.into(), 0, half + 1, half];
        assert_eq!(counted(&machine), expected, "{kind:?}");
        // add esi, 3, and add edi, 5
        machine.write(LEAF + 7, &[3]);
        machine.write(LEAF + 11, &[5]);
        run(&mut machine, 4);
        assert_eq!(counted(&machine)[2..], [half + 1 + 2 * 3, half + 2 * 5], "{kind:?}");
    }
}
