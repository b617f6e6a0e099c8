//! What can be wrong with JSON text, and where.
//!
//! Where it sits: returned by the lexer and the parser; printed into logs and tools' messages in Open vSwitch's words.

use std::fmt;

/// A defect and its place in the message. Line, column and byte count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Newlines before the defect.
    pub line: u32,
    /// Bytes since the last newline.
    pub column: u64,
    /// Bytes since the beginning of the message.
    pub byte: u64,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}, byte {}: {}", self.line, self.column, self.byte, self.kind)
    }
}

impl std::error::Error for ParseError {}

/// What is wrong with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A character that begins no token.
    InvalidCharacter(u8),
    /// A word other than `true`, `false` and `null` (its first bytes).
    InvalidKeyword(Word),
    /// A control character inside a string.
    UnescapedControl(u8),
    /// A minus sign alone.
    MinusWithoutDigit,
    /// `01`.
    LeadingZeros,
    /// `1.`.
    PointWithoutDigit,
    /// `1e`.
    ExponentWithoutDigit,
    /// An exponent past 32 bits.
    ExponentRange,
    /// Number characters in no order.
    NumberSyntax,
    /// A number that no finite real can hold.
    NumberRange,
    /// A backslash and an unknown letter.
    BadEscape(u8),
    /// A string whose last character is a lone backslash.
    BackslashAtEnd,
    /// Fewer than four digits after `\u`.
    ShortUnicodeEscape,
    /// Something else than hexadecimal digits after `\u`.
    BadUnicodeEscape,
    /// `\u0000`.
    NulInString,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// A leading surrogate followed by something else than a trailing one.
    BadTrailingSurrogate,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Neither an array nor an object.
    BadStart,
    /// Text after the value.
    TrailingGarbage,
    /// A token that begins no value.
    ExpectedValue,
    /// A member that does not begin with a string.
    ExpectedName,
    /// A member name without a colon.
    ExpectedColon,
    /// Neither the end of the object nor the next member.
    ExpectedObjectEnd,
    /// Neither the end of the array nor the next element.
    ExpectedArrayEnd,
    /// Arrays and objects nested too deeply.
    TooDeep,
    /// More bytes than the reader allows one message to have.
    TooLong,
    /// Nothing but white space.
    Empty,
    /// The text ends inside an array or object.
    UnexpectedEnd,
    /// The text ends inside a string.
    UnexpectedEndInString,
}

/// The beginning of a word, kept without allocation for an error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    bytes: [u8; 32],
    len: u8,
}

impl Word {
    pub(super) fn new(word: &[u8]) -> Word {
        let mut bytes = [0; 32];
        let len = word.len().min(bytes.len());
        bytes[..len].copy_from_slice(&word[..len]);
        Word { bytes, len: len as u8 }
    }

    /// The word, cut to 32 bytes.
    pub fn as_str(&self) -> &str {
        // The lexer lets only ASCII letters into a word.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            ErrorKind::InvalidCharacter(c) if (0x20..0x7f).contains(&c) => {
                return write!(f, "invalid character '{}'", char::from(c));
            }
            ErrorKind::InvalidCharacter(c) => return write!(f, "invalid character U+{c:04x}"),
            ErrorKind::InvalidKeyword(word) => return write!(f, "invalid keyword '{}'", word.as_str()),
            ErrorKind::UnescapedControl(c) => return write!(f, "U+{c:04X} must be escaped in quoted string"),
            ErrorKind::BadEscape(c) => return write!(f, "bad escape \\{}", char::from(c)),
            ErrorKind::MinusWithoutDigit => "'-' must be followed by digit",
            ErrorKind::LeadingZeros => "leading zeros not allowed",
            ErrorKind::PointWithoutDigit => "decimal point must be followed by digit",
            ErrorKind::ExponentWithoutDigit => "exponent must contain at least one digit",
            ErrorKind::ExponentRange => "exponent outside valid range",
            ErrorKind::NumberSyntax => "syntax error in number",
            ErrorKind::NumberRange => "number outside valid range",
            ErrorKind::BackslashAtEnd => "quoted string may not end with backslash",
            ErrorKind::ShortUnicodeEscape => "quoted string ends within \\u escape",
            ErrorKind::BadUnicodeEscape => "malformed \\u escape",
            ErrorKind::NulInString => "null bytes not supported in quoted strings",
            ErrorKind::LoneSurrogate => "malformed escaped surrogate pair",
            ErrorKind::BadTrailingSurrogate => {
                "second half of escaped surrogate pair is not trailing surrogate"
            }
            ErrorKind::InvalidUtf8 => "quoted string is not valid UTF-8",
            ErrorKind::BadStart => "syntax error at beginning of input",
            ErrorKind::TrailingGarbage => "trailing garbage at end of input",
            ErrorKind::ExpectedValue => "syntax error expecting value",
            ErrorKind::ExpectedName => "syntax error parsing object expecting string",
            ErrorKind::ExpectedColon => "syntax error parsing object expecting ':'",
            ErrorKind::ExpectedObjectEnd => "syntax error expecting '}' or ','",
            ErrorKind::ExpectedArrayEnd => "syntax error expecting ']' or ','",
            ErrorKind::TooDeep => "input exceeds maximum nesting depth 1000",
            ErrorKind::TooLong => "input exceeds maximum message length",
            ErrorKind::Empty => "empty input stream",
            ErrorKind::UnexpectedEnd => "unexpected end of input",
            ErrorKind::UnexpectedEndInString => "unexpected end of input in quoted string",
        };
        f.write_str(text)
    }
}
