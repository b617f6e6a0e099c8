//! Columns of database rows as Rust values.
//!
//! Where it sits: between the replica and `config`. A column that the schema lacks, or a row that is gone, reads as empty.

use std::collections::BTreeMap;

use ovsdb::{Atom, Datum, Uuid};
use ovsdb_idl::{Replica, Row, TableReplica};

/// One row of the replica.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'a> {
    table: &'a TableReplica,
    row: &'a Row,
}

/// Every row of a table.
pub(crate) fn rows<'a>(replica: &'a Replica, table: &str) -> impl Iterator<Item = RowRef<'a>> {
    replica.table(table).into_iter().flat_map(|table| table.rows().map(move |row| RowRef { table, row }))
}

impl<'a> RowRef<'a> {
    /// The row's identity.
    pub fn uuid(&self) -> Uuid {
        self.row.uuid()
    }

    /// A column's value.
    pub fn get(&self, column: &str) -> Option<&'a Datum> {
        let index = self.table.schema.column_index(column)?;
        Some(self.row.column(index))
    }

    fn single(&self, column: &str) -> Option<&'a Atom> {
        self.get(column).and_then(Datum::single)
    }

    /// The only string of a column; empty if there is none.
    pub fn string(&self, column: &str) -> String {
        self.single(column).and_then(Atom::as_str).unwrap_or_default().to_owned()
    }

    /// The only integer of a column.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.single(column).and_then(Atom::as_integer)
    }

    /// True if a column's only value is true.
    pub fn is_true(&self, column: &str) -> bool {
        self.single(column).and_then(Atom::as_bool) == Some(true)
    }

    /// The integers of a set.
    pub fn integers(&self, column: &str) -> Vec<i64> {
        self.get(column).map(|d| d.keys().iter().filter_map(Atom::as_integer).collect()).unwrap_or_default()
    }

    /// The strings of a set.
    pub fn strings(&self, column: &str) -> Vec<String> {
        let keys = self.get(column).map(Datum::keys).unwrap_or_default();
        keys.iter().filter_map(Atom::as_str).map(str::to_owned).collect()
    }

    /// A map of strings.
    pub fn map(&self, column: &str) -> BTreeMap<String, String> {
        let pairs = self.get(column).into_iter().flat_map(Datum::pairs);
        pairs.filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned()))).collect()
    }

    /// The rows of `table` that a column refers to.
    pub fn references(&self, replica: &'a Replica, column: &str, table: &str) -> Vec<RowRef<'a>> {
        let Some(table) = replica.table(table) else { return Vec::new() };
        let uuids = self.get(column).map(Datum::keys).unwrap_or_default().iter().filter_map(Atom::as_uuid);
        uuids.filter_map(|u| table.row(u)).map(|row| RowRef { table, row }).collect()
    }

    /// A map of strings to numbers.
    pub fn numbers(&self, column: &str) -> BTreeMap<String, u32> {
        let pairs = self.get(column).into_iter().flat_map(Datum::pairs);
        let read = |(k, v): (&Atom, &Atom)| Some((k.as_str()?.to_owned(), v.as_integer()?.try_into().ok()?));
        pairs.filter_map(read).collect()
    }

    /// The rows of `table` that a map's values refer to, with their keys.
    pub fn named(&self, replica: &'a Replica, column: &str, table: &str) -> Vec<(&'a Atom, RowRef<'a>)> {
        let Some(table) = replica.table(table) else { return Vec::new() };
        let pairs = self.get(column).into_iter().flat_map(Datum::pairs);
        let rows = pairs.filter_map(|(key, uuid)| Some((key, table.row(uuid.as_uuid()?)?)));
        rows.map(|(key, row)| (key, RowRef { table, row })).collect()
    }
}
