//! The value of a field: an unsigned number as wide as the widest field, tunnel metadata of 124 bytes.
//!
//! Where it sits: below fields, matches and actions; translation and the stack carry it. A key has the narrow fields as plain
//! numbers ([`flow::Slot`]), and those of tunnel metadata as bytes ([`flow::tun_metadata`]).
//!
//! I1  A number that fits into 128 bits is held in place, so that ordinary fields cost no allocation; only wider ones are on the heap.
//!     So equal numbers have equal forms.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{BitAnd, BitOr, Shl, Shr};

/// An unsigned number of up to 1024 bits; bits beyond are lost.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bits(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// The high and the low half; not one `u128`, which would make every holder a third larger.
    Narrow(u64, u64),
    /// The lowest word first.
    Wide(Box<Words>),
}

type Words = [u64; Bits::WIDTH as usize / 64];

impl Bits {
    /// Nothing set.
    pub const ZERO: Bits = Bits(Form::Narrow(0, 0));
    /// How many bits there are.
    pub const WIDTH: u16 = 1024;
    const BYTES: usize = Bits::WIDTH as usize / 8;

    /// `n` ones at the low end.
    #[inline]
    pub fn ones(n: u16) -> Bits {
        if n <= 128 {
            u128::MAX.checked_shr(128 - u32::from(n)).unwrap_or(0).into()
        } else {
            Bits::many_ones(n)
        }
    }

    fn many_ones(n: u16) -> Bits {
        Bits::from_words(std::array::from_fn(|i| {
            let above = usize::from(n).saturating_sub(64 * i).min(64);
            u64::MAX.checked_shr(64 - above as u32).unwrap_or(0)
        }))
    }

    /// The number whose bytes these are, the highest first.
    pub fn from_be_bytes(bytes: impl IntoIterator<Item = u8>) -> Bits {
        let mut words = Words::default();
        for byte in bytes {
            shift_in(&mut words, 8, byte.into());
        }
        Bits::from_words(words)
    }

    /// The number with these hexadecimal digits; `None` if there are others among them, or more than fit.
    pub fn from_hex(digits: &str) -> Option<Bits> {
        let digits = digits.trim_start_matches('0');
        let mut words = Words::default();
        for digit in digits.chars() {
            shift_in(&mut words, 4, digit.to_digit(16)?.into());
        }
        (digits.len() <= 2 * Bits::BYTES).then(|| Bits::from_words(words))
    }

    fn from_words(words: Words) -> Bits {
        let [low, high, above @ ..] = &words;
        if above.iter().all(|word| *word == 0) {
            Bits(Form::Narrow(*high, *low))
        } else {
            Bits(Form::Wide(Box::new(words)))
        }
    }

    fn words(&self) -> Words {
        match &self.0 {
            Form::Narrow(high, low) => {
                let mut words = Words::default();
                let [first, second, ..] = &mut words;
                (*first, *second) = (*low, *high);
                words
            }
            Form::Wide(words) => **words,
        }
    }

    /// The low 128 bits.
    #[inline]
    pub fn low(&self) -> u128 {
        let (high, low) = match &self.0 {
            Form::Narrow(high, low) => (*high, *low),
            Form::Wide(words) => {
                let [low, high, ..] = **words;
                (high, low)
            }
        };
        u128::from(high) << 64 | u128::from(low)
    }

    /// The number, if it has no more than 128 bits.
    pub fn narrow(&self) -> Option<u128> {
        matches!(self.0, Form::Narrow(..)).then(|| self.low())
    }

    /// The low `n` bytes, the highest first.
    pub fn be_bytes(&self, n: usize) -> impl Iterator<Item = u8> + use<> {
        let words = self.words();
        (0..n).rev().map(move |at| words.get(at / 8).map_or(0, |word| (word >> (at % 8 * 8)) as u8))
    }

    /// How many bits there are up to the highest one that is set.
    pub fn len(&self) -> u16 {
        match self.narrow() {
            Some(n) => 128 - n.leading_zeros() as u16,
            None => (0..).zip(self.words()).fold(0, |len, (i, word)| match word {
                0 => len,
                word => i * 64 + 64 - word.leading_zeros() as u16,
            }),
        }
    }

