//! An array or object that stands whole in its input, read in one descent.
//!
//! Where it sits: `parser` tries it where a message begins, and the operations in it. Nearly every one is whole and well-formed, and
//! needs neither the state that text in pieces needs nor the positions that errors tell.
//!
//! I1  What it reads is what the push parser would read. Of anything else, text that goes on behind the input or is wrong, it says
//!     nothing, and the push parser begins anew.

use smol_str::SmolStr;

use super::lexer::{is_blank, is_number_byte, is_word_byte, plain_run};
use super::number::parse_number;
use super::parser::MAX_DEPTH;
use super::unescape::unescape;
use super::value::Json;

/// So many digits always fit into an `i64`.
const PLAIN_DIGITS: usize = 18;

/// What open arrays and objects hold so far, outer ones first: a closed one takes its own, in memory of just their size.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    pub elements: Vec<Json>,
    /// A member whose value is still to come has null.
    pub members: Vec<(SmolStr, Json)>,
}

impl Unfinished {
    /// Gives back room for more than `kept` of either.
    pub(super) fn shrink_to(&mut self, kept: usize) {
        self.elements.shrink_to(kept);
        self.members.shrink_to(kept);
    }
}

/// The array or object at the beginning of `input`, with `depth` others open around it, and how many bytes it takes. `unfinished`
/// is the same before and after.
pub(super) fn read(input: &[u8], depth: usize, unfinished: &mut Unfinished) -> Option<(usize, Json)> {
    let (elements, members) = (unfinished.elements.len(), unfinished.members.len());
    let mut reader = Reader { rest: input, unfinished };
    let value = match reader.next_byte() {
        Some(first @ (b'[' | b'{')) => reader.value(first, depth),
        _ => None,
    };
    let taken = input.len() - reader.rest.len();
    if value.is_none() {
        unfinished.elements.truncate(elements);
        unfinished.members.truncate(members);
    }
    Some((taken, value?))
}

struct Reader<'i, 'u> {
    rest: &'i [u8],
    unfinished: &'u mut Unfinished,
}

impl<'i> Reader<'i, '_> {
    /// Takes white space and the byte behind it.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !is_blank(byte) {
                return Some(byte);
            }
        }
    }

    /// The value that begins with `first`, with `depth` arrays and objects open around it.
    fn value(&mut self, first: u8, depth: usize) -> Option<Json> {
        match first {
            b'"' => self.string().map(Json::String),
            b'[' if depth < MAX_DEPTH => self.array(depth + 1),
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'0'..=b'9' | b'-' => self.number(first),
            b't' => self.word(b"rue", Json::Bool(true)),
            b'f' => self.word(b"alse", Json::Bool(false)),
            b'n' => self.word(b"ull", Json::Null),
            _ => None,
        }
    }

    /// What follows an opening bracket; it is the `depth`th that is open.
    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut first = self.next_byte()?;
        if first == b']' {
            return Some(Json::Array(Vec::new()));
        }
        let outer = self.unfinished.elements.len();
        loop {
            let element = self.value(first, depth)?;
            self.unfinished.elements.push(element);
            match self.next_byte()? {
                b',' => first = self.next_byte()?,
                b']' => return Some(Json::Array(self.unfinished.elements.drain(outer..).collect())),
                _ => return None,
            }
        }
    }

    /// The same of an object.
    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut first = self.next_byte()?;
        if first == b'}' {
            return Some(Json::object::<SmolStr>([]));
        }
        let outer = self.unfinished.members.len();
        loop {
            if first != b'"' {
                return None;
            }
            let name = self.string()?;
            if self.next_byte()? != b':' {
                return None;
            }
            let first_of_value = self.next_byte()?;
            let value = self.value(first_of_value, depth)?;
            self.unfinished.members.push((name, value));
            match self.next_byte()? {
                b',' => first = self.next_byte()?,
                b'}' => return Some(Json::object(self.unfinished.members.drain(outer..))),
                _ => return None,
            }
        }
    }

    /// What follows an opening quote.
    fn string(&mut self) -> Option<SmolStr> {
        let mut end = plain_run(self.rest);
        let mut escaped = false;
        while *self.rest.get(end)? == b'\\' {
            escaped = true;
            end += 2;
            end += plain_run(self.rest.get(end..)?);
        }
        let (raw, rest) = self.rest.split_at(end);
        let (&quote, rest) = rest.split_first()?;
        self.rest = rest;
        match quote {
            b'"' if escaped => unescape(raw).ok().map(SmolStr::from),
            b'"' => str::from_utf8(raw).ok().map(SmolStr::new),
            _ => None,
        }
    }

    /// The rest of a number.
    fn number(&mut self, first: u8) -> Option<Json> {
        let end = self.rest.iter().position(|&byte| !is_number_byte(byte))?;
        let (tail, rest) = self.rest.split_at(end);
        self.rest = rest;
        if matches!(first, b'1'..=b'9') && tail.len() < PLAIN_DIGITS && tail.iter().all(u8::is_ascii_digit) {
            let digit = |byte: u8| i64::from(byte - b'0');
            return Some(Json::Integer(tail.iter().fold(digit(first), |n, &byte| n * 10 + digit(byte))));
        }
        let mut text = Vec::with_capacity(1 + end);
        text.push(first);
        text.extend_from_slice(tail);
        parse_number(&text).ok()
    }

    /// The rest of a word.
    fn word(&mut self, tail: &[u8], value: Json) -> Option<Json> {
        self.rest = self.rest.strip_prefix(tail)?;
        // A letter more makes it another word, which there is not.
        self.rest.first().is_some_and(|&byte| !is_word_byte(byte)).then_some(value)
    }
}
