//! Smoke.
use wasm_sandbox_oracle::{case::*, silicon::*};
fn main() {
    let mut s = Silicon::new().unwrap();
    let mut cases = Vec::new();
    for i in 0..100000u64 {
        let mode = if i & 1 == 0 { Mode::Bits32 } else { Mode::Bits64 };
        let code: &[u8] = match i % 7 {
            0 => &[0x40, 0x90],
            1 => &[0xA3, 0, 0x50, 0, 0],
            2 => &[0xcd, 0x80],
            3 => &[0x0f, 0x05],
            4 => &[0xd9, 0xe8],
            5 => &[0x0f, 0x58, 0xc1],
            _ => &[0x64, 0xff, 0x00],
        };
        let mut c = Case::new(mode, code);
        c.state.gprs[0] = i & 0xfff;
        if i % 5 == 0 { c.state.rflags |= 0x40000 }
        cases.push(c);
    }
    let t = std::time::Instant::now();
    let o = s.run(&cases).unwrap();
    println!("{:?}", t.elapsed() / cases.len() as u32);
    for (c, o) in cases.iter().zip(&o).take(14) {
        match o {
            Outcome::Stopped(s) => println!("{:?} {:02x?} {:x?} rip {:x} rax {:x} fl {:x} top {:x} st {:02x?} sel {:x?} bases {:x?} changes {:x?}", c.mode, c.code, s.exception, s.state.rip, s.state.gprs[0], s.state.rflags, s.state.fx.status(), s.state.fx.st(0), s.state.selectors, s.state.bases, s.changes.named().collect::<Vec<_>>()),
            Outcome::SystemCall => println!("syscall"),
            Outcome::Hung => println!("hung"),
            Outcome::Lost(s) => println!("lost {s}"),
        }
    }
}
