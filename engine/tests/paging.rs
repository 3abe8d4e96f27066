//! Page tables: rights, error codes, accessed and dirty bits, what the TLB may keep.

mod machine;

use machine::*;

const PAGE: u64 = 0x50000;
const NX: u64 = 1 << 63;
const PAGED: [Kind; 3] = [Kind::Narrow, Kind::Pae, Kind::Long];

/// mov eax, [PAGE]; hlt
const READ: [u8; 8] = [0x8B, 0x04, 0x25, 0, 0, 5, 0, 0xF4];
/// mov [PAGE], eax; hlt
const WRITE: [u8; 8] = [0x89, 0x04, 0x25, 0, 0, 5, 0, 0xF4];
/// mov ecx, PAGE; jmp ecx
const JUMP: [u8; 7] = [0xB9, 0, 0, 5, 0, 0xFF, 0xE1];

/// The error code of the page fault of `code` with `entry` for [`PAGE`], if there is one.
fn outcome(kind: Kind, code: &[u8], user: bool, entry: u64, cr4: u32) -> Option<u64> {
    let mut machine = Machine::new(kind, code);
    if cr4 != 0 {
        // The kernel's own pages are its own.
        for own in [HANDLERS, 0xF000, if user { HANDLERS } else { CODE }] {
            machine.map(own, own | 3);
        }
        let base = if kind == Kind::Narrow { 0x90 } else { 0xA0 };
        let efer = if kind == Kind::Long { 0xD01 } else { 0x800 };
        machine.controls(0x8001_0011, base | cr4, efer);
    }
    machine.map(PAGE, entry);
    machine.write(PAGE, &[0xF4]);
    if user {
        machine.user(false);
    }
    machine.cpu.run(10);
    let rip = machine.cpu.rip;
    if rip == HANDLERS + 16 * 14 + 1 {
        let at = machine.cpu.regs[4];
        let error = machine.get(at, 4);
        assert_eq!(machine.cr2(), PAGE);
        return Some(error);
    }
    // HLT in ring 3 is #GP.
    assert!(machine.cpu.halted, "{kind:?} at {rip:x}");
    None
}

#[test]
fn rights_and_error_codes() {
    let page = PAGE;
    for kind in PAGED {
        for (code, user, entry, expected) in [
            (&READ[..], false, 0, Some(0)),
            (&READ, true, 0, Some(4)),
            (&WRITE, false, 0, Some(2)),
            (&WRITE, true, 0, Some(6)),
            (&READ, true, page | 3, Some(5)),
            (&READ, false, page | 3, None),
            (&WRITE, true, page | 3, Some(7)),
            (&WRITE, true, page | 5, Some(7)),
            (&WRITE, false, page | 1, Some(3)),
            (&WRITE, true, page | 7, None),
            (&READ, true, page | 5, None),
            (&JUMP, false, page | 1, None),
            (&JUMP, true, page | 7, None),
        ] {
            assert_eq!(outcome(kind, code, user, entry, 0), expected, "{kind:?} {user} {entry:x}");
        }
    }
}

#[test]
fn no_execute_and_supervisor_mode_execution_prevention() {
    for kind in [Kind::Pae, Kind::Long] {
        assert_eq!(outcome(kind, &JUMP, false, PAGE | 1 | NX, 0), Some(0x11));
        assert_eq!(outcome(kind, &JUMP, true, PAGE | 7 | NX, 0), Some(0x15));
        assert_eq!(outcome(kind, &READ, true, PAGE | 7 | NX, 0), None);
        assert_eq!(outcome(kind, &JUMP, false, 0, 0), Some(0x10));
    }
    for kind in PAGED {
        assert_eq!(outcome(kind, &JUMP, false, PAGE | 7, 1 << 20), Some(0x11), "{kind:?}");
        assert_eq!(outcome(kind, &JUMP, false, PAGE | 3, 1 << 20), None);
        assert_eq!(outcome(kind, &JUMP, true, PAGE | 7, 1 << 20), None);
    }
}

#[test]
fn reserved_bits() {
    for kind in [Kind::Pae, Kind::Long] {
        assert_eq!(outcome(kind, &READ, false, PAGE | 7 | 1 << 40, 0), Some(9));
        assert_eq!(outcome(kind, &WRITE, true, PAGE | 7 | 1 << 51, 0), Some(15));
    }
    assert_eq!(outcome(Kind::Pae, &READ, false, PAGE | 7 | 1 << 52, 0), Some(9));
    assert_eq!(outcome(Kind::Long, &READ, false, PAGE | 7 | 1 << 52, 0), None);
}

