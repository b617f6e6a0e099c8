//! Transactions as records of a database file, and back.
//!
//! Where it sits: between a prepared transaction and `storage`; used by the server, by ovsdb-tool and by backups.
//!
//! I1  Ephemeral columns are not recorded. A transaction that changes nothing else has no record.
//! I2  Modified columns are recorded as differences (`_is_diff`), so a port added to a thousand costs one port; records without
//!     that mark hold whole values. Inserted rows hold whole values in either case, defaults left out.
//! I3  Records say everything that follows from the schema, so replaying them changes nothing more.
//!
//! Spec: ovsdb(5) "Standalone Format".

use std::sync::Arc;

use ovsdb::json::{Json, Object};
use ovsdb::schema::ColumnSchema;
use ovsdb::schema::UUID_COLUMN;
use ovsdb::{Datum, Error, Result, TableSchema, Uuid};

use crate::database::Database;
use crate::row::{Change, Changes, Row};
use crate::transaction::Transaction;

/// How modified columns are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// As differences.
    Diff,
    /// As whole values, for programs older than Open vSwitch 2.16.
    Whole,
}

/// What to do with tables and columns that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Complain.
    Refuse,
    /// Leave them out: the data comes from another version of the schema.
    Ignore,
}

/// The record of a transaction, if it has one.
pub fn compose(
    db: &Database,
    changes: &Changes,
    comment: &str,
    date_ms: i64,
    columns: Columns,
) -> Option<Json> {
    let mut record = Object::new();
    let columns = if misread(db, changes) { Columns::Whole } else { columns };
    for (&table, rows) in changes {
        let schema = &db.tables[table].schema;
        let rows: Object = rows
            .iter()
            .filter_map(|(uuid, change)| Some((uuid.to_string(), compose_row(schema, change, columns)?)))
            .collect();
        if !rows.is_empty() {
            record.insert(schema.name.clone(), Json::Object(rows));
        }
    }
    if record.is_empty() {
        return None;
    }
    if columns == Columns::Diff {
        record.insert("_is_diff".into(), Json::Bool(true));
    }
    add_remarks(&mut record, comment, date_ms);
    Some(Json::Object(record))
}

/// Whether there is a difference that Open vSwitch's programs would misread: one with more elements than its column may have, or
/// one to a default that is not empty.
fn misread(db: &Database, changes: &Changes) -> bool {
    changes.iter().any(|(&table, rows)| {
        let risky = |(_, column): &(usize, &ColumnSchema)| {
            let kind = &column.kind;
            column.persistent && kind.is_composite() && (kind.max != u32::MAX || kind.min > 0)
        };
        let columns: Vec<_> = db.tables[table].schema.own_columns().filter(risky).collect();
        rows.values().filter_map(|change| change.old.as_ref().zip(change.new.as_ref())).any(|(old, new)| {
            columns.iter().any(|(index, column)| {
                let (old, new) = (&old.fields[*index], &new.fields[*index]);
                let (kind, max) = (&column.kind, column.kind.max as usize);
                !old.equals(new)
                    && (kind.min > 0 && old.is_default(kind)
                        || old.len() + new.len() > max && old.diff(new, kind).len() > max)
            })
        })
    })
}

/// One record that holds everything: what compaction and backup write. `None` for an empty database.
pub fn snapshot(db: &Database, comment: &str, date_ms: i64) -> Option<Json> {
    let mut record = Object::new();
    for table in &db.tables {
        let insert = |row: &Arc<Row>| Change { old: None, new: Some(row.clone()) };
        let rows: Object = table
            .rows
            .iter()
            .filter_map(|(uuid, row)| {
                Some((uuid.to_string(), compose_row(&table.schema, &insert(row), Columns::Whole)?))
            })
            .collect();
        if !rows.is_empty() {
            record.insert(table.schema.name.clone(), Json::Object(rows));
        }
    }
    if record.is_empty() && comment.is_empty() {
        return None;
    }
    add_remarks(&mut record, comment, date_ms);
    Some(Json::Object(record))
}

fn add_remarks(record: &mut Object, comment: &str, date_ms: i64) {
    if !comment.is_empty() {
        record.insert("_comment".into(), Json::string(comment));
    }
    record.insert("_date".into(), Json::Integer(date_ms));
}

fn compose_row(schema: &TableSchema, change: &Change, columns: Columns) -> Option<Json> {
    let Some(new) = &change.new else { return Some(Json::Null) };
    let mut members = Object::new();
    for (index, column) in schema.own_columns().filter(|(_, column)| column.persistent) {
        let value = &new.fields[index];
        let json = match &change.old {
            None if value.is_default(&column.kind) => continue,
            None => value.to_json(&column.kind),
            Some(old) if old.fields[index].equals(value) => continue,
            Some(old) if columns == Columns::Diff => {
                old.fields[index].diff(value, &column.kind).to_json(&column.kind)
            }
            Some(_) => value.to_json(&column.kind),
        };
        members.insert(column.name.clone(), json);
    }
    if members.is_empty() && change.old.is_some() { None } else { Some(Json::Object(members)) }
}

/// Repeats a recorded transaction on `txn`.
pub fn replay(txn: &mut Transaction<'_>, record: &Json, unknown: Unknown) -> Result<()> {
    let Some(members) = record.as_object() else {
        return Err(Error::syntax(record, "object expected"));
    };
    let diff = members.get("_is_diff").and_then(Json::as_bool) == Some(true);
    for (name, rows) in members.iter().filter(|(name, _)| !name.starts_with('_')) {
        let Some(table) = txn.db().table_index(name) else {
            if unknown == Unknown::Ignore {
                continue;
            }
            return Err(Error::tagged_syntax("unknown table", record, format!("No table named {name}.")));
        };
        let Some(rows) = rows.as_object() else {
            return Err(Error::syntax(rows, "object expected"));
        };
        for (text, row) in rows {
            let Some(uuid) = Uuid::parse(text) else {
                return Err(Error::syntax(
                    &Json::Object(rows.clone()),
                    format!("\"{text}\" is not a valid UUID"),
                ));
            };
            replay_row(txn, table, uuid, row, diff, unknown)?;
        }
    }
    Ok(())
}

fn replay_row(
    txn: &mut Transaction<'_>,
    table: usize,
    uuid: Uuid,
    json: &Json,
    diff: bool,
    unknown: Unknown,
) -> Result<()> {
    let schema = txn.db().tables[table].schema.clone();
    let old = txn.db().tables[table].rows.get(&uuid).cloned();
    if json.is_null() {
        if old.is_none() {
            let details = format!("transaction deletes row {uuid} that does not exist");
            return Err(Error::syntax(json, details));
        }
        txn.delete(table, uuid);
        return Ok(());
    }
    let Some(members) = json.as_object() else {
        return Err(Error::syntax(json, "row must be JSON object"));
    };
    let mut row = match &old {
        Some(old) => Row::clone(old),
        None => Row::defaults(&schema, uuid),
    };
    for (name, value) in members {
        let Some(index) = schema.column_index(name).filter(|index| *index > UUID_COLUMN) else {
            if unknown == Unknown::Ignore {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(Error::tagged_syntax("unknown column", json, details));
        };
        let kind = &schema.columns[index].kind;
        row.fields[index] = match (&old, diff) {
            (Some(old), true) => {
                let difference = Datum::from_json_any_size(value, kind, None)?;
                old.fields[index].apply_diff(&difference, kind).into()
            }
            _ => Datum::from_json(value, kind, None)?.into(),
        };
    }
    if old.is_some() {
        txn.replace(table, row)
    } else {
        txn.insert(table, row)
    }
    Ok(())
}
