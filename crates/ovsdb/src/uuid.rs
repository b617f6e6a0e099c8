//! The 128-bit identifier of a row, a transaction or a server.
//!
//! Where it sits: inside atoms and rows. It has no source of randomness of its own: whoever makes identifiers hands in random bits.
//!
//! Spec: RFC 4122 text form, RFC 7047 section 3 `<uuid>`.

use std::fmt;

use crate::json::Json;

/// Characters of the text form.
pub const TEXT_LEN: usize = 36;

/// A UUID. Ordered as its text is.
// Aligned like a pointer, so that an atom is 24 bytes and not 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct Uuid(pub u128);

impl Uuid {
    /// The all-zeros UUID: "no row".
    pub const ZERO: Uuid = Uuid(0);

    /// A version 4 UUID out of 128 random bits.
    pub fn from_random(bits: u128) -> Uuid {
        const VERSION: u128 = 0xf << 76;
        const VARIANT: u128 = 0x3 << 62;
        Uuid(bits & !VERSION & !VARIANT | 4 << 76 | 2 << 62)
    }

    /// Parses the 36-character form and nothing else.
    pub fn parse(text: &str) -> Option<Uuid> {
        if text.len() == TEXT_LEN { Uuid::parse_prefix(text) } else { None }
    }

    /// Parses the 36-character form at the beginning of `text`.
    pub fn parse_prefix(text: &str) -> Option<Uuid> {
        let bytes = text.as_bytes().get(..TEXT_LEN)?;
        let mut value = 0u128;
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
            } else {
                value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
            }
        }
        Some(Uuid(value))
    }

    /// The 36-character form, in `text`.
    pub fn encode(self, text: &mut [u8; TEXT_LEN]) -> &str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        /// Where the digits of each byte are.
        const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        text.fill(b'-');
        for (place, byte) in PLACES.into_iter().zip(self.0.to_be_bytes()) {
            text[place] = DIGITS[usize::from(byte >> 4)];
            text[place + 1] = DIGITS[usize::from(byte & 0xf)];
        }
        std::str::from_utf8(text).expect("digits and dashes")
    }

    /// Whether this is the all-zeros UUID.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `["uuid", "…"]`.
    pub fn to_json(self) -> Json {
        Json::Array(vec![Json::string("uuid"), Json::string(self.encode(&mut [0; TEXT_LEN]))])
    }

    /// The first 32 bits, which short listings show.
    pub fn first_word(self) -> u32 {
        (self.0 >> 96) as u32
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN];
        f.write_str(self.encode(&mut text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_refusals() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        assert_eq!(Uuid::parse("550e8400-e29b-41d4-a716-44665544000"), None);
        assert_eq!(Uuid::parse("550e8400-e29b-41d4-a716-4466554400000"), None);
        assert_eq!(Uuid::parse("550e8400+e29b-41d4-a716-446655440000"), None);
        assert_eq!(Uuid::parse("+50e8400-e29b-41d4-a716-446655440000"), None);
    }

    #[test]
    fn random_bits_carry_version_and_variant() {
        let text = Uuid::from_random(u128::MAX).to_string();
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Uuid::from_random(0).to_string(), "00000000-0000-4000-8000-000000000000");
    }
}
