//! Transcendental instructions: within a unit in the last place of what the processor gives.

use super::super::f80::F80;
use super::{CPU, Case, Native, Random, cases, native, run};

/// Distance in units of the last place.
fn distance(a: F80, b: F80) -> u128 {
    let key = |x: F80| (x.bits() >> 64 & 0x7FFF) << 63 | x.bits() & u128::from(u64::MAX >> 1);
    if a == b {
        0
    } else if a.is_negative() != b.is_negative() {
        u128::MAX
    } else {
        key(a).abs_diff(key(b))
    }
}

/// Numbers of ordinary size.
fn number(random: &mut Random, exponents: std::ops::Range<i32>) -> F80 {
    let width = exponents.end.wrapping_sub(exponents.start) as u64;
    let exponent = 0x3FFF + exponents.start + random.below(width) as i32;
    F80::new(random.next() & 1 != 0, exponent, random.next() | 1 << 63)
}

fn compare(instruction: &Native, mut make: impl FnMut(&mut Random) -> (F80, F80)) {
    let mut random = Random(5);
    let (mut different, mut farthest, mut flags, mut shown) = (0, 0, 0, 0);
    for _ in 0..cases() {
        let (a, b) = make(&mut random);
        let mut expected = Case::new(0x37F | random.next() as u16 & 0xC00, a, b);
        let mut actual = expected.clone();
        let code = (instruction.run)(&mut expected);
        CPU.with_borrow_mut(|cpu| run(cpu, code, &mut actual));
        let ((tags, native), (own_tags, own)) = (expected.registers(), actual.registers());
        assert_eq!(tags, own_tags, "{}", instruction.text);
        let far = native.iter().zip(own).map(|(native, own)| distance(*native, own)).max().unwrap_or(0);
        // C1 follows from the result.
        let wrong_flags = (expected.status ^ actual.status) & !0x200 != 0;
        flags += usize::from(wrong_flags);
        different += usize::from(far != 0);
        if far > 1 || wrong_flags {
            shown += 1;
            if shown <= 3 {
                println!("{} {:x?} {expected:x?}", instruction.text, actual.registers());
            }
        }
        farthest = far.max(farthest);
    }
    println!(
        "{}: {different} of {} differ, by up to {farthest}; flags of {flags}",
        instruction.text,
        cases()
    );
    assert!(farthest <= 2 && flags == 0, "{}", instruction.text);
}

#[test]
fn angles() {
    for instruction in native!["fsin", "fcos", "fsincos", "fptan"] {
        compare(instruction, |random| (number(random, -40..63), F80::ONE));
        compare(instruction, |random| (number(random, -4..4), F80::ONE));
    }
    let [fpatan] = native!["fpatan"];
    compare(fpatan, |random| (number(random, -30..30), number(random, -30..30)));
    compare(fpatan, |random| (number(random, -2..2), number(random, -2..2)));
}

#[test]
fn powers_and_logarithms() {
    let [f2xm1, fyl2x, fyl2xp1] = native!["f2xm1", "fyl2x", "fyl2xp1"];
    compare(f2xm1, |random| (number(random, -70..0), F80::ONE));
    compare(f2xm1, |random| (number(random, -3..0), F80::ONE));
    compare(fyl2x, |random| (number(random, -100..100).magnitude(), number(random, -9..9)));
    compare(fyl2x, |random| (number(random, -1..1).magnitude(), number(random, -9..9)));
    compare(fyl2xp1, |random| (number(random, -70..-2), number(random, -9..9)));
}
