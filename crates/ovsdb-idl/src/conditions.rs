//! Which rows of each table are replicated: what the program wants, and what the server has been told.
//!
//! Where it sits: kept by [`crate::Idl`], which sends the changes and says what became of them.
//!
//! ~~~text
//! set ─► wanted ──change──► asked ──confirm──► confirmed
//!          └────────────── begin ──────────────────▲
//! ~~~
//! I1  One change at most is under way.
//! I2  Without one under way, the server shows exactly the rows that `confirmed` lets through.
//!
//! Spec: ovsdb-server(7) sections 4.1.12 and 4.1.13.

use std::collections::BTreeMap;

use ovsdb::json::Json;

/// Clauses by table, of which a row satisfies one at least; a table that is not named shows every row.
type Clauses = BTreeMap<String, Json>;

/// The conditions of a monitor.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    wanted: Clauses,
    asked: Option<Clauses>,
    confirmed: Clauses,
}

fn every_row() -> Json {
    Json::Array(vec![Json::Bool(true)])
}

impl Conditions {
    /// Wants, of `table`, the rows that satisfy one of `clauses`; without clauses, every row.
    pub(crate) fn set(&mut self, table: &str, clauses: Vec<Json>) {
        // An empty array would let every row through, too, but says less.
        let clauses = if clauses.is_empty() { every_row() } else { Json::Array(clauses) };
        self.wanted.insert(table.to_owned(), clauses);
    }

    /// A monitor begins that shows what is wanted.
    pub(crate) fn begin(&mut self) {
        self.confirmed = self.wanted.clone();
    }

    /// What the server is to show of a table when a monitor begins.
    pub(crate) fn of(&self, table: &str) -> Option<&Json> {
        self.confirmed.get(table)
    }

    /// What is wanted otherwise than confirmed, of the tables that are monitored.
    fn unmet(&self, is_monitored: impl Fn(&str) -> bool) -> Clauses {
        let differs = |(table, clauses): &(&String, &Json)| {
            is_monitored(table) && *self.confirmed.get(*table).unwrap_or(&every_row()) != **clauses
        };
        self.wanted.iter().filter(differs).map(|(table, clauses)| (table.clone(), clauses.clone())).collect()
    }

    /// True if the server shows what is wanted.
    pub(crate) fn hold(&self, is_monitored: impl Fn(&str) -> bool) -> bool {
        self.asked.is_none() && self.unmet(is_monitored).is_empty()
    }

    /// The `<monitor-cond-update-requests>` to send now, if any: they are under way from here on.
    pub(crate) fn change(&mut self, is_monitored: impl Fn(&str) -> bool) -> Option<Json> {
        if self.hold(&is_monitored) || self.asked.is_some() {
            return None;
        }
        let unmet = self.unmet(is_monitored);
        let request = |clauses: &Json| Json::Array(vec![Json::object([("where", clauses.clone())])]);
        let requests = Json::object(unmet.iter().map(|(table, clauses)| (table.clone(), request(clauses))));
        self.asked = Some(unmet);
        Some(requests)
    }

    /// The server has carried out the change that was under way.
    pub(crate) fn confirm(&mut self) {
        self.confirmed.extend(self.asked.take().into_iter().flatten());
    }

    /// The connection is lost; false if nobody knows what the server showed at last.
    pub(crate) fn lose(&mut self) -> bool {
        self.asked.take().is_none()
    }
}
