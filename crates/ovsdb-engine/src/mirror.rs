//! Updates of another server's database, repeated on a copy.
//!
//! Where it sits: relays and backups follow a server with `monitor_cond_since` and give what they hear to this module.
//!
//! I1  Nothing is judged: the other server has. Tables that are left out keep the rows they have.
//!
//! Spec: ovsdb-server(7) sections 4.1.13 to 4.1.16.

use std::collections::BTreeSet;
use std::sync::Arc;

use ovsdb::json::{Json, Object};
use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{Datum, Error, Result, Uuid};

use crate::row::Row;
use crate::transaction::Transaction;

/// Whether the updates are all there is, or come on top of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Rows that are not mentioned are gone.
    Everything,
    /// Rows that are not mentioned stay.
    Changes,
}

/// Repeats `<table-updates2>` on `txn`, `excluded` tables left out.
pub fn apply(
    txn: &mut Transaction<'_>,
    updates: &Json,
    extent: Extent,
    excluded: &BTreeSet<String>,
) -> Result<()> {
    let malformed = || Error::syntax(updates, "<table-updates2> expected");
    let updates = updates.as_object().ok_or_else(malformed)?;
    if extent == Extent::Everything {
        drop_unmentioned(txn, updates, excluded);
    }
    for (name, rows) in updates.iter().filter(|(name, _)| !excluded.contains(name.as_str())) {
        let table = txn.db().table_index(name).ok_or_else(malformed)?;
        for (uuid, change) in rows.as_object().ok_or_else(malformed)? {
            let uuid = Uuid::parse(uuid).ok_or_else(malformed)?;
            apply_row(txn, table, uuid, change)?;
        }
    }
    Ok(())
}

fn drop_unmentioned(txn: &mut Transaction<'_>, updates: &Object, excluded: &BTreeSet<String>) {
    let mut gone = Vec::new();
    for (index, table) in txn.db().tables.iter().enumerate() {
        if excluded.contains(&table.schema.name) {
            continue;
        }
        let mentioned = updates.get(&table.schema.name).and_then(Json::as_object);
        let is_gone = |uuid: &&Uuid| mentioned.is_none_or(|rows| !rows.contains_key(&uuid.to_string()));
        gone.extend(table.rows.keys().filter(is_gone).map(|uuid| (index, *uuid)));
    }
    for (table, uuid) in gone {
        txn.delete(table, uuid);
    }
}

fn apply_row(txn: &mut Transaction<'_>, table: usize, uuid: Uuid, change: &Json) -> Result<()> {
    let malformed = || Error::syntax(change, "<row-update2> expected");
    let (kind, columns) =
        change.as_object().and_then(|members| members.iter().next()).ok_or_else(malformed)?;
    let place = &txn.db().tables[table];
    let old = place.rows.get(&uuid).cloned();
    let schema = place.schema.clone();
    let mut row = match (kind.as_str(), &old) {
        ("delete", _) => {
            if old.is_some() {
                txn.delete(table, uuid);
            }
            return Ok(());
        }
        ("modify", Some(old)) => Row::clone(old),
        ("initial" | "insert", _) => Row::defaults(&place.defaults, uuid),
        _ => return Err(malformed()),
    };
    for (name, value) in columns.as_object().ok_or_else(malformed)? {
        let Some(index) = schema.column_index(name).filter(|index| *index >= FIRST_COLUMN) else { continue };
        let column = &schema.columns[index].kind;
        let value = Datum::from_json_any_size(value, column, None)?;
        let value = if kind == "modify" { row.fields[index].apply_diff(&value, column) } else { value };
        row.fields[index] = value;
    }
    match old {
        Some(old) if same(&old, &row) => {}
        Some(_) => txn.replace(table, row),
        None => txn.insert(table, row),
    }
    Ok(())
}

/// Whether both have the same values, versions aside.
fn same(old: &Arc<Row>, new: &Row) -> bool {
    old.fields.iter().zip(&new.fields).skip(FIRST_COLUMN).all(|(a, b)| a == b)
}
