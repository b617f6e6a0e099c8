//! Base types: an atomic type with the constraints that a schema puts on it.
//!
//! Where it sits: the key or value half of a column's type; checks each atom that enters a database.
//!
//! Spec: RFC 7047 section 3.2 `<base-type>`.

use std::sync::Arc;

use crate::atom::{Atom, AtomicType};
use crate::column_type::ColumnType;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::json::{Json, Object};
use crate::members::{Kinds, Members};

/// Whether a reference keeps its row alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefType {
    /// The row must exist, and cannot be deleted while referred to.
    Strong,
    /// The reference vanishes with the row.
    Weak,
}

/// Bounds that a type may set, by atomic type.
#[derive(Clone, Debug, PartialEq)]
pub enum Limits {
    /// None are possible, or none are set.
    None,
    /// Smallest and greatest integer.
    Integer(i64, i64),
    /// Smallest and greatest real.
    Real(f64, f64),
    /// Shortest and longest string, in characters.
    Length(u32, u32),
    /// The table whose rows are referred to.
    Reference(String, RefType),
}

/// An atomic type and its constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The atomic type.
    pub kind: AtomicType,
    /// The only allowed values, if the schema lists them.
    pub allowed: Option<Arc<Datum>>,
    /// Bounds.
    pub limits: Limits,
}

impl BaseType {
    /// The type without constraints.
    pub const fn new(kind: AtomicType) -> BaseType {
        BaseType { kind, allowed: None, limits: Limits::None }
    }

    /// The table and kind of reference, for a UUID that is one.
    pub fn reference(&self) -> Option<(&str, RefType)> {
        match &self.limits {
            Limits::Reference(table, kind) => Some((table, *kind)),
            _ => None,
        }
    }

    /// Whether this is a strong reference.
    pub fn is_strong_ref(&self) -> bool {
        matches!(self.limits, Limits::Reference(_, RefType::Strong))
    }

    /// Whether this is a weak reference.
    pub fn is_weak_ref(&self) -> bool {
        matches!(self.limits, Limits::Reference(_, RefType::Weak))
    }

    /// Reads `"integer"` or `{"type": "integer", …}`.
    pub fn from_json(json: &Json) -> Result<BaseType> {
        if json.as_str().is_some() {
            return AtomicType::from_json(json).map(BaseType::new);
        }
        let mut members = Members::new(json, &"ovsdb type");
        let mut base = BaseType::new(AtomicType::Integer);
        if let Some(kind) = members.required("type", Kinds::STRING) {
            match AtomicType::from_json(kind) {
                Ok(kind) => base.kind = kind,
                Err(error) => members.fail(error),
            }
        }
        if members.failed() {
            members.finish()?;
            return Ok(base);
        }
        base.read_constraints(json, &mut members).unwrap_or_else(|error| members.fail(error));
        members.finish()?;
        Ok(base)
    }

    fn read_constraints(&mut self, json: &Json, members: &mut Members<'_>) -> Result<()> {
        if let Some(allowed) = members.optional("enum", Kinds::ANY) {
            let set = ColumnType::set(BaseType::new(self.kind), 1, u32::MAX);
            self.allowed = Some(Arc::new(Datum::from_json(allowed, &set, None)?));
            return Ok(());
        }
        match self.kind {
            AtomicType::Integer => {
                let min = members.optional("minInteger", Kinds::INTEGER).and_then(Json::as_i64);
                let max = members.optional("maxInteger", Kinds::INTEGER).and_then(Json::as_i64);
                let (min, max) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
                if min > max {
                    return Err(Error::syntax(json, "minInteger exceeds maxInteger"));
                }
                self.limits = Limits::Integer(min, max).simplified();
            }
            AtomicType::Real => {
                let min = members.optional("minReal", Kinds::NUMBER).and_then(Json::as_f64);
                let max = members.optional("maxReal", Kinds::NUMBER).and_then(Json::as_f64);
                let (min, max) = (min.unwrap_or(-f64::MAX), max.unwrap_or(f64::MAX));
                if min > max {
                    return Err(Error::syntax(json, "minReal exceeds maxReal"));
                }
                self.limits = Limits::Real(min, max).simplified();
            }
            AtomicType::Boolean => {}
            AtomicType::String => {
                let min = length(members, "minLength")?.unwrap_or(0);
                let max = length(members, "maxLength")?.unwrap_or(u32::MAX);
                if min > max {
                    return Err(Error::syntax(json, "minLength exceeds maxLength"));
                }
                self.limits = Limits::Length(min, max).simplified();
            }
            AtomicType::Uuid => {
                let Some(table) = members.optional("refTable", Kinds::ID).and_then(Json::as_str) else {
                    return Ok(());
                };
                let kind = match members.optional("refType", Kinds::STRING).and_then(Json::as_str) {
                    None | Some("strong") => RefType::Strong,
                    Some("weak") => RefType::Weak,
                    Some(other) => {
                        return Err(Error::syntax(
                            json,
                            format!("refType must be \"strong\" or \"weak\" (not \"{other}\")"),
                        ));
                    }
                };
                self.limits = Limits::Reference(table.to_owned(), kind);
            }
        }
        Ok(())
    }

