//! The replica: rows of the monitored tables, as of the last update.
//!
//! Where it sits: filled by [`crate::Idl`] from `update3` notifications; read through it, or through a [`crate::Txn`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovsdb::json::Json;
use ovsdb::schema::{FIRST_COLUMN, TableSchema, UUID_COLUMN};
use ovsdb::{ColumnSchema, Datum, Error, Uuid};

use crate::index::Index;

/// A row: a value for each column of its table, `_uuid` first.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Vec<Datum>,
}

impl Row {
    /// A row with every column at its default.
    pub(crate) fn fresh(table: &TableSchema, uuid: Uuid) -> Row {
        let mut columns: Vec<Datum> = table.columns.iter().map(|c| Datum::default_for(&c.kind)).collect();
        columns[UUID_COLUMN] = Datum::scalar(ovsdb::Atom::Uuid(uuid));
        Row { columns }
    }

    /// The row's identity.
    pub fn uuid(&self) -> Uuid {
        self.columns.first().and_then(Datum::single).and_then(ovsdb::Atom::as_uuid).unwrap_or_default()
    }

    /// The value of a column by index.
    pub fn column(&self, index: usize) -> &Datum {
        &self.columns[index]
    }

    /// The only string of a column, if it has exactly one.
    pub fn string(&self, index: usize) -> Option<&str> {
        self.column(index).single().and_then(ovsdb::Atom::as_str)
    }

    pub(crate) fn set(&mut self, index: usize, value: Datum) {
        self.columns[index] = value;
    }
}

/// What a replica holds of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No row.
    Nothing,
    /// Every row, with these columns only; the others are at their defaults.
    Columns(BTreeSet<usize>),
    /// Every row.
    Everything,
}

impl Seen {
    /// True if a column is what the database has there.
    pub(crate) fn has(&self, column: usize) -> bool {
        match self {
            Seen::Nothing => false,
            Seen::Columns(columns) => column < FIRST_COLUMN || columns.contains(&column),
            Seen::Everything => true,
        }
    }
}

/// A table's rows.
#[derive(Clone, Debug)]
pub struct TableReplica {
    /// The table's schema.
    pub schema: Arc<TableSchema>,
    pub(crate) seen: Seen,
    rows: BTreeMap<Uuid, Arc<Row>>,
    indexes: Vec<Index>,
}

impl TableReplica {
    /// The rows whose `columns` have these `values`, in the order of their UUIDs: by an index of exactly these columns if
    /// [`crate::Idl::with_index`] asked for one, else by looking at every row. No row has a column that the table has not.
    pub fn find(&self, columns: &[&str], values: &[Datum]) -> Vec<&Arc<Row>> {
        let indices: Option<Vec<usize>> = columns.iter().map(|c| self.schema.column_index(c)).collect();
        let Some(indices) = indices else { return Vec::new() };
        if let Some(index) = self.indexes.iter().find(|i| i.columns() == indices) {
            return index.find(values).filter_map(|uuid| self.rows.get(&uuid)).collect();
        }
        let fits = |row: &&Arc<Row>| indices.iter().zip(values).all(|(i, value)| row.column(*i) == value);
        self.rows.values().filter(fits).collect()
    }

    /// Puts a row in, or takes it out, in the indexes too.
    fn store(&mut self, uuid: Uuid, row: Option<Row>) {
        let row = row.map(Arc::new);
        let old = match &row {
            Some(row) => self.rows.insert(uuid, row.clone()),
            None => self.rows.remove(&uuid),
        };
        for index in &mut self.indexes {
            old.iter().for_each(|old| index.remove(old));
            row.iter().for_each(|row| index.insert(row));
        }
    }

    /// Every row, in the order of their UUIDs.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.values()
    }

    /// One row.
    pub fn row(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        self.rows.get(&uuid)
    }

    fn column(&self, name: &str) -> Result<(usize, &ColumnSchema), Error> {
        let index = self.schema.column_index(name).filter(|i| *i >= FIRST_COLUMN);
        let unknown =
            || Error::new("unknown column", format!("No column {name} in table {}.", self.schema.name));
        let index = index.ok_or_else(unknown)?;
        Ok((index, &self.schema.columns[index]))
    }

    /// The row as it is after its part of a `table-updates2`; nothing if it is gone.
    fn updated(&self, uuid: Uuid, change: &Json) -> Result<Option<Row>, Error> {
        let malformed = || Error::syntax(change, "<row-update2> expected");
        let (kind, row) = change.as_object().and_then(|o| o.iter().next()).ok_or_else(malformed)?;
        let mut new = match kind.as_str() {
            "delete" => return Ok(None),
            "initial" | "insert" => Row::fresh(&self.schema, uuid),
            "modify" => Row::clone(self.rows.get(&uuid).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        };
        for (name, value) in row.as_object().ok_or_else(malformed)? {
            let (index, column) = self.column(name)?;
            let value = Datum::from_json_any_size(value, &column.kind, None)?;
            let value =
                if kind == "modify" { new.column(index).apply_diff(&value, &column.kind) } else { value };
            new.set(index, value);
        }
        Ok(Some(new))
    }
}

/// The monitored part of a database.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    tables: BTreeMap<String, TableReplica>,
}

impl Replica {
    pub(crate) fn new(tables: impl IntoIterator<Item = (Arc<TableSchema>, Seen)>) -> Replica {
        let empty = |(schema, seen): (Arc<TableSchema>, Seen)| {
            (schema.name.clone(), TableReplica { schema, seen, rows: BTreeMap::new(), indexes: Vec::new() })
        };
        Replica { tables: tables.into_iter().map(empty).collect() }
    }

    /// Indexes a table, which has no rows yet, by columns.
    pub(crate) fn add_index(&mut self, table: &str, columns: &[String]) -> Result<(), Error> {
        let Some(table) = self.tables.get_mut(table) else { return Ok(()) };
        let columns: Result<Vec<usize>, Error> =
            columns.iter().map(|name| table.column(name).map(|(index, _)| index)).collect();
        table.indexes.push(Index::new(columns?));
        Ok(())
    }

    /// A monitored table.
    pub fn table(&self, name: &str) -> Option<&TableReplica> {
        self.tables.get(name)
    }

    /// All monitored tables by name.
    pub fn tables(&self) -> impl Iterator<Item = &TableReplica> {
        self.tables.values()
    }

    /// Applies `table-updates2`, whole or, if there is something wrong with it, not at all. Tables that are not monitored are
    /// an error.
    pub(crate) fn apply(&mut self, updates: &Json) -> Result<(), Error> {
        let malformed = || Error::syntax(updates, "<table-updates2> expected");
        let mut new = Vec::new();
        for (name, rows) in updates.as_object().ok_or_else(malformed)? {
            let table = self.tables.get(name.as_str()).ok_or_else(malformed)?;
            for (uuid, change) in rows.as_object().ok_or_else(malformed)? {
                let uuid = Uuid::parse(uuid).ok_or_else(malformed)?;
                new.push((name.as_str(), uuid, table.updated(uuid, change)?));
            }
        }
        for (table, uuid, row) in new {
            if let Some(table) = self.tables.get_mut(table) {
                table.store(uuid, row);
            }
        }
        Ok(())
    }
}
