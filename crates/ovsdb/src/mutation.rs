//! Mutations: changes to a column that are stated relative to its present value.
//!
//! Where it sits: parsed from the `mutate` operation; applied by the engine to a row.
//!
//! I1  A mutation that fails changes nothing.
//!
//! Spec: RFC 7047 section 5.1 `<mutation>`.

use crate::atom::{Atom, AtomicType, Names, tagged};
use crate::column_type::ColumnType;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::schema::TableSchema;

/// What a mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`
    Div,
    /// `%=`
    Mod,
    /// `insert`
    Insert,
    /// `delete`
    Delete,
}

impl Mutator {
    /// The mutator that JSON calls `name`.
    pub fn from_name(name: &str) -> Option<Mutator> {
        Some(match name {
            "+=" => Mutator::Add,
            "-=" => Mutator::Sub,
            "*=" => Mutator::Mul,
            "/=" => Mutator::Div,
            "%=" => Mutator::Mod,
            "insert" => Mutator::Insert,
            "delete" => Mutator::Delete,
            _ => return None,
        })
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Mutator::Add => "+=",
            Mutator::Sub => "-=",
            Mutator::Mul => "*=",
            Mutator::Div => "/=",
            Mutator::Mod => "%=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        }
    }
}

/// One change to one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The column's index.
    pub column: usize,
    /// What to do.
    pub mutator: Mutator,
    /// With what.
    pub value: Datum,
}

