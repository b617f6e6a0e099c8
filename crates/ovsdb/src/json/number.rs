//! Text of a number to its canonical value.
//!
//! Where it sits: the lexer hands over a run of number characters; I2 of `json` is kept here.

use super::error::ErrorKind;
use super::value::Json;

/// The grammar's pieces of a number.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// The value of `text`, which consists of digits, signs, points and `e` only.
pub(super) fn parse_number(text: &[u8]) -> Result<Json, ErrorKind> {
    let parts = split(text)?;
    if let Some(n) = exact_integer(&parts) {
        return Ok(Json::Integer(n));
    }
    // `split` has checked the grammar, which is a subset of what Rust's parser takes.
    let x =
        std::str::from_utf8(text).ok().and_then(|t| t.parse::<f64>().ok()).ok_or(ErrorKind::NumberSyntax)?;
    // Like strtod(), an underflow to zero is a zero but a subnormal result is a range error.
    if !x.is_finite() || x.is_subnormal() {
        return Err(ErrorKind::NumberRange);
    }
    Ok(if x == 0.0 { Json::Integer(0) } else { Json::Real(x) })
}

fn split(text: &[u8]) -> Result<Parts<'_>, ErrorKind> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (integer, rest) = take_digits(rest);
    match integer {
        [] => return Err(ErrorKind::MinusWithoutDigit),
        [b'0', _, ..] => return Err(ErrorKind::LeadingZeros),
        _ => {}
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => match take_digits(rest) {
            ([], _) => return Err(ErrorKind::PointWithoutDigit),
            taken => taken,
        },
        rest => (&[][..], rest),
    };
    let (exponent, rest) = match rest {
        [b'e' | b'E', rest @ ..] => split_exponent(rest)?,
        rest => (0, rest),
    };
    if !rest.is_empty() {
        return Err(ErrorKind::NumberSyntax);
    }
    Ok(Parts { negative, integer, fraction, exponent })
}

fn split_exponent(text: &[u8]) -> Result<(i64, &[u8]), ErrorKind> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (digits, rest) = take_digits(rest);
    if digits.is_empty() {
        return Err(ErrorKind::ExponentWithoutDigit);
    }
    let mut exponent = 0i64;
    for digit in digits {
        exponent = exponent * 10 + i64::from(digit - b'0');
        if exponent > i64::from(i32::MAX) {
            return Err(ErrorKind::ExponentRange);
        }
    }
    Ok((if negative { -exponent } else { exponent }, rest))
}

fn take_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The number as an `i64` where it is exactly one.
fn exact_integer(parts: &Parts<'_>) -> Option<i64> {
    let significant = || parts.integer.iter().chain(parts.fraction);
    let trailing = significant().rev().take_while(|&&c| c == b'0').count();
    let total = parts.integer.len() + parts.fraction.len();
    if trailing == total {
        return Some(0);
    }
    let power = parts.exponent - parts.fraction.len() as i64 + trailing as i64;
    let leading = significant().take_while(|&&c| c == b'0').count();
    // 20 digits are more than any i64 has; with at most that many, i128 cannot overflow.
    if power < 0 || (total - leading - trailing) as i64 + power > 20 {
        return None;
    }
    let digits = significant().take(total - trailing);
    let mut value = digits.fold(0i128, |value, c| value * 10 + i128::from(c - b'0'));
    for _ in 0..power {
        value *= 10;
    }
    i64::try_from(if parts.negative { -value } else { value }).ok()
}
