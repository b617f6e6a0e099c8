//! Finds the rows that a condition is about, and projects them on columns.
//!
//! Where it sits: under the operations.
//!
//! I1  A condition that names a row, or all columns of an index, does not look at the whole table.

use std::collections::HashSet;
use std::sync::Arc;

use ovsdb::json::{Json, Object};
use ovsdb::schema::UUID_COLUMN;
use ovsdb::{Clause, Condition, Datum, Function, Result, TableSchema};

use crate::database::{KeyOf, Table};
use crate::row::Row;
use crate::transaction::Transaction;

/// The rows of `table` that satisfy `filter`, as the transaction sees them, in the order of their identifiers.
pub(crate) fn find_rows(txn: &Transaction<'_>, table: usize, filter: &Condition) -> Vec<Arc<Row>> {
    let place = &txn.db().tables[table];
    let matches = |row: &&Arc<Row>| filter.matches(&place.schema, &row.fields);
    if let Some(uuid) = filter.wanted_uuid() {
        return place.rows.get(&uuid).filter(matches).cloned().into_iter().collect();
    }
    if let Some((index, key)) = wanted_key(place, filter) {
        // The index knows the committed rows; those of this transaction are few.
        let changed = txn.changes.get(&table).into_iter().flat_map(|changes| changes.keys());
        let mut uuids: Vec<_> = place.indexes[index].get(&key).into_iter().chain(changed).collect();
        uuids.sort();
        uuids.dedup();
        return uuids.into_iter().filter_map(|uuid| place.rows.get(uuid)).filter(matches).cloned().collect();
    }
    let mut rows: Vec<_> = place.rows.values().filter(matches).cloned().collect();
    rows.sort_by_key(|row| row.uuid);
    rows
}

fn wanted_key(place: &Table, filter: &Condition) -> Option<(usize, KeyOf)> {
    place.schema.indexes.iter().enumerate().find_map(|(number, columns)| {
        let value = |wanted: usize| {
            filter.clauses.iter().find_map(|clause| match clause {
                Clause::Compare { column, function: Function::Eq, value } if *column == wanted => {
                    Some(value.clone())
                }
                _ => None,
            })
        };
        let values: Option<Vec<Datum>> = columns.iter().map(|&column| value(column)).collect();
        Some((number, KeyOf::new(values?.into_iter())))
    })
}

/// Some of a table's columns.
pub(crate) struct Projection {
    columns: Vec<usize>,
}

impl Projection {
    /// The columns that a request names; all of them where it names none.
    pub(crate) fn new(schema: &TableSchema, json: Option<&Json>) -> Result<Projection> {
        Ok(Projection {
            columns: match json {
                Some(json) => schema.columns_from_json(json)?,
                None => (0..schema.columns.len()).collect(),
            },
        })
    }

    pub(crate) fn values(&self, row: &Row) -> Vec<Datum> {
        self.columns.iter().map(|&column| row.fields[column].clone()).collect()
    }

    /// Drops rows that look the same as an earlier one.
    pub(crate) fn distinct(&self, mut rows: Vec<Arc<Row>>) -> Vec<Arc<Row>> {
        if !self.columns.contains(&UUID_COLUMN) {
            let mut seen = HashSet::new();
            rows.retain(|row| seen.insert(self.values(row)));
        }
        rows
    }

    pub(crate) fn to_json(&self, schema: &TableSchema, row: &Row) -> Json {
        let member = |&column: &usize| {
            let schema = &schema.columns[column];
            (schema.name.clone(), row.fields[column].to_json(&schema.kind))
        };
        Json::Object(self.columns.iter().map(member).collect::<Object>())
    }
}
