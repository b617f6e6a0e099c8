//! Which monitors a commit can matter to, so that the others cost nothing.
//!
//! Where it sits: `Server` keeps one per database, in step with its sessions' monitors, and asks it about every commit.
//!
//! ~~~text
//! table ─► column = value ─► monitors whose condition says so     (found by the values of the rows that changed)
//!      └─► all other monitors of the table
//! ~~~
//! I1  What is found is a superset: a monitor itself decides whether it has something to say.
//! I2  Exactly the monitors of the sessions are in here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ovsdb::Datum;
use ovsdb_engine::lock::SessionId;
use ovsdb_engine::monitor::Interest;
use ovsdb_engine::{Changes, Monitor};

/// A session, and its name for a monitor as JSON text.
pub(crate) type MonitorKey = (SessionId, String);

/// The monitors of one database.
#[derive(Default)]
pub(crate) struct Watchers {
    tables: BTreeMap<usize, Table>,
}

#[derive(Default)]
struct Table {
    every: BTreeSet<MonitorKey>,
    /// By column, then by value.
    with: BTreeMap<usize, HashMap<Datum, BTreeSet<MonitorKey>>>,
}

impl Watchers {
    /// Adds a monitor.
    pub(crate) fn add(&mut self, key: &MonitorKey, monitor: &Monitor) {
        for (table, interest) in monitor.interests() {
            let table = self.tables.entry(table).or_default();
            match interest {
                Interest::Every => _ = table.every.insert(key.clone()),
                Interest::With(values) => {
                    for (column, value) in values {
                        let values = table.with.entry(column).or_default();
                        values.entry(value.clone()).or_default().insert(key.clone());
                    }
                }
            }
        }
    }

    /// Takes a monitor out, as it was when it was added.
    pub(crate) fn remove(&mut self, key: &MonitorKey, monitor: &Monitor) {
        for (index, interest) in monitor.interests() {
            let Some(table) = self.tables.get_mut(&index) else { continue };
            match interest {
                Interest::Every => _ = table.every.remove(key),
                Interest::With(values) => {
                    for (column, value) in values {
                        table.forget(column, value, key);
                    }
                }
            }
            if table.every.is_empty() && table.with.is_empty() {
                self.tables.remove(&index);
            }
        }
    }

    /// The monitors that a commit can matter to.
    pub(crate) fn of(&self, changes: &Changes) -> BTreeSet<&MonitorKey> {
        let mut found = BTreeSet::new();
        for (index, rows) in changes {
            let Some(table) = self.tables.get(index) else { continue };
            found.extend(&table.every);
            for (column, values) in &table.with {
                let sides = rows.values().flat_map(|change| [&change.old, &change.new]);
                let keys = sides.flatten().filter_map(|row| values.get(&row.fields[*column]));
                found.extend(keys.flatten());
            }
        }
        found
    }
}

impl Table {
    fn forget(&mut self, column: usize, value: &Datum, key: &MonitorKey) {
        let Some(values) = self.with.get_mut(&column) else { return };
        if let Some(keys) = values.get_mut(value) {
            keys.remove(key);
            if keys.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.with.remove(&column);
        }
    }
}
