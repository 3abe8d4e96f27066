//! FPATAN (SDM vol. 2, table "FPATAN Results").

use super::super::env::Env;
use super::super::f80::{Class, F80};
use super::wide::{ONE, Wide, mul_high, odd_reciprocals, series};

/// Pi with 126 bits behind the point.
const PI: u128 = 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1;
/// Arctangents of 1/16, 2/16 and so on.
const ARCTANGENTS: [u128; 16] = [
    0x07FD56ED_CB3F7A71_B6593C96_E071706B,
    0x0FEADD4D_5617B6E3_2C897989_F3E888EF,
    0x17B97B4B_CE5B0226_8F6169F1_03938E91,
    0x1F5B75F9_2C80DD62_ADB8F3DE_BEF442FD,
    0x26C4EE6E_0FD7979A_716AED26_349EBCCA,
    0x2DEC3283_C9BDE11C_E2A8C848_B73F9121,
    0x34C9DD87_9847F96D_909F257A_40079C4E,
    0x3B58CE0A_C3769ED1_5BF9117B_2F0EA341,
    0x4195FA53_6CC33F15_25B504E5_B0D28AE0,
    0x47802EAF_7BFACFCD_AE41AF0B_32E21BA4,
    0x4D17C073_38DEED10_21137C71_1027F9DE,
    0x525E3E8C_9A7B8492_0CD43F95_22BED64F,
    0x5756261C_5A6C6040_0A392F17_9F290385,
    0x5C029F15_E118CF39_E596D2A9_0852221F,
    0x606742DC_56293320_44EEB162_37497D12,
    0x6487ED51_10B4611A_62633145_C06E0E69,
];
const ARCTANGENT: [u128; 14] = odd_reciprocals();

/// FPATAN: the angle of the point (`x`, `y`).
pub(super) fn atan2(x: F80, y: F80, env: &mut Env) -> F80 {
    if let Some(nan) = env.nan_of_two(x, y) {
        return nan;
    }
    let (class_x, class_y) = (x.class(), y.class());
    env.note(class_x);
    env.note(class_y);
    let (left, negative) = (x.is_negative(), y.is_negative());
    match (class_x, class_y) {
        (_, Class::Zero) | (Class::Infinity, Class::Denormal | Class::Normal) => {
            if left {
                angle(PI, negative, env)
            } else {
                F80::zero(negative)
            }
        }
        (Class::Infinity, _) => angle(if left { PI / 4 * 3 } else { PI / 4 }, negative, env),
        (Class::Zero, _) | (_, Class::Infinity) => angle(PI / 2, negative, env),
        _ => {
            let (x, y) = (Wide::of(x), Wide::of(y));
            let steep = (y.exponent, y.mantissa) > (x.exponent, x.mantissa);
            let small = if steep { arctangent(x, y) } else { arctangent(y, x) };
            match (steep, left) {
                (false, false) => small.round(negative, env),
                (true, false) => angle((PI / 2).wrapping_sub(small.fixed(126)), negative, env),
                (true, true) => angle((PI / 2).wrapping_add(small.fixed(126)), negative, env),
                (false, true) => angle(PI.wrapping_sub(small.fixed(126)), negative, env),
            }
        }
    }
}

/// Rounds an angle with 126 bits behind the point.
fn angle(value: u128, negative: bool, env: &mut Env) -> F80 {
    Wide::new(1, value).round(negative, env)
}

/// The arctangent of a ratio of at most 1.
fn arctangent(numerator: Wide, denominator: Wide) -> Wide {
    let ratio = numerator.div(denominator);
    let t = if ratio.exponent >= 0 { ONE } else { ratio.fixed(127) };
    // The nearest sixteenth, and the angle from there: (t - c) / (1 + t * c).
    let sixteenths = ((t >> 122) as usize + 1) >> 1;
    let Some(base) = sixteenths.checked_sub(1).and_then(|index| ARCTANGENTS.get(index)) else {
        return around_zero(ratio);
    };
    let center = (sixteenths as u128) << 123;
    let distance = t.abs_diff(center);
    if distance == 0 {
        return Wide::new(0, *base);
    }
    let product = mul_high(t, center) << 1;
    let rest = around_zero(Wide::new(0, distance).div(Wide::new(0, ONE.wrapping_add(product)))).fixed(127);
    Wide::new(0, if t > center { base.wrapping_add(rest) } else { base.wrapping_sub(rest) })
}

/// The arctangent of at most 1/32.
fn around_zero(t: Wide) -> Wide {
    let fixed = t.fixed(128);
    let factor = series(&ARCTANGENT, mul_high(fixed, fixed), true).min(ONE - 1);
    t.mul(Wide::new(0, factor))
}