    /// True if nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Bits::ZERO
    }

    /// How many bits are set.
    pub fn count_ones(&self) -> u16 {
        self.words().iter().map(|word| word.count_ones() as u16).sum()
    }

    /// Zeros at the low end; all there are, if nothing is set.
    pub fn trailing_zeros(&self) -> u16 {
        let at = |(i, word): (u16, u64)| (word != 0).then(|| i * 64 + word.trailing_zeros() as u16);
        (0..).zip(self.words()).find_map(at).unwrap_or(Bits::WIDTH)
    }

    /// Ones at the low end.
    pub fn trailing_ones(&self) -> u16 {
        let at = |(i, word): (u16, u64)| (word != u64::MAX).then(|| i * 64 + word.trailing_ones() as u16);
        (0..).zip(self.words()).find_map(at).unwrap_or(Bits::WIDTH)
    }

    /// True if `mask` has every bit that is set here.
    pub fn is_within(&self, mask: &Bits) -> bool {
        self & mask == *self
    }

    /// The bits of `value` where `mask` has ones, and those of this number elsewhere.
    pub fn with(&self, value: &Bits, mask: &Bits) -> Bits {
        self.each(value, |a, b| a ^ b).each(mask, |a, b| a & b).each(self, |a, b| a ^ b)
    }

    #[inline]
    fn each(&self, other: &Bits, op: impl Fn(u64, u64) -> u64) -> Bits {
        if let (Form::Narrow(ah, al), Form::Narrow(bh, bl)) = (&self.0, &other.0) {
            return Bits(Form::Narrow(op(*ah, *bh), op(*al, *bl)));
        }
        self.each_word(other, op)
    }

    fn each_word(&self, other: &Bits, op: impl Fn(u64, u64) -> u64) -> Bits {
        let (mut words, others) = (self.words(), other.words());
        words.iter_mut().zip(others).for_each(|(a, b)| *a = op(*a, b));
        Bits::from_words(words)
    }
}

/// Makes place for `bits` bits at the low end.
fn shift_in(words: &mut Words, bits: u32, low: u64) {
    let mut carried = low;
    for word in words {
        (carried, *word) = (*word >> (64 - bits), *word << bits | carried);
    }
}

impl BitAnd for &Bits {
    type Output = Bits;
    fn bitand(self, other: &Bits) -> Bits {
        self.each(other, |a, b| a & b)
    }
}

impl BitOr for &Bits {
    type Output = Bits;
    fn bitor(self, other: &Bits) -> Bits {
        self.each(other, |a, b| a | b)
    }
}

impl Shl<u16> for &Bits {
    type Output = Bits;
    fn shl(self, n: u16) -> Bits {
        let len = self.len();
        if len == 0 || n == 0 {
            return self.clone();
        }
        if len + n <= 128 {
            return (self.low() << n).into();
        }
        let (words, by, bits) = (self.words(), usize::from(n / 64), u32::from(n % 64));
        let at = |i: Option<usize>| i.and_then(|i| words.get(i)).copied().unwrap_or(0);
        Bits::from_words(std::array::from_fn(|i| {
            let below = at(i.checked_sub(by + 1)).checked_shr(64 - bits).unwrap_or(0);
            at(i.checked_sub(by)) << bits | below
        }))
    }
}

impl Shr<u16> for &Bits {
    type Output = Bits;
    fn shr(self, n: u16) -> Bits {
        if let Some(narrow) = self.narrow() {
            return narrow.checked_shr(n.into()).unwrap_or(0).into();
        }
        let (words, by, bits) = (self.words(), usize::from(n / 64), u32::from(n % 64));
        let at = |i: usize| words.get(i).copied().unwrap_or(0);
        Bits::from_words(std::array::from_fn(|i| {
            at(i + by) >> bits | at(i + by + 1).checked_shl(64 - bits).unwrap_or(0)
        }))
    }
}

impl From<u128> for Bits {
    #[inline]
    fn from(n: u128) -> Bits {
        Bits(Form::Narrow((n >> 64) as u64, n as u64))
    }
}

macro_rules! from_numbers {
    ($($ty:ident)+) => {
        $(impl From<$ty> for Bits {
            fn from(n: $ty) -> Bits {
                Bits(Form::Narrow(0, n.into()))
            }
        })+
    };
}
from_numbers!(u8 u16 u32 u64);

impl Default for Bits {
    fn default() -> Bits {
        Bits::ZERO
    }
}

