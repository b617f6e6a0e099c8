//! Tokens to values: the push parser for a stream of concatenated messages, and `parse` for a whole text.
//!
//! Where it sits: `stream` feeds it what a socket gave, file readers and tools call `parse`. See I1 in `json`.
//!
//! A message is an array or an object; a scalar alone is refused, as it has no end in a stream.

use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::lexer::{Lexer, Token};
use super::value::Json;
use smol_str::SmolStr;

/// How deeply arrays and objects may nest.
pub const MAX_DEPTH: usize = 1000;

/// Room for elements and members that a parser keeps from one message to the next.
const KEPT: usize = 256;

/// An array or object that is still open, and how much of `Parser::unfinished` belongs to those around it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Open {
    Array(usize),
    Object(usize),
}

/// What open arrays and objects hold so far, outer ones first: a closed one takes its own, in memory of just their size.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    elements: Vec<Json>,
    /// A member whose value is still to come has null.
    pub(super) members: Vec<(SmolStr, Json)>,
}

/// What the next token must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Start,
    End,
    FirstElement,
    Element,
    ElementEnd,
    FirstName,
    Name,
    Colon,
    MemberValue,
    MemberEnd,
}

/// An incremental parser of concatenated JSON messages.
///
/// ~~~
/// let mut parser = ovsdb::json::Parser::new();
/// assert_eq!(parser.feed(b"{\"id\":").unwrap(), (6, None));
/// let (consumed, message) = parser.feed(b"1}[]").unwrap();
/// assert_eq!((consumed, message.unwrap().to_string().as_str()), (2, "{\"id\":1}"));
/// ~~~
#[derive(Debug)]
pub struct Parser {
    pub(super) lexer: Lexer,
    pub(super) stack: Vec<Open>,
    pub(super) unfinished: Unfinished,
    pub(super) expect: Expect,
    complete: Option<Json>,
    /// Bytes that one message may have.
    limit: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new()
    }
}

impl Parser {
    /// A parser for messages of any length.
    pub fn new() -> Parser {
        Parser::with_limit(u64::MAX)
    }

    /// A parser that refuses messages of more than `bytes` bytes.
    pub fn with_limit(bytes: u64) -> Parser {
        Parser {
            lexer: Lexer::new(),
            stack: Vec::new(),
            unfinished: Unfinished::default(),
            expect: Expect::Start,
            complete: None,
            limit: bytes,
        }
    }

