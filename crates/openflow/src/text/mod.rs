//! The text syntax of ovs-ofctl(8): what is common to matches, actions and flows.

pub mod flow;

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
