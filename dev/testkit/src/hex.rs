//! Bytes as text and back.
//!
//! Where it sits: tests compare bytes through it, because a difference in hex can be read.

use std::fmt::Write;

/// Two lower-case digits a byte, no separators: what `netdev-dummy/receive` takes.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from hex digits; white space and the separators `:` and `-` are skipped.
///
/// # Panics
/// On any other character, or an odd number of digits: it is the test that is wrong.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, ':' | '-'))
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("{c:?} is no hex digit")) as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of hex digits: {text}");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
        assert_eq!(from_hex("aa:bb cc-0D\n"), [0xaa, 0xbb, 0xcc, 0x0d]);
    }
}
