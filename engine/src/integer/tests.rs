//! What the differential tests cannot reach: 16-bit code and stacks, segment limits, long strings, code that is
//! overwritten.

use crate::testing::Caught;
use crate::{Boot, Cpu, Fault, Seg, Segment, TableRegister, flag};

const CODE: u64 = 0x1000;
const RAM: usize = 1 << 20;
const RAX: usize = 0;
const RCX: usize = 1;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

/// A CPU in flat 32-bit mode without paging, about to execute `code`.
fn cpu(code: &[u8]) -> Box<Cpu> {
    let mut cpu = Cpu::new(RAM).expect("there is memory");
    cpu.boot(Boot { long_mode: false, rip: CODE, rsi: 0, cr3: 0, gdtr: TableRegister::default() });
    cpu.catch.enabled = true;
    cpu.regs[RSP] = 0x9000;
    let at = CODE as usize;
    cpu.ram()[at..at + code.len()].copy_from_slice(code);
    cpu.ram()[at + code.len()..][..2].copy_from_slice(&[0x0F, 0x0B]);
    cpu
}

/// Makes code, stack and data 16-bit.
fn narrow(cpu: &mut Cpu) {
    for segment in &mut cpu.segments {
        segment.attributes &= !Segment::BIG;
    }
    cpu.update_mode();
}

/// Runs until something is raised; UD2 is at the end of the code.
fn run(cpu: &mut Cpu) -> Caught {
    cpu.run(1_000_000);
    cpu.catch.caught.take().expect("UD2 at least")
}

/// Runs to the end.
fn run_all(cpu: &mut Cpu) {
    assert_eq!(run(cpu).vector, 6);
}

