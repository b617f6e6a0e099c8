//! The inside of a quoted string to its characters.
//!
//! Where it sits: the lexer calls it at a closing quote; the text syntax of database values calls it too.

use super::error::ErrorKind;

/// Resolves the escapes of `raw`, the text between two quotes.
pub fn unescape(raw: &[u8]) -> Result<String, ErrorKind> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&c| c == b'\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = unescape_one(&escape[1..], &mut out)?;
    }
    out.extend_from_slice(rest);
    String::from_utf8(out).map_err(|_| ErrorKind::InvalidUtf8)
}

/// Resolves the escape that follows a backslash; returns what follows it.
fn unescape_one<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ErrorKind> {
    let (&letter, rest) = text.split_first().ok_or(ErrorKind::BackslashAtEnd)?;
    let c = match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unescape_unicode(rest, out),
        _ => return Err(ErrorKind::BadEscape(letter)),
    };
    out.push(c);
    Ok(rest)
}

fn unescape_unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ErrorKind> {
    let (first, rest) = take_hex4(text)?;
    let (code, rest) = match first {
        0 => return Err(ErrorKind::NulInString),
        0xd800..=0xdbff => {
            let [b'\\', b'u', rest @ ..] = rest else { return Err(ErrorKind::LoneSurrogate) };
            let (second, rest) = take_hex4(rest)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err(ErrorKind::BadTrailingSurrogate);
            }
            (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), rest)
        }
        code => (code, rest),
    };
    let c = char::from_u32(code).ok_or(ErrorKind::LoneSurrogate)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

fn take_hex4(text: &[u8]) -> Result<(u32, &[u8]), ErrorKind> {
    let (digits, rest) = text.split_at_checked(4).ok_or(ErrorKind::ShortUnicodeEscape)?;
    digits
        .iter()
        .try_fold(0, |code, &c| Some(code * 16 + char::from(c).to_digit(16)?))
        .map(|code| (code, rest))
        .ok_or(ErrorKind::BadUnicodeEscape)
}
