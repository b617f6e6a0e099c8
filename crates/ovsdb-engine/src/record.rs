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

use std::collections::hash_map::Entry;
use std::sync::Arc;

use ovsdb::json::{Json, write_quoted};
use ovsdb::schema::ColumnSchema;
use ovsdb::schema::UUID_COLUMN;
use ovsdb::uuid::TEXT_LEN;
use ovsdb::{Datum, Error, Result, TableSchema, Uuid};

use crate::database::{Database, Table};
use crate::row::{Changes, Row};

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

/// The record of a transaction as text, if it has one.
pub fn compose(
    db: &Database,
    changes: &Changes,
    comment: &str,
    date_ms: i64,
    columns: Columns,
) -> Option<String> {
    let mut record = Composer::default();
    let columns = if misread(db, changes) { Columns::Whole } else { columns };
    for (&table, rows) in changes {
        let schema = &db.tables[table].schema;
        record.table(
            schema,
            rows.iter().map(|(uuid, change)| (*uuid, change.old.as_ref(), change.new.as_ref())),
            columns,
        );
    }
    if record.is_empty() {
        return None;
    }
    if columns == Columns::Diff {
        record.remark("_is_diff", &Json::Bool(true));
    }
    Some(record.finish(comment, date_ms))
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
                old != new
                    && (kind.min > 0 && old.is_default(kind)
                        || old.len() + new.len() > max && old.diff(new, kind).len() > max)
            })
        })
    })
}

/// One record that holds everything: what compaction and backup write. `None` for an empty database.
pub fn snapshot(db: &Database, comment: &str, date_ms: i64) -> Option<String> {
    Frozen::new(db).compose(comment, date_ms)
}

/// The same, with the ephemeral columns, for the rows' way to another schema.
pub fn whole(db: &Database) -> String {
    let mut record = Composer { ephemeral: true, ..Composer::default() };
    for table in db.tables.iter().filter(|table| !table.rows.is_empty()) {
        record.table(
            &table.schema,
            table.rows.values().map(|row| (row.uuid, None, Some(row))),
            Columns::Whole,
        );
    }
    record.finish("", 0)
}

/// All rows of a database at one moment. Taking it copies no row; it can go to another thread.
pub struct Frozen {
    tables: Vec<(Arc<TableSchema>, Vec<Arc<Row>>)>,
}

impl Frozen {
    /// What `db` holds now.
    pub fn new(db: &Database) -> Frozen {
        let tables = db.tables.iter().filter(|table| !table.rows.is_empty());
        let frozen = tables.map(|table| (table.schema.clone(), table.rows.values().cloned().collect()));
        Frozen { tables: frozen.collect() }
    }

    /// The record that holds it. `None` for an empty database.
    pub fn compose(mut self, comment: &str, date_ms: i64) -> Option<String> {
        let mut record = Composer::default();
        for (schema, rows) in &mut self.tables {
            rows.sort_unstable_by_key(|row| row.uuid);
            record.table(schema, rows.iter().map(|row| (row.uuid, None, Some(row))), Columns::Whole);
        }
        if record.is_empty() && comment.is_empty() { None } else { Some(record.finish(comment, date_ms)) }
    }
}

/// Writes a record's text, table by table.
#[derive(Default)]
struct Composer {
    text: String,
    /// Whether ephemeral columns are written too.
    ephemeral: bool,
}

impl Composer {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Begins a member of the record.
    fn name(&mut self, name: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        write_quoted(&mut self.text, name);
        self.text.push(':');
    }

    fn remark(&mut self, name: &str, value: &Json) {
        self.name(name);
        value.write_to(&mut self.text);
    }

    fn finish(mut self, comment: &str, date_ms: i64) -> String {
        if !comment.is_empty() {
            self.remark("_comment", &Json::string(comment));
        }
        self.remark("_date", &Json::Integer(date_ms));
        self.text.push('}');
        self.text
    }

