//! The words of one layer of packet notation, and the kinds of value they can be.
//!
//! Where it sits: `notation.rs` cuts the text into layers; `layer.rs` asks here for each value.

use std::{collections::VecDeque, str::FromStr};

use crate::from_hex;

pub(super) type Parsed<T> = Result<T, String>;

pub(super) struct Words(VecDeque<String>);

impl Words {
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim();
        // a quoted text is one word
        let words = if text.starts_with('"') { vec![text] } else { text.split_whitespace().collect() };
        Self(words.into_iter().map(String::from).collect())
    }

    pub(super) fn peek(&self) -> Option<&str> {
        self.0.front().map(String::as_str)
    }

    pub(super) fn next(&mut self) -> Parsed<String> {
        self.0.pop_front().ok_or_else(|| "something is missing at the end".into())
    }

    pub(super) fn end(&mut self) -> Parsed<()> {
        self.0.pop_front().map_or(Ok(()), |word| Err(format!("unexpected {word:?}")))
    }

    /// Takes the rest of the layer as hex digits.
    pub(super) fn rest_as_hex(&mut self) -> Vec<u8> {
        from_hex(&self.0.drain(..).collect::<String>())
    }

    /// Takes `word` if it comes next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.0.pop_front();
        }
        found
    }

    /// The number behind `name`, wherever in the layer it stands; None if it does not.
    pub(super) fn option(&mut self, name: &str) -> Parsed<Option<u64>> {
        self.text_option(name).map_or(Ok(None), |value| number(&value).map(Some))
    }

    /// The word behind `name`, wherever in the layer it stands.
    pub(super) fn text_option(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|word| word == name)?;
        self.0.remove(at);
        self.0.remove(at)
    }

    /// Whether the word stands anywhere in the layer; takes it.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.and_then(|at| self.0.remove(at)).is_some()
    }

    pub(super) fn number(&mut self, _what: &str) -> Parsed<u64> {
        number(&self.next()?)
    }

    pub(super) fn mac(&mut self) -> Parsed<[u8; 6]> {
        mac(&self.next()?)
    }

    pub(super) fn address<T: FromStr>(&mut self) -> Parsed<T> {
        let word = self.next()?;
        word.parse().map_err(|_| format!("{word:?} is no address"))
    }

    /// `A > B`, both read by `read`.
    pub(super) fn pair<T>(&mut self, read: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<(T, T)> {
        let from = read(self)?;
        match self.next()?.as_str() {
            ">" => Ok((from, read(self)?)),
            other => Err(format!("expected \">\", not {other:?}")),
        }
    }
}

pub(super) fn mac(word: &str) -> Parsed<[u8; 6]> {
    let error = || format!("{word:?} is no MAC address");
    let bytes: Result<Vec<u8>, _> = word.split(':').map(|part| u8::from_str_radix(part, 16)).collect();
    bytes.map_err(|_| error())?.try_into().map_err(|_| error())
}

fn number(word: &str) -> Parsed<u64> {
    let parsed = word.strip_prefix("0x").map_or_else(|| word.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.map_err(|_| format!("{word:?} is no number"))
}
