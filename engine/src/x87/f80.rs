//! Numbers in double extended precision (SDM vol. 1, 4.2.2 and 8.2).

/// What is added to exponents.
pub(crate) const BIAS: i32 = 0x3FFF;
/// The exponent of infinities and NaNs, with the bias.
pub(crate) const MAX_EXPONENT: i32 = 0x7FFF;
/// The integer bit of significands.
pub(crate) const INTEGER_BIT: u64 = 1 << 63;
/// The bit of significands that tells quiet from signalling NaNs.
const QUIET_BIT: u64 = 1 << 62;

/// A number as it lies in a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct F80 {
    /// The significand with its integer bit.
    pub significand: u64,
    /// Sign (bit 15) and exponent with bias.
    pub sign_exponent: u16,
}

/// Kinds of numbers (SDM vol. 1, tables 8-2 and 8-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Zero,
    /// Also pseudo-denormals: exponent 0 although the integer bit is set.
    Denormal,
    Normal,
    Infinity,
    QuietNan,
    SignallingNan,
    /// Unnormals, pseudo-infinities and pseudo-NaNs: no integer bit where there has to be one.
    Unsupported,
}

impl F80 {
    /// 1.
    pub(crate) const ONE: Self = Self { significand: INTEGER_BIT, sign_exponent: 0x3FFF };
    /// The result of invalid operations: "real indefinite" (SDM vol. 1, 4.2.2).
    pub(crate) const INDEFINITE: Self = Self { significand: 3 << 62, sign_exponent: 0xFFFF };

    /// From sign, exponent with bias (15 bits), and significand.
    #[inline(always)]
    pub(crate) const fn new(negative: bool, exponent: i32, significand: u64) -> Self {
        Self { significand, sign_exponent: (exponent as u16 & 0x7FFF) | (negative as u16) << 15 }
    }

    /// 0 with a sign.
    pub(crate) const fn zero(negative: bool) -> Self {
        Self::new(negative, 0, 0)
    }

    /// Infinity with a sign.
    pub(crate) const fn infinity(negative: bool) -> Self {
        Self::new(negative, MAX_EXPONENT, INTEGER_BIT)
    }

    /// From the low 80 bits.
    pub(crate) const fn from_bits(bits: u128) -> Self {
        Self { significand: bits as u64, sign_exponent: (bits >> 64) as u16 }
    }

    /// 80 bits.
    pub(crate) const fn bits(self) -> u128 {
        self.significand as u128 | (self.sign_exponent as u128) << 64
    }

    /// The sign bit.
    #[inline(always)]
    pub(crate) const fn is_negative(self) -> bool {
        self.sign_exponent & 0x8000 != 0
    }

    /// The exponent with bias.
    #[inline(always)]
    pub(crate) const fn exponent(self) -> i32 {
        (self.sign_exponent & 0x7FFF) as i32
    }

    /// Whether it is a normal number: neither zero nor special in any way.
    #[inline(always)]
    pub(crate) const fn is_normal(self) -> bool {
        (self.exponent().wrapping_sub(1) as u32) < 0x7FFE && self.significand & INTEGER_BIT != 0
    }

    /// What kind of number it is.
    #[inline]
    pub(crate) const fn class(self) -> Class {
        match self.exponent() {
            0 if self.significand == 0 => Class::Zero,
            0 => Class::Denormal,
            _ if self.significand & INTEGER_BIT == 0 => Class::Unsupported,
            MAX_EXPONENT if self.significand == INTEGER_BIT => Class::Infinity,
            MAX_EXPONENT if self.significand & QUIET_BIT != 0 => Class::QuietNan,
            MAX_EXPONENT => Class::SignallingNan,
            _ => Class::Normal,
        }
    }

    /// The exponent with bias and the significand with the integer bit set, of a finite number that is not 0.
    #[inline(always)]
    pub(crate) const fn unpack(self) -> (i32, u64) {
        if self.significand & INTEGER_BIT != 0 && self.exponent() != 0 {
            return (self.exponent(), self.significand);
        }
        let shift = self.significand.leading_zeros();
        (1_i32.wrapping_sub(shift as i32), self.significand.wrapping_shl(shift))
    }

    /// With the opposite sign.
    pub(crate) const fn negated(self) -> Self {
        Self { sign_exponent: self.sign_exponent ^ 0x8000, ..self }
    }

    /// Without sign.
    pub(crate) const fn magnitude(self) -> Self {
        Self { sign_exponent: self.sign_exponent & 0x7FFF, ..self }
    }

    /// A NaN that is quiet.
    pub(crate) const fn quieted(self) -> Self {
        Self { significand: self.significand | QUIET_BIT, ..self }
    }
}