    /// Adds the rows of a table, as they were and as they are; nothing of a table whose rows have nothing to record.
    fn table<'r>(
        &mut self,
        schema: &TableSchema,
        rows: impl Iterator<Item = (Uuid, Option<&'r Arc<Row>>, Option<&'r Arc<Row>>)>,
        columns: Columns,
    ) {
        let begin = self.text.len();
        // Room for a small record at once.
        self.text.reserve(256);
        self.name(&schema.name);
        self.text.push('{');
        let first = self.text.len();
        for (uuid, old, new) in rows {
            let before = self.text.len();
            self.text.push_str(if before == first { "\"" } else { ",\"" });
            self.text.push_str(uuid.encode(&mut [0; TEXT_LEN]));
            self.text.push_str("\":");
            if !self.row(schema, old, new, columns) {
                self.text.truncate(before);
            }
        }
        if self.text.len() == first {
            self.text.truncate(begin);
        } else {
            self.text.push('}');
        }
    }

    /// Adds a row; says whether there is something to record.
    fn row(
        &mut self,
        schema: &TableSchema,
        old: Option<&Arc<Row>>,
        new: Option<&Arc<Row>>,
        columns: Columns,
    ) -> bool {
        let Some(new) = new else {
            self.text.push_str("null");
            return true;
        };
        let (mut separator, ephemeral) = ('{', self.ephemeral);
        for (index, column) in schema.own_columns().filter(|(_, column)| column.persistent || ephemeral) {
            let (value, kind) = (&new.fields[index], &column.kind);
            let mut difference = None;
            match old.map(|old| &old.fields[index]) {
                None if value.is_default(kind) => continue,
                Some(old) if old == value => continue,
                Some(old) if columns == Columns::Diff => difference = Some(old.diff(value, kind)),
                _ => {}
            }
            self.text.push(separator);
            separator = ',';
            write_quoted(&mut self.text, &column.name);
            self.text.push(':');
            difference.as_ref().unwrap_or(value).write_json(kind, &mut self.text);
        }
        if separator == '{' {
            self.text.push('{');
        }
        self.text.push('}');
        separator == ',' || old.is_none()
    }
}

/// Repeats a recorded transaction on the rows of `db`. Neither its books nor its rows' versions follow, and after an error some rows
/// may have changed: what reads a whole log builds the books at its end, and begins anew if it met an error.
pub(crate) fn replay(db: &mut Database, record: &Json, unknown: Unknown) -> Result<()> {
    let Some(members) = record.as_object() else {
        return Err(Error::syntax(record, "object expected"));
    };
    let diff = members.get("_is_diff").and_then(Json::as_bool) == Some(true);
    for (name, rows) in members.iter().filter(|(name, value)| !is_remark(name, value)) {
        let Some(table) = db.table_index(name) else {
            if unknown == Unknown::Ignore {
                continue;
            }
            return Err(Error::tagged_syntax("unknown table", record, format!("No table named {name}.")));
        };
        let Some(members) = rows.as_object() else {
            return Err(Error::syntax(rows, "object expected"));
        };
        for (text, row) in members {
            let Some(uuid) = Uuid::parse(text) else {
                return Err(Error::syntax(rows, format!("\"{text}\" is not a valid UUID")));
            };
            replay_row(&mut db.tables[table], uuid, row, diff, unknown)?;
        }
    }
    Ok(())
}

/// Whether a member of a record says something about the transaction; every other one is a table's.
fn is_remark(name: &str, value: &Json) -> bool {
    match name {
        "_date" => value.as_i64().is_some(),
        "_is_diff" => value.as_bool().is_some(),
        _ => name == "_comment",
    }
}

fn replay_row(table: &mut Table, uuid: Uuid, json: &Json, diff: bool, unknown: Unknown) -> Result<()> {
    if json.is_null() {
        return match table.rows.remove(&uuid) {
            Some(_) => Ok(()),
            None => {
                let details = format!("transaction deletes row {uuid} that does not exist");
                Err(Error::new("syntax error", details))
            }
        };
    }
    let Some(members) = json.as_object() else {
        return Err(Error::syntax(json, "row must be JSON object"));
    };
    let schema = &table.schema;
    let (diff, row) = match table.rows.entry(uuid) {
        Entry::Occupied(entry) => (diff, entry.into_mut()),
        Entry::Vacant(entry) => (false, entry.insert(Arc::new(Row::defaults(&table.defaults, uuid)))),
    };
    // Nobody else has it yet, so this copies nothing.
    let row = Arc::make_mut(row);
    for (name, value) in members {
        let Some(index) = schema.column_index(name).filter(|index| *index > UUID_COLUMN) else {
            if unknown == Unknown::Ignore {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(Error::tagged_syntax("unknown column", json, details));
        };
        let kind = &schema.columns[index].kind;
        row.fields[index] = if diff {
            row.fields[index].apply_diff(&Datum::from_json_any_size(value, kind, None)?, kind)
        } else {
            Datum::from_json(value, kind, None)?
        };
    }
    Ok(())
}
