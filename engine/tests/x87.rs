//! The x87 FPU in small programs.

use wasm_sandbox_engine::{Boot, Cpu, TableRegister};

/// Runs a loop body over and over in flat 32-bit code; EBX points to doubles 1.5 and 1.25.
fn nanoseconds(body: &[u8], instructions: u64) -> f64 {
    let mut cpu = Cpu::new(1 << 20).unwrap();
    let mut code = vec![0xDB, 0xE3, 0xBB, 0, 0x80, 0, 0];
    let start = code.len();
    code.extend(body);
    code.extend([0xEB, (start as u8).wrapping_sub(code.len() as u8 + 2)]);
    cpu.ram()[0x1000..0x1000 + code.len()].copy_from_slice(&code);
    cpu.ram()[0x8000..0x8008].copy_from_slice(&1.5f64.to_le_bytes());
    cpu.ram()[0x8008..0x8010].copy_from_slice(&1.1f64.to_le_bytes());
    cpu.boot(Boot { long_mode: false, rip: 0x1000, rsi: 0, cr3: 0, gdtr: TableRegister::default() });
    let count = 3_000_000 * (instructions + 1);
    let begin = std::time::Instant::now();
    cpu.run(count);
    begin.elapsed().as_nanos() as f64 / count as f64
}

/// `cargo test --release -p wasm-sandbox-engine --test x87 -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    // fld qword [ebx]; <operation> qword [ebx+8]; fstp qword [ebx+16]
    for (name, operation) in [("fadd", 0x43), ("fmul", 0x4B), ("fsub", 0x63), ("fdiv", 0x73)] {
        let each = nanoseconds(&[0xDD, 0x03, 0xDC, operation, 8, 0xDD, 0x5B, 16], 3);
        println!("fld, {name}, fstp, jmp: {each:.1} ns each");
    }
    for (name, code) in [("fsqrt", 0xFA), ("fsin", 0xFE), ("f2xm1", 0xF0), ("fprem", 0xF8)] {
        let each = nanoseconds(&[0xDD, 0x43, 8, 0xDD, 0x03, 0xD9, code, 0xDD, 0xD8, 0xDD, 0xD8], 5) * 6.0;
        println!("fld, fld, {name}, fstp, fstp, jmp: {each:.1} ns in all");
    }
}
