//! Rows, and what a transaction did to them.
//!
//! Where it sits: tables hold rows; transactions, monitors and the log pass changes around.
//!
//! I1  A row never changes: a new version is a new row that shares the columns that stayed the same. Readers may keep old ones.
//! I2  `fields` has one datum per column of the table's schema, `_uuid` and `_version` first.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovsdb::schema::{UUID_COLUMN, VERSION_COLUMN};
use ovsdb::{Atom, Datum, Uuid};

/// A version of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its identity.
    pub uuid: Uuid,
    /// Its columns.
    pub fields: Box<[Datum]>,
}

impl Row {
    /// A row of the table's default values.
    pub(crate) fn defaults(defaults: &[Datum], uuid: Uuid) -> Row {
        let mut row = Row { uuid, fields: defaults.into() };
        row.fields[UUID_COLUMN] = Datum::scalar(Atom::Uuid(uuid));
        row
    }

    /// Whether the row was ever stamped.
    pub(crate) fn has_version(&self) -> bool {
        self.fields[VERSION_COLUMN].single().and_then(Atom::as_uuid).is_some_and(|version| !version.is_zero())
    }

    /// Stamps the row with the version that a commit gives it.
    pub fn set_version(&mut self, version: Uuid) {
        self.fields[VERSION_COLUMN] = Datum::scalar(Atom::Uuid(version));
    }
}

/// What happened to one row.
#[derive(Clone, Debug)]
pub struct Change {
    /// Before; `None` for an inserted row.
    pub old: Option<Arc<Row>>,
    /// After; `None` for a deleted row.
    pub new: Option<Arc<Row>>,
}

/// What a transaction did: by table index, then by row.
pub type Changes = BTreeMap<usize, BTreeMap<Uuid, Change>>;
