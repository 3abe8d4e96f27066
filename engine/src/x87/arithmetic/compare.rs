//! Comparison (SDM vol. 2, "FCOM/FCOMP/FCOMPP", "FUCOM/FUCOMP/FUCOMPP").

use super::super::env::{Env, INVALID};
use super::super::f80::{Class, F80};

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Greater,
    Less,
    Equal,
    Unordered,
}

/// Compares `a` with `b`; with `quiet` a quiet NaN is no invalid operation.
#[inline]
pub(crate) fn compare(a: F80, b: F80, quiet: bool, env: &mut Env) -> Relation {
    if !(a.is_normal() && b.is_normal()) {
        let (class_a, class_b) = (a.class(), b.class());
        for class in [class_a, class_b] {
            match class {
                Class::SignallingNan | Class::Unsupported => env.before |= INVALID,
                Class::QuietNan if !quiet => env.before |= INVALID,
                _ => {}
            }
        }
        let is_number = |class| !matches!(class, Class::SignallingNan | Class::QuietNan | Class::Unsupported);
        if !is_number(class_a) || !is_number(class_b) {
            return Relation::Unordered;
        }
        env.note(class_a);
        env.note(class_b);
        if class_a == Class::Zero && class_b == Class::Zero {
            return Relation::Equal;
        }
    }
    // The exponents 0 and 1 mean the same.
    let key = |x: F80| {
        let magnitude = i128::from(x.exponent().max(1)) << 64 | i128::from(x.significand);
        let magnitude = if x.significand == 0 { 0 } else { magnitude };
        if x.is_negative() { -magnitude } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        std::cmp::Ordering::Less => Relation::Less,
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::Greater,
    }
}
