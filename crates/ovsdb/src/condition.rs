//! Conditions: which rows an operation or a monitor is about.
//!
//! Where it sits: parsed from `where` members; evaluated by the engine against a row's columns.
//!
//! I1  An empty condition is true. A condition is the conjunction of its clauses.
//!
//! Spec: RFC 7047 section 5.1 `<condition>`, ovsdb-server(7) section 5.1.

use crate::atom::{AtomicType, Names};
use crate::column_type::ColumnType;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::schema::{TableSchema, UUID_COLUMN};
use crate::uuid::Uuid;

/// How a clause compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>=`
    Ge,
    /// `>`
    Gt,
    /// `includes`
    Includes,
    /// `excludes`
    Excludes,
}

impl Function {
    /// The function that JSON calls `name`.
    pub fn from_name(name: &str) -> Option<Function> {
        Some(match name {
            "<" => Function::Lt,
            "<=" => Function::Le,
            "==" => Function::Eq,
            "!=" => Function::Ne,
            ">=" => Function::Ge,
            ">" => Function::Gt,
            "includes" => Function::Includes,
            "excludes" => Function::Excludes,
            _ => return None,
        })
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Function::Lt => "<",
            Function::Le => "<=",
            Function::Eq => "==",
            Function::Ne => "!=",
            Function::Ge => ">=",
            Function::Gt => ">",
            Function::Includes => "includes",
            Function::Excludes => "excludes",
        }
    }

    fn is_order(self) -> bool {
        matches!(self, Function::Lt | Function::Le | Function::Ge | Function::Gt)
    }
}

/// One comparison of a column with a value, or a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// `true` or `false`.
    Constant(bool),
    /// `[column, function, value]`.
    Compare {
        /// The column's index.
        column: usize,
        /// The comparison.
        function: Function,
        /// The value.
        value: Datum,
    },
}

/// A conjunction of clauses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

impl Condition {
    /// Reads the array of clauses.
    pub fn from_json(
        table: &TableSchema,
        json: &Json,
        mut names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Condition> {
        let Some(array) = json.as_array() else {
            return Err(Error::syntax(json, "array expected"));
        };
        let clauses = array
            .iter()
            .map(|clause| Clause::from_json(table, clause, names.as_deref_mut()))
            .collect::<Result<_>>()?;
        Ok(Condition { clauses })
    }

    /// The JSON form.
    pub fn to_json(&self, table: &TableSchema) -> Json {
        Json::Array(self.clauses.iter().map(|clause| clause.to_json(table)).collect())
    }

    /// Whether a row of these columns satisfies all clauses.
    pub fn matches<D: AsRef<Datum>>(&self, table: &TableSchema, row: &[D]) -> bool {
        self.clauses.iter().all(|clause| clause.matches(table, row))
    }

    /// Whether a row of these columns satisfies one clause at least; monitors join clauses this way.
    pub fn matches_any<D: AsRef<Datum>>(&self, table: &TableSchema, row: &[D]) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.matches(table, row))
    }

    /// Whether every row satisfies it, without looking.
    pub fn is_true(&self) -> bool {
        self.clauses.iter().all(|clause| *clause == Clause::Constant(true))
    }

    /// The only row that can satisfy it, where a clause names one.
    pub fn wanted_uuid(&self) -> Option<Uuid> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare { column: UUID_COLUMN, function: Function::Eq | Function::Includes, value } => {
                value.single()?.as_uuid()
            }
            _ => None,
        })
    }
}

impl Clause {
    /// Reads a boolean or `[column, function, value]`.
    pub fn from_json(
        table: &TableSchema,
        json: &Json,
        names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Clause> {
        if let Some(constant) = json.as_bool() {
            return Ok(Clause::Constant(constant));
        }
        let Some([Json::String(column), Json::String(function), argument]) = json.as_array() else {
            return Err(Error::syntax(json, "Parse error in condition."));
        };
        let Some(index) = table.column_index(column) else {
            let details = format!("No column {column} in table {}.", table.name);
            return Err(Error::tagged_syntax("unknown column", json, details));
        };
        let function = function_from_name(function)?;
        let kind = argument_type(function, &table.columns[index].kind).ok_or_else(|| {
            let details = format!(
                "Type mismatch: \"{}\" operator may not be applied to column {column} of type {}.",
                function.name(),
                table.columns[index].kind.to_english()
            );
            Error::syntax(json, details)
        })?;
        let value = Datum::from_json(argument, &kind, names)?;
        Ok(Clause::Compare { column: index, function, value })
    }

    fn to_json(&self, table: &TableSchema) -> Json {
        match self {
            Clause::Constant(constant) => Json::Bool(*constant),
            Clause::Compare { column, function, value } => {
                let column = &table.columns[*column];
                Json::Array(vec![
                    Json::string(&*column.name),
                    Json::string(function.name()),
                    value.to_json(&argument_type(*function, &column.kind).unwrap_or(column.kind.clone())),
                ])
            }
        }
    }

    fn matches<D: AsRef<Datum>>(&self, table: &TableSchema, row: &[D]) -> bool {
        let (column, function, value) = match self {
            Clause::Constant(constant) => return *constant,
            Clause::Compare { column, function, value } => (*column, *function, value),
        };
        let field = row[column].as_ref();
        if function.is_order() && table.columns[column].kind.is_optional_scalar() && field.is_empty() {
            return false;
        }
        match function {
            Function::Lt => field < value,
            Function::Le => field <= value,
            Function::Eq => field == value,
            Function::Ne => field != value,
            Function::Ge => field >= value,
            Function::Gt => field > value,
            Function::Includes => field.includes_all(value),
            Function::Excludes => field.excludes_all(value),
        }
    }
}

fn function_from_name(name: &str) -> Result<Function> {
    Function::from_name(name)
        .ok_or_else(|| Error::new("unknown function", format!("No function named {name}.")))
}

/// The type of the value that `function` compares a column of type `kind` with; `None` where it cannot.
fn argument_type(function: Function, kind: &ColumnType) -> Option<ColumnType> {
    match function {
        Function::Eq | Function::Ne => Some(kind.clone()),
        // A scalar is compared as it is; of a set or map any part may be named.
        Function::Includes | Function::Excludes if kind.is_scalar() => Some(kind.clone()),
        Function::Includes => Some(ColumnType { min: 0, ..kind.clone() }),
        // More can be absent than could be there.
        Function::Excludes => Some(ColumnType { min: 0, max: u32::MAX, ..kind.clone() }),
        _ => {
            let number = matches!(kind.key.kind, AtomicType::Integer | AtomicType::Real);
            let single = kind.is_scalar() || kind.is_optional_scalar();
            (number && single).then(|| ColumnType { min: 1, max: 1, ..kind.clone() })
        }
    }
}
