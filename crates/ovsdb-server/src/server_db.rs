//! `_Server`: the database that says which databases a server offers.
//!
//! Where it sits: refreshed by `Server` whenever the set of databases or a schema changes.
//!
//! Spec: ovsdb-server(5).

use std::sync::LazyLock;

use ovsdb::DbSchema;
use ovsdb::json::{Json, Object};
use ovsdb_engine::Database;

use crate::served::{Role, Served};
use crate::source::Link;

/// The schema, which is part of the protocol.
const SCHEMA: &str = include_str!("../schema/_server.ovsschema");

/// The schema of `_Server`.
pub fn schema() -> DbSchema {
    let json = ovsdb::json::parse(SCHEMA.as_bytes()).expect("the built-in schema is JSON");
    DbSchema::from_json(&json).expect("the built-in schema is valid")
}

/// What the database says of one that is offered.
#[derive(Debug, PartialEq)]
pub struct Entry {
    name: String,
    columns: Vec<(&'static str, Json)>,
}

impl Entry {
    /// What there is to say of `served`.
    pub fn new(name: &str, served: &Served) -> Entry {
        let relay = matches!(served.role, Role::Relay(..));
        let connected = !relay || served.link == Link::Following;
        let schema = served.db.schema.to_json().to_string();
        let schema = if served.is_known() { Json::string(schema) } else { EMPTY_SET.clone() };
        let columns = vec![
            ("connected", Json::Bool(connected)),
            ("leader", Json::Bool(!relay)),
            ("model", Json::string(if relay { "relay" } else { "standalone" })),
            ("schema", schema),
        ];
        Entry { name: name.to_owned(), columns }
    }

    fn row(&self, own: bool) -> Json {
        let name = own.then(|| ("name", Json::string(&*self.name)));
        Json::object(name.into_iter().chain(self.columns.iter().cloned()))
    }
}

static EMPTY_SET: LazyLock<Json> =
    LazyLock::new(|| Json::Array(vec![Json::string("set"), Json::Array(Vec::new())]));

/// The operations that make the rows those of `wanted`.
pub fn operations(db: &Database, wanted: &[Entry]) -> Vec<Json> {
    let mut operations = Vec::new();
    let Some(table) = db.table("Database") else { return operations };
    let field = |row: &ovsdb_engine::Row, column: &str| {
        let index = table.schema.column_index(column)?;
        Some(row.fields[index].to_json(&table.schema.columns[index].kind))
    };
    let name = |row: &ovsdb_engine::Row| field(row, "name").and_then(|name| Some(name.as_str()?.to_owned()));
    for row in table.rows.values() {
        let name = name(row).unwrap_or_default();
        if !wanted.iter().any(|entry| entry.name == name) {
            operations.push(operation("delete", Some(&name), None));
        }
    }
    for entry in wanted {
        match table.rows.values().find(|row| name(row).as_deref() == Some(&entry.name)) {
            None => operations.push(operation("insert", None, Some(entry.row(true)))),
            Some(old) if entry.columns.iter().any(|(n, value)| field(old, n).as_ref() != Some(value)) => {
                operations.push(operation("update", Some(&entry.name), Some(entry.row(false))));
            }
            Some(_) => {}
        }
    }
    operations
}

fn operation(op: &str, name: Option<&str>, row: Option<Json>) -> Json {
    let mut members =
        Object::from([("op".to_owned(), Json::string(op)), ("table".to_owned(), Json::string("Database"))]);
    if let Some(name) = name {
        let clause = Json::array(["name", "==", name]);
        members.insert("where", Json::Array(vec![clause]));
    }
    if let Some(row) = row {
        members.insert("row", row);
    }
    Json::Object(members)
}
