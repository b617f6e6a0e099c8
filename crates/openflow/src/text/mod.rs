//! The text syntax of ovs-ofctl(8): what is common to matches, actions and flows.
//!
//! Where it sits: `matches`, `actions` and `flow.rs` read their texts with it.
//!
//! ~~~text
//! key           key=value     key:value     key(value)     key(value)->value
//! ~~~
//!
//! Pairs are separated by commas and white space; parentheses protect both.

pub mod ct;
pub mod exact;
pub mod flow;
pub mod group;
pub mod meter;
pub(crate) mod number;
pub(crate) mod values;

use std::fmt;

/// What is wrong with a text, in Open vSwitch's words (without the program's name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError(String);

impl TextError {
    /// An error with these words.
    pub fn new(words: impl Into<String>) -> TextError {
        TextError(words.into())
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

/// Makes a [`TextError`] as `format!` makes a string.
macro_rules! text_error {
    ($($arg:tt)*) => { $crate::TextError::new(format!($($arg)*)) };
}
pub(crate) use text_error;

/// What separates pairs.
const SEPARATORS: &[char] = &[',', ' ', '\t', '\r', '\n'];

/// The pairs of a text, one after the other.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Pairs<'a> {
    /// The pairs of `text`.
    pub fn new(text: &'a str) -> Pairs<'a> {
        Pairs { rest: text }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(n).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

/// Length of a value that ends at a separator outside of parentheses.
fn plain_value_len(text: &str) -> usize {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && SEPARATORS.contains(&c) => return i,
            _ => {}
        }
    }
    text.len()
}

/// Length of a value that ends at the parenthesis which closes the one before it.
fn closing_paren(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(i),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        self.rest = self.rest.trim_start_matches(SEPARATORS);
        if self.rest.is_empty() {
            return None;
        }
        let end = |c: char| ":=(".contains(c) || SEPARATORS.contains(&c);
        let key = self.take(self.rest.find(end).unwrap_or(self.rest.len()));
        let value = match self.rest.chars().next() {
            Some('(') => {
                self.take(1);
                match closing_paren(self.rest) {
                    None => self.take(self.rest.len()),
                    Some(n) if self.rest.get(n + 1..).is_some_and(|r| r.starts_with("->")) => {
                        let more = self.rest.get(n + 1..).map_or(0, plain_value_len);
                        self.take(n + 1 + more)
                    }
                    Some(n) => {
                        let value = self.take(n);
                        self.take(1);
                        value
                    }
                }
            }
            Some(':' | '=') => {
                self.take(1);
                self.take(plain_value_len(self.rest))
            }
            _ => "",
        };
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_as_open_vswitch_does() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            assert_eq!(Pairs::new(text).collect::<Vec<_>>(), expected, "{text}");
        };
        check("a=b,c:d", &[("a", "b"), ("c", "d")]);
        check("a(b,c(d)),e", &[("a", "b,c(d)"), ("e", "")]);
        check("a=b(c,d)e,f", &[("a", "b(c,d)e"), ("f", "")]);
        check("a(b)c,d", &[("a", "b"), ("c", ""), ("d", "")]);
        check("a(b", &[("a", "b")]);
        check("a=b)c", &[("a", "b)c")]);
        check("  a = b", &[("a", ""), ("", ""), ("b", "")]);
        check("a(b)->c(d,e),f", &[("a", "b)->c(d,e)"), ("f", "")]);
        check("a(b)c(d)", &[("a", "b"), ("c", "d")]);
        check("=b", &[("", "b")]);
        check("5", &[("5", "")]);
    }
}
