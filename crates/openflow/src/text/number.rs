//! Numbers in texts, as C's strtoull reads them: decimal, hexadecimal after `0x`, octal after `0`.
//!
//! Where it sits: every parser of the crate.

use super::{TextError, text_error};
use crate::Bits;

/// Why a text is no value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBits {
    /// It is no number.
    Syntax,
    /// It is a larger one than the field takes.
    TooLarge,
}

/// Reads a number at the start of `text`: its value (wrapped to 64 bits if negative) and what follows; `None` if there
/// is no digit. Numbers of more than 128 bits are read as the largest.
pub fn prefix(text: &str) -> Option<(u128, &str)> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hex {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, rest),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return None;
    }
    let value = u128::from_str_radix(number, radix).unwrap_or(u128::MAX);
    Some((if negative { u128::from((value as u64).wrapping_neg()) } else { value }, rest))
}

/// The whole of `text` as a number.
pub fn whole(text: &str) -> Option<u128> {
    prefix(text).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n)
}

/// The whole of `text` as a number of at most `bytes` bytes, as fields have them; only in hexadecimal may it have more than 64 bits.
/// A bare `0x` is zero.
pub fn bits(text: &str, bytes: u8) -> Result<Bits, NotBits> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match hex.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        Some(digits) => Bits::from_hex(digits),
        None => u64::try_from(whole(text).ok_or(NotBits::Syntax)?).ok().map(Bits::from),
    };
    number.filter(|n| n.len() <= u16::from(bytes) * 8).ok_or(NotBits::TooLarge)
}

/// `text` as a number of at most `max`, called `what` in the error.
fn bounded(text: &str, what: &str, max: u128) -> Result<u128, TextError> {
    whole(text).filter(|n| *n <= max).ok_or_else(|| text_error!("invalid {what} \"{text}\""))
}

/// An 8-bit number.
pub fn u8(text: &str, what: &str) -> Result<u8, TextError> {
    bounded(text, what, u8::MAX.into()).map(|n| n as u8)
}

/// A 16-bit number.
pub fn u16(text: &str, what: &str) -> Result<u16, TextError> {
    bounded(text, what, u16::MAX.into()).map(|n| n as u16)
}

/// A 32-bit number; larger ones lose their high bits, as they always did.
pub fn u32(text: &str) -> Result<u32, TextError> {
    u64(text).map(|n| n as u32)
}

/// A 64-bit number.
pub fn u64(text: &str) -> Result<u64, TextError> {
    whole(text)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| text_error!("invalid numeric format {text}"))
}
