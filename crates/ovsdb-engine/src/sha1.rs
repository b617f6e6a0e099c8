//! SHA-1 in hexadecimal, which guards the records of database files against torn writes (not against people).
//!
//! Where it sits: under `log`.

use sha1::{Digest, Sha1};

/// Digits of a digest.
pub const HEX_LEN: usize = 40;

/// The digest of `data` as hexadecimal digits.
pub fn sha1_hex(data: &[u8]) -> [u8; HEX_LEN] {
    let mut hex = [0; HEX_LEN];
    for (digits, byte) in hex.chunks_exact_mut(2).zip(Sha1::digest(data)) {
        for (digit, nibble) in digits.iter_mut().zip([byte >> 4, byte & 0xf]) {
            *digit = b"0123456789abcdef"[usize::from(nibble)];
        }
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_digest() {
        assert_eq!(sha1_hex(b"abc"), *b"a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
