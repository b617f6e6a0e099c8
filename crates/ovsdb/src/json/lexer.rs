//! Bytes to tokens, with positions, restartable at every byte.
//!
//! Where it sits: driven by `parser`. A number or a word ends only at the first byte that cannot belong to it, so `next_token` may
//! return a token without having consumed that byte.

use super::error::{ErrorKind, ParseError, Word};
use super::number::parse_number;
use super::unescape::unescape;
use super::value::Json;
use crate::short::ShortStr;

/// A piece of JSON syntax.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// One of `{ } [ ] : ,`.
    Punctuation(u8),
    /// A string.
    String(ShortStr),
    /// A number, `true`, `false` or `null`.
    Scalar(Json),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Word,
    Number,
    Quoted,
    /// In a string, right after a backslash.
    Escaped,
}

#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// The unfinished token's text.
    text: Vec<u8>,
    line: u32,
    column: u64,
    byte: u64,
    /// Bytes that one message may have.
    limit: u64,
}

impl Lexer {
    pub(super) fn new(limit: u64) -> Lexer {
        Lexer { state: State::Between, text: Vec::new(), line: 0, column: 0, byte: 0, limit }
    }

    /// Starts counting positions anew, for the next message.
    pub(super) fn restart(&mut self) {
        (self.line, self.column, self.byte) = (0, 0, 0);
    }

    pub(super) fn error(&self, kind: ErrorKind) -> ParseError {
        ParseError { kind, line: self.line, column: self.column, byte: self.byte }
    }

    /// The next token of `input`, which is cut by what was consumed; `None` when all of it was. The position stands on the
    /// token's last byte (or behind it, for words and numbers) until `advance_past_token`.
    pub(super) fn next_token(&mut self, input: &mut &[u8]) -> Result<Option<(Token, bool)>, ParseError> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.byte >= self.limit {
                return Err(self.error(ErrorKind::TooLong));
            }
            match self.state {
                State::Between => {
                    if let Some(token) = self.begin(byte)? {
                        *input = rest;
                        return Ok(Some((token, true)));
                    }
                    self.step(byte);
                    *input = rest;
                }
                State::Word if byte.is_ascii_alphabetic() => {
                    self.keep(byte);
                    *input = rest;
                }
                State::Number if is_number_byte(byte) => {
                    self.keep(byte);
                    *input = rest;
                }
                State::Word | State::Number => return self.finish_scalar().map(|token| Some((token, false))),
                State::Quoted => {
                    if let Some(token) = self.quoted(input)? {
                        return Ok(Some((token, true)));
                    }
                }
                State::Escaped => {
                    self.keep(byte);
                    self.state = State::Quoted;
                    *input = rest;
                }
            }
        }
        Ok(None)
    }

    /// Moves the position over a token's last byte.
    pub(super) fn advance_past_token(&mut self) {
        self.column += 1;
        self.byte += 1;
    }

    /// The word or number that the end of the text ends.
    pub(super) fn last_token(&mut self) -> Result<Option<Token>, ParseError> {
        match self.state {
            State::Between => Ok(None),
            State::Word | State::Number => self.finish_scalar().map(Some),
            State::Quoted | State::Escaped => Err(self.error(ErrorKind::UnexpectedEndInString)),
        }
    }

    /// Whether the text so far holds neither a token nor the beginning of one since the last.
    pub(super) fn is_between_tokens(&self) -> bool {
        self.state == State::Between
    }

    fn begin(&mut self, byte: u8) -> Result<Option<Token>, ParseError> {
        match byte {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => return Ok(Some(Token::Punctuation(byte))),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => self.state = State::Quoted,
            b'a'..=b'z' => {
                self.state = State::Word;
                self.text.push(byte);
            }
            b'0'..=b'9' | b'-' => {
                self.state = State::Number;
                self.text.push(byte);
            }
            _ => return Err(self.error(ErrorKind::InvalidCharacter(byte))),
        }
        Ok(None)
    }

    /// Takes a run of a string's bytes at once; the token when its closing quote is among them.
    fn quoted(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ParseError> {
        let special = |&c: &u8| c == b'"' || c == b'\\' || c < 0x20;
        let room = usize::try_from(self.limit - self.byte).unwrap_or(usize::MAX).min(input.len());
        let end = input[..room].iter().position(special).unwrap_or(room);
        let (plain, rest) = input.split_at(end);
        self.column += plain.len() as u64;
        self.byte += plain.len() as u64;
        *input = rest;
        // A string in one piece, as nearly all are, is read where it stands: a run has no escapes.
        if let (Some((b'"', rest)), true) = (rest.split_first(), self.text.is_empty() && end < room) {
            let string = std::str::from_utf8(plain).map_err(|_| self.error(ErrorKind::InvalidUtf8))?;
            self.state = State::Between;
            *input = rest;
            return Ok(Some(Token::String(string.into())));
        }
        self.text.extend_from_slice(plain);
        if end == room {
            return Ok(None);
        }
        match rest.split_first() {
            Some((b'"', rest)) => {
                let string = unescape(&self.text).map_err(|kind| self.error(kind))?;
                self.text.clear();
                self.state = State::Between;
                *input = rest;
                Ok(Some(Token::String(string.into())))
            }
            Some((b'\\', rest)) => {
                self.keep(b'\\');
                self.state = State::Escaped;
                *input = rest;
                Ok(None)
            }
            Some((&control, _)) => Err(self.error(ErrorKind::UnescapedControl(control))),
            None => Ok(None),
        }
    }

    fn finish_scalar(&mut self) -> Result<Token, ParseError> {
        let scalar = if self.state == State::Number {
            parse_number(&self.text)
        } else {
            match self.text.as_slice() {
                b"true" => Ok(Json::Bool(true)),
                b"false" => Ok(Json::Bool(false)),
                b"null" => Ok(Json::Null),
                word => Err(ErrorKind::InvalidKeyword(Word::new(word))),
            }
        };
        self.state = State::Between;
        self.text.clear();
        scalar.map(Token::Scalar).map_err(|kind| self.error(kind))
    }

    fn keep(&mut self, byte: u8) {
        self.text.push(byte);
        self.step(byte);
    }

    fn step(&mut self, byte: u8) {
        self.byte += 1;
        if byte == b'\n' {
            self.line += 1;
            self.column = 0;
        } else {
            self.column += 1;
        }
    }
}

fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}
