//! The last commits of a database, for clients that come back.
//!
//! Where it sits: the server keeps one per database; `monitor_cond_since` asks it for what a client has missed.
//!
//! I1  Bounded in commits and in changed rows, so that it never holds more than a fraction of a busy database.
//! I2  Rows are shared with the database and with each other, so a commit costs what it changed.
//!
//! Spec: ovsdb-server(7) section 4.1.15.

use std::collections::VecDeque;
use std::collections::btree_map::Entry;

use ovsdb::Uuid;

use crate::row::{Change, Changes};

/// Commits that are kept.
const COMMITS: usize = 100;
/// Changed rows that are kept.
const ROWS: usize = 20_000;

/// The last commits.
#[derive(Debug, Default)]
pub struct History {
    commits: VecDeque<(Uuid, Changes)>,
    rows: usize,
    last: Uuid,
}

fn size(changes: &Changes) -> usize {
    changes.values().map(|rows| rows.len()).sum()
}

impl History {
    /// Adds a commit.
    pub fn push(&mut self, id: Uuid, changes: Changes) {
        self.last = id;
        self.rows += size(&changes);
        self.commits.push_back((id, changes));
        while self.commits.len() > COMMITS || self.rows > ROWS {
            let Some((_, oldest)) = self.commits.pop_front() else { break };
            self.rows -= size(&oldest);
        }
    }

    /// Forgets everything: the database is another.
    pub fn clear(&mut self) {
        *self = History { last: self.last, ..History::default() };
    }

    /// The last commit; zero if there was none.
    pub fn last(&self) -> Uuid {
        self.last
    }

    /// The number of commits kept.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether no commit is kept.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// All that changed after the commit `id`, as one; `None` if that is not known.
    pub fn since(&self, id: Uuid) -> Option<Changes> {
        let at = self.commits.iter().rposition(|(known, _)| *known == id)?;
        let mut all = Changes::new();
        for (table, rows) in self.commits.iter().skip(at + 1).flat_map(|(_, changes)| changes) {
            let merged = all.entry(*table).or_default();
            for (uuid, change) in rows {
                match merged.entry(*uuid) {
                    Entry::Vacant(entry) => _ = entry.insert(change.clone()),
                    Entry::Occupied(mut entry) => entry.get_mut().new.clone_from(&change.new),
                }
            }
        }
        for rows in all.values_mut() {
            rows.retain(|_, Change { old, new }| old.is_some() || new.is_some());
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::row::Row;

    fn row(n: u128) -> Option<Arc<Row>> {
        Some(Arc::new(Row { uuid: Uuid(n), fields: Box::default() }))
    }

    #[test]
    fn what_came_after_is_merged() {
        let mut history = History::default();
        let commit = |old, new| Changes::from([(0, BTreeMap::from([(Uuid(7), Change { old, new })]))]);
        history.push(Uuid(1), commit(None, row(7)));
        history.push(Uuid(2), commit(row(7), row(7)));
        history.push(Uuid(3), commit(row(7), None));
        assert!(history.since(Uuid(9)).is_none());
        assert!(history.since(Uuid(3)).unwrap().is_empty());
        let change = &history.since(Uuid(1)).unwrap()[&0][&Uuid(7)];
        assert!(change.old.is_some() && change.new.is_none());
        for n in 10..200 {
            history.push(Uuid(n), commit(None, row(7)));
        }
        assert!(history.since(Uuid(3)).is_none() && history.len() == COMMITS);
        history.clear();
        assert!(history.is_empty() && history.last() == Uuid(199));
    }
}
