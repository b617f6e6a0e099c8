//! Values to text: compact, as on the wire, and indented, as tools show with `--pretty`.
//!
//! Where it sits: `Display` for `Json`; tools use `Json::pretty`.

use std::fmt::{self, Display, Write};

use super::value::Json;

/// Prints a value over several lines, in Open vSwitch's layout: two blanks per level, closing brackets on the last element's line.
#[derive(Clone, Copy, Debug)]
pub struct Pretty<'a>(&'a Json);

impl Json {
    /// The value laid out for people.
    pub fn pretty(&self) -> Pretty<'_> {
        Pretty(self)
    }
}

impl Json {
    /// Appends the compact form to `out`: what `Display` prints, without its machinery.
    pub fn write_to(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = write_value(out, self, None);
    }
}

/// Appends `text` to `out` as a JSON string.
pub fn write_quoted(out: &mut String, text: &str) {
    let _ = write_string(out, text);
}

/// Appends the compact form of a finite real to `out`.
pub fn write_number(out: &mut String, x: f64) {
    let _ = write_real(out, x);
}

impl Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self, None)
    }
}

impl Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self.0, Some(0))
    }
}

/// Writes `value`; `level` is the indentation in use, `None` for the compact form.
fn write_value(f: &mut impl Write, value: &Json, level: Option<usize>) -> fmt::Result {
    match value {
        Json::Null => f.write_str("null"),
        Json::Bool(true) => f.write_str("true"),
        Json::Bool(false) => f.write_str("false"),
        Json::Integer(n) => write!(f, "{n}"),
        Json::Real(x) => write_real(f, *x),
        Json::String(s) => write_string(f, s),
        Json::Array(elements) if elements.is_empty() => f.write_str("[]"),
        Json::Array(elements) => {
            let inner = level.map(|n| n + 1);
            f.write_char('[')?;
            for (i, element) in elements.iter().enumerate() {
                write_separator(f, i, inner)?;
                write_value(f, element, inner)?;
            }
            f.write_char(']')
        }
        Json::Object(members) if members.is_empty() => f.write_str("{}"),
        Json::Object(members) => {
            let inner = level.map(|n| n + 1);
            f.write_char('{')?;
            for (i, (name, member)) in members.iter().enumerate() {
                write_separator(f, i, inner)?;
                write_string(f, name)?;
                f.write_str(if inner.is_some() { ": " } else { ":" })?;
                write_value(f, member, inner)?;
            }
            f.write_char('}')
        }
    }
}

fn write_separator(f: &mut impl Write, index: usize, level: Option<usize>) -> fmt::Result {
    if index > 0 {
        f.write_char(',')?;
    }
    match level {
        Some(level) => write!(f, "\n{:width$}", "", width = 2 * level),
        None => Ok(()),
    }
}

fn write_string(f: &mut impl Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut plain = 0;
    for (at, c) in text.bytes().enumerate() {
        let short = match c {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            8 => "\\b",
            12 => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        f.write_str(&text[plain..at])?;
        if short.is_empty() {
            write!(f, "\\u{c:04x}")?;
        } else {
            f.write_str(short)?;
        }
        plain = at + 1;
    }
    f.write_str(&text[plain..])?;
    f.write_char('"')
}

/// Writes a real like C's `%.15g`: fifteen significant digits, trailing zeros dropped, an exponent outside 1e-4 … 1e15.
fn write_real(f: &mut impl Write, x: f64) -> fmt::Result {
    const DIGITS: i32 = 15;
    if !x.is_finite() {
        // I2 keeps these out; JSON has no other word for them.
        return f.write_str("null");
    }
    let scientific = format!("{x:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let decimals = (DIGITS - 1 - exponent) as usize;
        f.write_str(without_trailing_zeros(&format!("{x:.decimals$}")))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(f, "{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.unsigned_abs())
    }
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}
