//! Bytes to tokens, with positions, restartable at every byte.
//!
//! Where it sits: driven by `parser`. A number or a word ends only at the first byte that cannot belong to it, so `next_token` may
//! return a token without having consumed that byte.

use super::error::{ErrorKind, ParseError, Word};
use super::number::parse_number;
use super::unescape::unescape;
use super::value::Json;
use smol_str::SmolStr;

/// A piece of JSON syntax.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// One of `{ } [ ] : ,`.
    Punctuation(u8),
    /// A string.
    String(SmolStr),
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
}

impl Lexer {
    pub(super) fn new() -> Lexer {
        Lexer { state: State::Between, text: Vec::new(), line: 0, column: 0, byte: 0 }
    }

    /// Bytes of the message so far.
    pub(super) fn byte(&self) -> u64 {
        self.byte
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
            match self.state {
                State::Between => {
                    if let b'{' | b'}' | b'[' | b']' | b':' | b',' = byte {
                        *input = rest;
                        return Ok(Some((Token::Punctuation(byte), true)));
                    }
                    self.begin(byte, input)?;
                }
                State::Word | State::Number => {
                    if let Some(scalar) = self.scalar(input)? {
                        return Ok(Some((scalar, false)));
                    }
                }
                State::Quoted => {
                    if let Some(string) = self.quoted(input)? {
                        return Ok(Some((string, true)));
                    }
                }
                State::Escaped => {
                    self.text.push(byte);
                    self.step(byte, input);
                    self.state = State::Quoted;
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

    /// Takes `byte`, the first of `input`, where it stands between tokens or opens a string.
    fn begin(&mut self, byte: u8, input: &mut &[u8]) -> Result<(), ParseError> {
        match byte {
            b'"' => self.state = State::Quoted,
            _ if is_blank(byte) => {}
            // Their first byte is read with the others.
            b'a'..=b'z' => self.state = State::Word,
            b'0'..=b'9' | b'-' => self.state = State::Number,
            _ => return Err(self.error(ErrorKind::InvalidCharacter(byte))),
        }
        if matches!(self.state, State::Between | State::Quoted) {
            self.step(byte, input);
        }
        Ok(())
    }

    /// Takes the bytes of a word or number; the token when there is a byte behind it.
    fn scalar(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ParseError> {
        let goes_on = if self.state == State::Number { is_number_byte } else { is_word_byte };
        let end = input.iter().position(|&byte| !goes_on(byte));
        let run = self.consume(end.unwrap_or(input.len()), input);
        if end.is_none() || !self.text.is_empty() {
            self.text.extend_from_slice(run);
            return end.map(|_| self.finish_scalar()).transpose();
        }
        // In one piece, as nearly all are: read where it stands.
        self.read_scalar(run).map(Some)
    }

    /// Takes a run of a string's bytes at once; the token when its closing quote is behind them.
    fn quoted(&mut self, input: &mut &[u8]) -> Result<Option<Token>, ParseError> {
        let run = self.consume(plain_run(input), input);
        match input.split_first() {
            Some((b'"', rest)) => {
                // A string in one piece, as nearly all are, is read where it stands: a run has no escapes.
                let string = if self.text.is_empty() {
                    std::str::from_utf8(run).map(SmolStr::from).map_err(|_| ErrorKind::InvalidUtf8)
                } else {
                    self.text.extend_from_slice(run);
                    unescape(&std::mem::take(&mut self.text)).map(SmolStr::from)
                };
                let string = string.map_err(|kind| self.error(kind))?;
                self.state = State::Between;
                *input = rest;
                Ok(Some(Token::String(string)))
            }
            Some((b'\\', _)) => {
                self.text.extend_from_slice(run);
                self.text.push(b'\\');
                self.consume(1, input);
                self.state = State::Escaped;
                Ok(None)
            }
            Some((&control, _)) => Err(self.error(ErrorKind::UnescapedControl(control))),
            None => {
                self.text.extend_from_slice(run);
                Ok(None)
            }
        }
    }

    /// The token that `text` is.
    fn finish_scalar(&mut self) -> Result<Token, ParseError> {
        let text = std::mem::take(&mut self.text);
        self.read_scalar(&text)
    }

    fn read_scalar(&mut self, text: &[u8]) -> Result<Token, ParseError> {
        let scalar = match (self.state, text) {
            (State::Number, number) => parse_number(number),
            (_, b"true") => Ok(Json::Bool(true)),
            (_, b"false") => Ok(Json::Bool(false)),
            (_, b"null") => Ok(Json::Null),
            (_, word) => Err(ErrorKind::InvalidKeyword(Word::new(word))),
        };
        self.state = State::Between;
        scalar.map(Token::Scalar).map_err(|kind| self.error(kind))
    }

    /// Cuts `count` bytes, whatever they are, off `input`, which stands between tokens before and after.
    pub(super) fn skip(&mut self, count: usize, input: &mut &[u8]) {
        let run = self.consume(count, input);
        let lines = run.iter().filter(|&&byte| byte == b'\n').count();
        if lines > 0 {
            self.line += lines as u32;
            self.column = run.iter().rev().take_while(|&&byte| byte != b'\n').count() as u64;
        }
    }

    /// Cuts `byte`, its first, off `input`.
    fn step(&mut self, byte: u8, input: &mut &[u8]) {
        self.consume(1, input);
        if byte == b'\n' {
            self.line += 1;
            self.column = 0;
        }
    }

    /// Cuts `count` bytes, no newline among them, off `input`.
    fn consume<'a>(&mut self, count: usize, input: &mut &'a [u8]) -> &'a [u8] {
        let (run, rest) = input.split_at(count);
        *input = rest;
        self.column += count as u64;
        self.byte += count as u64;
        run
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
}

pub(super) fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// How many bytes of `text` may stand in a string as they are: all before the first quote, backslash or control character.
pub(super) fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let (words, tail) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // Eight bytes at once: `x - ONES` borrows into the highest bit of bytes that are zero, and only above one of those elsewhere.
        let word = u64::from_le_bytes(*word);
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let special = below(word, 0x20) | is(b'"') | is(b'\\');
        if special != 0 {
            return 8 * i + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |&c: &u8| c == b'"' || c == b'\\' || c < 0x20;
    let end = tail.iter().position(special).unwrap_or(tail.len());
    8 * words.len() + end
}
