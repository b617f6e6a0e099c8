//! Atoms: the single values that sets and maps are made of, and their JSON form.
//!
//! Where it sits: inside datums; text form in `text.rs`, constraints in `base_type.rs`.
//!
//! I1  Atoms are totally ordered; within one type the order is that of the values (bytes for strings), so datums are comparable.
//! I2  Reals are finite.
//!
//! Spec: RFC 7047 section 5.1 `<atom>`.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use crate::base_type::BaseType;
use crate::error::{Error, Result};
use crate::json::{Json, write_number, write_quoted};
use crate::members::is_id;
use crate::uuid::Uuid;
use smol_str::SmolStr;

/// The types an atom can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicType {
    /// 64-bit signed integer.
    Integer,
    /// Double-precision number.
    Real,
    /// True or false.
    Boolean,
    /// UTF-8 text without NUL.
    String,
    /// A row's identifier.
    Uuid,
}

impl AtomicType {
    /// All of them.
    pub const ALL: [AtomicType; 5] =
        [AtomicType::Integer, AtomicType::Real, AtomicType::Boolean, AtomicType::String, AtomicType::Uuid];

    /// The name that schemas use.
    pub fn name(self) -> &'static str {
        match self {
            AtomicType::Integer => "integer",
            AtomicType::Real => "real",
            AtomicType::Boolean => "boolean",
            AtomicType::String => "string",
            AtomicType::Uuid => "uuid",
        }
    }

    /// The type called `name` in a schema.
    pub fn from_json(json: &Json) -> Result<AtomicType> {
        let Some(name) = json.as_str() else {
            return Err(Error::syntax(json, "atomic-type expected"));
        };
        AtomicType::ALL
            .into_iter()
            .find(|t| t.name() == name)
            .ok_or_else(|| Error::syntax(json, format!("\"{name}\" is not an atomic-type")))
    }

    /// The value of a column nobody set.
    pub fn default_atom(self) -> Atom {
        match self {
            AtomicType::Integer => Atom::Integer(0),
            AtomicType::Real => Atom::Real(0.0),
            AtomicType::Boolean => Atom::Boolean(false),
            AtomicType::String => Atom::String("".into()),
            AtomicType::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }
}

impl fmt::Display for AtomicType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value.
#[derive(Clone, Debug)]
pub enum Atom {
    /// An integer.
    Integer(i64),
    /// A finite real.
    Real(f64),
    /// A boolean.
    Boolean(bool),
    /// A string.
    String(SmolStr),
    /// A UUID.
    Uuid(Uuid),
}

const _: () = assert!(size_of::<Atom>() == 24);

/// Gives names in a request (`["named-uuid", NAME]`, or `@NAME` on a command line) the UUIDs of rows to come.
pub trait Names {
    /// The UUID that `name` stands for, made up at its first appearance. `base` tells how the place that mentions it refers to it.
    fn resolve(&mut self, name: &str, base: &BaseType) -> Uuid;
}

impl Atom {
    /// A string atom.
    pub fn string(text: &str) -> Atom {
        Atom::String(text.into())
    }

    /// The atom's type.
    pub fn atomic_type(&self) -> AtomicType {
        match self {
            Atom::Integer(_) => AtomicType::Integer,
            Atom::Real(_) => AtomicType::Real,
            Atom::Boolean(_) => AtomicType::Boolean,
            Atom::String(_) => AtomicType::String,
            Atom::Uuid(_) => AtomicType::Uuid,
        }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Atom::Integer(n) = self { Some(*n) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Atom::Boolean(b) = self { Some(*b) } else { None }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Atom::String(s) = self { Some(s) } else { None }
    }

    /// The UUID, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Atom::Uuid(u) = self { Some(*u) } else { None }
    }

    /// Whether this is its type's default.
    pub fn is_default(&self) -> bool {
        *self == self.atomic_type().default_atom()
    }

