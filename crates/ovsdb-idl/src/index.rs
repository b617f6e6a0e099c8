//! Rows of a table by the values of several columns.
//!
//! Where it sits: in [`crate::TableReplica`], which keeps it as rows come and go.
//!
//! I1  Every row of the table is in the index exactly once, under its present values.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{Datum, Uuid};

use crate::replica::Row;

/// An index by columns in this order; more rows than one may have the same values.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    columns: Vec<usize>,
    rows: BTreeMap<Vec<Datum>, BTreeSet<Uuid>>,
}

impl Index {
    pub(crate) fn new(columns: Vec<usize>) -> Index {
        Index { columns, rows: BTreeMap::new() }
    }

    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn key(&self, row: &Row) -> Vec<Datum> {
        self.columns.iter().map(|c| row.column(*c).clone()).collect()
    }

    pub(crate) fn insert(&mut self, row: &Row) {
        self.rows.entry(self.key(row)).or_default().insert(row.uuid());
    }

    pub(crate) fn remove(&mut self, row: &Row) {
        let key = self.key(row);
        if let Some(rows) = self.rows.get_mut(&key) {
            rows.remove(&row.uuid());
            if rows.is_empty() {
                self.rows.remove(&key);
            }
        }
    }

    /// The rows with these values, in the order of their UUIDs.
    pub(crate) fn find(&self, values: &[Datum]) -> impl Iterator<Item = Uuid> {
        self.rows.get(values).into_iter().flatten().copied()
    }
}