    /// Takes bytes up to the end of the message in progress: how many were taken, and the message if it is complete. The
    /// parser is then ready for the next one. After an error the stream has no meaning any more.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Json>), ParseError> {
        let room = usize::try_from(self.limit - self.lexer.byte()).unwrap_or(usize::MAX).min(input.len());
        let mut rest = &input[..room];
        self.run(&mut rest)?;
        let taken = room - rest.len();
        let message = self.complete.take();
        if message.is_none() && room < input.len() {
            return Err(self.lexer.error(ErrorKind::TooLong));
        }
        if message.is_some() {
            self.expect = Expect::Start;
            self.lexer.restart();
            self.unfinished.elements.shrink_to(KEPT);
            self.unfinished.members.shrink_to(KEPT);
        }
        Ok((taken, message))
    }

    /// Whether no message has begun: the peer may close here without having cut one in half.
    pub fn is_idle(&self) -> bool {
        self.expect == Expect::Start && self.lexer.is_between_tokens()
    }

    /// Consumes tokens until a value is complete or the input is empty.
    fn run(&mut self, input: &mut &[u8]) -> Result<(), ParseError> {
        while self.complete.is_none() {
            if self.lexer.is_between_tokens() {
                self.run_ahead(input);
                if self.complete.is_some() {
                    break;
                }
            }
            let Some((token, at_last_byte)) = self.lexer.next_token(input)? else { break };
            self.accept(token).map_err(|kind| self.lexer.error(kind))?;
            if at_last_byte {
                self.lexer.advance_past_token();
            }
        }
        Ok(())
    }

    fn accept(&mut self, token: Token) -> Result<(), ErrorKind> {
        match token {
            Token::Punctuation(byte) => self.accept_punctuation(byte),
            Token::String(name) if matches!(self.expect, Expect::FirstName | Expect::Name) => {
                self.unfinished.members.push((name, Json::Null));
                self.then(Expect::Colon)
            }
            Token::String(string) => self.accept_value(Json::String(string)),
            Token::Scalar(scalar) => self.accept_value(scalar),
        }
    }

    fn accept_punctuation(&mut self, byte: u8) -> Result<(), ErrorKind> {
        match (byte, self.expect) {
            (b'{' | b'[', Expect::Start) => self.open(byte),
            (b'{' | b'[', _) if self.expects_value() => self.open(byte),
            (b',', Expect::ElementEnd) => self.then(Expect::Element),
            (b',', Expect::MemberEnd) => self.then(Expect::Name),
            (b':', Expect::Colon) => self.then(Expect::MemberValue),
            (b']', Expect::FirstElement | Expect::ElementEnd) => self.close(),
            (b'}', Expect::FirstName | Expect::MemberEnd) => self.close(),
            _ => Err(self.expectation()),
        }
    }

    fn accept_value(&mut self, value: Json) -> Result<(), ErrorKind> {
        if self.expects_value() { self.put(value) } else { Err(self.expectation()) }
    }

    fn expects_value(&self) -> bool {
        matches!(self.expect, Expect::FirstElement | Expect::Element | Expect::MemberValue)
    }

    /// What is wrong with a token that is not the expected one.
    fn expectation(&self) -> ErrorKind {
        match self.expect {
            Expect::Start => ErrorKind::BadStart,
            Expect::End => ErrorKind::TrailingGarbage,
            Expect::FirstElement | Expect::Element | Expect::MemberValue => ErrorKind::ExpectedValue,
            Expect::ElementEnd => ErrorKind::ExpectedArrayEnd,
            Expect::FirstName | Expect::Name => ErrorKind::ExpectedName,
            Expect::Colon => ErrorKind::ExpectedColon,
            Expect::MemberEnd => ErrorKind::ExpectedObjectEnd,
        }
    }

    fn then(&mut self, expect: Expect) -> Result<(), ErrorKind> {
        self.expect = expect;
        Ok(())
    }

    pub(super) fn open(&mut self, bracket: u8) -> Result<(), ErrorKind> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        let (open, expect) = match bracket {
            b'{' => (Open::Object(self.unfinished.members.len()), Expect::FirstName),
            _ => (Open::Array(self.unfinished.elements.len()), Expect::FirstElement),
        };
        self.stack.push(open);
        self.then(expect)
    }

    pub(super) fn close(&mut self) -> Result<(), ErrorKind> {
        let value = match self.stack.pop() {
            Some(Open::Array(outer)) => Json::Array(self.unfinished.elements.drain(outer..).collect()),
            Some(Open::Object(outer)) => Json::Object(self.unfinished.members.drain(outer..).collect()),
            None => return Err(ErrorKind::BadStart),
        };
        self.put(value)
    }

    /// Puts a finished value into what is open around it.
    pub(super) fn put(&mut self, value: Json) -> Result<(), ErrorKind> {
        match (self.stack.last(), self.unfinished.members.last_mut()) {
            (None, _) => {
                self.complete = Some(value);
                self.then(Expect::End)
            }
            (Some(Open::Object(_)), Some((_, member))) => {
                *member = value;
                self.then(Expect::MemberEnd)
            }
            _ => {
                self.unfinished.elements.push(value);
                self.then(Expect::ElementEnd)
            }
        }
    }
}

/// The one array or object that `text` consists of.
pub fn parse(text: &[u8]) -> Result<Json, ParseError> {
    let mut parser = Parser::new();
    let mut rest = text;
    parser.run(&mut rest)?;
    let value = parser.complete.take();
    parser.run(&mut rest)?;
    if let Some(token) = parser.lexer.last_token()? {
        parser.accept(token).map_err(|kind| parser.lexer.error(kind))?;
        // C counts the end of the text as a byte when it ends a word or number.
        parser.lexer.advance_past_token();
    }
    let missing = if parser.expect == Expect::Start { ErrorKind::Empty } else { ErrorKind::UnexpectedEnd };
    value.ok_or_else(|| parser.lexer.error(missing))
}

impl FromStr for Json {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Json, ParseError> {
        parse(text.as_bytes())
    }
}