impl PartialEq<u128> for Bits {
    fn eq(&self, n: &u128) -> bool {
        self.narrow() == Some(*n)
    }
}

impl PartialOrd for Bits {
    fn partial_cmp(&self, other: &Bits) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bits {
    fn cmp(&self, other: &Bits) -> Ordering {
        self.words().iter().rev().cmp(other.words().iter().rev())
    }
}

impl fmt::LowerHex for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(n) = self.narrow() {
            return fmt::LowerHex::fmt(&n, f);
        }
        let digits: String = self.words().iter().rev().map(|word| format!("{word:016x}")).collect();
        f.pad_integral(true, "0x", digits.trim_start_matches('0'))
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#x}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of any width, often of few bits or at the edge of what is held in place.
    fn numbers() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(0xff), any::<u8>()];
        prop_oneof![0..=1usize, 15..=17usize, 0..=128usize]
            .prop_flat_map(move |len| prop::collection::vec(byte.clone(), len))
    }

    fn bits(bytes: &[u8]) -> Bits {
        Bits::from_be_bytes(bytes.iter().copied())
    }

    /// Each bit, the lowest first.
    fn each(n: &Bits) -> Vec<bool> {
        let bytes: Vec<u8> = n.be_bytes(128).collect();
        bytes.iter().rev().flat_map(|byte| (0..8).map(move |i| byte >> i & 1 != 0)).collect()
    }

    proptest! {
        #[test]
        fn bytes_and_digits_round_trip(bytes in numbers()) {
            let n = bits(&bytes);
            prop_assert_eq!(n.be_bytes(bytes.len()).collect::<Vec<_>>(), bytes.clone());
            let hex = format!("{n:x}");
            prop_assert_eq!(Bits::from_hex(&hex), Some(n.clone()));
            prop_assert_eq!(format!("{n:#x}"), format!("0x{hex}"));
            prop_assert_eq!(&bits(&n.be_bytes(128).collect::<Vec<_>>()), &n);
            prop_assert_eq!(n.narrow().map(Bits::from), (n.len() <= 128).then(|| n.clone()));
        }

        #[test]
        fn operations_are_those_of_single_bits(a in numbers(), b in numbers(), c in numbers(), by in 0..1100u16) {
            let (a, b, c) = (bits(&a), bits(&b), bits(&c));
            let (ea, eb, ec) = (each(&a), each(&b), each(&c));
            let on = |op: &dyn Fn(usize) -> bool| (0..1024).map(op).collect::<Vec<_>>();
            prop_assert_eq!(each(&(&a & &b)), on(&|i| ea[i] & eb[i]));
            prop_assert_eq!(each(&(&a | &b)), on(&|i| ea[i] | eb[i]));
            prop_assert_eq!(each(&a.with(&b, &c)), on(&|i| if ec[i] { eb[i] } else { ea[i] }));
            let n = usize::from(by);
            prop_assert_eq!(each(&(&a << by)), on(&|i| i >= n && ea[i - n]));
            prop_assert_eq!(each(&(&a >> by)), on(&|i| i + n < 1024 && ea[i + n]));
            prop_assert_eq!(each(&Bits::ones(by)), on(&|i| i < n));
            prop_assert_eq!(a.cmp(&b), ea.iter().rev().cmp(eb.iter().rev()));
            prop_assert_eq!(a.is_within(&b), (0..1024).all(|i| !ea[i] || eb[i]));
            prop_assert_eq!(usize::from(a.len()), ea.iter().rposition(|bit| *bit).map_or(0, |i| i + 1));
            prop_assert_eq!(usize::from(a.count_ones()), ea.iter().filter(|bit| **bit).count());
            let run = |bit: bool| ea.iter().take_while(|b| **b == bit).count();
            prop_assert_eq!(usize::from(a.trailing_zeros()), run(false));
            prop_assert_eq!(usize::from(a.trailing_ones()), run(true));
        }
    }

    #[test]
    fn digits_that_are_none_or_too_many_are_no_number() {
        assert_eq!(Bits::from_hex("12g"), None);
        assert_eq!(Bits::from_hex(&"f".repeat(257)), None);
        assert_eq!(Bits::from_hex(&"0".repeat(300)), Some(Bits::ZERO));
        assert_eq!(Bits::from_hex(""), Some(Bits::ZERO));
    }
}
