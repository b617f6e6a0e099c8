//! The JSON value and its accessors.
//!
//! Where it sits: made by the parser and by whoever composes a message; printed by the writer.

use super::object::Object;
use smol_str::SmolStr;

/// One JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number that is an integer of 64 bits, however it was spelled.
    Integer(i64),
    /// Any other number; finite.
    Real(f64),
    /// A string.
    String(SmolStr),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

impl Json {
    /// An object from its members.
    pub fn object<K: Into<SmolStr>>(members: impl IntoIterator<Item = (K, Json)>) -> Json {
        Json::Object(members.into_iter().collect())
    }

    /// An array from its elements.
    pub fn array<V: Into<Json>>(elements: impl IntoIterator<Item = V>) -> Json {
        Json::Array(elements.into_iter().map(Into::into).collect())
    }

    /// A string.
    pub fn string(text: impl Into<SmolStr>) -> Json {
        Json::String(text.into())
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, integer or not, as a real.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Integer(n) => Some(*n as f64),
            Json::Real(x) => Some(*x),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(s) => Some(s),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Json::Object(o) => Some(o),
            _ => None,
        }
    }

    /// The member `name`, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }

    /// What the value is, in the words of error messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(false) => "false",
            Json::Bool(true) => "true",
            Json::Object(_) => "object",
            Json::Array(_) => "array",
            Json::Integer(_) | Json::Real(_) => "number",
            Json::String(_) => "string",
        }
    }

    /// The canonical number for `x`: an integer where it is one. `None` for infinities and NaN, which JSON cannot say.
    pub fn number(x: f64) -> Option<Json> {
        // 2^63 itself is no i64, and every real of that size or more is an integer that does not fit.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if !x.is_finite() {
            None
        } else if x.trunc() == x && (-LIMIT..LIMIT).contains(&x) {
            Some(Json::Integer(x as i64))
        } else {
            Some(Json::Real(x))
        }
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Json {
        Json::Integer(value)
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Json {
        Json::Integer(value.into())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Json {
        Json::String(value.into())
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Json {
        Json::String(value.into())
    }
}

impl From<Vec<Json>> for Json {
    fn from(value: Vec<Json>) -> Json {
        Json::Array(value)
    }
}

impl From<Object> for Json {
    fn from(value: Object) -> Json {
        Json::Object(value)
    }
}
