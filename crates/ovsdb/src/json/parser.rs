//! Tokens to values: the push parser for a stream of concatenated messages, and `parse` for a whole text.
//!
//! Where it sits: `stream` feeds it what a socket gave, file readers and tools call `parse`. See I1 in `json`.
//!
//! A message is an array or an object; a scalar alone is refused, as it has no end in a stream.

use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::lexer::{Lexer, Token};
use super::object::Object;
use super::value::Json;
use crate::short::ShortStr;

/// How deeply arrays and objects may nest.
pub const MAX_DEPTH: usize = 1000;

/// An array or object that is still open.
#[derive(Debug)]
enum Open {
    Array(Vec<Json>),
    /// Its members, and the name of the member whose value comes next.
    Object(Vec<(ShortStr, Json)>, ShortStr),
}

/// What the next token must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
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
    lexer: Lexer,
    stack: Vec<Open>,
    expect: Expect,
    complete: Option<Json>,
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
        Parser { lexer: Lexer::new(bytes), stack: Vec::new(), expect: Expect::Start, complete: None }
    }

    /// Takes bytes up to the end of the message in progress: how many were taken, and the message if it is complete. The
    /// parser is then ready for the next one. After an error the stream has no meaning any more.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Json>), ParseError> {
        let mut rest = input;
        self.run(&mut rest)?;
        let message = self.complete.take();
        if message.is_some() {
            self.expect = Expect::Start;
            self.lexer.restart();
        }
        Ok((input.len() - rest.len(), message))
    }

    /// Whether no message has begun: the peer may close here without having cut one in half.
    pub fn is_idle(&self) -> bool {
        self.expect == Expect::Start && self.lexer.is_between_tokens()
    }

    /// Consumes tokens until a value is complete or the input is empty.
    fn run(&mut self, input: &mut &[u8]) -> Result<(), ParseError> {
        while self.complete.is_none() {
            let Some((token, at_last_byte)) = self.lexer.next_token(input)? else { break };
            self.accept(token).map_err(|kind| self.lexer.error(kind))?;
            if at_last_byte {
                self.lexer.advance_past_token();
            }
        }
        Ok(())
    }

    fn accept(&mut self, token: Token) -> Result<(), ErrorKind> {
        match self.expect {
            Expect::Start => match token {
                Token::Punctuation(b'{' | b'[') => self.accept_value(token),
                _ => Err(ErrorKind::BadStart),
            },
            Expect::End => Err(ErrorKind::TrailingGarbage),
            Expect::FirstElement if token == Token::Punctuation(b']') => self.close(),
            Expect::FirstElement | Expect::Element | Expect::MemberValue => self.accept_value(token),
            Expect::ElementEnd => match token {
                Token::Punctuation(b',') => self.then(Expect::Element),
                Token::Punctuation(b']') => self.close(),
                _ => Err(ErrorKind::ExpectedArrayEnd),
            },
            Expect::FirstName if token == Token::Punctuation(b'}') => self.close(),
            Expect::FirstName | Expect::Name => {
                let (Token::String(string), Some(Open::Object(_, name))) = (token, self.stack.last_mut())
                else {
                    return Err(ErrorKind::ExpectedName);
                };
                *name = string;
                self.then(Expect::Colon)
            }
            Expect::Colon => match token {
                Token::Punctuation(b':') => self.then(Expect::MemberValue),
                _ => Err(ErrorKind::ExpectedColon),
            },
            Expect::MemberEnd => match token {
                Token::Punctuation(b',') => self.then(Expect::Name),
                Token::Punctuation(b'}') => self.close(),
                _ => Err(ErrorKind::ExpectedObjectEnd),
            },
        }
    }

    fn then(&mut self, expect: Expect) -> Result<(), ErrorKind> {
        self.expect = expect;
        Ok(())
    }

    fn accept_value(&mut self, token: Token) -> Result<(), ErrorKind> {
        match token {
            Token::Punctuation(b'{') => {
                self.open(Open::Object(Vec::new(), ShortStr::default()), Expect::FirstName)
            }
            Token::Punctuation(b'[') => self.open(Open::Array(Vec::new()), Expect::FirstElement),
            Token::Punctuation(_) => Err(ErrorKind::ExpectedValue),
            Token::String(string) => self.put(Json::String(string)),
            Token::Scalar(scalar) => self.put(scalar),
        }
    }

    fn open(&mut self, open: Open, expect: Expect) -> Result<(), ErrorKind> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        self.stack.push(open);
        self.then(expect)
    }

    fn close(&mut self) -> Result<(), ErrorKind> {
        match self.stack.pop() {
            Some(Open::Array(elements)) => self.put(Json::Array(elements)),
            Some(Open::Object(members, _)) => self.put(Json::Object(Object::from_iter(members))),
            None => Err(ErrorKind::BadStart),
        }
    }

    /// Puts a finished value into what is open around it.
    fn put(&mut self, value: Json) -> Result<(), ErrorKind> {
        match self.stack.last_mut() {
            Some(Open::Array(elements)) => {
                elements.push(value);
                self.then(Expect::ElementEnd)
            }
            Some(Open::Object(members, name)) => {
                members.push((std::mem::take(name), value));
                self.then(Expect::MemberEnd)
            }
            None => {
                self.complete = Some(value);
                self.then(Expect::End)
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