    /// Reads an atom of type `base.kind`. Does not check constraints.
    pub fn from_json_unchecked(
        json: &Json,
        base: &BaseType,
        names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Atom> {
        let atom = match (base.kind, json) {
            (AtomicType::Integer, Json::Integer(n)) => Atom::Integer(*n),
            (AtomicType::Real, Json::Integer(n)) => Atom::Real(*n as f64),
            (AtomicType::Real, Json::Real(x)) => Atom::Real(*x),
            (AtomicType::Boolean, Json::Bool(b)) => Atom::Boolean(*b),
            (AtomicType::String, Json::String(s)) => Atom::String(s.clone()),
            (AtomicType::Uuid, _) => Atom::Uuid(uuid_from_json(json, base, names)?),
            (kind, _) => return Err(Error::syntax(json, format!("expected {kind}"))),
        };
        Ok(atom)
    }

    /// Reads an atom and checks it against the constraints of `base`.
    pub fn from_json(json: &Json, base: &BaseType, names: Option<&mut (dyn Names + '_)>) -> Result<Atom> {
        let atom = Atom::from_json_unchecked(json, base, names)?;
        base.check(&atom)?;
        Ok(atom)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Json {
        match self {
            Atom::Integer(n) => Json::Integer(*n),
            Atom::Real(x) => Json::Real(*x),
            Atom::Boolean(b) => Json::Bool(*b),
            Atom::String(s) => Json::String(s.clone()),
            Atom::Uuid(u) => u.to_json(),
        }
    }

    /// Appends the text of the JSON form to `out`.
    pub fn write_json(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Atom::Integer(n) => write!(out, "{n}"),
            Atom::Uuid(u) => write!(out, "[\"uuid\",\"{u}\"]"),
            Atom::Boolean(b) => write!(out, "{b}"),
            Atom::Real(x) => {
                write_number(out, *x);
                Ok(())
            }
            Atom::String(s) => {
                write_quoted(out, s);
                Ok(())
            }
        };
    }
}

fn uuid_from_json(json: &Json, base: &BaseType, names: Option<&mut (dyn Names + '_)>) -> Result<Uuid> {
    if let Some(names) = names
        && let Some(Json::String(name)) = tagged(json, "named-uuid")
    {
        if !is_id(name) {
            return Err(Error::syntax(json, "named-uuid string is not a valid <id>"));
        }
        return Ok(names.resolve(name, base));
    }
    let Some(Json::String(text)) = tagged(json, "uuid") else {
        return Err(Error::syntax(json, "expected [\"uuid\", <string>]"));
    };
    Uuid::parse(text).ok_or_else(|| Error::syntax(json, format!("\"{text}\" is not a valid UUID")))
}

/// The second element of `[tag, …]`.
pub(crate) fn tagged<'a>(json: &'a Json, tag: &str) -> Option<&'a Json> {
    match json.as_array()? {
        [Json::String(first), second] if first == tag => Some(second),
        _ => None,
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        match (self, other) {
            (Atom::Uuid(a), Atom::Uuid(b)) => a == b,
            (Atom::String(a), Atom::String(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> Ordering {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a.cmp(b),
            // I2: no NaN here, and both zeros are one value.
            (Atom::Real(a), Atom::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Atom::Boolean(a), Atom::Boolean(b)) => a.cmp(b),
            (Atom::String(a), Atom::String(b)) => a.cmp(b),
            (Atom::Uuid(a), Atom::Uuid(b)) => a.cmp(b),
            (a, b) => (a.atomic_type() as u8).cmp(&(b.atomic_type() as u8)),
        }
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Atom::Integer(n) => n.hash(state),
            // Adding zero makes the negative zero positive.
            Atom::Real(x) => (x + 0.0).to_bits().hash(state),
            Atom::Boolean(b) => b.hash(state),
            Atom::String(s) => s.hash(state),
            Atom::Uuid(u) => u.hash(state),
        }
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Atom {
        Atom::Uuid(uuid)
    }
}

impl From<i64> for Atom {
    fn from(n: i64) -> Atom {
        Atom::Integer(n)
    }
}

impl From<bool> for Atom {
    fn from(b: bool) -> Atom {
        Atom::Boolean(b)
    }
}

impl From<&str> for Atom {
    fn from(s: &str) -> Atom {
        Atom::string(s)
    }
}