fn word(cpu: &mut Cpu, at: usize) -> u32 {
    u32::from_le_bytes(cpu.ram()[at..at + 4].try_into().expect("four bytes"))
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[test]
fn copies_behave_as_one_element_after_the_other() {
    let mut numbers = Numbers(1);
    let codes: [(&[u8], usize); 3] = [(&[0xF3, 0xA4], 1), (&[0x66, 0xF3, 0xA5], 2), (&[0xF3, 0xA5], 4)];
    // CPUs are never freed.
    let mut cpus = codes.map(|(code, _)| cpu(code));
    for _ in 0..120 {
        let which = numbers.below(3) as usize;
        let (cpu, bytes) = (&mut cpus[which], codes[which].1);
        cpu.rip = CODE;
        let down = numbers.below(2) == 1;
        let count = numbers.below(5000) as usize;
        let source = 0x40000 + numbers.below(0x1000) as usize;
        let distance = if numbers.below(2) == 0 { 16 } else { 0x6000 };
        let target = source + numbers.below(distance * 2) as usize - distance as usize;
        for byte in &mut cpu.ram()[0x20000..0x60000] {
            *byte = numbers.below(256) as u8;
        }
        let mut expected = cpu.ram().to_vec();
        for n in 0..count {
            let offset = (n * bytes) as isize * if down { -1 } else { 1 };
            let (from, to) = (source.wrapping_add_signed(offset), target.wrapping_add_signed(offset));
            expected.copy_within(from..from + bytes, to);
        }
        cpu.set_flags(if down { flag::DF } else { 0 });
        (cpu.regs[RCX], cpu.regs[RSI], cpu.regs[RDI]) = (count as u64, source as u64, target as u64);
        run_all(cpu);
        assert!(cpu.ram() == expected, "{bytes} bytes, {count} times, {source:x} to {target:x}, {down}");
        assert_eq!(cpu.regs[RCX], 0);
    }
}

#[test]
fn a_long_fill_gives_interrupts_their_chance() {
    let mut cpu = cpu(&[0xF3, 0xAB]);
    (cpu.regs[RAX], cpu.regs[RCX], cpu.regs[RDI]) = (0x1234_5678, 0x20000, 0x10000);
    cpu.run(1);
    let left = cpu.regs[RCX];
    assert!(left != 0 && left < 0x20000, "{left:x}");
    assert_eq!((cpu.rip, cpu.regs[RDI]), (CODE, 0x10000 + (0x20000 - left) * 4));
    run_all(&mut cpu);
    assert_eq!((word(&mut cpu, 0x8FFFC), word(&mut cpu, 0x90000)), (0x1234_5678, 0));
}

#[test]
fn strings_stop_at_the_segment_limit() {
    let mut cpu = cpu(&[0xF3, 0xAA]);
    cpu.segments[Seg::Es.index()].limit = 0x300FF;
    cpu.update_mode();
    (cpu.regs[RAX], cpu.regs[RCX], cpu.regs[RDI]) = (0x77, 0x1000, 0x30000);
    assert_eq!(run(&mut cpu), Caught { vector: 13, error: Some(0), rip: CODE });
    assert_eq!((cpu.regs[RCX], cpu.regs[RDI]), (0xF00, 0x30100));
    assert_eq!((cpu.ram()[0x300FF], cpu.ram()[0x30100]), (0x77, 0));
}

#[test]
fn pointers_of_16_bits_wrap() {
    // a16 rep stosb
    let mut cpu = cpu(&[0x67, 0xF3, 0xAA]);
    (cpu.regs[RAX], cpu.regs[RCX], cpu.regs[RDI]) = (0x77, 0xABCD_0020, 0x1234_FFF0);
    run_all(&mut cpu);
    assert_eq!((cpu.regs[RCX], cpu.regs[RDI]), (0xABCD_0000, 0x1234_0010));
    assert_eq!(
        (cpu.ram()[0xFFF0], cpu.ram()[0xFFFF], cpu.ram()[0], cpu.ram()[0xF]),
        (0x77, 0x77, 0x77, 0x77)
    );
    assert_eq!((cpu.ram()[0x10], cpu.ram()[0x10000]), (0, 0));
}

#[test]
fn comparisons_end_where_they_should() {
    // repe cmpsb
    let mut cpu = cpu(&[0xF3, 0xA6]);
    cpu.ram()[0x20000..0x25000].fill(1);
    cpu.ram()[0x30000..0x35000].fill(1);
    cpu.ram()[0x34000] = 2;
    (cpu.regs[RCX], cpu.regs[RSI], cpu.regs[RDI]) = (0x5000, 0x20000, 0x30000);
    run_all(&mut cpu);
    assert_eq!((cpu.regs[RCX], cpu.regs[RSI], cpu.regs[RDI]), (0xFFF, 0x24001, 0x34001));
    assert!(cpu.lazy.carry() && !cpu.lazy.zero());
}

#[test]
fn code_written_by_a_string_is_executed_as_written() {
    // rep movsb over the `inc eax` behind it
    let mut cpu = cpu(&[0xF3, 0xA4, 0x40, 0x40, 0x40]);
    cpu.ram()[0x20000..0x20002].fill(0x90);
    (cpu.regs[RCX], cpu.regs[RSI], cpu.regs[RDI]) = (2, 0x20000, CODE + 2);
    run_all(&mut cpu);
    assert_eq!(cpu.regs[RAX], 1);
}

#[test]
fn a_debugger_sees_each_element() {
    let mut cpu = cpu(&[0xF3, 0xAA]);
    cpu.system_flags |= flag::TF;
    (cpu.regs[RCX], cpu.regs[RDI]) = (5, 0x20000);
    assert_eq!(run(&mut cpu), Caught { vector: 1, error: None, rip: CODE });
    assert_eq!((cpu.regs[RCX], cpu.regs[RDI]), (4, 0x20001));
}

#[test]
fn a_popped_address_is_that_after_the_pop() {
    // push 5; pop [esp+4]
    let mut cpu = cpu(&[0x6A, 5, 0x8F, 0x44, 0x24, 4]);
    run_all(&mut cpu);
    assert_eq!((cpu.regs[RSP], word(&mut cpu, 0x9004)), (0x9000, 5));
}

#[test]
fn a_stack_of_16_bits_wraps_and_leaves_the_upper_half() {
    // push ax; push eax
    let mut cpu = cpu(&[0x50, 0x66, 0x50]);
    narrow(&mut cpu);
    (cpu.regs[RAX], cpu.regs[RSP]) = (0x1122_3344, 0xABCD_0002);
    run_all(&mut cpu);
    assert_eq!(cpu.regs[RSP], 0xABCD_FFFC);
    assert_eq!((word(&mut cpu, 0) & 0xFFFF, word(&mut cpu, 0xFFFC)), (0x3344, 0x1122_3344));
}

#[test]
fn nested_frames_are_copied() {
    // enter 16, 3; leave
    let mut cpu = cpu(&[0xC8, 0x10, 0, 3]);
    cpu.regs[RBP] = 0xA000;
    cpu.ram()[0x9FF8..0xA000].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
    run_all(&mut cpu);
    assert_eq!((cpu.regs[RBP], cpu.regs[RSP]), (0x8FFC, 0x8FF0 - 16));
    let frame: Vec<u32> = (0..4).map(|n| word(&mut cpu, 0x8FFC - n * 4)).collect();
    assert_eq!(frame, [0xA000, 2, 1, 0x8FFC]);
}

#[test]
fn branches_end_at_the_limit_of_cs() {
    // call +0x10000
    let mut cpu = cpu(&[0xE8, 0, 0, 1, 0]);
    cpu.segments[Seg::Cs.index()].limit = 0xFFFF;
    cpu.update_mode();
    assert_eq!(run(&mut cpu), Caught { vector: 13, error: Some(0), rip: CODE });
    assert_eq!((cpu.regs[RSP], word(&mut cpu, 0x8FFC)), (0x9000, 0));
}

#[test]
fn branches_of_16_bits_wrap() {
    // jmp -0x1004, in 16-bit code: to 0xFFFF
    let mut cpu = cpu(&[0xE9, 0xFC, 0xEF]);
    narrow(&mut cpu);
    cpu.ram()[0xFFFF..0x10002].copy_from_slice(&[0x40, 0x0F, 0x0B]);
    assert_eq!(run(&mut cpu).rip, 0x10000);
    assert_eq!(cpu.regs[RAX], 1);
}

#[test]
fn divisions_that_fail_change_nothing() {
    for code in [[0xF7, 0xF1], [0xF7, 0xF9]] {
        for (dividend, divisor) in [((1, 0), 0), ((0x8000_0000, 0), 1), ((u64::from(u32::MAX), 0), 1)] {
            let mut cpu = cpu(&code);
            (cpu.regs[2], cpu.regs[RAX]) = dividend;
            cpu.regs[RCX] = divisor;
            let flags = cpu.flags();
            let caught = run(&mut cpu);
            assert_eq!(Fault::Plain(caught.vector), Fault::DE);
            assert_eq!(((cpu.regs[2], cpu.regs[RAX]), cpu.flags()), (dividend, flags));
        }
    }
}