    /// The schema's JSON for this type.
    pub fn to_json(&self) -> Json {
        let mut members = Object::new();
        if let Some(allowed) = &self.allowed {
            let set = ColumnType::set(BaseType::new(self.kind), 1, u32::MAX);
            members.insert("enum", allowed.to_json(&set));
        }
        match &self.limits {
            Limits::None => {}
            Limits::Integer(min, max) => {
                put(&mut members, "minInteger", *min != i64::MIN, Json::Integer(*min));
                put(&mut members, "maxInteger", *max != i64::MAX, Json::Integer(*max));
            }
            Limits::Real(min, max) => {
                put(&mut members, "minReal", *min != -f64::MAX, Json::Real(*min));
                put(&mut members, "maxReal", *max != f64::MAX, Json::Real(*max));
            }
            Limits::Length(min, max) => {
                put(&mut members, "minLength", *min != 0, (*min).into());
                put(&mut members, "maxLength", *max != u32::MAX, (*max).into());
            }
            Limits::Reference(table, kind) => {
                put(&mut members, "refTable", true, Json::string(&**table));
                put(&mut members, "refType", *kind == RefType::Weak, Json::string("weak"));
            }
        }
        if members.is_empty() {
            return Json::string(self.kind.name());
        }
        members.insert("type", Json::string(self.kind.name()));
        Json::Object(members)
    }

    /// Whether `atom` may be stored under this type.
    pub fn check(&self, atom: &Atom) -> Result<()> {
        if let Some(allowed) = &self.allowed {
            return match allowed.find_key(atom) {
                Some(_) => Ok(()),
                None => {
                    let set = ColumnType::set(BaseType::new(self.kind), 1, u32::MAX);
                    Err(Error::constraint(format!(
                        "{atom} is not one of the allowed values ({})",
                        allowed.to_text(&set)
                    )))
                }
            };
        }
        match (&self.limits, atom) {
            (Limits::Integer(min, max), Atom::Integer(_)) => check_range(
                atom,
                (*min != i64::MIN).then_some(Atom::Integer(*min)),
                (*max != i64::MAX).then_some(Atom::Integer(*max)),
            ),
            (Limits::Real(min, max), Atom::Real(_)) => check_range(
                atom,
                (*min != -f64::MAX).then_some(Atom::Real(*min)),
                (*max != f64::MAX).then_some(Atom::Real(*max)),
            ),
            (Limits::Length(min, max), Atom::String(s)) => check_length(s, *min, *max),
            _ => Ok(()),
        }
    }
}

impl Limits {
    /// `None` for bounds that bind nothing, so that equal types compare equal.
    fn simplified(self) -> Limits {
        match self {
            Limits::Integer(i64::MIN, i64::MAX) | Limits::Length(0, u32::MAX) => Limits::None,
            Limits::Real(min, max) if min == -f64::MAX && max == f64::MAX => Limits::None,
            bound => bound,
        }
    }
}

fn put(members: &mut Object, name: &str, present: bool, value: Json) {
    if present {
        members.insert(name, value);
    }
}

fn length(members: &mut Members<'_>, name: &'static str) -> Result<Option<u32>> {
    let Some(n) = members.optional(name, Kinds::INTEGER).and_then(Json::as_i64) else {
        return Ok(None);
    };
    u32::try_from(n)
        .map(Some)
        .map_err(|_| Error::new("syntax error", format!("{name} out of valid range 0 to {}", u32::MAX)))
}

fn check_range(atom: &Atom, min: Option<Atom>, max: Option<Atom>) -> Result<()> {
    if min.as_ref().is_none_or(|min| atom >= min) && max.as_ref().is_none_or(|max| atom <= max) {
        return Ok(());
    }
    Err(Error::constraint(match (min, max) {
        (Some(min), Some(max)) => format!("{atom} is not in the valid range {min} to {max} (inclusive)"),
        (Some(min), None) => format!("{atom} is less than minimum allowed value {min}"),
        (_, max) => {
            let max = max.map(|max| max.to_string()).unwrap_or_default();
            format!("{atom} is greater than maximum allowed value {max}")
        }
    }))
}

fn check_length(text: &str, min: u32, max: u32) -> Result<()> {
    let length = text.chars().count();
    if length < min as usize {
        Err(Error::constraint(format!(
            "\"{text}\" length {length} is less than minimum allowed length {min}"
        )))
    } else if length > max as usize {
        Err(Error::constraint(format!(
            "\"{text}\" length {length} is greater than maximum allowed length {max}"
        )))
    } else {
        Ok(())
    }
}
