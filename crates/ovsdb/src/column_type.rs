//! Column types: a scalar, an optional value, a set or a map, with limits on the number of elements.
//!
//! Where it sits: in column schemas; every datum is read and checked under one.
//!
//! I1  `min` is 0 or 1, `max` at least `min` and 1. `min == max == 1` without a value type is a scalar.
//!
//! Spec: RFC 7047 section 3.2 `<type>`.

use crate::atom::AtomicType;
use crate::base_type::BaseType;
use crate::error::{Error, Result};
use crate::json::{Json, Object};
use crate::members::{Kinds, Members};

/// The type of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// Elements of the set, or keys of the map.
    pub key: BaseType,
    /// Values of the map.
    pub value: Option<BaseType>,
    /// Fewest elements.
    pub min: u32,
    /// Most elements; `u32::MAX` is unlimited.
    pub max: u32,
}

impl ColumnType {
    /// Exactly one value.
    pub const fn scalar(key: BaseType) -> ColumnType {
        ColumnType { key, value: None, min: 1, max: 1 }
    }

    /// A set.
    pub const fn set(key: BaseType, min: u32, max: u32) -> ColumnType {
        ColumnType { key, value: None, min, max }
    }

    /// A map of any size.
    pub const fn map(key: BaseType, value: BaseType) -> ColumnType {
        ColumnType { key, value: Some(value), min: 0, max: u32::MAX }
    }

    /// Whether this is a map.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Exactly one value.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// None or one value.
    pub fn is_optional(&self) -> bool {
        self.min == 0 && self.max == 1
    }

    /// None or one value, not a map.
    pub fn is_optional_scalar(&self) -> bool {
        self.value.is_none() && self.is_optional()
    }

    /// Whether it may hold more than one element or pair.
    pub fn is_composite(&self) -> bool {
        self.max > 1
    }

    /// Reads a type out of a schema.
    pub fn from_json(json: &Json) -> Result<ColumnType> {
        if json.as_str().is_some() {
            return BaseType::from_json(json).map(ColumnType::scalar);
        }
        if json.as_object().is_none() {
            return Err(Error::syntax(json, "ovsdb type expected"));
        }
        let mut members = Members::new(json, &"ovsdb type");
        let key = members.required("key", Kinds::STRING.or(Kinds::OBJECT));
        let value = members.optional("value", Kinds::STRING.or(Kinds::OBJECT));
        let min = members.optional("min", Kinds::INTEGER);
        let max = members.optional("max", Kinds::INTEGER.or(Kinds::STRING));
        members.finish()?;
        // A missing key has failed above.
        let key = BaseType::from_json(key.unwrap_or(&Json::Null))?;
        let value = value.map(BaseType::from_json).transpose()?;
        let bad = |value: Option<&Json>| Error::syntax(value.unwrap_or(json), "bad min or max value");
        let min = count(min).ok_or_else(|| bad(min))?;
        let max = match max {
            Some(Json::String(s)) if s == "unlimited" => u32::MAX,
            other => count(other).ok_or_else(|| bad(other))?,
        };
        if min > 1 || max < 1 || min > max {
            return Err(Error::syntax(json, "ovsdb type fails constraint checks"));
        }
        Ok(ColumnType { key, value, min, max })
    }

    /// The schema's JSON for this type.
    pub fn to_json(&self) -> Json {
        if self.is_scalar() && self.key == BaseType::new(self.key.kind) {
            return self.key.to_json();
        }
        let mut members = Object::new();
        members.insert("key", self.key.to_json());
        if let Some(value) = &self.value {
            members.insert("value", value.to_json());
        }
        if self.min != 1 {
            members.insert("min", self.min.into());
        }
        if self.max == u32::MAX {
            members.insert("max", Json::string("unlimited"));
        } else if self.max != 1 {
            members.insert("max", self.max.into());
        }
        Json::Object(members)
    }

    /// The type in words, for error messages.
    pub fn to_english(&self) -> String {
        let key = self.key.kind;
        if self.is_scalar() {
            return key.to_string();
        }
        let count = match (self.min, self.max) {
            (0, u32::MAX) => " of".to_owned(),
            (min, u32::MAX) => format!(" of {min} or more"),
            (0, max) => format!(" of up to {max}"),
            (min, max) => format!(" of {min} to {max}"),
        };
        match &self.value {
            Some(value) => format!("map{count} ({key}, {}) pairs", value.kind),
            None => format!("set{count} {key}s"),
        }
    }

    /// Whether any element is a reference of a kind that `test` picks.
    pub fn any_base(&self, test: impl Fn(&BaseType) -> bool) -> bool {
        test(&self.key) || self.value.as_ref().is_some_and(test)
    }

    /// The type of the atoms of the `_uuid` and `_version` columns.
    pub const UUID: ColumnType = ColumnType::scalar(BaseType::new(AtomicType::Uuid));
}

/// The number that `min` or `max` states; 1 where it is left out.
fn count(json: Option<&Json>) -> Option<u32> {
    match json {
        None => Some(1),
        Some(Json::Integer(n)) => u32::try_from(*n).ok(),
        Some(_) => None,
    }
}
