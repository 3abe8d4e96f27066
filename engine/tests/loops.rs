//! Small programs through the interpreter's loop.

use wasm_sandbox_engine::{Boot, Cpu, Stop, TableRegister};

/// A CPU in flat 32-bit or 64-bit code at 0x1000, without paging in 32-bit mode.
fn cpu(code: &[u8]) -> Box<Cpu> {
    let mut cpu = Cpu::new(1 << 20).unwrap();
    cpu.ram()[0x1000..0x1000 + code.len()].copy_from_slice(code);
    cpu.boot(Boot { long_mode: false, rip: 0x1000, rsi: 0, cr3: 0, gdtr: TableRegister::default() });
    cpu
}

#[test]
fn a_loop_sums_and_counts_its_instructions() {
    // mov ecx, 10000; xor eax, eax; again: add eax, ecx; dec ecx; jnz again; spin: jmp spin
    let code = [0xB9, 0x10, 0x27, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0x49, 0x75, 0xFB, 0xEB, 0xFE];
    let mut cpu = cpu(&code);
    assert_eq!(cpu.run(2 + 30_000), Stop::Budget);
    assert_eq!(cpu.regs[0], 50_005_000);
    assert_eq!(cpu.regs[1], 0);
    assert_eq!(cpu.rip, 0x100C);
    assert_eq!(cpu.instructions(), 30_002);
}

#[test]
fn memory_calls_and_returns() {
    // mov esp, 0x8000; mov ecx, 1000; again: call f; dec ecx; jnz again; spin: jmp spin; f: inc dword [0x9000]; ret
    let code = [
        0xBC, 0, 0x80, 0, 0, 0xB9, 0xE8, 3, 0, 0, 0xE8, 5, 0, 0, 0, 0x49, 0x75, 0xF8, 0xEB, 0xFE, 0xFF, 5, 0,
        0x90, 0, 0, 0xC3,
    ];
    let mut cpu = cpu(&code);
    assert_eq!(cpu.run(6000), Stop::Budget);
    assert_eq!(cpu.ram()[0x9000..0x9004], 1000u32.to_le_bytes());
    assert_eq!(cpu.regs[4], 0x8000);
}

#[test]
fn code_that_writes_code_runs_what_it_wrote() {
    // again: add byte [imm of the mov below], 1; mov eax, 0; jmp again
    let code = [0x80, 5, 8, 0x10, 0, 0, 1, 0xB8, 0, 0, 0, 0, 0xEB, 0xF2];
    let mut cpu = cpu(&code);
    assert_eq!(cpu.run(3 * 100), Stop::Budget);
    assert_eq!(cpu.regs[0], 100);
}

/// `cargo test --release -p wasm-sandbox-engine --test loops -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    // A loop of 3 memory accesses in 10 instructions.
    // mov esi, 0x8000; again: mov eax, [esi]; add eax, ebx; mov [esi+4], eax; xor ebx, eax; inc edx; cmp edx, 1000;
    // jne skip; xor edx, edx; skip: mov edi, [esi+edx*4]; lea ecx, [ecx+edi+1]; test ecx, ecx; jne again; jmp again
    let code = [
        0xBE, 0, 0x80, 0, 0, 0x8B, 6, 1, 0xD8, 0x89, 0x46, 4, 0x31, 0xC3, 0x42, 0x81, 0xFA, 0xE8, 3, 0, 0,
        0x75, 2, 0x31, 0xD2, 0x8B, 0x3C, 0x96, 0x8D, 0x4C, 0x39, 1, 0x85, 0xC9, 0x75, 0xE1, 0xEB, 0xDF,
    ];
    let mut cpu = cpu(&code);
    let start = std::time::Instant::now();
    let stop = cpu.run(500_000_000);
    let seconds = start.elapsed().as_secs_f64();
    println!("{stop:?} {:x} {:.0} M/s", cpu.rip, cpu.instructions() as f64 / seconds / 1e6);
}
