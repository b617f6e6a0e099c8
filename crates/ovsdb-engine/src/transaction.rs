//! Transactions: rows change at once, become permanent together, or are put back.
//!
//! Where it sits: driven by `execute` (operations of a client) and by the log's reader; gives the log and the monitors its changes.
//!
//! ~~~text
//! insert/replace/delete ─► prepare: no-ops out ─ count references ─ collect garbage ─ row limits ─ weak references ─ indexes ─ versions
//!                              │ error                                       │ ok
//!                              ▼                                             ▼
//!                         rows put back                       changes ─► (log record) ─► commit or abort
//! ~~~
//! I1  Until `commit`, only `Table::rows` differ from the committed state, and `changes` knows each of them.
//! I2  The cost is that of the rows changed, the references in columns changed, and the rows that weakly refer to deleted ones.
//!
//! Spec: RFC 7047 sections 3.2 and 4.1.3. Next: `integrity.rs`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ovsdb::{Result, Uuid};

use crate::database::Database;
use crate::integrity::{Integrity, Ledger};
use crate::row::{Change, Changes, Row};

/// A source of identifiers for rows and versions.
pub type MakeUuid<'a> = &'a mut dyn FnMut() -> Uuid;

/// A transaction in progress. Dropped without commit, it leaves the database as it was.
pub struct Transaction<'a> {
    pub(crate) db: &'a mut Database,
    pub(crate) changes: Changes,
    /// Comments for the log.
    pub comments: Vec<String>,
    /// Whether the client wants the result on disk before the reply.
    pub durable: bool,
}

impl<'a> Transaction<'a> {
    /// Starts on a database.
    pub fn new(db: &'a mut Database) -> Transaction<'a> {
        Transaction { db, changes: BTreeMap::new(), comments: Vec::new(), durable: false }
    }

    /// The database as this transaction sees it.
    pub fn db(&self) -> &Database {
        self.db
    }

    /// Whether `uuid` exists in the table, or did before this transaction.
    pub fn has_or_had(&self, table: usize, uuid: Uuid) -> bool {
        self.db.tables[table].rows.contains_key(&uuid)
            || self.changes.get(&table).is_some_and(|changes| changes.contains_key(&uuid))
    }

    /// Adds a row.
    pub fn insert(&mut self, table: usize, row: Row) {
        self.put(table, row.uuid, Some(Arc::new(row)));
    }

    /// Replaces a row by a new version.
    pub fn replace(&mut self, table: usize, row: Row) {
        self.put(table, row.uuid, Some(Arc::new(row)));
    }

    /// Removes a row.
    pub fn delete(&mut self, table: usize, uuid: Uuid) {
        self.put(table, uuid, None);
    }

    fn put(&mut self, table: usize, uuid: Uuid, new: Option<Arc<Row>>) {
        let rows = &mut self.db.tables[table].rows;
        let before = match &new {
            Some(row) => rows.insert(uuid, row.clone()),
            None => rows.remove(&uuid),
        };
        match self.changes.entry(table).or_default().entry(uuid) {
            // A row that came and went has never been.
            Entry::Occupied(entry) if new.is_none() && entry.get().old.is_none() => _ = entry.remove(),
            Entry::Occupied(mut entry) => entry.get_mut().new = new,
            Entry::Vacant(entry) => _ = entry.insert(Change { old: before, new }),
        }
    }

    /// Checks all constraints, applies what the schema implies, and stamps versions.
    pub fn prepare(mut self, make_uuid: MakeUuid<'_>) -> Result<Prepared<'a>> {
        self.drop_no_ops();
        let ledger = Integrity::new(&mut self).run()?;
        // A row whose only change was a reference to nothing has a new version all the same.
        self.changes.retain(|_, changes| {
            changes.retain(|_, change| change.old.is_some() || change.new.is_some());
            !changes.is_empty()
        });
        self.stamp_versions(make_uuid);
        Ok(Prepared { transaction: self, ledger })
    }

    /// Prepares what another server has judged, or this one before it recorded it: only the books are kept, so that what Open
    /// vSwitch's programs wrote is read even where it breaks a rule.
    pub fn prepare_recorded(mut self, make_uuid: MakeUuid<'_>) -> Prepared<'a> {
        self.drop_no_ops();
        let ledger = Integrity::new(&mut self).count_only();
        self.stamp_versions(make_uuid);
        Prepared { transaction: self, ledger }
    }

    /// Forgets changes that changed nothing, and rows that came and went.
    pub(crate) fn drop_no_ops(&mut self) {
        for (&table, changes) in &mut self.changes {
            let rows = &mut self.db.tables[table].rows;
            changes.retain(|uuid, change| match (&change.old, &change.new) {
                (None, None) => false,
                (Some(old), Some(new)) => {
                    let same = old.fields == new.fields;
                    if same {
                        rows.insert(*uuid, old.clone());
                    }
                    !same
                }
                _ => true,
            });
        }
        self.changes.retain(|_, changes| !changes.is_empty());
    }

    fn stamp_versions(&mut self, make_uuid: MakeUuid<'_>) {
        for (&table, changes) in &mut self.changes {
            let rows = &mut self.db.tables[table].rows;
            for (uuid, change) in changes {
                // A row that a client's operation inserted has its first version.
                if change.old.is_none() && change.new.as_ref().is_some_and(|row| row.has_version()) {
                    continue;
                }
                // The change lets go of the row meanwhile, so that it is not copied for its new stamp.
                let Some(row) = change.new.take().and_then(|_| rows.get_mut(uuid)) else { continue };
                Arc::make_mut(row).set_version(make_uuid());
                change.new = Some(row.clone());
            }
        }
    }

    fn put_back(&mut self) {
        for (table, changes) in std::mem::take(&mut self.changes) {
            let rows = &mut self.db.tables[table].rows;
            for (uuid, change) in changes {
                match change.old {
                    Some(old) => rows.insert(uuid, old),
                    None => rows.remove(&uuid),
                };
            }
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// A transaction that may commit: nothing can fail any more but the disk.
pub struct Prepared<'a> {
    transaction: Transaction<'a>,
    ledger: Ledger,
}

impl Prepared<'_> {
    /// What it will change.
    pub fn changes(&self) -> &Changes {
        &self.transaction.changes
    }

    /// The database as it will be.
    pub fn db(&self) -> &Database {
        self.transaction.db
    }

    /// The comments, joined by newlines.
    pub fn comment(&self) -> String {
        self.transaction.comments.join("\n")
    }

    /// Whether the client asked for durability.
    pub fn durable(&self) -> bool {
        self.transaction.durable
    }

    /// Makes the changes permanent and gives them to whoever watches.
    pub fn commit(mut self) -> Changes {
        self.ledger.apply(self.transaction.db);
        std::mem::take(&mut self.transaction.changes)
    }
}