/// Reads an array of mutations.
pub fn mutations_from_json(
    table: &TableSchema,
    json: &Json,
    mut names: Option<&mut (dyn Names + '_)>,
) -> Result<Vec<Mutation>> {
    let Some(array) = json.as_array() else {
        return Err(Error::syntax(json, "array expected"));
    };
    array.iter().map(|mutation| Mutation::from_json(table, mutation, names.as_deref_mut())).collect()
}

impl Mutation {
    /// Reads `[column, mutator, value]`.
    pub fn from_json(
        table: &TableSchema,
        json: &Json,
        names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Mutation> {
        let Some([Json::String(column), Json::String(mutator), argument]) = json.as_array() else {
            return Err(Error::syntax(json, "Parse error in mutation."));
        };
        let Some(index) = table.column_index(column) else {
            let details = format!("No column {column} in table {}.", table.name);
            return Err(Error::tagged_syntax("unknown column", json, details));
        };
        let schema = &table.columns[index];
        if !schema.mutable {
            let details = format!("Cannot mutate immutable column {column} in table {}.", table.name);
            return Err(Error::tagged_syntax("constraint violation", json, details));
        }
        let Some(mutator) = Mutator::from_name(mutator) else {
            return Err(Error::new("unknown mutator", format!("No mutator named {mutator}.")));
        };
        let value = read_argument(mutator, &schema.kind, argument, names, || {
            let kind = schema.kind.to_english();
            let details = format!(
                "Type mismatch: \"{}\" operator may not be applied to column {column} of type {kind}.",
                mutator.name()
            );
            Error::syntax(json, details)
        })?;
        Ok(Mutation { column: index, mutator, value })
    }

    /// The JSON form.
    pub fn to_json(&self, table: &TableSchema) -> Json {
        let column = &table.columns[self.column];
        let mut kind = column.kind.clone();
        // A map's keys alone are written as a set.
        if self.mutator == Mutator::Delete && self.value.values().is_empty() {
            kind.value = None;
        }
        Json::Array(vec![
            Json::string(&*column.name),
            Json::string(self.mutator.name()),
            self.value.to_json(&kind),
        ])
    }

    /// The column's value after the change.
    pub fn apply(&self, old: &Datum, kind: &ColumnType) -> Result<Datum> {
        let mut new = old.clone();
        match self.mutator {
            Mutator::Insert => {
                new.union(&self.value);
                check_count(&new, kind)?;
            }
            Mutator::Delete => {
                new.subtract(&self.value);
                check_count(&new, kind)?;
            }
            _ => return self.calculate(old, kind),
        }
        Ok(new)
    }

    fn calculate(&self, old: &Datum, kind: &ColumnType) -> Result<Datum> {
        let Some(operand) = self.value.single() else { return Ok(old.clone()) };
        let mut keys = Vec::with_capacity(old.len());
        for key in old.keys() {
            let key = calculate(self.mutator, key, operand)?;
            kind.key.check(&key)?;
            keys.push(key);
        }
        let new = Datum::set(keys);
        if new.len() < old.len() {
            let details = format!("Result of \"{}\" operation contains duplicates.", self.mutator.name());
            return Err(Error::constraint(details));
        }
        Ok(new)
    }
}

fn check_count(datum: &Datum, kind: &ColumnType) -> Result<()> {
    let n = datum.len();
    if n < kind.min as usize || n > kind.max as usize {
        let details = format!("Attempted to store {n} elements in {}.", kind.to_english());
        return Err(Error::constraint(details));
    }
    Ok(())
}

fn read_argument(
    mutator: Mutator,
    kind: &ColumnType,
    json: &Json,
    mut names: Option<&mut (dyn Names + '_)>,
    mismatch: impl Fn() -> Error,
) -> Result<Datum> {
    let numeric = matches!(kind.key.kind, AtomicType::Integer | AtomicType::Real) && kind.value.is_none();
    match mutator {
        Mutator::Add | Mutator::Sub | Mutator::Mul | Mutator::Div | Mutator::Mod => {
            if !numeric || mutator == Mutator::Mod && kind.key.kind != AtomicType::Integer {
                return Err(mismatch());
            }
            // The operand need not satisfy the column's constraints, only the result.
            let operand = ColumnType::scalar(crate::base_type::BaseType::new(kind.key.kind));
            Datum::from_json(json, &operand, names)
        }
        Mutator::Insert | Mutator::Delete => {
            if kind.is_scalar() {
                return Err(mismatch());
            }
            let insert = mutator == Mutator::Insert;
            let relaxed =
                ColumnType { min: 0, max: if insert { kind.max } else { u32::MAX }, ..kind.clone() };
            // Of a map, keys alone can be deleted too; what is no map is not tried as one first.
            let keys = ColumnType::set(kind.key.clone(), 0, u32::MAX);
            if insert || !kind.is_map() {
                return Datum::from_json(json, &relaxed, names);
            }
            if tagged(json, "map").is_none() {
                return Datum::from_json(json, &keys, names);
            }
            match Datum::from_json(json, &relaxed, names.as_deref_mut()) {
                Err(_) => Datum::from_json(json, &keys, names),
                result => result,
            }
        }
    }
}

fn calculate(mutator: Mutator, atom: &Atom, operand: &Atom) -> Result<Atom> {
    let range = || {
        let details = format!("Result of \"{}\" operation is out of range.", mutator.name());
        Error::new("range error", details)
    };
    let zero = || Error::new("domain error", "Division by zero.");
    match (atom, operand) {
        (Atom::Integer(a), Atom::Integer(b)) => match mutator {
            Mutator::Add => a.checked_add(*b).ok_or_else(range),
            Mutator::Sub => a.checked_sub(*b).ok_or_else(range),
            Mutator::Mul => a.checked_mul(*b).ok_or_else(range),
            _ if *b == 0 => Err(zero()),
            Mutator::Div => a.checked_div(*b).ok_or_else(range),
            // The remainder by -1 is 0 also where the quotient would overflow.
            _ => Ok(a.wrapping_rem(*b)),
        }
        .map(Atom::Integer),
        (Atom::Real(a), Atom::Real(b)) => {
            let result = match mutator {
                Mutator::Add => a + b,
                Mutator::Sub => a - b,
                Mutator::Mul => a * b,
                _ if *b == 0.0 => return Err(zero()),
                _ => a / b,
            };
            if result.is_finite() { Ok(Atom::Real(result)) } else { Err(range()) }
        }
        _ => Ok(atom.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_refused_only_out_of_range() {
        let result = |a: i64, mutator, b: i64| {
            calculate(mutator, &Atom::Integer(a), &Atom::Integer(b)).ok().and_then(|atom| atom.as_integer())
        };
        assert_eq!(result(i64::MAX, Mutator::Mul, 1), Some(i64::MAX));
        assert_eq!(result(i64::MAX / 2, Mutator::Mul, 2), Some(i64::MAX - 1));
        assert_eq!(result(i64::MAX / 2 + 1, Mutator::Mul, 2), None);
        assert_eq!(result(i64::MIN, Mutator::Mul, -2), None);
        assert_eq!(result(-1, Mutator::Mul, 0), Some(0));
        assert_eq!(result(i64::MIN, Mutator::Div, -1), None);
        assert_eq!(result(i64::MIN, Mutator::Mod, -1), Some(0));
        assert_eq!(result(i64::MAX, Mutator::Add, 1), None);
    }
}
