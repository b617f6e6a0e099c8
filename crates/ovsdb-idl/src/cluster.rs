//! What a server is to the database: alone with it, a member of a cluster that serves it, or cut off.
//!
//! Where it sits: [`crate::Idl`] asks a server this before anything else, and listens on.
//!
//! Spec: ovsdb-server(5), the table Database of the _Server database.

use std::collections::BTreeMap;

use ovsdb::json::Json;

/// Which members of a cluster are good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Every one that has contact with the cluster.
    Member,
    /// The one that leads: what it tells is not behind.
    Leader,
}

/// What a server says of one database.
#[derive(Debug)]
pub(crate) struct Member {
    database: String,
    fitness: Fitness,
    /// Columns of each row of the table Database.
    rows: BTreeMap<String, BTreeMap<String, Json>>,
}

const COLUMNS: [&str; 4] = ["name", "model", "connected", "leader"];

impl Member {
    pub(crate) fn new(database: &str, fitness: Fitness) -> Member {
        Member { database: database.to_owned(), fitness, rows: BTreeMap::new() }
    }

    /// Parameters of the request for the table.
    pub(crate) fn monitor(id: &str) -> Vec<Json> {
        let columns = Json::Array(COLUMNS.map(Json::string).to_vec());
        let table = Json::object([("columns", columns)]);
        vec![Json::string("_Server"), Json::string(id), Json::object([("Database", table)])]
    }

    pub(crate) fn forget(&mut self) {
        self.rows.clear();
    }

    /// Takes `table-updates2` in; the columns are scalars, so that a difference is the new value.
    pub(crate) fn apply(&mut self, updates: &Json) {
        let rows = updates.get("Database").and_then(Json::as_object);
        for (uuid, change) in rows.into_iter().flatten() {
            let Some((kind, columns)) = change.as_object().and_then(|o| o.iter().next()) else { continue };
            if kind == "delete" {
                self.rows.remove(&**uuid);
                continue;
            }
            let row = self.rows.entry(uuid.to_string()).or_default();
            for (name, value) in columns.as_object().into_iter().flatten() {
                row.insert(name.to_string(), value.clone());
            }
        }
    }

    /// Why this server is not good enough, if it is not.
    pub(crate) fn unfit(&self) -> Option<String> {
        let is = |row: &BTreeMap<String, Json>, name: &str, text: &str| {
            row.get(name).and_then(Json::as_str) == Some(text)
        };
        let row = self.rows.values().find(|row| is(row, "name", &self.database))?;
        let holds = |name| row.get(name).and_then(Json::as_bool) == Some(true);
        if !is(row, "model", "clustered") {
            return None;
        }
        if !holds("connected") {
            return Some(
                "clustered database server is disconnected from cluster; trying another server".into(),
            );
        }
        let leads = self.fitness == Fitness::Member || holds("leader");
        (!leads).then(|| "clustered database server is not cluster leader; trying another server".to_owned())
    }
}