#[test]
fn accessed_and_dirty_bits() {
    for kind in PAGED {
        for (code, entry, expected) in [
            (&READ, PAGE | 7, PAGE | 0x27),
            (&WRITE, PAGE | 7, PAGE | 0x67),
            // A write that fails marks nothing.
            (&WRITE, PAGE | 5, PAGE | 5),
        ] {
            let mut machine = Machine::new(kind, code);
            machine.map(PAGE, entry);
            machine.cpu.run(10);
            assert_eq!(machine.entry(PAGE), expected, "{kind:?} {entry:x}");
        }
    }
}

#[test]
fn write_protection_of_the_supervisor_is_a_choice() {
    for kind in PAGED {
        let mut machine = Machine::new(kind, &WRITE);
        let (cr4, efer) = match kind {
            Kind::Narrow => (0x90, 0),
            Kind::Pae => (0xA0, 0x800),
            _ => (0xA0, 0xD01),
        };
        machine.controls(0x8000_0011, cr4, efer);
        machine.map(PAGE, PAGE | 5);
        machine.cpu.regs[0] = 0x1234_5678;
        machine.cpu.run(10);
        assert_eq!(machine.get(PAGE, 4), 0x1234_5678, "{kind:?}");
        assert_eq!(machine.entry(PAGE), PAGE | 0x65);
    }
}

/// mov eax, [PAGE]; mov dword [entry], 0x60007 or with bit 8; then `how`; mov ebx, [PAGE]; hlt
fn remap(kind: Kind, global: bool, how: &[u8]) -> (u64, u64) {
    let bit = if global { 0x100 } else { 0 };
    let size = if kind == Kind::Narrow { 4 } else { 8 };
    let entry = (TABLE + (PAGE >> 12) * size) as u32;
    let mut code = READ[..7].to_vec();
    code.extend([0xC7, 0x04, 0x25]);
    code.extend(entry.to_le_bytes());
    code.extend((0x60007u32 | bit as u32).to_le_bytes());
    code.extend(how);
    code.extend([0x8B, 0x1C, 0x25, 0, 0, 5, 0, 0xF4]);
    let mut machine = Machine::new(kind, &code);
    machine.map(PAGE, PAGE | 7 | bit);
    machine.put(PAGE, 1);
    machine.put(0x60000, 2);
    machine.cpu.run(20);
    assert!(machine.cpu.halted);
    (machine.cpu.regs[0], machine.cpu.regs[3])
}

#[test]
fn translations_are_kept_until_told_otherwise() {
    // mov ecx, cr3; mov cr3, ecx
    let cr3 = [0x0F, 0x20, 0xD9, 0x0F, 0x22, 0xD9];
    // invlpg [PAGE]
    let invlpg = [0x0F, 0x01, 0x3C, 0x25, 0, 0, 5, 0];
    // mov ecx, cr4; xor ecx, 0x80; mov cr4, ecx
    let cr4 = [0x0F, 0x20, 0xE1, 0x81, 0xF1, 0x80, 0, 0, 0, 0x0F, 0x22, 0xE1];
    for kind in PAGED {
        assert_eq!(remap(kind, false, &cr3), (1, 2), "{kind:?}");
        assert_eq!(remap(kind, true, &cr3), (1, 1), "{kind:?}: a global page survives");
        assert_eq!(remap(kind, true, &cr4), (1, 2), "{kind:?}");
        for global in [false, true] {
            assert_eq!(remap(kind, global, &invlpg), (1, 2), "{kind:?}");
        }
    }
}

#[test]
fn large_pages() {
    // The page at 4 MiB, 2 MiB or 4 MiB large: mov eax, [0x450000]; mov [0x450004], eax; hlt
    let code = [0x8B, 0x04, 0x25, 0, 0, 0x45, 0, 0x89, 0x04, 0x25, 4, 0, 0x45, 0, 0xF4];
    for kind in PAGED {
        let mut machine = Machine::new(kind, &code);
        let at = if kind == Kind::Narrow { ROOT + 4 } else { 0x12010 };
        machine.put32(at, 0x40_0087);
        machine.put(0x45_0000, 0x77);
        machine.cpu.run(10);
        assert!(machine.cpu.halted, "{kind:?}");
        assert_eq!((machine.get(0x45_0004, 4), machine.get(at, 4)), (0x77, 0x40_00E7));
        let mut machine = Machine::new(kind, &code);
        machine.put32(at, 0x40_0087 | 0x10_0000 | 0x2000);
        assert_eq!(machine.fault(), (14, 9), "{kind:?}: reserved bits of a large page");
    }
}
