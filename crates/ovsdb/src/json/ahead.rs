//! The parser's short way: tokens that stand whole in the input, and are what is expected there.
//!
//! Where it sits: `parser` goes it wherever a token begins, and the long way, by the lexer, for one token when it ends. Nearly all text
//! needs neither the lexer's state, which is for tokens in pieces, nor the positions that errors tell.
//!
//! I1  It does with a token what the long way would do, or nothing. Each byte is looked at twice at most.

use smol_str::SmolStr;

use super::lexer::{is_blank, is_number_byte, is_word_byte, plain_run};
use super::number::parse_number;
use super::parser::{Expect, MAX_DEPTH, Parser};
use super::unescape::unescape;
use super::value::Json;

/// So many digits always fit into an `i64`.
const PLAIN_DIGITS: usize = 18;

impl Parser {
    /// Consumes tokens up to the end of the message, the end of the input, or what needs the long way.
    pub(super) fn run_ahead(&mut self, input: &mut &[u8]) {
        let mut rest = *input;
        while self.expect != Expect::End
            && let Some(behind) = self.step(rest)
        {
            rest = behind;
        }
        self.lexer.skip(input.len() - rest.len(), input);
    }

    /// Takes the first token of `input`; what is behind it.
    fn step<'i>(&mut self, input: &'i [u8]) -> Option<&'i [u8]> {
        let (first, rest) = after_blanks(input)?;
        match (self.expect, first) {
            (Expect::FirstName | Expect::Name, b'"') => {
                let (name, rest) = string(rest)?;
                self.unfinished.members.push((name, Json::Null));
                match rest.split_first() {
                    // Nothing is between them, as nearly always.
                    Some((b':', rest)) => self.expecting(Expect::MemberValue, rest),
                    _ => self.expecting(Expect::Colon, rest),
                }
            }
            (Expect::Colon, b':') => self.expecting(Expect::MemberValue, rest),
            (Expect::ElementEnd, b',') => self.expecting(Expect::Element, rest),
            (Expect::MemberEnd, b',') => self.expecting(Expect::Name, rest),
            (Expect::FirstElement | Expect::ElementEnd, b']') => self.close().ok().map(|()| rest),
            (Expect::FirstName | Expect::MemberEnd, b'}') => self.close().ok().map(|()| rest),
            (Expect::Start, b'[' | b'{') => self.begin(first, rest),
            (Expect::FirstElement | Expect::Element | Expect::MemberValue, _) => self.value(first, rest),
            _ => None,
        }
    }

    fn expecting<'i>(&mut self, expect: Expect, rest: &'i [u8]) -> Option<&'i [u8]> {
        self.expect = expect;
        Some(rest)
    }

    fn begin<'i>(&mut self, bracket: u8, rest: &'i [u8]) -> Option<&'i [u8]> {
        if self.stack.len() >= MAX_DEPTH {
            return None;
        }
        self.open(bracket).ok().map(|()| rest)
    }

    /// Takes a scalar, or the beginning of an array or object.
    fn value<'i>(&mut self, first: u8, rest: &'i [u8]) -> Option<&'i [u8]> {
        let (scalar, rest) = match first {
            b'"' => string(rest).map(|(string, rest)| (Json::String(string), rest))?,
            b'[' | b'{' => return self.begin(first, rest),
            b'0'..=b'9' | b'-' => number(first, rest)?,
            b't' => word(rest, b"rue", Json::Bool(true))?,
            b'f' => word(rest, b"alse", Json::Bool(false))?,
            b'n' => word(rest, b"ull", Json::Null)?,
            _ => return None,
        };
        self.put(scalar).ok().map(|()| rest)
    }
}

/// The first byte that is not white space, and what is behind it.
fn after_blanks(mut input: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let (&byte, rest) = input.split_first()?;
        if !is_blank(byte) {
            return Some((byte, rest));
        }
        input = rest;
    }
}

/// The string whose opening quote is before `input`.
fn string(input: &[u8]) -> Option<(SmolStr, &[u8])> {
    let mut end = plain_run(input);
    let mut escaped = false;
    while *input.get(end)? == b'\\' {
        escaped = true;
        end += 2;
        end += plain_run(input.get(end..)?);
    }
    let (raw, rest) = input.split_at(end);
    let (&quote, rest) = rest.split_first()?;
    let string = match quote {
        b'"' if escaped => unescape(raw).ok().map(SmolStr::from)?,
        b'"' => str::from_utf8(raw).ok().map(SmolStr::new)?,
        _ => return None,
    };
    Some((string, rest))
}

/// The number that begins with `first`.
fn number(first: u8, input: &[u8]) -> Option<(Json, &[u8])> {
    let end = input.iter().position(|&byte| !is_number_byte(byte))?;
    let (tail, rest) = input.split_at(end);
    if matches!(first, b'1'..=b'9') && tail.len() < PLAIN_DIGITS && tail.iter().all(u8::is_ascii_digit) {
        let digit = |byte: u8| i64::from(byte - b'0');
        let n = tail.iter().fold(digit(first), |n, &byte| n * 10 + digit(byte));
        return Some((Json::Integer(n), rest));
    }
    let mut text = Vec::with_capacity(1 + end);
    text.push(first);
    text.extend_from_slice(tail);
    Some((parse_number(&text).ok()?, rest))
}

/// The word that ends in `tail`.
fn word<'i>(input: &'i [u8], tail: &[u8], value: Json) -> Option<(Json, &'i [u8])> {
    let rest = input.strip_prefix(tail)?;
    // A letter more makes it another word, which there is not.
    rest.first().is_some_and(|&byte| !is_word_byte(byte)).then_some((value, rest))
}
