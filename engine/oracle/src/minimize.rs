//! Makes a failing case as plain as it can be.

use crate::case::{Case, State};

/// Takes away all that `still_fails` can do without. The answer is a case for which it said yes.
pub fn minimize(case: &Case, mut still_fails: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut attempt = |change: &mut dyn FnMut(&mut Case)| {
        let mut simpler = best.clone();
        change(&mut simpler);
        if simpler != best && still_fails(&simpler) {
            best = simpler;
        }
    };
    let usual = State::new(case.mode);
    attempt(&mut |case| case.state.fx = usual.fx);
    // Control words, MXCSR, then each register.
    let parts =
        [(0, 6), (24, 28)].into_iter().chain((2..26).map(|register| (16 * register, 16 * register + 16)));
    for (start, end) in parts {
        attempt(&mut |case| case.state.fx.0[start..end].copy_from_slice(&usual.fx.0[start..end]));
    }
    attempt(&mut |case| case.state.rflags = usual.rflags);
    for bit in 0..22 {
        attempt(&mut |case| case.state.rflags &= !(1 << bit) | 0x202);
    }
    attempt(&mut |case| case.state.gprs = usual.gprs);
    for register in 0..16 {
        attempt(&mut |case| case.state.gprs[register] = usual.gprs[register]);
    }
    for patch in (0..case.patches.len()).rev() {
        attempt(&mut |case| drop(case.patches.remove(patch)));
    }
    attempt(&mut |case| case.state.rip = usual.rip);
    best
}
