//! Pieces of text that keys and actions are made of.
//!
//! Where it sits: below `read`, `list` and `headers`, which know what the pieces mean. Total over any text; the pieces
//! are borrowed.

use alloc::vec::Vec;

/// Drops what may stand between the members of a list.
pub(super) fn skip_separators(text: &str) -> &str {
    text.trim_start_matches([',', ' ', '\t', '\r', '\n'])
}

/// Splits `(BODY)REST`, the parentheses in BODY being balanced.
pub(super) fn body(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some((inner.get(..at)?, inner.get(at + 1..)?));
        }
    }
    None
}

/// Splits a list's first member off: its name, its body (none without parentheses), and the rest.
pub(super) fn member(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let end = text.find([',', '(', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
    let (name, tail) = text.split_at_checked(end)?;
    if !tail.starts_with('(') {
        return Some((name, None, skip_separators(tail)));
    }
    let (inner, rest) = body(tail)?;
    Some((name, Some(inner), skip_separators(rest)))
}

/// Splits `NAME=VALUE`, `NAME(VALUE)` or `NAME`, and what follows the comma. The parentheses and braces in VALUE are
/// balanced.
pub(super) fn part(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.find(['=', '(', ',']).unwrap_or(text.len());
    let (name, tail) = text.split_at_checked(at)?;
    if let Some(value) = tail.strip_prefix('=') {
        let (value, rest) = value.split_once(',').unwrap_or((value, ""));
        return Some((name.trim(), value.trim(), rest));
    }
    let (value, rest) = if tail.starts_with('(') { body(tail)? } else { ("", tail) };
    Some((name.trim(), value, rest.strip_prefix(',').unwrap_or(rest)))
}

/// A decimal or hexadecimal number of at most `bits` bits.
pub(super) fn number(text: &str, bits: u32) -> Option<u128> {
    let digits = |text: &str, radix| {
        let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
        u128::from_str_radix(text, radix).ok().filter(|_| plain)
    };
    let n = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => digits(hex, 16),
        None => digits(text, 10),
    }?;
    (bits >= 128 || n >> bits == 0).then_some(n)
}

/// Names joined by `|`, or numbers.
pub(super) fn flags(text: &str, names: &[&str]) -> Option<u128> {
    if text.is_empty() {
        return Some(0);
    }
    text.split('|').try_fold(0, |all, word| Some(all | flag(word, names).or_else(|| number(word, 128))?))
}

/// `+SET-CLEAR…`: the bits that are set, and all that are named.
pub(super) fn signed_flags(text: &str, names: &[&str]) -> Option<(u128, u128)> {
    let (mut value, mut mask, mut rest) = (0, 0, text);
    while !rest.is_empty() {
        let set = rest.starts_with('+');
        let word = rest.strip_prefix(['+', '-'])?;
        let (word, tail) = word.split_at_checked(word.find(['+', '-']).unwrap_or(word.len()))?;
        let bit = flag(word, names)?;
        if mask & bit != 0 {
            return None;
        }
        (value, mask, rest) = (value | if set { bit } else { 0 }, mask | bit, tail);
    }
    Some((value, mask))
}

fn flag(word: &str, names: &[&str]) -> Option<u128> {
    names.iter().position(|name| !name.is_empty() && *name == word).map(|at| 1u128 << at)
}

/// Bytes in hexadecimal, with or without `0x`; of an odd number of digits the first has a byte of its own.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    let (odd, pairs) = digits.split_at_checked(digits.len() % 2)?;
    let mut out = Vec::new();
    out.try_reserve_exact(digits.len().div_ceil(2)).ok()?;
    out.extend(odd.iter().map(digit).collect::<Option<Vec<u8>>>()?);
    for pair in pairs.chunks_exact(2) {
        let [high, low] = pair else { return None };
        out.push(digit(high)? << 4 | digit(low)?);
    }
    Some(out)
}

/// Bytes in hexadecimal of a list whose length is known: what is missing in front is zero.
pub(super) fn padded_hex(text: &str, len: usize) -> Option<Vec<u8>> {
    let given = hex(text)?;
    let mut out = Vec::new();
    out.try_reserve_exact(len).ok()?;
    out.resize(len.checked_sub(given.len())?, 0);
    out.extend(given);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_parts() {
        assert_eq!(member("1,2"), Some(("1", None, "2")));
        assert_eq!(member("a(b(c),d) ,e"), Some(("a", Some("b(c),d"), "e")));
        assert_eq!(member("a(b"), None);
        assert_eq!(part("a=1,b"), Some(("a", "1", "b")));
        assert_eq!(part("a(b=1,c),d"), Some(("a", "b=1,c", "d")));
        assert_eq!(part("oam,vni=1"), Some(("oam", "", "vni=1")));
    }

    #[test]
    fn numbers_flags_and_bytes() {
        assert_eq!(
            (number("0x1f", 8), number("256", 8), number("+1", 8), number("", 8)),
            (Some(31), None, None, None)
        );
        assert_eq!(signed_flags("+a-c", &["a", "b", "c"]), Some((1, 5)));
        assert_eq!((signed_flags("+a-a", &["a"]), signed_flags("a", &["a"])), (None, None));
        assert_eq!(hex("0x102"), Some([1, 2].into()));
        assert_eq!((padded_hex("0xa", 2), padded_hex("0x010203", 2)), (Some([0, 10].into()), None));
    }
}
