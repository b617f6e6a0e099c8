//! Reads the members of a JSON object one by one and complains about the first that is wrong, missing or unknown.
//!
//! Where it sits: under the parsers of types, schemas and operations, here and in the engine.
//!
//! I1  The first defect wins; later calls still return what they can, so a caller may collect everything and judge once, in `finish`.
//! I2  `finish` refuses members that nobody asked for.

use std::fmt::Display;

use crate::error::{Error, Result};
use crate::json::{Json, Object};

static EMPTY: Object = Object::new();

/// What a member may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// `true` or `false`.
    pub const BOOL: Kinds = Kinds(1);
    /// An integer.
    pub const INTEGER: Kinds = Kinds(2);
    /// Any number.
    pub const NUMBER: Kinds = Kinds(6);
    /// A string.
    pub const STRING: Kinds = Kinds(8);
    /// A string that is a valid `<id>`.
    pub const ID: Kinds = Kinds(16);
    /// An array.
    pub const ARRAY: Kinds = Kinds(32);
    /// An object.
    pub const OBJECT: Kinds = Kinds(64);
    /// `null`.
    pub const NULL: Kinds = Kinds(128);
    /// Anything.
    pub const ANY: Kinds = Kinds(0xff);

    /// Either of both.
    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn allow(self, json: &Json) -> bool {
        let kind = match json {
            Json::Null => 128,
            Json::Bool(_) => 1,
            Json::Integer(_) => 2,
            Json::Real(_) => 4,
            Json::String(s) => 8 | if self.0 & 16 != 0 && is_id(s) { 16 } else { 0 },
            Json::Array(_) => 32,
            Json::Object(_) => 64,
        };
        self.0 & kind != 0
    }
}

/// Whether `text` is an `<id>`: a letter or underscore, then letters, digits and underscores.
pub fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// The reader of one object.
pub struct Members<'a> {
    what: &'a dyn Display,
    json: &'a Json,
    members: &'a Object,
    /// Names that were asked for: a handful, so a list is the fastest set.
    used: Vec<&'static str>,
    error: Option<Error>,
}

impl<'a> Members<'a> {
    /// Starts reading `json`, called `what` in errors.
    pub fn new(json: &'a Json, what: &'a dyn Display) -> Members<'a> {
        let mut this = Members { what, json, members: &EMPTY, used: Vec::with_capacity(8), error: None };
        match json {
            Json::Object(members) => this.members = members,
            _ => this.raise("Object expected.".to_owned()),
        }
        this
    }

    /// The member `name`, which must be there.
    pub fn required(&mut self, name: &'static str, kinds: Kinds) -> Option<&'a Json> {
        if !self.members.contains_key(name) {
            self.used.push(name);
            self.raise(format!("Required '{name}' member is missing."));
            return None;
        }
        self.optional(name, kinds)
    }

    /// The member `name`, if it is there.
    pub fn optional(&mut self, name: &'static str, kinds: Kinds) -> Option<&'a Json> {
        self.used.push(name);
        let value = self.members.get(name)?;
        if kinds.allow(value) {
            Some(value)
        } else {
            self.raise(format!("Type mismatch for member '{name}'."));
            None
        }
    }

    /// Whether something was wrong already.
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Records `error` unless there is one already.
    pub fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Ends reading: the first error, or a complaint about members that were not asked for.
    pub fn finish(mut self) -> Result<()> {
        if self.error.is_none() {
            let mut unknown = self.members.keys().filter(|name| !self.used.contains(&name.as_str()));
            if let Some(first) = unknown.next() {
                let message = match unknown.count() {
                    0 => format!("Member '{first}' is present but not allowed here."),
                    n => format!(
                        "Member '{first}' and {n} other member{} are present but not allowed here.",
                        if n == 1 { "" } else { "s" }
                    ),
                };
                self.raise(message);
            }
        }
        self.error.map_or(Ok(()), Err)
    }

    /// Records a complaint in the words "Parsing … failed: MESSAGE", unless there is one already.
    pub fn raise(&mut self, message: String) {
        if self.error.is_none() {
            let details = format!("Parsing {} failed: {message}", self.what);
            // What is no object is not shown either.
            self.error = Some(match self.json {
                Json::Object(_) => Error::syntax(self.json, details),
                _ => Error::new("syntax error", details),
            });
        }
    }
}
