//! Strings that need no memory of their own where they are short, as most in a database are.
//!
//! Where it sits: inside atoms and JSON.
//!
//! I1  One text has one form: up to `SHORT` bytes in place, anything longer shared. Copying is cheap in either.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that are kept in place: what leaves an atom at 24 bytes.
const SHORT: usize = 22;

/// A string that does not change.
#[derive(Clone)]
pub struct ShortStr(Form);

#[derive(Clone)]
enum Form {
    Short(u8, [u8; SHORT]),
    Long(Arc<str>),
}

impl ShortStr {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Long(text) => text,
            Form::Short(..) => std::str::from_utf8(self.as_bytes()).expect("made of a str in `from`"),
        }
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Long(text) => text.as_bytes(),
            Form::Short(len, bytes) => &bytes[..usize::from(*len)],
        }
    }
}

impl From<&str> for ShortStr {
    fn from(text: &str) -> ShortStr {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                ShortStr(Form::Short(text.len() as u8, bytes))
            }
            None => ShortStr(Form::Long(text.into())),
        }
    }
}

impl From<String> for ShortStr {
    fn from(text: String) -> ShortStr {
        text.as_str().into()
    }
}

impl From<&String> for ShortStr {
    fn from(text: &String) -> ShortStr {
        text.as_str().into()
    }
}

impl Default for ShortStr {
    fn default() -> ShortStr {
        ShortStr(Form::Short(0, [0; SHORT]))
    }
}

impl Deref for ShortStr {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ShortStr {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ShortStr {
    fn eq(&self, other: &ShortStr) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ShortStr {}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialOrd for ShortStr {
    fn partial_cmp(&self, other: &ShortStr) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortStr {
    fn cmp(&self, other: &ShortStr) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for ShortStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back() {
        for n in 0..60 {
            let text = "ä".repeat(n / 2) + &"x".repeat(n % 2);
            let short = ShortStr::from(text.as_str());
            assert_eq!((short.as_str(), short.as_bytes()), (text.as_str(), text.as_bytes()));
            assert_eq!(short, short.clone());
            assert!(short < ShortStr::from(format!("{text}!")));
        }
    }
}
