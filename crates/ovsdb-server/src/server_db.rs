//! `_Server`: the database that says which databases a server offers.
//!
//! Where it sits: refreshed by `Server` whenever the set of databases or a schema changes.
//!
//! Spec: ovsdb-server(5).

use ovsdb::json::{Json, Object};
use ovsdb::{Atom, DbSchema};
use ovsdb_engine::Database;

/// The schema, which is part of the protocol.
const SCHEMA: &str = include_str!("../schema/_server.ovsschema");

/// The schema of `_Server`.
pub fn schema() -> DbSchema {
    let json = ovsdb::json::parse(SCHEMA.as_bytes()).expect("the built-in schema is JSON");
    DbSchema::from_json(&json).expect("the built-in schema is valid")
}

/// The operations that make the rows those of `wanted`: names and schema texts.
pub fn operations(db: &Database, wanted: &[(String, String)]) -> Vec<Json> {
    let mut operations = Vec::new();
    let Some(table) = db.table("Database") else { return operations };
    let text = |row: &ovsdb_engine::Row, column: &str| {
        let index = table.schema.column_index(column)?;
        row.fields[index].single().and_then(Atom::as_str).map(str::to_owned)
    };
    let find = |name: &str| table.rows.values().find(|row| text(row, "name").as_deref() == Some(name));
    for row in table.rows.values() {
        let name = text(row, "name").unwrap_or_default();
        if !wanted.iter().any(|(wanted, _)| *wanted == name) {
            operations.push(operation("delete", Some(&name), None));
        }
    }
    for (name, schema) in wanted {
        match find(name) {
            None => operations.push(operation("insert", None, Some(row(name, schema)))),
            Some(old) if text(old, "schema").as_ref() != Some(schema) => {
                let change = Json::object([("schema", Json::string(&**schema))]);
                operations.push(operation("update", Some(name), Some(change)));
            }
            Some(_) => {}
        }
    }
    operations
}

fn row(name: &str, schema: &str) -> Json {
    Json::object([
        ("name", Json::string(name)),
        ("model", Json::string("standalone")),
        ("connected", Json::Bool(true)),
        ("leader", Json::Bool(true)),
        ("schema", Json::string(schema)),
    ])
}

fn operation(op: &str, name: Option<&str>, row: Option<Json>) -> Json {
    let mut members =
        Object::from([("op".to_owned(), Json::string(op)), ("table".to_owned(), Json::string("Database"))]);
    if let Some(name) = name {
        let clause = Json::array(["name", "==", name]);
        members.insert("where".into(), Json::Array(vec![clause]));
    }
    if let Some(row) = row {
        members.insert("row".into(), row);
    }
    Json::Object(members)
}
