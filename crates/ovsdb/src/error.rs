//! The error object of the protocol: what a client reads in a reply and a user reads on the terminal.
//!
//! Where it sits: returned by everything in this crate that judges input from outside, and by the engine.
//!
//! The tag is part of the protocol and clients compare it; details and syntax are for people. Texts are Open vSwitch's.
//! Spec: RFC 7047 section 3.1 `<error>`, ovsdb-server(7) section 3.1.

use std::fmt;

use crate::json::{Json, Object};

/// One error: `{"error": tag, "details": …, "syntax": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    tag: String,
    details: Option<String>,
    syntax: Option<String>,
    io: Option<String>,
}

/// The outcome of judging input from outside.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of kind `tag` with details for people.
    pub fn new(tag: &str, details: impl Into<String>) -> Error {
        Error(Box::new(Parts { tag: tag.to_owned(), details: Some(details.into()), syntax: None, io: None }))
    }

    /// An error that is only a tag.
    pub fn bare(tag: &str) -> Error {
        Error(Box::new(Parts { tag: tag.to_owned(), details: None, syntax: None, io: None }))
    }

    /// `syntax error`: `json` is not what was expected there.
    pub fn syntax(json: &Json, details: impl Into<String>) -> Error {
        Error::tagged_syntax("syntax error", json, details)
    }

    /// An error of kind `tag` that shows the JSON it is about.
    pub fn tagged_syntax(tag: &str, json: &Json, details: impl Into<String>) -> Error {
        Error(Box::new(Parts {
            tag: tag.to_owned(),
            details: Some(details.into()),
            syntax: Some(json.to_string()),
            io: None,
        }))
    }

    /// `I/O error`: `details` failed for the reason that the system gave.
    pub fn io(details: impl Into<String>, reason: impl Into<String>) -> Error {
        Error(Box::new(Parts {
            tag: "I/O error".to_owned(),
            details: Some(details.into()),
            syntax: None,
            io: Some(reason.into()),
        }))
    }

    /// A value that its type's constraints do not allow.
    pub fn constraint(details: impl Into<String>) -> Error {
        Error::new("constraint violation", details)
    }

    /// What kind of error it is.
    pub fn tag(&self) -> &str {
        &self.0.tag
    }

    /// The explanation for people.
    pub fn details(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    /// The same error about a different piece of JSON.
    pub fn with_syntax(mut self, json: &Json) -> Error {
        self.0.syntax = Some(json.to_string());
        self
    }

    /// The same error in a wider frame: `what` failed, and why is in the details.
    pub fn within(mut self, what: &str) -> Error {
        let details = self.0.details.take();
        self.0.details =
            Some(details.map_or_else(|| what.to_owned(), |details| format!("{what}: {details}")));
        self
    }

    /// The object that goes into a reply.
    pub fn to_json(&self) -> Json {
        let mut members = Object::new();
        members.insert("error", Json::string(&*self.0.tag));
        if let Some(details) = &self.0.details {
            members.insert("details", Json::string(&**details));
        }
        if let Some(syntax) = &self.0.syntax {
            members.insert("syntax", Json::string(&**syntax));
        }
        if let Some(io) = &self.0.io {
            members.insert("io-error", Json::string(&**io));
        }
        Json::Object(members)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.0.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(&self.0.tag)?;
        if let Some(details) = &self.0.details {
            write!(f, ": {details}")?;
        }
        if let Some(io) = &self.0.io {
            write!(f, " ({io})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
