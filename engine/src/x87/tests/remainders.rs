//! `fmod` as C libraries compute it: FPREM until C2 is clear.

use super::super::arithmetic::{Double, Quotient, from_float, remainder, to_float};
use super::super::env::Env;
use super::Random;

fn fmod(a: f64, b: f64) -> f64 {
    let env = &mut Env::extended(0x37F);
    let (mut a, b) = (from_float::<Double>(a.to_bits(), env), from_float::<Double>(b.to_bits(), env));
    for _ in 0..1000 {
        let result = remainder(a, b, false, env);
        a = result.value;
        if !matches!(result.quotient, Quotient::Partial) {
            return f64::from_bits(to_float::<Double>(a, env));
        }
    }
    panic!("{a:?} is not reduced by {b:?}");
}

#[test]
fn fmod_is_exact() {
    assert_eq!(fmod(5.0, f64::INFINITY), 5.0);
    assert_eq!(fmod(-5.0, f64::INFINITY), -5.0);
    assert_eq!(fmod(2f64.powi(66), 3.0), 1.0);
    assert_eq!(fmod(1e22, 0.1), 1e22 % 0.1);
    assert_eq!(fmod(f64::MAX, f64::from_bits(1)), 0.0);
    assert!(fmod(f64::INFINITY, 2.0).is_nan() && fmod(1.0, 0.0).is_nan());
    let mut random = Random(9);
    for _ in 0..100_000 {
        let (a, b) = (f64::from_bits(random.next()), f64::from_bits(random.next()));
        if a.is_finite() && b.is_finite() && b != 0.0 {
            assert_eq!(fmod(a, b), a % b, "{a} {b}");
        }
    }
}
