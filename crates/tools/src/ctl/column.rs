//! `column[:key]OPERATORvalue` arguments: parsing, setting, comparing.
//!
//! Where it sits: `set`, `create`, `find`, `wait-until`, and the column settings of `add-port`.
//!
//! Spec: ovs-vsctl(8), "Database Command Syntax".

use std::cmp::Ordering;

use ovsdb::text::parse_token;
use ovsdb::{Atom, ColumnSchema, ColumnType, Datum, TableSchema, Uuid};

use super::context::{Context, Failure};
use super::record;

/// An argument taken apart.
pub struct Parsed<'t> {
    /// The column.
    pub column: &'t ColumnSchema,
    /// The key, still as text.
    pub key: Option<String>,
    /// The operator; empty without a value.
    pub operator: &'static str,
    /// The value's text.
    pub value: Option<String>,
}

/// Relations of `find` and `wait-until`, longest first where one begins another.
const RELATIONS: [&str; 14] =
    ["{=}", "{!=}", "{<=}", "{<}", "{>=}", "{>}", "{in}", "{not-in}", "!=", "<=", ">=", "=", "<", ">"];

/// Which operators an argument may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operators {
    /// `=` only, and a column alone.
    Assignment,
    /// Every relation; one there must be.
    Relations,
}

/// Takes `column[:key][OPERATORvalue]` apart.
pub fn parse<'t>(table: &'t TableSchema, arg: &str, operators: Operators) -> Result<Parsed<'t>, Failure> {
    let (name, rest) = parse_token(arg)?;
    if name.is_empty() {
        return Err(format!("{arg}: missing column name").into());
    }
    let column = record::column(table, &name)?;
    let (key, rest) = match rest.strip_prefix(':') {
        Some(rest) => {
            let (key, rest) = parse_token(rest)?;
            (Some(key), rest)
        }
        None => (None, rest),
    };
    if rest.is_empty() && operators == Operators::Assignment {
        return Ok(Parsed { column, key, operator: "", value: None });
    }
    let known: &[&'static str] = if operators == Operators::Relations { &RELATIONS } else { &["="] };
    let found = known.iter().find_map(|o| rest.strip_prefix(o).map(|value| (*o, value)));
    let trouble = || match operators {
        Operators::Relations => format!(
            "{arg}: argument does not end in \"=\", \"!=\", \"<\", \">\", \"<=\", \">=\", \"{{=}}\", \"{{!=}}\", \"{{<}}\", \"{{>}}\", \"{{<=}}\", \"{{>=}}\", \"{{in}}\", or \"{{not-in}}\" followed by a value."
        ),
        Operators::Assignment => format!("{arg}: argument does not end in \"=\" followed by a value."),
    };
    let (operator, value) = found.ok_or_else(trouble)?;
    Ok(Parsed { column, key, operator, value: Some(value.to_owned()) })
}

/// The column type of one value of a map.
fn value_kind(column: &ColumnSchema) -> Option<ColumnType> {
    let value = column.kind.value.clone()?;
    Some(ColumnType { key: value, value: None, min: 1, max: 1 })
}

/// Carries out `column[:key]=value` on a row.
pub fn set(cx: &mut Context<'_>, table: &TableSchema, row: Uuid, arg: &str) -> Result<(), Failure> {
    let parsed = parse(table, arg, Operators::Assignment)?;
    let Some(text) = parsed.value.as_ref().filter(|v| !v.is_empty()) else {
        return Err(format!("{arg}: argument does not end in \"=\" followed by a value.").into());
    };
    let column = parsed.column;
    check_mutable(cx, table, row, column)?;
    if let Some(key) = &parsed.key {
        let Some(kind) = value_kind(column) else {
            return Err(format!("cannot specify key to set for non-map column {}", column.name).into());
        };
        let key = Atom::parse(key, &column.kind.key, Some(cx.symbols))?;
        // The value is the whole rest, colons and commas included: hwaddr=aa:55:aa:55:00:00.
        let value = Atom::parse(text, &kind.key, Some(cx.symbols))?;
        let mut map = cx.get(&table.name, row, &column.name);
        map.insert(key, Some(value));
        cx.txn.verify(&table.name, row, &column.name);
        cx.txn.set(&table.name, row, &column.name, map);
        return Ok(());
    }
    let value = Datum::parse(text, &column.kind, Some(cx.symbols))?;
    cx.txn.set(&table.name, row, &column.name, value);
    Ok(())
}

/// An error for a column that cannot change any more, or never could.
pub fn check_mutable(
    cx: &Context<'_>,
    table: &TableSchema,
    row: Uuid,
    column: &ColumnSchema,
) -> Result<(), Failure> {
    if column.name == "_uuid" {
        let (table, name) = (&table.name, &column.name);
        return Err(format!("{table} does not contain a column whose name matches \"{name}\"").into());
    }
    let existing = cx.txn.replica().table(&table.name).is_some_and(|t| t.row(row).is_some());
    if column.mutable || !existing {
        return Ok(());
    }
    Err(format!("cannot modify read-only column {} in table {}", column.name, table.name).into())
}

/// True if a row satisfies `column[:key]OPERATORvalue`.
pub fn satisfies(cx: &mut Context<'_>, table: &TableSchema, row: Uuid, arg: &str) -> Result<bool, Failure> {
    let parsed = parse(table, arg, Operators::Relations)?;
    let Some(text) = &parsed.value else {
        return Err(format!("{arg}: missing value").into());
    };
    let column = parsed.column;
    let have = cx.get(&table.name, row, &column.name);
    let arithmetic = !parsed.operator.starts_with('{');
    if let Some(key) = &parsed.key {
        let Some(kind) = value_kind(column) else {
            return Err(format!("cannot specify key to check for non-map column {}", column.name).into());
        };
        let key = Atom::parse(key, &column.kind.key, Some(cx.symbols))?;
        let many = ColumnType { min: 0, max: u32::MAX, ..kind };
        let want = Datum::parse(text, &many, Some(cx.symbols))?;
        let have = match have.get(&key) {
            Some(value) => Datum::scalar(value.clone()),
            None if arithmetic => return Ok(false),
            None => Datum::default(),
        };
        return Ok(holds(parsed.operator, &have, &want));
    }
    let kind = if arithmetic {
        column.kind.clone()
    } else {
        ColumnType { min: 0, max: u32::MAX, ..column.kind.clone() }
    };
    let want = Datum::parse(text, &kind, Some(cx.symbols))?;
    Ok(holds(parsed.operator, &have, &want))
}

/// More elements are more; then the first difference of keys, then of values, decides.
fn order(a: &Datum, b: &Datum) -> Ordering {
    let size = a.len().cmp(&b.len());
    size.then_with(|| a.keys().cmp(b.keys())).then_with(|| a.values().cmp(b.values()))
}

fn holds(operator: &str, have: &Datum, want: &Datum) -> bool {
    let order = order(have, want);
    match operator {
        "=" | "{=}" => order.is_eq(),
        "!=" | "{!=}" => order.is_ne(),
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        "{<=}" | "{in}" => want.includes_all(have),
        "{<}" => want.includes_all(have) && order.is_ne(),
        "{>=}" => have.includes_all(want),
        "{>}" => have.includes_all(want) && order.is_ne(),
        _ => have.excludes_all(want),
    }
}
