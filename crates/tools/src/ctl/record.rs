//! Finding tables and records by what users type.
//!
//! Where it sits: every database command begins here.
//!
//! A record is named by its UUID, by the first digits of it, or by what the program's [`Identity`] rows say: for
//! ovs-vsctl a Bridge by its name, a Controller by the name of its bridge. The only record of a table that has one
//! may be called `.`.
//!
//! Spec: ovs-vsctl(8), "Identifying Tables, Records, and Columns".

use std::sync::Arc;

use ovsdb::{Atom, AtomicType, ColumnSchema, Datum, TableSchema, Uuid};
use ovsdb_idl::Txn;

use super::context::{Context, Failure};

/// One way to name a record of `table`: by `key` of the record, or by `key` of a record of `via.0` whose column `via.1`
/// refers to it.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The table whose records are named.
    pub table: &'static str,
    /// The table that has the name, and its column that refers to the record; `None`: the record itself has it.
    pub via: Option<(&'static str, &'static str)>,
    /// The column that holds the name.
    pub key: &'static str,
}

impl Identity {
    /// The table whose records have the names.
    pub fn holder(&self) -> &'static str {
        self.via.map_or(self.table, |(table, _)| table)
    }
}

/// How well a typed name fits: not, in part, or wholly.
fn score(name: &str, typed: &str) -> u8 {
    let norm = |s: &str| s.to_ascii_lowercase().replace('-', "_");
    let (name, typed) = (norm(name), norm(typed));
    match (name == typed, name.starts_with(&typed)) {
        (true, _) => 2,
        (_, true) => 1,
        _ => 0,
    }
}

/// The only best fit among `names`; `Err(true)` if there are several, `Err(false)` if none.
fn best<T: Copy>(names: impl Iterator<Item = (T, u8)>) -> Result<T, bool> {
    let mut found: Option<(T, u8, bool)> = None;
    for (item, score) in names.filter(|(_, s)| *s > 0) {
        found = match found {
            Some((_, s, _)) if s < score => Some((item, score, false)),
            Some((i, s, _)) if s == score => Some((i, s, true)),
            None => Some((item, score, false)),
            kept => kept,
        };
    }
    match found {
        Some((item, _, false)) => Ok(item),
        Some(_) => Err(true),
        None => Err(false),
    }
}

/// The table that `typed` stands for.
pub fn table(txn: &Txn, typed: &str) -> Result<Arc<TableSchema>, Failure> {
    let tables = || txn.replica().tables().map(|table| &*table.schema);
    let name = &best_table(tables, typed)?.name;
    txn.schema(name).cloned().ok_or_else(|| format!("unknown table \"{typed}\"").into())
}

/// The one among `tables` that `typed` stands for.
pub fn best_table<'t, T: Iterator<Item = &'t TableSchema>>(
    tables: impl Fn() -> T,
    typed: &str,
) -> Result<&'t TableSchema, Failure> {
    match best(tables().map(|t| (t, score(&t.name, typed)))) {
        Ok(schema) => Ok(schema),
        Err(true) => {
            let fitting = tables().map(|t| t.name.as_str()).filter(|n| score(n, typed) > 0);
            let names = fitting.collect::<Vec<_>>().join(", ");
            Err(format!("\"{typed}\" matches multiple table names: {names}").into())
        }
        Err(false) => Err(format!("unknown table \"{typed}\"").into()),
    }
}

/// The column of `table` that `typed` stands for.
pub fn column<'t>(table: &'t TableSchema, typed: &str) -> Result<&'t ColumnSchema, Failure> {
    let own = table.columns.iter().filter(|c| c.name != "_version");
    match best(own.map(|c| (c, score(&c.name, typed)))) {
        Ok(column) => Ok(column),
        Err(true) => {
            let fitting = table.columns.iter().map(|c| c.name.as_str()).filter(|n| score(n, typed) > 0);
            let (table, names) = (&table.name, fitting.collect::<Vec<_>>().join(", "));
            Err(format!("{table} contains more than one column whose name matches \"{typed}\": {names}")
                .into())
        }
        Err(false) => {
            Err(format!("{} does not contain a column whose name matches \"{typed}\"", table.name).into())
        }
    }
}

/// The record that `id` names; an error if there is none.
pub fn record(cx: &Context<'_>, table: &TableSchema, id: &str) -> Result<Uuid, Failure> {
    find(cx, table, id)?.ok_or_else(|| format!("no row \"{id}\" in table {}", table.name).into())
}

/// The record that `id` names, if there is one.
pub fn find(cx: &Context<'_>, table: &TableSchema, id: &str) -> Result<Option<Uuid>, Failure> {
    if let Some(uuid) = Uuid::parse(id) {
        return Ok(cx.txn.row(&table.name, uuid).map(|_| uuid));
    }
    for identity in cx.identities.iter().filter(|i| i.table == table.name) {
        if let Some(uuid) = by_identity(cx, identity, id)? {
            return Ok(Some(uuid));
        }
    }
    let rows = cx.txn.rows(&table.name);
    if id == "."
        && let [only] = rows.as_slice()
    {
        return Ok(Some(only.uuid()));
    }
    if id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        let mut fits = rows.iter().map(|r| r.uuid()).filter(|u| u.to_string().starts_with(id));
        if let Some(first) = fits.next() {
            return if fits.next().is_some() { Err(ambiguous(table, id)) } else { Ok(Some(first)) };
        }
    }
    Ok(None)
}

fn ambiguous(table: &TableSchema, id: &str) -> Failure {
    format!("multiple rows in {} match \"{id}\"", table.name).into()
}

fn by_identity(cx: &Context<'_>, identity: &Identity, id: &str) -> Result<Option<Uuid>, Failure> {
    let holder = identity.holder();
    let kind = cx.txn.schema(holder).and_then(|s| s.column(identity.key)).map(|c| c.kind.key.kind);
    let name = match kind {
        Some(AtomicType::Integer) => id.parse().ok().map(Atom::Integer),
        Some(AtomicType::String) => Some(Atom::string(id)),
        _ => None,
    };
    let Some(name) = name else { return Ok(None) };
    let mut found = None;
    for row in cx.txn.find(holder, &[identity.key], &[Datum::scalar(name)]) {
        let target = match identity.via {
            None => Some(row),
            Some((t, column)) => {
                let to = cx.references(t, row, column);
                // Of several, none is meant.
                if to.len() == 1 { to.first().copied() } else { None }
            }
        };
        if found.is_some() && target.is_some() && found != target {
            return Err(format!("multiple rows in {} match \"{id}\"", identity.table).into());
        }
        found = found.or(target);
    }
    Ok(found)
}
